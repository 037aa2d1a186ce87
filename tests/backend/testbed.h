/* How the back-end tests run one call on several back ends: the memory of a call is one image of bytes in which every
 * view is an offset. A run copies the image into a back end's memory, makes the call, waits, and copies it back, so that
 * both the result and everything around it can be compared. */
#ifndef TESTS_BACKEND_TESTBED_H
#define TESTS_BACKEND_TESTBED_H

#include "backend/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A back end with one queue and one mapping of memory of its kind. */
struct bed {
    const char *name;
    struct fuse_backend *backend;
    struct fuse_queue *queue;
    char *memory;
    size_t bytes;
};

struct bed bed_open(const char *name, int threads, size_t bytes);
void bed_close(struct bed *bed);

/* The back ends that are compared with ref; cpu's kernels are the processor's best, or those of "cpu:avx2". */
#define SUBJECTS 5
extern const char *const subject_name[SUBJECTS];
extern const int subject_threads[SUBJECTS];

/* All of them, each with so many bytes; the second is a group teardown of cmocka. */
extern struct bed ref, subject[SUBJECTS];
void beds_open(size_t bytes);
int beds_close(void **state);

/* One call; pointers to data and tuples are offsets into the image. */
struct call {
    enum { CALL_CONTRACT, CALL_MAP, CALL_JOIN, CALL_ATTENTION, CALL_COPY, CALL_COMBINE, CALL_CLEAR } kind;
    struct fuse_contract contract;
    struct fuse_map_call map;             /* MAP, JOIN, ATTENTION */
    struct fuse_operand_view operand[4];  /* of the map */
    struct fuse_join_call join;           /* JOIN: all but `at`, which is the map; a value at offset 0 is NULL */
    struct fuse_attention_call attention; /* ATTENTION: all but `at` */
    struct fuse_view to, from;
    enum fuse_reduce op;
};

/* Runs the call on the image in place; returns what the call, or else the wait, said. */
enum fuse_status bed_run(struct bed *bed, const struct call *call, char *image, size_t bytes, struct fuse_error *err);

/* The result view of a call, as axes of the indices it has. */
struct fuse_view call_result(const struct call *call);

/* Fails the test unless the elements of `view` are equal within relative * |expected| + absolute (NaN equals NaN), and
 * every byte outside the view is as in `before`. */
void compare_images(const char *what, const struct fuse_view *view, const char *before, const char *expected,
                    const char *got, size_t bytes, double relative, double absolute);

/* Runs the call on ref and on every subject: they must agree as images do, and their bits as it is said. */
enum bits { BITS_MAY_DIFFER, BITS_OF_INSTRUCTIONS, BITS_SAME }; /* the second: the number of threads changes none */
void beds_compare(const char *what, const struct call *call, const char *image, size_t bytes, double relative,
                  double absolute, enum bits bits);

/* Random numbers from a seed, the same on every run. */
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
int rng_below(struct rng *rng, int n); /* 0 .. n - 1 */
double rng_real(struct rng *rng, double low, double high);

/* Writes `count` elements of the dtype: whole numbers from -limit (0 for unsigned types) to limit; 0 or 1 for BOOL. */
void fill_whole(struct rng *rng, void *to, enum fuse_dtype dtype, size_t count, int limit);
void fill_real(struct rng *rng, void *to, enum fuse_dtype dtype, size_t count, double low, double high);
void put_real(void *to, enum fuse_dtype dtype, double value);
double get_real(const void *from, enum fuse_dtype dtype);

/* A random layout of the axes with these extents: permuted, padded, some strides negative when asked. Returns the number
 * of elements it spans; *origin is the element of the point (0, 0, ..). */
int64_t random_layout(struct rng *rng, int axes, const int64_t *extent, int64_t *stride, int64_t *origin,
                      bool may_reverse);

struct fuse_scalar_node load_node(int operand, enum fuse_dtype dtype);
struct fuse_scalar_node const_node(enum fuse_dtype dtype, double value);
struct fuse_scalar_node op_node(enum fuse_scalar_op op, enum fuse_dtype dtype, int a, int b, int c);

#endif
