/* A contraction as groups of indices, and the steps that its two ways of running share. Local. */
#ifndef FUSE_BACKEND_CPU_CONTRACT_H
#define FUSE_BACKEND_CPU_CONTRACT_H

#include "backend/cpu_epilogue.h"

enum fuse_group { FUSE_GROUP_BATCH, FUSE_GROUP_M, FUSE_GROUP_N, FUSE_GROUP_K, FUSE_GROUPS };

/* One index, or several that were fused; strides are 0 where an operand lacks it. */
struct fuse_group_axis {
    int64_t extent, a, b, c;
};

/* Axes of extent > 1 only, outermost first, neighbours fused, empty contractions excluded. c's strides are positive. */
struct fuse_grouped {
    enum fuse_dtype type, a_dtype, b_dtype; /* type: that of c and of the calculation */
    const char *a, *b;
    char *c;
    bool accumulate;
    struct fuse_epilogue *then; /* what goes over parts of the result that are complete, or NULL */
    enum fuse_semiring semiring;
    int axes[FUSE_GROUPS];
    struct fuse_group_axis axis[FUSE_GROUPS][FUSE_MAX_AXES];
};

struct fuse_grouped fuse_group_contract(const struct fuse_contract *call);
/* Zeros in all of c. */
void fuse_cpu_clear_result(struct fuse_cpu_backend *cpu, const struct fuse_contract *call);
int64_t fuse_group_points(const struct fuse_grouped *g, enum fuse_group group);
/* Makes the index along which a is dense the innermost one of its group, so that a has long runs. */
void fuse_group_dense_last(struct fuse_grouped *g, enum fuse_group group);
/* c^T = b^T a^T: exchanges a with b and M with N. */
void fuse_group_swap(struct fuse_grouped *g);

/* A matrix as BLAS wants it: row-major, or its transpose is. */
struct fuse_blas_matrix {
    const void *data;
    int64_t ld;
    bool transposed;
};

/* How BLAS reads rows x columns with these strides; false when it cannot. */
bool fuse_blas_readable(struct fuse_blas_matrix *out, int64_t rows, int64_t columns, int64_t row_stride,
                        int64_t column_stride);
/* c = a b or c += a b with c row-major, F32 or F64; all sizes >= 1 and within BLAS's integers. */
void fuse_blas_product(enum fuse_dtype type, int64_t m, int64_t n, int64_t k, struct fuse_blas_matrix a,
                       struct fuse_blas_matrix b, void *c, int64_t ldc, bool add);

/* Whether, the summed index being dense in both operands, one of them has so few rows that packing the other would take the time of
 * the product. */
bool fuse_suits_dots(const struct fuse_tile_table *tile, int64_t m, int64_t n, int64_t k);
/* Whether the product in strips is faster than BLAS. */
bool fuse_suits_strips(int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed);
/* The same by whichever is faster, BLAS or the tiles' own product, which writes a result once where sums are short and reads
 * operands where they lie. room: of the tile's product. done: told of what is complete, or NULL. Returns the number of BLAS calls. */
int64_t fuse_cpu_product(const struct fuse_tile_table *tile, enum fuse_dtype type, int64_t m, int64_t n, int64_t k,
                         struct fuse_blas_matrix a, struct fuse_blas_matrix b, void *c, int64_t ldc, bool add,
                         void *room, const struct fuse_tile_done *done);

/* cpu_product.c: operands that BLAS, or a plain loop, reads where they lie. false when these cannot be read so, or
 * packing is the better way. */
bool fuse_cpu_run_direct(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts);
/* Whether it is to be asked before the product in blocks. */
bool fuse_cpu_direct_first(const struct fuse_cpu_backend *cpu, const struct fuse_grouped *g);
/* Scalar products, M and N being empty, of operands that are dense along the innermost summed index. false when they are not. */
bool fuse_cpu_run_dots(struct fuse_cpu_backend *cpu, const struct fuse_grouped *g, struct fuse_cpu_counts *counts);
/* cpu_blocked.c: F32 and F64 by own micro-kernels. false when there are none for this processor, or other ways are better. */
bool fuse_cpu_run_blocked(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts);
/* cpu_narrow.c: operands of BOOL, bytes or BF16. false when there is no kernel for their types or it is not worth it. */
bool fuse_cpu_run_narrow(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts);
/* cpu_pack.c: any strides and dtypes, through panels in the threads' scratch memory. Over another semiring than the sum of
 * products specials[0] and [1] become what a and b hold beside finite numbers; else specials may be NULL. */
void fuse_cpu_run_packed(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts,
                         int specials[2]);

#endif
