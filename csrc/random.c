/* random.c: counter-based random numbers.
 *
 * Philox4x32-10 of J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
 * section 4.3. Every number is a function of (seed, where it is used), so there is no generator
 * state to save, and the same seed gives the same network on every platform.
 */
#include "fastnn.h"

void fnn_generate_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t words[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53 * x0, p1 = (uint64_t)0xCD9E8D57 * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)p0;
        k0 += 0x9E3779B9; /* the golden ratio, and sqrt(3) - 1 */
        k1 += 0xBB67AE85;
    }
    words[0] = x0;
    words[1] = x1;
    words[2] = x2;
    words[3] = x3;
}

/* What a stream of numbers is for is the last counter word, so that no two uses share numbers. */
static void generate_pair(uint64_t seed, uint32_t purpose, uint32_t stream, uint64_t index,
                          uint64_t pair[2]) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), stream, purpose};
    uint32_t words[4];
    fnn_generate_philox(key, counter, words);
    pair[0] = words[0] | (uint64_t)words[1] << 32;
    pair[1] = words[2] | (uint64_t)words[3] << 32;
}

void fnn_fill_uniform(uint64_t seed, uint32_t stream, double low, double high, ptrdiff_t n,
                      double *out) {
    for (ptrdiff_t i = 0; i < n; i++) {
        uint64_t pair[2];
        generate_pair(seed, FNN_PURPOSE_UNIFORM, stream, (uint64_t)i / 2, pair);
        /* 53 bits fill a double's significand: u is uniform in [0, 1). */
        const double u = (double)(pair[i % 2] >> 11) * 0x1p-53;
        out[i] = low + (high - low) * u;
    }
}

void fnn_fill_normal(uint64_t seed, uint32_t stream, double mean, double std, ptrdiff_t n,
                     double *out) {
    for (ptrdiff_t i = 0; i < n; i++) {
        uint64_t pair[2];
        generate_pair(seed, FNN_PURPOSE_NORMAL, stream, (uint64_t)i / 2, pair);
        /* An odd multiple of 2^-54 in (-1/2, 1/2), exactly: never 0, and as often above as below.
         */
        const int64_t k = (int64_t)(pair[i % 2] >> 11) - ((int64_t)1 << 52);
        const double q = (double)(2 * k + 1) * 0x1p-54;
        out[i] = mean + std * fnn_find_normal_quantile(q);
    }
}

/* Fisher-Yates. The bounded draw is the high half of a 64 x 64 bit product; its bias is below
 * n / 2^64, which no shuffle of a data set can show. */
void fnn_shuffle_indices(uint64_t seed, uint32_t epoch, ptrdiff_t n, int64_t *out) {
    uint64_t pair[2] = {0, 0};
    for (ptrdiff_t i = 0; i < n; i++) out[i] = i;
    for (ptrdiff_t i = n - 1, draw = 0; i > 0; i--, draw++) {
        if (draw % 2 == 0)
            generate_pair(seed, FNN_PURPOSE_SHUFFLE, epoch, (uint64_t)draw / 2, pair);
        const uint64_t word = pair[draw % 2], bound = (uint64_t)i + 1;
        /* bound <= 2^32: multiplied by halves, as standard C has no 128-bit product. */
        const uint64_t high = (word >> 32) * bound, low = (word & 0xFFFFFFFF) * bound;
        const ptrdiff_t j = (ptrdiff_t)((high + (low >> 32)) >> 32);
        const int64_t swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}
