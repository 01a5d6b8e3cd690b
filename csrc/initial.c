/* initial.c: arithmetic of initial weights that gives the same bits on every platform.
 *
 * IEEE 754 rounds +, -, *, / and sqrt correctly, and nothing else is used: no function of the C
 * library, whose last digits differ, no FMA, and no sum whose order a compiler or a CPU may choose.
 */
#include <math.h>
#include <string.h>

#include "fastnn.h"

static double evaluate_polynomial(const double c[8], double x) {
    double y = c[7];
    for (int i = 6; i >= 0; i--) y = y * x + c[i];
    return y;
}

/* log(x) for a normal x > 0: x = m 2^e with m in [sqrt(1/2), sqrt(2)), and log(m) = 2 artanh(s) by
 * its series in s = (m - 1) / (m + 1), |s| < 0.172, whose next term would be below 2^-57. */
static double find_log(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    int exponent = (int)(bits >> 52) - 1022;
    bits = (bits & 0xFFFFFFFFFFFFF) | (uint64_t)1022 << 52; /* m in [1/2, 1) */
    double m;
    memcpy(&m, &bits, sizeof(m));
    if (m < 0x1.6a09e667f3bcdp-1) { /* sqrt(1/2) */
        m *= 2;
        exponent--;
    }
    const double s = (m - 1) / (m + 1), s2 = s * s;
    double sum = 0;
    for (int k = 21; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
    return 2 * s * sum + exponent * 0x1.62e42fefa39efp-1; /* log(2) */
}

/* M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (Applied
 * Statistics 37, 1988), PPND16: a ratio of polynomials, to about 16 digits. */
double fnn_find_normal_quantile(double q) {
    static const double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                                1.9715909503065514427e3, 1.3731693765509461125e4,
                                4.5921953931549871457e4, 6.7265770927008700853e4,
                                3.3430575583588128105e4, 2.5090809287301226727e3},
                        b[8] = {1.0,
                                4.2313330701600911252e1,
                                6.8718700749205790830e2,
                                5.3941960214247511077e3,
                                2.1213794301586595867e4,
                                3.9307895800092710610e4,
                                2.8729085735721942674e4,
                                5.2264952788528545610e3},
                        c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                5.76949722146069140550e0,  3.64784832476320460504e0,
                                1.27045825245236838258e0,  2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4},
                        d[8] = {1.0,
                                2.05319162663775882187e0,
                                1.67638483018380384940e0,
                                6.89767334985100004550e-1,
                                1.48103976427480074590e-1,
                                1.51986665636164571966e-2,
                                5.47593808499534494600e-4,
                                1.05075007164441684324e-9},
                        e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                1.78482653991729133580e0,  2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7},
                        f[8] = {1.0,
                                5.99832206555887937690e-1,
                                1.36929880922735805310e-1,
                                1.48753612908506148525e-2,
                                7.86869131145613259100e-4,
                                1.84631831751005468180e-5,
                                1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
    const double size = q < 0 ? -q : q;
    if (size <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * evaluate_polynomial(a, r) / evaluate_polynomial(b, r);
    }
    const double r = sqrt(-find_log(0.5 - size));
    const double x = r <= 5 ? evaluate_polynomial(c, r - 1.6) / evaluate_polynomial(d, r - 1.6)
                            : evaluate_polynomial(e, r - 5) / evaluate_polynomial(f, r - 5);
    return q < 0 ? -x : x;
}

enum {
    LANES = 8,  /* partial sums of a dot product: enough for any vector unit, on every CPU */
    PANEL = 32, /* rows that are projected together */
    PART = 16,  /* rows of a panel whose products fit into the registers of any CPU */
    BLOCK = 64  /* columns at a time: those of two panels stay in the first-level cache */
};

static double multiply_vectors(const double *x, const double *y, ptrdiff_t n) {
    double lanes[LANES] = {0}, sum = 0;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) lanes[lane] += x[i + lane] * y[i + lane];
    for (int lane = 0; i < n; i++, lane++) lanes[lane] += x[i] * y[i];
    for (int lane = 0; lane < LANES; lane++) sum += lanes[lane];
    return sum;
}

/* Take out of row `row` of x what it has in common with the rows before it. */
static void project_row(ptrdiff_t row, ptrdiff_t n_cols, double *x) {
    double *own = x + row * n_cols;
    for (ptrdiff_t i = 0; i < row; i++) {
        const double *y = x + i * n_cols, share = multiply_vectors(own, y, n_cols);
        for (ptrdiff_t k = 0; k < n_cols; k++) own[k] -= share * y[k];
    }
}

/* shares[i][j] += row i of x times row j of y, `width` columns of them in ascending order. */
static void add_shares(ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t width, const double *x,
                       const double *y, double shares[PANEL][PANEL]) {
    double turned[BLOCK][PANEL];
    for (ptrdiff_t j = 0; j < PANEL; j++)
        for (ptrdiff_t k = 0; k < width; k++) turned[k][j] = y[j * n_cols + k];
    for (ptrdiff_t i = 0; i < n_rows; i++)
        for (ptrdiff_t j = 0; j < PANEL; j += PART) {
            double sums[PART];
            memcpy(sums, shares[i] + j, sizeof(sums));
            for (ptrdiff_t k = 0; k < width; k++)
                for (int lane = 0; lane < PART; lane++)
                    sums[lane] += x[i * n_cols + k] * turned[k][j + lane];
            memcpy(shares[i] + j, sums, sizeof(sums));
        }
}

/* row i of x -= the sum of shares[i][j] times row j of y, one after the other. */
static void subtract_shares(ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t width, double *x,
                            const double *y, double shares[PANEL][PANEL]) {
    double near[PANEL][BLOCK]; /* rows a multiple of 4 KiB apart would push each other out */
    for (ptrdiff_t j = 0; j < PANEL; j++)
        memcpy(near[j], y + j * n_cols, (size_t)width * sizeof(double));
    for (ptrdiff_t i = 0; i < n_rows; i++)
        for (ptrdiff_t j = 0; j < PANEL; j += 4) {
            const double *s = shares[i] + j;
            double *restrict own = x + i * n_cols;
            for (ptrdiff_t k = 0; k < width; k++)
                own[k] = own[k] - s[0] * near[j][k] - s[1] * near[j + 1][k] -
                         s[2] * near[j + 2][k] - s[3] * near[j + 3][k];
        }
}

/* Take out of the rows of x what they have in common with the `n_before` rows of a, whole panels.
 */
static void project_panel(ptrdiff_t n_before, ptrdiff_t n_rows, ptrdiff_t n_cols, const double *a,
                          double *x) {
    for (const double *y = a; y < a + n_before * n_cols; y += PANEL * n_cols) {
        double shares[PANEL][PANEL] = {{0}};
        for (ptrdiff_t k = 0; k < n_cols; k += BLOCK)
            add_shares(n_rows, n_cols, n_cols - k < BLOCK ? n_cols - k : BLOCK, x + k, y + k,
                       shares);
        for (ptrdiff_t k = 0; k < n_cols; k += BLOCK)
            subtract_shares(n_rows, n_cols, n_cols - k < BLOCK ? n_cols - k : BLOCK, x + k, y + k,
                            shares);
    }
}

/* Gram-Schmidt, by panels on those before and row by row within one. What has lost half of its
 * length is projected a second time ("twice is enough": B. N. Parlett, "The symmetric eigenvalue
 * problem", 1980, section 6.9). The signs are those for which normal numbers give a uniform (Haar)
 * distribution. */
void fnn_orthonormalize_rows(ptrdiff_t n_rows, ptrdiff_t n_cols, double *a) {
    for (ptrdiff_t first = 0; first < n_rows; first += PANEL) {
        const ptrdiff_t n = n_rows - first < PANEL ? n_rows - first : PANEL;
        double *x = a + first * n_cols, before[PANEL];
        for (ptrdiff_t i = 0; i < n; i++)
            before[i] = multiply_vectors(x + i * n_cols, x + i * n_cols, n_cols);
        project_panel(first, n, n_cols, a, x);
        int has_lost = 0;
        for (ptrdiff_t i = 0; i < n; i++)
            has_lost |= multiply_vectors(x + i * n_cols, x + i * n_cols, n_cols) < 0.25 * before[i];
        if (has_lost) project_panel(first, n, n_cols, a, x);
        for (ptrdiff_t i = 0; i < n; i++) {
            double *own = x + i * n_cols;
            const double length_before = multiply_vectors(own, own, n_cols);
            project_row(i, n_cols, x);
            if (multiply_vectors(own, own, n_cols) < 0.25 * length_before)
                project_row(i, n_cols, x);
            const double length = sqrt(multiply_vectors(own, own, n_cols));
            for (ptrdiff_t k = 0; k < n_cols; k++) own[k] /= length;
        }
    }
}
