/* test_vocabulary.c: the vector operations of one instruction set against plain C, lane by lane.
 *
 * csrc/names.h holds their contract. Parts of vectors are loaded and stored at the end of a page
 * that an inaccessible one follows: an element too many ends the program. Prints what fails and
 * returns 1, or prints what was done and returns 0.
 *
 *     cc -std=c11 -ffp-contract=off -Icsrc -DFNN_VOCABULARY='"simd/x.h"' tests/c/test_vocabulary.c
 * -lm
 */
#define _DEFAULT_SOURCE 1 /* for MAP_ANONYMOUS */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "names.h"

static int n_checks, n_failures;

static void check(int passed, const char *what, const char *dtype) {
    n_checks++;
    if (passed) return;
    n_failures++;
    printf("FAILED: %s (%s)\n", what, dtype);
}

/* The end of memory that may be touched. */
static char *find_edge(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE)) exit(2);
    return pages + page;
}

#define FNN_DTYPE f32
#define FNN_REAL float
#define FNN_IS_F32 1
#define DTYPE_NAME "float"
#define FUSED fmaf
#include FNN_VOCABULARY
#include "vocabulary_checks.inc"
#undef FNN_DTYPE
#undef FNN_REAL
#undef FNN_IS_F32
#undef DTYPE_NAME
#undef FUSED
#define FNN_DTYPE f64
#define FNN_REAL double
#define FNN_IS_F32 0
#define DTYPE_NAME "double"
#define FUSED fma
#include FNN_VOCABULARY
#include "vocabulary_checks.inc"

int main(void) {
    check_vocabulary_f32();
    check_vocabulary_f64();
    printf("%d checks, %d failures\n", n_checks, n_failures);
    return n_failures > 0;
}
