/* The checker's own structures: what names, indices and expressions of a program turn out to be.
 *
 * fuse_check runs these passes, each a file of its own, over every equation, source and sink ("equations" below):
 *
 *   names     the symbols that the items define: tensors with their contributions, constants, axes
 *   departures  notes on what older surfaces of the language meant otherwise
 *   axes      which indices each construct takes (axis=, its default, reduce), on the syntax tree
 *   resolve   syntax trees become nodes; index names become numbers of the equation; facts about domains are noted
 *   sums      where each sum lands (language.md 5.2)
 *   adapters  products with a weight that has a low-rank adapter
 *   domains   unification, extents, slices, bounds; symbols in between
 *   dependencies  what depends on what, what is needed
 *   recursion  what depends on itself, and how that may be iterated
 *   rule_tensors  which tensors become rules over relations
 *   types     element types
 *   lower     nodes become terms, terms become operations of the IR
 *
 * An equation with an error is bad, and so is its tensor and what depends on it: later passes leave bad things alone, so
 * that one mistake gives one message. Everything lives in the checker's arena. Local and pure. */
#ifndef FUSE_LANG_CHECK_H
#define FUSE_LANG_CHECK_H

#include "core/text.h"
#include "lang/builtins.h"
#include "lang/lang.h"

/* Index names, and indices, of one equation: sets of them are the bits of a uint64_t. */
#define FUSE_MAX_INDICES 64
#define FUSE_BIT(k) ((uint64_t)1 << (k))

/* A number that is known before the program runs. */
struct fuse_number {
    enum fuse_dtype dtype; /* BOOL, I64 or F64 */
    int64_t integer;       /* BOOL, I64 */
    double real;           /* always set */
};

/* ---- symbols -------------------------------------------------------------------------------------------------- */

enum fuse_symbol_kind { FUSE_SYMBOL_TENSOR, FUSE_SYMBOL_CONST, FUSE_SYMBOL_FN };

struct fuse_symbol {
    enum fuse_symbol_kind kind;
    const char *name;
    struct fuse_span span;
    int tensor;                                                     /* TENSOR */
    bool disputed;                                                  /* something else is defined under this name too */
    bool called;                                                    /* FN */
    const struct fuse_item *item;                                   /* CONST (also param), FN */
    enum { FUSE_UNKNOWN, FUSE_BUSY, FUSE_KNOWN, FUSE_WRONG } state; /* CONST */
    struct fuse_number number;                                      /* CONST, KNOWN */
};

/* Weak types are those of literals: they give way to the type that they meet. */
struct fuse_type {
    enum fuse_dtype dtype;
    bool weak;
};

struct fuse_tensor {
    const char *name;
    struct fuse_span span; /* its first left side */
    int rank;
    /* The first `carried` axes are those that a call of a fn carries through its body; they are not written there. */
    int carried;
    const char **carried_name; /* their names in the body */
    int domain[FUSE_MAX_AXES];
    FUSE_VEC(int) contributions; /* equations */
    struct fuse_type type;
    bool bad, mentioned, needed;
    bool disputed;           /* its contributions disagree on its rank, which was said */
    bool boolean;            /* some left side has parentheses: contributions are ORed */
    bool told_brackets;      /* .. and that brackets mean the same was said */
    enum fuse_assign assign; /* what all contributions combine with; SUM stands for = and += */
    int value;               /* in the IR, -1 before it is lowered */
    int component;           /* tensors that depend on each other share one */
    bool recursive;          /* it depends on itself */
    bool local;              /* of a call of a fn: a part of the expression that calls */
    /* Rules derive it: it is a relation, whose tuples are found when the program runs. */
    bool derived;
    int level; /* rules of one level are evaluated together, after what is dense on that level */
    /* Of a relation, 0 or one more than a value that somebody needed: its cells, the support, the support's cells. */
    int cells, support, support_cells;
};

/* What a tensor is whose contributions are all files of rows. */
enum fuse_relation_kind { FUSE_NO_RELATION, FUSE_FACTS, FUSE_NUMERIC };

/* `axis p = 4096` */
struct fuse_axis {
    const char *name;
    struct fuse_span span;
    int64_t extent;    /* -1: none is given */
    const char *names; /* the file that lists its symbols, NULL: none */
    bool bad;          /* what is wrong with it was said */
};

/* ---- domains -------------------------------------------------------------------------------------------------- */

/* A class of positions that share an extent; union-find. */
struct fuse_domain {
    int parent;
    int64_t extent;        /* -1: not known */
    struct fuse_span span; /* where the extent comes from */
    const char *from;      /* "'x.npy'" */
    int64_t largest_id;    /* -1, or the largest fixed position on a left side and the largest id in a file of rows */
    bool open;             /* some position is a column of such a file */
    bool tainted;          /* a position of a bad tensor: nothing to complain about */
    int table;             /* its symbols' number, -1: its positions are numbers */
};

enum fuse_fact_kind {
    FUSE_FACT_SAME,   /* domains a and b are one */
    FUSE_FACT_EXTENT, /* domain a has this extent */
    FUSE_FACT_SLICE,  /* domain b is the slice `position` of domain a */
    FUSE_FACT_JOIN,   /* domain a is the domains `part` one after the other, or, as a product, their pairs */
    FUSE_FACT_INSIDE, /* the fixed position lies in domain a */
    FUSE_FACT_ID,     /* the same on a left side, where it also stretches an open domain */
    FUSE_FACT_ROWS, /* domain a holds the ids of column `axis` of a source's rows, and is open if nothing else fixes it */
    FUSE_FACT_SYMBOL,  /* domain a holds the id of the position's string; as ID from when its number is known */
    FUSE_FACT_NAMES,   /* domain a has the symbols of a list, and that number of them */
    FUSE_FACT_COMPARED /* indices over domains a and b are compared: with symbols, they are one */
};

struct fuse_fact {
    enum fuse_fact_kind kind;
    int a, b;
    int64_t number;  /* EXTENT, INSIDE, ID, SYMBOL, NAMES; ROWS: the largest id, or -1 */
    const int *part; /* JOIN */
    int parts;
    bool product;
    struct fuse_position *position; /* SLICE, SYMBOL */
    const char *position_text;      /* NAMES: the file, as written */
    struct fuse_span span;
    const char *from;       /* EXTENT, NAMES */
    const char *index_name; /* for messages; NULL: none */
    int tensor, axis;       /* the tensor position that is a; -1: none */
    int equation;           /* -1: the program's */
};

/* ---- equations ------------------------------------------------------------------------------------------------ */

/* How one axis of a tensor is reached. */
struct fuse_position {
    int index;      /* -1: fixed */
    int64_t offset; /* added to the index; the fixed position, negative from the end */
    const char
        *symbol; /* the fixed position is this symbol's, and `offset` known when domains are named; NULL: a number */
    bool slice, has_start, has_stop;
    int64_t start, stop, step;
    int domain; /* of the tensor's axis */
    bool dotted;
    struct fuse_span span;
};

enum fuse_node_kind {
    FUSE_NODE_NUMBER,
    FUSE_NODE_LIST, /* a literal */
    FUSE_NODE_REF,
    FUSE_NODE_INDEX,   /* iota, even, odd */
    FUSE_NODE_SUM,     /* n terms; inverse[k]: subtracted */
    FUSE_NODE_PRODUCT, /* n factors; inverse[k]: divided by */
    FUSE_NODE_POWER,
    FUSE_NODE_COMPARE,
    FUSE_NODE_AND,
    FUSE_NODE_OR,
    FUSE_NODE_NOT,
    FUSE_NODE_TRUTH,  /* > 0 */
    FUSE_NODE_GUARD,  /* the same, and nothing is summed in it */
    FUSE_NODE_CHOICE, /* condition, value, condition, value, .., otherwise */
    FUSE_NODE_ELEMENT,
    FUSE_NODE_REDUCE,
    FUSE_NODE_NORMALISE,
    FUSE_NODE_ONE_HOT,
    FUSE_NODE_CONCAT,
    FUSE_NODE_MERGE, /* concat of one argument */
    FUSE_NODE_STACK,
    FUSE_NODE_TOPK,
    FUSE_NODE_ATTENTION,
    FUSE_NODE_LEFT /* what carries the left side's positions: eye, causal_mask, generators */
};

struct fuse_node {
    enum fuse_node_kind kind;
    struct fuse_span span;
    uint64_t uses;                /* indices that stand in it, without those that constructs in it take */
    uint64_t sum;                 /* indices that are summed at this node */
    bool any;                     /* .. that sum is an OR of truths */
    bool logical;                 /* SUM, PRODUCT: an OR, an AND, of truths */
    uint64_t axes;                /* what is left of uses after the sums in and at it */
    struct fuse_type inner, type; /* before and after the sum at this node */
    int n;
    struct fuse_node **arg; /* builtins: one per formal, NULL where there is none */
    bool *inverse;
    struct fuse_span *whole; /* POWER, COMPARE, PRODUCT: per argument, the construct that it closes in */

    struct fuse_number number; /* NUMBER; LEFT: the seed; ATTENTION: causal; tucker_dense: the rank */
    int tensor;                /* REF */
    bool adapted;              /* REF: the tensor alone is meant, without its adapter */
    struct fuse_position *at;  /* REF: per axis of the tensor; LEFT: per position of the left side */
    int positions;
    enum fuse_binary_op compare;
    const struct fuse_builtin *builtin; /* of a call */
    enum fuse_dtype cast;
    uint64_t taken;  /* REDUCE, NORMALISE; for a product that a sum takes the indices of, that product's too */
    bool by_default; /* REDUCE without axis= */
    int index;       /* INDEX, ONE_HOT: the index; CONCAT, MERGE, STACK, TOPK: the new one; ATTENTION: q's, or -1 */
    uint64_t *own;   /* CONCAT, MERGE, TOPK, ATTENTION: per argument, the indices that are taken in it alone */
    int pair[2];     /* MERGE: the two that become one; ATTENTION: the contracted and the normalised one */
    int rank;        /* LIST */
    int64_t extent[FUSE_MAX_AXES];
    const double *real;
    const int64_t *integer; /* LIST: set when all are integers or Booleans */
};

struct fuse_equation_index {
    const char *name;
    struct fuse_span span; /* where it first stands */
    int domain;
    bool sliced; /* its name is a slice's text: a sized axis of that name is not meant */
};

enum fuse_equation_kind { FUSE_EQUATION_EXPR, FUSE_EQUATION_SOURCE, FUSE_EQUATION_SINK };

struct fuse_equation {
    enum fuse_equation_kind kind;
    const struct fuse_item *item;
    int number, block;
    int tensor;                           /* -1: sink */
    const struct fuse_instance *instance; /* the call of a fn whose body it is in, or NULL */
    bool from_file;                       /* X[i+1] = F[i], F the file of a source with such a left side or a guard */
    int carried;                          /* positions before the written ones on the left side */
    const char **carried_name;
    bool bad;
    const struct fuse_source_request *source;

    /* Names, numbered in order of first appearance, left side first; sets of names are for the axes pass only. */
    const char *name[FUSE_MAX_INDICES];
    int names;
    bool too_many;
    uint64_t left_names, dotted_names;
    int index_of_name[FUSE_MAX_INDICES]; /* outside of constructs that take it; -1: none yet */

    struct fuse_equation_index *index;
    int indices;
    struct fuse_position *left;
    int lefts;
    uint64_t left_set;
    bool logical;    /* terms and factors are truths: a Boolean tensor's equation, a sink of such tensors */
    bool plain_left; /* every position is an index of its own without offset: index k is axis k */
    struct fuse_node *root;
    struct fuse_node *guard; /* of a joint equation: where it is false a cell is left out; NULL: none */
    uint64_t projected;      /* of a joint equation: what is projected at the end */
    FUSE_VEC(int) mentions;  /* tensors on the right side */
    int whole; /* a sink of rules: one more than the tensor that is made for it, whose axes are the sink's; 0: none */
};

struct fuse_export {
    int tensor;
    bool query;
    struct fuse_span span;
};

/* A fact that is asked about; why_not and the text are in the settings. */
struct fuse_question_asked {
    int tensor; /* -1: what is wrong with the question was said */
    const char *name;
    struct fuse_span span;
    const struct fuse_index *index; /* [indices] its arguments */
    int indices;
    int string[FUSE_MAX_AXES]; /* of an argument that is a symbol: its number among those that get ids */
    int64_t id[FUSE_MAX_AXES];
};

struct fuse_checker {
    struct fuse_arena *arena;
    struct fuse_ir *ir;
    const struct fuse_ast *ast;
    const struct fuse_sources *sources;
    struct fuse_settings settings;
    const struct fuse_files *files;
    struct fuse_diagnostics *diagnostics;

    struct fuse_map symbol_of; /* "name", in a block "<block>#name" */
    struct fuse_map axis_of;
    FUSE_VEC(struct fuse_symbol) symbols;
    FUSE_VEC(struct fuse_tensor *) tensors;
    FUSE_VEC(struct fuse_axis) axes;
    FUSE_VEC(struct fuse_equation *) equations;
    FUSE_VEC(struct fuse_export) exports;
    FUSE_VEC(int) counts; /* tensors that are counted */
    FUSE_VEC(struct fuse_question_asked *) questions;
    FUSE_VEC(int) block_parent; /* block 0 is the file */
    int calls;                  /* of fns */
    FUSE_VEC(struct fuse_domain) domains;
    FUSE_VEC(struct fuse_fact) facts;
    FUSE_VEC(int) order; /* tensors that are not bad, dependencies first; those of one component stand together */

    bool no_symbols; /* the symbols that were asked for could not be had */

    uint64_t *taken; /* per expression: names that a construct takes (axis=, default, reduce); a normaliser's axis */
    uint64_t *free_names; /* per expression: names that stand in it and are not taken in it */
    uint64_t *outside;    /* per expression: names that stand elsewhere in the equation and reach it; axes pass only */
    uint64_t *inner; /* per argument of concat, attention and a fn: names that the call takes in this argument alone */
    uint64_t *made;  /* per call that makes an axis: its name, a left index or concat's own; in sinks only the latter */
    const int **result; /* per call of a fn: the name of each of its result's axes, -1 in sinks */
    uint64_t *named;    /* per expression: names that stand in it and that no reduction takes; axes pass only */
};

/* Says once per tensor that brackets on a Boolean tensor mean the same as parentheses. */
void fuse_tell_brackets(struct fuse_checker *c, struct fuse_tensor *tensor, struct fuse_span span);
/* max= min= prod= avg=: the right side is one expression over all its axes, which is projected at the end. */
bool fuse_is_joint(const struct fuse_checker *c, const struct fuse_equation *eq);

/* ---- messages ------------------------------------------------------------------------------------------------- */

#define fuse_complain(c, span, ...) fuse_report((c)->diagnostics, FUSE_SEVERITY_ERROR, (span), __VA_ARGS__)
#define fuse_advise(c, diagnostic, ...)                                  \
    do {                                                                 \
        struct fuse_diagnostic *advised_ = (diagnostic);                 \
        if (advised_)                                                    \
            advised_->hint = fuse_arena_printf((c)->arena, __VA_ARGS__); \
    } while (0)

/* "<what> part of the language but cannot be run yet"; what ends in "is" or "are". */
void fuse_later(struct fuse_checker *c, struct fuse_span span, const char *what);
void fuse_point_to(struct fuse_diagnostic *diagnostic, struct fuse_span other, const char *message);
/* The nearest of a few candidates; feed them one by one. */
struct fuse_nearest {
    const char *wanted, *best;
    int distance;
};
void fuse_nearest_try(struct fuse_nearest *nearest, const char *candidate);
/* Looking through all names for each of thousands of errors would take minutes. */
bool fuse_may_suggest(const struct fuse_checker *c);
/* The program text of a span on one line, or NULL when it is long. */
const char *fuse_excerpt(const struct fuse_checker *c, struct fuse_span span);
/* "'i'", "'i' and 'j'". */
const char *fuse_quote_indices(struct fuse_checker *c, const struct fuse_equation *eq, uint64_t set);

/* ---- passes --------------------------------------------------------------------------------------------------- */

void fuse_collect_names(struct fuse_checker *c);
/* The symbol that a name means in a block, or NULL. */
struct fuse_symbol *fuse_find_symbol(const struct fuse_checker *c, int block, const char *name);
/* true when the block itself declares the name. */
bool fuse_is_declared(const struct fuse_checker *c, int block, const char *name);
/* What calls of a fn add: a block, a tensor in it under the name of a left side, equations. */
int fuse_open_block(struct fuse_checker *c, int parent);
struct fuse_tensor *fuse_add_tensor(struct fuse_checker *c, int block, const struct fuse_lhs *lhs, int rank);
struct fuse_equation *fuse_add_equation(struct fuse_checker *c, const struct fuse_item *item, int block,
                                        enum fuse_equation_kind kind);
void fuse_collect_statements(struct fuse_checker *c, struct fuse_item *const *item, int items, int block);
/* Finds out what the contributions of a tensor combine with. */
void fuse_settle_operator(struct fuse_checker *c, struct fuse_tensor *tensor);
/* What the source of this equation is as a tensor of so many indices; its probe has a tally. */
enum fuse_relation_kind fuse_source_relation(const struct fuse_equation *eq);
enum fuse_relation_kind fuse_tensor_relation(const struct fuse_checker *c, const struct fuse_tensor *tensor);
/* The axis that a file declares, or one that it imports; NULL: none. */
const struct fuse_axis *fuse_find_axis(const struct fuse_checker *c, int file, const char *name);
void fuse_suggest_tensor(struct fuse_checker *c, struct fuse_diagnostic *diagnostic, const char *name);

/* The value of an expression of numbers, consts and params; reports and returns false when it has none. */
bool fuse_constant(struct fuse_checker *c, struct fuse_number *out, const struct fuse_expr *expr);
bool fuse_symbol_number(struct fuse_checker *c, struct fuse_number *out, struct fuse_symbol *symbol);
/* The same for something that must be an integer; what: "an extent". */
bool fuse_constant_integer(struct fuse_checker *c, int64_t *out, const struct fuse_expr *expr, const char *what);
void fuse_apply_defines(struct fuse_checker *c);

/* Children of an expression in the order of the text; a chain of binary operators is flattened, so that recursion is as
 * deep as brackets are. Arguments called axis are left out. */
int fuse_expr_children(struct fuse_checker *c, struct fuse_expr ***out, const struct fuse_expr *expr);
/* What APPLY means: the builtin when it is a call of one, else NULL. */
const struct fuse_builtin *fuse_called_builtin(const struct fuse_checker *c, const struct fuse_equation *eq,
                                               const struct fuse_expr *expr);
/* The number of a name in an equation, -1 beyond FUSE_MAX_INDICES (reported once). */
int fuse_name_number(struct fuse_checker *c, struct fuse_equation *eq, const char *name, struct fuse_span span);
/* true when the index is a name, not a fixed position (a const is one). */
bool fuse_index_is_name(const struct fuse_checker *c, const struct fuse_equation *eq, const struct fuse_index *index);
/* Fills c->taken and c->free_names for the expressions of an equation whose left side is resolved. */
void fuse_take_axes(struct fuse_checker *c, struct fuse_equation *eq);
/* The names of an expression in order of first appearance, without those that constructs in it take. */
int fuse_names_in_order(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_expr *expr,
                        int out[FUSE_MAX_INDICES]);
/* The fn that is called, or NULL; the formal that an argument is for, or -1. */
const struct fuse_item *fuse_called_fn(const struct fuse_checker *c, const struct fuse_equation *eq,
                                       const struct fuse_expr *expr);
/* Reports what is wrong with the formals and the result. */
bool fuse_is_well_formed(struct fuse_checker *c, const struct fuse_item *fn);
int fuse_formal_of(const struct fuse_item *fn, const struct fuse_expr *call, int argument);
/* The index name of iota(i), even(i), odd(i); NULL when the argument is something else. */
const char *fuse_index_argument(const struct fuse_expr *call, struct fuse_span *span);
/* The names of an argument in order: a reference's own order, else that of first appearance; without those that are
 * summed in it because two factors share them. */
int fuse_argument_order(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_expr *expr,
                        int out[FUSE_MAX_INDICES]);
bool fuse_is_reference(const struct fuse_checker *c, const struct fuse_equation *eq, const struct fuse_expr *expr);
/* The argument of a name, or at a place among those without names; NULL: there is none. */
const struct fuse_expr *fuse_call_argument(const struct fuse_expr *call, const char *name, int place);
/* The named argument of a call, or NULL. */
const struct fuse_argument *fuse_named_argument(const struct fuse_expr *call, const char *name);
/* The references' reading of REF and APPLY. */
int fuse_reference_indices(const struct fuse_expr *expr, const struct fuse_index **index);

void fuse_resolve(struct fuse_checker *c, struct fuse_equation *eq);
/* The bodies of fns that nothing calls, for the names in them. */
void fuse_resolve_uncalled(struct fuse_checker *c);
void fuse_place_sums(struct fuse_checker *c, struct fuse_equation *eq);

/* Products with adapted weights become sums of two products. */
void fuse_apply_adapters(struct fuse_checker *c);

int fuse_new_domain(struct fuse_checker *c);
int fuse_domain_root(struct fuse_checker *c, int domain);
/* Between the uniting of domains and their extents: which have symbols, and what ids those have. */
void fuse_name_domains(struct fuse_checker *c);
const struct fuse_domain *fuse_domain_of(struct fuse_checker *c, int domain);
void fuse_solve_domains(struct fuse_checker *c);
/* First element and step of a sliced axis of extent n, and the number of elements: Python's rules. */
void fuse_slice_range(const struct fuse_position *position, int64_t n, int64_t *first, int64_t *step, int64_t *count);

/* Notes where older surfaces of the language were read otherwise, once for each kind. */
void fuse_note_departures(struct fuse_checker *c);

/* Gives bare names among the arguments of builtins their indices. */
void fuse_spell_out_names(struct fuse_checker *c);
/* Warns of axes along which a tensor only repeats itself. */
void fuse_warn_of_broadcasts(struct fuse_checker *c);

/* Domains a and b of the fact become one; an error where their extents are known and differ. */
void fuse_unite_domains(struct fuse_checker *c, const struct fuse_fact *fact);

/* Marks what a bad equation makes bad. */
void fuse_spread_bad(struct fuse_checker *c);
/* Fills c->order, and finds components. */
void fuse_order_tensors(struct fuse_checker *c);
/* Complains of recursion that cannot be iterated. */
void fuse_check_recursion(struct fuse_checker *c);
/* Finds the tensors that rules derive, and makes tensors of sinks that rules derive. */
void fuse_choose_rules(struct fuse_checker *c);
/* When extents are known: sums, bests and means over relations that are relations, too. */
void fuse_choose_sums(struct fuse_checker *c);
/* A numeric tensor whose cells are truths: Booleans are kept. */
bool fuse_is_copy_of_facts(const struct fuse_checker *c, const struct fuse_tensor *tensor);
/* listed: a list of its tuples, or their number, is wanted. */
bool fuse_is_better_tuples(struct fuse_checker *c, const struct fuse_tensor *tensor, bool listed);
/* A copy that is not summed: of the terms that a mean is of. */
struct fuse_node *fuse_open_sum(struct fuse_checker *c, const struct fuse_node *root);
/* A tensor whose indices are not shifted, which might reach beyond it and read 0 there. */
bool fuse_reads_cells_alone(const struct fuse_node *node);
/* true for bests that rules derive, or might: cells that no tuple reaches hold what min or max begins with. */
bool fuse_is_best_of_tuples(struct fuse_checker *c, const struct fuse_tensor *tensor);
/* true for a sum that rules derive: cells that are no tuples are 0. */
bool fuse_is_sum_of_tuples(const struct fuse_tensor *tensor);
/* questions.c, in the order of the passes: names; which tensors are relations; ids, when domains have their extents. */
void fuse_collect_questions(struct fuse_checker *c);
void fuse_check_questions(struct fuse_checker *c);
void fuse_check_arguments(struct fuse_checker *c);
/* Whether an argument is a symbol of a table. */
bool fuse_argument_has_symbol(struct fuse_checker *c, const struct fuse_question_asked *question, int a, int *table);
/* true when the cells of the tensor are tuples, of files or derived. */
bool fuse_is_sparse(const struct fuse_checker *c, int tensor);
/* true when the value of the node is a truth. */
bool fuse_is_truth(const struct fuse_checker *c, const struct fuse_node *node);

/* ---- clauses.c: truths as alternatives of conjunctions --------------------------------------------------------------- */

/* A reference, or its truth, or anything else that is true or not. Negated with a sum: there are no such indices. */
struct fuse_literal {
    const struct fuse_node *node;
    bool negated;
};
struct fuse_clause {
    FUSE_VEC(struct fuse_literal) literals;
};
struct fuse_clauses {
    FUSE_VEC(struct fuse_clause) list; /* true when all literals of one of them are */
    bool too_many;
};

/* Indices that are summed at a node stand for "there is such an index" in the clauses of it. */
struct fuse_clauses fuse_find_clauses(const struct fuse_checker *c, const struct fuse_node *node, bool negated);
/* The reference that a literal is, or is the truth of; NULL: something else. */
const struct fuse_node *fuse_literal_reference(const struct fuse_literal *literal);
void fuse_mark_needed(struct fuse_checker *c);

/* Types of a tensor's contributions and of the tensor; those that it depends on have theirs. */
void fuse_type_equation(struct fuse_checker *c, struct fuse_equation *eq);
void fuse_type_tensor(struct fuse_checker *c, struct fuse_tensor *tensor);
/* The same of the tensors of a recursion of rules: values are real, F64 when everything in it is integer. */
void fuse_type_component(struct fuse_checker *c, const int *member, int members);
struct fuse_type fuse_join(struct fuse_type a, struct fuse_type b);
/* The type in which a result of this type is kept: --precision sets that of reals. */
struct fuse_type fuse_kept_type(const struct fuse_checker *c, struct fuse_type type);

void fuse_lower(struct fuse_checker *c);

#endif
