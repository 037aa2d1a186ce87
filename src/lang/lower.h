/* What the files of the lowering share.
 *
 * A node becomes a term: a tree of scalar operations over loads of IR values, not yet an operation. Terms grow while
 * nothing but arithmetic happens, so that an element-wise expression becomes one MAP however large it is. Sums,
 * reductions and products turn terms into operations and give back a load of the result. */
#ifndef FUSE_LANG_LOWER_H
#define FUSE_LANG_LOWER_H

#include "lang/check.h"

struct fuse_term {
    struct fuse_scalar_node node; /* without a, b, c; LOAD's operand and IOTA's index are the equation's */
    struct fuse_term *a, *b, *c;
    const struct fuse_use *use; /* LOAD: a value through the equation's indices */
    /* The relation whose tuples are the only places where the term counts: elsewhere it is 0 or false, or a joint equation
     * leaves the cell out. What becomes of the term is a JOIN. NULL: it counts everywhere. */
    const struct fuse_use *relation;
    uint64_t axes;
    int weight;      /* operations, shared ones counted again; saturates */
    int epoch, slot; /* where the current emission put it */
};

struct fuse_lowering {
    struct fuse_checker *c;
    struct fuse_equation *eq;
    /* Indices of the equation, or axes of the tensor that is put together. */
    int64_t extent[FUSE_MAX_INDICES];
    const char *name[FUSE_MAX_INDICES];
    struct fuse_span span, here; /* of the equation, of the node in hand */
    const char *owner;           /* the tensor that is defined; NULL: a sink */
    const struct fuse_node
        *driver; /* of a joint equation: the reference to the relation that it runs over; NULL: none */
    /* Of a rule: references become loads of tuples; NULL: of anything else. */
    const struct fuse_clause *clause;
    bool failed;
    int epoch;
    int draws; /* of points, in this equation */
};

/* ---- terms.c: building terms; arguments have the types that core/scalar.h asks for ----------------------------- */

struct fuse_term *fuse_term_integer(struct fuse_lowering *l, int64_t value);
struct fuse_term *fuse_term_bool(struct fuse_lowering *l, bool value);
struct fuse_term *fuse_term_real(struct fuse_lowering *l, enum fuse_dtype dtype, double value);
struct fuse_term *fuse_term_iota(struct fuse_lowering *l, int index);
/* The value through the access, in its compute type. */
struct fuse_term *fuse_term_load(struct fuse_lowering *l, int value, const struct fuse_access *access);
struct fuse_term *fuse_term_op(struct fuse_lowering *l, enum fuse_scalar_op op, struct fuse_term *a,
                               struct fuse_term *b, struct fuse_term *c);
struct fuse_term *fuse_term_cast(struct fuse_lowering *l, struct fuse_term *term, enum fuse_dtype dtype);
struct fuse_term *fuse_term_narrow(struct fuse_lowering *l, struct fuse_term *term, enum fuse_dtype through);
struct fuse_term *fuse_term_random(struct fuse_lowering *l, enum fuse_scalar_op op, int64_t seed,
                                   struct fuse_term *counter);
/* Another index for every index, shifted: index k is map[k] - shift[k]. map[k] -1: k does not occur. */
struct fuse_term *fuse_term_move(struct fuse_lowering *l, struct fuse_term *term, const int *map, const int64_t *shift);

/* ---- emit.c: operations ---------------------------------------------------------------------------------------- */

/* A MAP whose axes are the indices `out`, in that order, reduced over the set `reduced`. */
int fuse_emit_map(struct fuse_lowering *l, struct fuse_term *term, const int *out, int rank, uint64_t reduced,
                  enum fuse_reduce reduce, enum fuse_dtype dtype, const char *name);
/* A load of a value that holds the term; the term itself when it is that already. */
struct fuse_term *fuse_materialise(struct fuse_lowering *l, struct fuse_term *term);
/* The same for terms above a weight only: what is used again is better read than computed again. */
struct fuse_term *fuse_settle(struct fuse_lowering *l, struct fuse_term *term, int weight);
struct fuse_term *fuse_project(struct fuse_lowering *l, struct fuse_term *term, uint64_t set, enum fuse_reduce reduce);
/* The sum over `set` of the product of loads. dtype: F32, F64 or I64. */
struct fuse_term *fuse_emit_einsum(struct fuse_lowering *l, struct fuse_term *const *factor, int factors, uint64_t set,
                                   enum fuse_dtype dtype);
/* The value that a load reads whole, through indices 0, 1, .., or -1. */
int fuse_whole_value(const struct fuse_lowering *l, const struct fuse_term *term);
bool fuse_is_load(const struct fuse_term *term);
bool fuse_same_access(const struct fuse_access *a, const struct fuse_access *b);
/* A sink; index names are those of the value's axes. Returns the operation. */
struct fuse_op *fuse_emit_sink(struct fuse_lowering *l, int value, const char *path, const char *part, const int *axes);

/* ---- lower_sample.c: sums, exact or estimated -------------------------------------------------------------------- */

/* The sum of a term, and of a product of loads, over a set of indices. */
struct fuse_term *fuse_sum_term(struct fuse_lowering *l, struct fuse_term *term, uint64_t set);
struct fuse_term *fuse_sum_product(struct fuse_lowering *l, struct fuse_term *const *factor, int factors, uint64_t set,
                                   enum fuse_dtype dtype);
/* Elements that a set of indices runs over; saturating. */
int64_t fuse_index_points(const struct fuse_lowering *l, uint64_t set);

/* ---- lower_relation.c: files of rows ---------------------------------------------------------------------------- */

/* The relation that all contributions of the tensor make together. */
void fuse_lower_files(struct fuse_checker *c, struct fuse_tensor *tensor);
/* The relation in the file of one of them; its values are of the type. */
int fuse_lower_file(struct fuse_checker *c, const struct fuse_tensor *tensor, const struct fuse_equation *source,
                    enum fuse_dtype dtype);
/* The dense value of a relation's cells, absent ones 0; made once. */
int fuse_lower_cells(struct fuse_lowering *l, struct fuse_tensor *tensor);
/* The same where the relation is one contribution of several: absent cells hold what the tensor's operator begins with. */
int fuse_lower_contributed_cells(struct fuse_lowering *l, const struct fuse_tensor *tensor);
/* true for a reference to a relation whose absent cells are 0 or false. */
bool fuse_reads_relation(const struct fuse_lowering *l, const struct fuse_node *node);
/* .. or of a sum that rules derive, which is 0 where it has no tuple, too. */
bool fuse_reads_numbers(const struct fuse_lowering *l, const struct fuse_node *node);
/* Two references read the same cells. */
bool fuse_is_same_place(const struct fuse_node *a, const struct fuse_node *b);
/* A reference to a relation, or to its support, anywhere: its cells, or in a joint equation that runs over it, the tuples. */
struct fuse_term *fuse_lower_relation(struct fuse_lowering *l, const struct fuse_node *ref, bool support);
/* The factor of a product, or operand of a conjunction, that is best read as tuples, or -1; and its term. */
int fuse_choose_factor(const struct fuse_lowering *l, const struct fuse_node *product);
struct fuse_term *fuse_lower_factor(struct fuse_lowering *l, const struct fuse_node *node);
/* The relation that a joint equation runs over: a numeric one that it mentions, else one in its guard; NULL: none. */
const struct fuse_node *fuse_find_driver(struct fuse_lowering *l, const struct fuse_equation *eq);
/* true when inside the node an absent tuple of the driver may count. */
bool fuse_hides_driver(const struct fuse_node *node);
/* The guard, and that every other numeric relation that the equation mentions is present. */
struct fuse_term *fuse_guard_others(struct fuse_lowering *l, struct fuse_term *guard, const struct fuse_equation *eq);
/* The term at the driver's tuples only; the term itself without driver. */
struct fuse_term *fuse_at_tuples(struct fuse_lowering *l, struct fuse_term *term);

/* ---- joint.c ---------------------------------------------------------------------------------------------------- */

/* A contribution to a tensor, and the cells that it reaches; NULL: all. Where it does not reach, its value is neutral. */
struct fuse_cells {
    struct fuse_term *value, *reached;
};

/* What two contributions combine with, and what leaves the other one as it is. */
enum fuse_scalar_op fuse_assign_combine(enum fuse_assign assign);
struct fuse_term *fuse_assign_neutral(struct fuse_lowering *l, enum fuse_assign assign, enum fuse_dtype dtype);
/* The joint equation in hand over the indices of its left side. */
struct fuse_cells fuse_lower_joint(struct fuse_lowering *l, const struct fuse_tensor *tensor, enum fuse_dtype dtype,
                                   enum fuse_dtype want);

/* Do the contributions reach every cell of the tensor? */
enum fuse_coverage { FUSE_COVERED, FUSE_PERHAPS_COVERED /* guards and diagonals decide */, FUSE_NOT_COVERED };
enum fuse_coverage fuse_tensor_coverage(struct fuse_checker *c, const struct fuse_tensor *tensor);

/* ---- lower_rules.c ---------------------------------------------------------------------------------------------- */

/* The tensors of a level that rules derive, those that are needed or the others, as one operation. */
void fuse_lower_rules(struct fuse_checker *c, int level, bool needed);
/* A relation, or a dense Boolean value, as one whose tuples can be counted. */
int fuse_lower_counted(struct fuse_checker *c, const struct fuse_tensor *tensor);
/* questions.c: what names the ids of a relation have is seen at its tensor, or where an equation puts its own indices. */
void fuse_name_column(struct fuse_checker *c, struct fuse_rule_relation *relation, int column, int domain);
void fuse_name_columns(struct fuse_checker *c, struct fuse_rule_relation *relation, const struct fuse_tensor *tensor);
/* A reference, or its support, in a rule's value or guard. */
struct fuse_term *fuse_lower_rule_reference(struct fuse_lowering *l, const struct fuse_node *ref, bool support);

/* ---- lower_recursion.c ------------------------------------------------------------------------------------------- */

/* Tensors that depend on themselves through sums; with bad, all of them become so. */
void fuse_lower_recursion(struct fuse_checker *c, const int *member, int members, bool bad);

/* ---- assemble.c ------------------------------------------------------------------------------------------------- */

void fuse_open_equation(struct fuse_lowering *l, struct fuse_checker *c, struct fuse_equation *eq);
/* The value of a tensor whose contributions have types. */
bool fuse_lower_tensor(struct fuse_checker *c, struct fuse_tensor *tensor);
/* The dense value of a source. */
int fuse_lower_source(struct fuse_lowering *l, const struct fuse_tensor *tensor, bool alone);

/* ---- lower.c, lower_calls.c, lower_structure.c ------------------------------------------------------------------------------------ */

/* The node's term, summed as the sums pass says. `want` is the type of reals that are free to choose: F32 or F64. */
struct fuse_term *fuse_lower_node(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
struct fuse_access fuse_reference_access(const struct fuse_lowering *l, const struct fuse_node *ref, int value);
struct fuse_term *fuse_lower_builtin(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
struct fuse_term *fuse_lower_left(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
struct fuse_term *fuse_lower_structure(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
/* A ranking and the positions in it as pairs along index `pair`, in F64 or I64, which hold both. */
struct fuse_term *fuse_lower_ranking(struct fuse_lowering *l, const struct fuse_node *topk, int pair,
                                     enum fuse_dtype want);
struct fuse_term *fuse_lower_tucker(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
/* x along the set, rotated or summed up: the normalisers that need other positions of x. */
struct fuse_term *fuse_lower_cumsum(struct fuse_lowering *l, struct fuse_term *x, uint64_t set);
struct fuse_term *fuse_lower_rope(struct fuse_lowering *l, const struct fuse_node *node, struct fuse_term *x,
                                  enum fuse_dtype want);
struct fuse_term *fuse_lower_product(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
/* A product of truths, ORed over the indices that are summed at it. */
struct fuse_term *fuse_lower_conjunction(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
/* Argument k of a node as a number of the given compute type. */
struct fuse_term *fuse_lower_argument(struct fuse_lowering *l, const struct fuse_node *node, int k,
                                      enum fuse_dtype dtype, enum fuse_dtype want);
struct fuse_term *fuse_lower_truth(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want);
/* The type in which values of this type are computed. */
enum fuse_dtype fuse_compute_type(struct fuse_type type, enum fuse_dtype want);

#endif
