/* Local kernels: one table per back end. What a rank computes between messages.
 *
 * Local. A call returns when the work is enqueued on the queue; its arguments are copied, the memory that its views
 * point to must stay until the queue has run it. Kernels read and write memory of the back end's `kind` only, `transfer`
 * moves bytes between kinds. A call fails at once for what can be known at once; what shows only when it runs (integer
 * overflow) is reported by the queue's wait. Output views never overlap input views unless a call says so.
 *
 * Iteration form: contract and map describe their operands by strides over one list of indices, as a loop nest would:
 * the element of operand o at point (i0, i1, ..) is data[o] + sum i[x] * stride[o][x], in elements; stride 0 where an
 * operand lacks the index. Transposes, diagonals, slices, fixed positions and broadcasts are all strides. */
#ifndef FUSE_BACKEND_BACKEND_H
#define FUSE_BACKEND_BACKEND_H

#include "core/box.h"
#include "core/chunks.h"
#include "core/error.h"
#include "core/queue.h"
#include "core/reduce.h"
#include "core/scalar.h"

/* One operand in iteration form. */
struct fuse_operand_view {
    void *data; /* the element at the origin of the iteration */
    enum fuse_dtype dtype;
    int64_t stride[FUSE_MAX_AXES];
};

/* c[..] (+)= sum over the indices that c lacks of a[..] * b[..]. An index is a batch index (in a, b and c), an M index
 * (a and c), an N index (b and c), a K index (a and b), or in one operand only: bit x of in_a says that index x is in a.
 * c's strides are non-zero and non-overlapping over its indices of extent > 1. The compute type is that of c: F32, F64
 * or I64 (overflow is an error); a and b of another dtype are converted element by element while they are packed. With c of
 * BOOL a and b are too, products are AND and sums OR; what follows about zeros is about false then.
 * Without accumulate c is overwritten, with it c is added to. An empty contraction (a K extent of 0) gives zeros.
 * No temporary larger than the cache-sized panels described in the back end. */
struct fuse_contract {
    int indices;
    int64_t extent[FUSE_MAX_AXES];
    uint32_t in_a, in_b, in_c;
    struct fuse_operand_view a, b, c;
    bool accumulate;
    /* NULL, or the order of a sum of reals: that of all ranks together. The call has a node of its tree, all of the sum but for the
     * outermost index, of which it has whole leaves; leaves[0] is not read. Never with accumulate. */
    const struct fuse_chunks *order;
};

/* out[..] = reduce over the indices that out lacks of body(operands at the point). `origin` is the global coordinate of
 * the first point: IOTA(x) is origin[x] + i[x]. With reduce NONE every index is in out. The accumulator has the body's
 * dtype except that F32 sums are accumulated in F64 and rounded once; the result is converted to out's dtype. With
 * accumulate the old value of out takes part in the reduction. Empty reductions give the neutral element (0, 1, +inf,
 * -inf, the largest or smallest integer, false, true). MIN and MAX return NaN when any element is NaN. out may be the
 * same view as an operand with equal strides when reduce is NONE. */
struct fuse_map_call {
    int indices;
    int64_t extent[FUSE_MAX_AXES], origin[FUSE_MAX_AXES];
    uint32_t in_out;
    int operands;
    const struct fuse_operand_view *operand; /* [operands] */
    struct fuse_operand_view out;
    const struct fuse_scalar *body; /* must stay until the queue has run the call */
    enum fuse_reduce reduce;
    bool accumulate;
    const struct fuse_chunks *order; /* of a SUM or PROD of reals, as in fuse_contract */
};

/* The same over the tuples of a relation: points whose positions along relation_index[] are a tuple's, and any along the
 * other indices. at.operand[0] is the tuple's value: its data and strides are not read. at.reduce is not NONE; out has the
 * dtype of the body, in which the reduction goes on, one tuple after the other in their order. Tuples are compressed sparse
 * rows: row r holds tuples row_begin[r] .. row_begin[r + 1), r being the position along relation_index[0], column[k][t] that
 * of tuple t along relation_index[k]. Without relation indices there is one row of at most one tuple. */
struct fuse_join_call {
    struct fuse_map_call at;
    int relation_indices, relation_index[FUSE_MAX_AXES];
    const uint32_t *row_begin, *column[FUSE_MAX_AXES]; /* column[0] is not used */
    const void *value;                                 /* of at.operand[0].dtype; NULL: BOOL, all are true */
};

/* Softmax attention: out[..] = sum over `key` of w v / sum over `key` of w, with w = exp(s - the largest s along key) and
 * s = body of the sum over `depth` of q k. Of `at`, which is a map with reduction SUM over key and depth: operand[0] is q, which
 * does not move along key, operand[1] k, operand[2] v, which does not move along depth; they and out have the body's type, F32 or
 * F64. In the body LOAD(0) is the sum over depth; it loads further operands, not 1 and 2, and none moves along depth. No rows of
 * scores exist as a whole: memory grows with none of the extents. Where no key counts, all scores being -inf, out is NaN, or 0
 * with `guarded`. depth has at most FUSE_ATTENTION_WIDTH points. */
#define FUSE_ATTENTION_WIDTH 1024
struct fuse_attention_call {
    struct fuse_map_call at;
    int key, depth;
    bool guarded;
};

#define FUSE_CONTRACT_MAPS 4 /* that one contraction takes along */

struct fuse_backend;

struct fuse_backend_options {
    int threads;     /* >= 1 */
    const char *isa; /* of cpu's own kernels: "baseline", "avx2", "avx512"; NULL: the best that the processor has */
    /* The bits of a result depend on nothing but the operands and, in a sum, its order: not on isa, threads, or how a result is
     * shared out in calls. The smallest or largest real is never -0. Joins add one tuple after the other. USAGE from others than cpu. */
    bool deterministic;
};

struct fuse_backend_ops {
    const char *name;       /* "cpu", .. */
    enum fuse_memkind kind; /* where tensors live */
    enum fuse_status (*open)(struct fuse_backend **out, const struct fuse_backend_options *options,
                             struct fuse_error *err);
    void (*close)(struct fuse_backend *backend);

    /* One mapping, 2 MiB aligned, huge pages asked for, every page touched by the threads that use it; contents are
     * zeros. bytes may be 0 (then *base may be NULL). MEMORY when it cannot be had. */
    enum fuse_status (*memory_open)(struct fuse_backend *backend, void **base, enum fuse_memkind kind, size_t bytes,
                                    struct fuse_error *err);
    /* The same of HOST memory, in a file that other processes can map: *file, the caller's to close. NULL, or why not, in words for a
     * report; memory_open may do then. No such function where tensors live in other memory. */
    const char *(*memory_open_shared)(struct fuse_backend *backend, void **base, int *file, size_t bytes);
    void (*memory_close)(struct fuse_backend *backend, void *base, enum fuse_memkind kind, size_t bytes);

    enum fuse_status (*queue_open)(struct fuse_backend *backend, struct fuse_queue **out, struct fuse_error *err);

    enum fuse_status (*contract)(struct fuse_queue *queue, const struct fuse_contract *call, struct fuse_error *err);
    enum fuse_status (*map)(struct fuse_queue *queue, const struct fuse_map_call *call, struct fuse_error *err);
    enum fuse_status (*join)(struct fuse_queue *queue, const struct fuse_join_call *call, struct fuse_error *err);
    enum fuse_status (*attention)(struct fuse_queue *queue, const struct fuse_attention_call *call,
                                  struct fuse_error *err);
    /* to = from; equal extents and dtypes, any strides (packing, unpacking, transposes). whole_bytes: of the copy that this is a
     * part of, 0 when it is all: what is larger than the caches is copied past them. */
    enum fuse_status (*copy)(struct fuse_queue *queue, const struct fuse_view *to, const struct fuse_view *from,
                             int64_t whole_bytes, struct fuse_error *err);
    /* to = op(to, from) element by element; the combination of partial results. dtypes equal, BOOL with OR and AND. */
    enum fuse_status (*combine)(struct fuse_queue *queue, enum fuse_reduce op, const struct fuse_view *to,
                                const struct fuse_view *from, struct fuse_error *err);
    /* Every element of the view becomes 0. */
    enum fuse_status (*clear)(struct fuse_queue *queue, const struct fuse_view *to, struct fuse_error *err);
    /* Bytes between two memory kinds, or within one. */
    enum fuse_status (*transfer)(struct fuse_queue *queue, void *to, enum fuse_memkind to_kind, const void *from,
                                 enum fuse_memkind from_kind, size_t bytes, struct fuse_error *err);

    /* The contraction and then the maps, at most FUSE_CONTRACT_MAPS: each has an element for each of c's, no reduction, and no integers
     * that may overflow, and reads c at the point that it writes, as an operand with c's data, dtype and strides. So it can go over a
     * part of c while that is in the caches. What a map writes is apart from a, b and all that the calls read elsewhere, or the last
     * one writes over c. Never in order. NULL: call by call. */
    enum fuse_status (*contract_maps)(struct fuse_queue *queue, const struct fuse_contract *call,
                                      const struct fuse_map_call *map, int maps, struct fuse_error *err);

    /* The maps one after the other, all of which walk rows: index row[m] of map m, of equal extents, is in every result. Of what those
     * before it have made each reads its own row only, and writing a row spoils nothing that they need for others. No integers,
     * nothing ordered. NULL: map by map, rows cut in blocks by whoever calls. */
    enum fuse_status (*maps)(struct fuse_queue *queue, const struct fuse_map_call *call, int calls, const int *row,
                             struct fuse_error *err);
};

struct fuse_backend {
    const struct fuse_backend_ops *ops;
    /* Exact work counters since open; the back end's own. */
    int64_t contract_flops, blas_calls, packed_bytes, kernel_calls;
    int64_t scores;         /* of attentions, those computed */
    int64_t epilogue_bytes; /* of contractions' results, those that a map went over part by part: no sweep of its own */
};

extern const struct fuse_backend_ops fuse_backend_ref;     /* slow, obvious, one thread: the oracle */
extern const struct fuse_backend_ops fuse_backend_cpu;     /* OpenBLAS and OpenMP */
extern const struct fuse_backend_ops fuse_backend_fakedev; /* tests: memory closed outside the queue, work deferred */

/* NULL when there is none of that name. */
const struct fuse_backend_ops *fuse_backend_find(const char *name);

#endif
