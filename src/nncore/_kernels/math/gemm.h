/* Matrix products: one micro-kernel, three uses of it (dense.h), for operands of two kinds.  The includer defines
 *     GEMM(f)                 the names
 *     factor, factors         an element of A or B, and a vector of them
 *     MULTIPLY_ADD(c, a, b)   c + a b
 * Factors are reals, or pairs of bfloat16 numbers in 32 bits (bfloat16.h), where the depth counts pairs.  With PLAIN_ONLY, kernels
 * that add to C or prefetch rows far apart are left out.
 *
 *     C[i, j] = init[j] + sum_p A[i, p] B[p, j]         i < mr,  j < nv vectors,  p ascending
 *
 * or, to add a second product to a first one, with C[i, j] instead of init[j] (separate kernels, so that the register
 * allocation of the first kind is not affected by the second).
 *
 * The accumulators stay in registers over all of p, so each element of C is one chain of multiply-adds in the order of p,
 * regardless of its tile: the bits of a product do not depend on the division of C into tiles.
 * A is read as scalars with any strides, B as vectors along its rows, both in place.
 *
 *                 nv vectors
 *             B   |====|====|   p
 *     A       C   |    |    |
 *     : p ->      | mr x nv |   12 x 2 of 16 floats with AVX-512: 24 of the 32 registers accumulate,
 *     : rows      |    |    |   2 hold B, 1 the element of A
 *
 * If the rows of B are contiguous in memory, the hardware prefetcher works, and the kernel additionally prefetches NN_AHEAD steps
 * ahead.  If they are far apart (`far`), it prefetches NN_NEAR steps ahead, and a part of the next panel: each group of rows of C
 * fetches its part of it, so that W streams from memory continuously and not only while the first group processes a new panel
 * (docs/design/gemm.rst).  Each line of 64 bytes is prefetched once.
 *
 * The shape MR x NV fills the registers of each instruction set; smaller tiles serve the edges. */

typedef void (*GEMM(micro_kernel))(int64_t depth, const factor *a, int64_t a_row, int64_t a_step, const factor *b, int64_t b_step,
                                   const real *init, real *c, int64_t c_row, int last, const factor *next, int64_t rate);

/* `part`: the last vector has only `last` columns.  `mode`: PLAIN; ADD to the value of C; or FAR: rows of `next` are
 * prefetched, `rate` / 65536 of one per step. */
#define LINE (64 / NN_VECTOR_BYTES)    /* vectors per cache line */
enum { GEMM(PLAIN), GEMM(ADD), GEMM(FAR) };
NN_INLINE void GEMM(multiply_tile)(const int mr, const int nv, const int part, const int mode, int64_t depth,
                                   const factor *restrict a, int64_t a_row, int64_t a_step, const factor *restrict b, int64_t b_step,
                                   const real *restrict init, real *restrict c, int64_t c_row, int last,
                                   const factor *restrict next, int64_t rate) {
    const int far = mode == GEMM(FAR);
    const int64_t ahead = far ? NN_NEAR : NN_AHEAD;
    vec sum[MR][NV], first[NV];
    factors row[NV];
    NN_UNROLL for (int j = 0; j < nv; j++) {
        first[j] = (vec){0};
        if (init) first[j] = part && j == nv - 1 ? NAME(load_part)(init + j * LANES, last) : NAME(load)(init + j * LANES);
    }
    NN_UNROLL for (int i = 0; i < mr; i++)
        NN_UNROLL for (int j = 0; j < nv; j++) {
            if (mode != GEMM(ADD)) sum[i][j] = first[j];
            else if (part && j == nv - 1) sum[i][j] = NAME(load_part)(c + i * c_row + j * LANES, last);
            else sum[i][j] = NAME(load)(c + i * c_row + j * LANES);
        }
    for (int64_t p = 0, fetched = 0; p < depth; p++, fetched += rate) {
        NN_UNROLL for (int j = 0; j < nv; j++)
            row[j] = (factors)(part && j == nv - 1 ? NAME(load_part)((const real *)(b + j * LANES), last)
                                                   : NAME(load)((const real *)(b + j * LANES)));
        NN_UNROLL for (int j = 0; j < nv; j += LINE) NN_PREFETCH(b + ahead * b_step + j * LANES);
        if (far) NN_UNROLL for (int j = 0; j < nv; j += LINE) NN_PREFETCH(next + (fetched >> 16) * b_step + j * LANES);
        else NN_PREFETCH(a + NN_AHEAD * a_step);
        NN_UNROLL for (int i = 0; i < mr; i++) {
            const factors x = a[i * a_row] - (factors){0};    /* in all lanes */
            NN_UNROLL for (int j = 0; j < nv; j++) sum[i][j] = MULTIPLY_ADD(sum[i][j], x, row[j]);
        }
        a += a_step;
        b += b_step;
    }
    NN_UNROLL for (int i = 0; i < mr; i++)
        NN_UNROLL for (int j = 0; j < nv; j++) {
            if (part && j == nv - 1) NAME(store_part)(c + i * c_row + j * LANES, sum[i][j], last);
            else NAME(store)(c + i * c_row + j * LANES, sum[i][j]);
        }
}
#undef LINE

#define MICRO_KERNEL(mr, nv, part, mode)                                                                                     \
    static void GEMM(multiply_##mr##x##nv##_##part##mode)(                                                                   \
        int64_t depth, const factor *a, int64_t a_row, int64_t a_step, const factor *b, int64_t b_step, const real *init,        \
        real *c, int64_t c_row, int last, const factor *next, int64_t rate) {                                                  \
        GEMM(multiply_tile)(mr, nv, part, GEMM(mode), depth, a, a_row, a_step, b, b_step, init, c, c_row, last, next, rate); \
    }
#define PLAIN_KERNELS(mr)                                                                                                    \
    MICRO_KERNEL(mr, 1, 0, PLAIN) MICRO_KERNEL(mr, 1, 1, PLAIN) MICRO_KERNEL(mr, 2, 0, PLAIN) MICRO_KERNEL(mr, 2, 1, PLAIN)
#define PLAIN_ENTRY(mr)                                                                                                      \
    GEMM(multiply_##mr##x1_0PLAIN), GEMM(multiply_##mr##x1_1PLAIN), GEMM(multiply_##mr##x2_0PLAIN), GEMM(multiply_##mr##x2_1PLAIN)
#ifdef PLAIN_ONLY
#define MICRO_KERNELS PLAIN_KERNELS
#define MICRO_ENTRY(mr) {PLAIN_ENTRY(mr)}
#else
#define MICRO_KERNELS(mr)                                                                                                    \
    PLAIN_KERNELS(mr)                                                                                                        \
    MICRO_KERNEL(mr, 1, 0, ADD) MICRO_KERNEL(mr, 1, 1, ADD) MICRO_KERNEL(mr, 2, 0, ADD) MICRO_KERNEL(mr, 2, 1, ADD)          \
    MICRO_KERNEL(mr, 2, 0, FAR)
#define MICRO_ENTRY(mr)                                                                                                      \
    {PLAIN_ENTRY(mr), GEMM(multiply_##mr##x1_0ADD), GEMM(multiply_##mr##x1_1ADD), GEMM(multiply_##mr##x2_0ADD),              \
     GEMM(multiply_##mr##x2_1ADD), GEMM(multiply_##mr##x2_0FAR)}
#endif

MICRO_KERNELS(1) MICRO_KERNELS(2) MICRO_KERNELS(3) MICRO_KERNELS(4)
#if MR >= 6
MICRO_KERNELS(5) MICRO_KERNELS(6)
#endif
#if MR >= 12
MICRO_KERNELS(7) MICRO_KERNELS(8) MICRO_KERNELS(9) MICRO_KERNELS(10) MICRO_KERNELS(11) MICRO_KERNELS(12)
#endif

/* indexed by rows, and by 2 (vectors - 1) + part: first PLAIN, then ADD, last FAR */
static const GEMM(micro_kernel) GEMM(micro_kernels)[MR][4 * NV + 1] = {
    MICRO_ENTRY(1), MICRO_ENTRY(2), MICRO_ENTRY(3), MICRO_ENTRY(4),
#if MR >= 6
    MICRO_ENTRY(5), MICRO_ENTRY(6),
#endif
#if MR >= 12
    MICRO_ENTRY(7), MICRO_ENTRY(8), MICRO_ENTRY(9), MICRO_ENTRY(10), MICRO_ENTRY(11), MICRO_ENTRY(12),
#endif
};
#undef MICRO_KERNEL
#undef MICRO_KERNELS
#undef MICRO_ENTRY
#undef PLAIN_KERNELS
#undef PLAIN_ENTRY

/* One panel of C: `rows` rows, `columns` <= NV * LANES columns.  The rows are divided into groups of at most MR, as evenly as possible.
 * `next`: start of the next panel of B, if rows of B are far apart; NULL if they are contiguous. */
NN_INLINE void GEMM(multiply_groups)(const int add, int64_t rows, int64_t columns, int64_t depth, const factor *a, int64_t a_row,
                                     int64_t a_step, const factor *b, int64_t b_step, const factor *next, const real *init, real *c,
                                     int64_t c_row) {
    const int nv = (int)((columns + LANES - 1) / LANES), last = (int)(columns - (nv - 1) * LANES);
    const int kind = next && columns == NV * LANES ? 4 * NV : 2 * (add * NV + nv - 1) + (last < LANES);
    const int64_t groups = (rows + MR - 1) / MR, size = rows / groups, larger = rows % groups, rate = 65536 / groups;
    for (int64_t g = 0, i = 0; g < groups; g++) {
        const int64_t mr = size + (g < larger);
        GEMM(micro_kernels)[mr - 1][kind](depth, a + i * a_row, a_row, a_step, b, b_step, init, c + i * c_row, c_row, last,
                                          next ? next + g * depth / groups * b_step : NULL, rate);
        i += mr;
    }
}

static void GEMM(multiply_panel)(int64_t rows, int64_t columns, int64_t depth, const factor *a, int64_t a_row, int64_t a_step,
                                 const factor *b, int64_t b_step, const real *init, real *c, int64_t c_row) {
    GEMM(multiply_groups)(0, rows, columns, depth, a, a_row, a_step, b, b_step, NULL, init, c, c_row);
}

#ifndef PLAIN_ONLY
/* The same for rows of B that are far apart, without init. */
static void GEMM(multiply_far_panel)(int64_t rows, int64_t columns, int64_t depth, const factor *a, int64_t a_row, int64_t a_step,
                                     const factor *b, int64_t b_step, const factor *next, real *c, int64_t c_row) {
    GEMM(multiply_groups)(0, rows, columns, depth, a, a_row, a_step, b, b_step, next, NULL, c, c_row);
}

/* C += A B */
static void GEMM(add_panel)(int64_t rows, int64_t columns, int64_t depth, const factor *a, int64_t a_row, int64_t a_step,
                            const factor *b, int64_t b_step, real *c, int64_t c_row) {
    GEMM(multiply_groups)(1, rows, columns, depth, a, a_row, a_step, b, b_step, NULL, NULL, c, c_row);
}

/* The product of one block of the depth: the first starts from init, later ones (`later`) add to C. */
static void GEMM(multiply_piece)(int64_t later, int64_t rows, int64_t columns, int64_t depth, const factor *a, int64_t a_row,
                                 int64_t a_step, const factor *b, int64_t b_step, const real *init, real *c, int64_t c_row) {
    if (later) GEMM(add_panel)(rows, columns, depth, a, a_row, a_step, b, b_step, c, c_row);
    else GEMM(multiply_panel)(rows, columns, depth, a, a_row, a_step, b, b_step, init, c, c_row);
}
#endif
