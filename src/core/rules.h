/* Rules over relations as plain data: what logic becomes when names, types and strata are resolved.
 *
 *     Path(x, z) = Path(x, y) Edge(y, z) when x != z
 *
 * A relation is a set of tuples of ids, with one value for each tuple unless it is of dtype BOOL. A rule derives tuples of its
 * head: for every binding of its variables to ids such that each positive atom is a tuple of its relation, no negated atom
 * has one, and the guard is true, the head's tuple with these ids is a contribution. A relation's tuples are those given from
 * outside together with the contributions of all its rules, united by its operator:
 *   OR         facts (BOOL, and only there): the set of them.
 *   MIN, MAX   the best value of all contributions. NaN is an error.
 *   SUM, PROD  of all contributions, one for each distinct binding of all variables that occur in positive atoms or are free:
 *              every witness counts. `mean` (with SUM) divides by their number.
 * Strata are evaluated from 0 up. A rule may use its own stratum in positive atoms, which makes it recursive: the least
 * fixpoint is meant, for MIN and MAX the best value that finite derivations reach; SUM and PROD cannot be recursive. What is
 * negated is of a lower stratum or of none.
 *
 * Everything lives in the arena of whoever builds it. Local and pure. */
#ifndef FUSE_CORE_RULES_H
#define FUSE_CORE_RULES_H

#include "core/box.h"
#include "core/error.h"
#include "core/reduce.h"
#include "core/scalar.h"

#define FUSE_RULE_ATOMS 32     /* of one rule */
#define FUSE_RULE_VARIABLES 64 /* of one rule */
/* The ids of a tuple are packed next to each other, each as wide as its extent needs, into at most so many 64-bit words. */
#define FUSE_RULE_WORDS 8

struct fuse_rule_relation {
    const char *name;
    int columns;                   /* 0: a proposition; FUSE_MAX_AXES at most */
    int64_t extent[FUSE_MAX_AXES]; /* ids of a column are in [0, extent); 0: no tuple at all */
    enum fuse_dtype dtype;         /* BOOL: facts; I64, F32, F64: what the values are computed in */
    enum fuse_reduce combine;      /* of contributions: OR for BOOL; MIN, MAX, SUM or PROD */
    bool mean;                     /* SUM, and then divided by the number of contributions; F32 or F64 */
    int stratum;                   /* -1: no rule derives it; else all its rules belong to this stratum */
    /* One more than another relation, which gets tuples only where this one has their ids in these columns (core/demand.h). */
    int asks;
    uint64_t asked_columns;
    int table[FUSE_MAX_AXES]; /* one more than the number of the symbols of a column, 0: its ids are numbers */
};

/* A column of an atom or a head: a variable moved by an offset, or a constant. A term whose id falls outside its column's
 * extent never matches in an atom, and makes no contribution in a head. */
struct fuse_rule_term {
    int variable;   /* -1: a constant */
    int64_t offset; /* what is added to the variable; the constant */
};

struct fuse_rule_variable {
    const char *name;
    int64_t extent;
    /* Where no positive atom has it, a variable takes every id of its extent when it is free. A variable that is not free may be
     * in one negated atom and nowhere else: "there is no such id". */
    bool is_free;
};

struct fuse_rule_atom {
    int relation;
    struct fuse_rule_term *term; /* [columns] */
    bool is_negated;
    bool is_support; /* of a relation with values: only whether it has the tuple; loads of the atom give 1 */
};

struct fuse_rule {
    struct fuse_span span; /* the equation */
    int head;              /* relation */
    struct fuse_rule_term *term;
    int variables;
    struct fuse_rule_variable *variable;
    int atoms; /* 0: a fact, unless variables are free */
    struct fuse_rule_atom *atom;
    /* LOAD k is the value of positive atom k (1 for facts), IOTA v the id of variable v, which is not local to a negated atom.
     * Conjunctions are tested part by part, each as early as its variables and values are known; so a part may be evaluated
     * where another one is false. NULL: true. */
    const struct fuse_scalar *guard; /* BOOL */
    const struct fuse_scalar *value; /* of the head's dtype; NULL exactly for heads of dtype BOOL */
};

struct fuse_rules {
    int relations, rules, strata;
    struct fuse_rule_relation *relation;
    struct fuse_rule *rule;
};

/* BUG when something above does not hold; PROGRAM when a tuple of a relation is wider than FUSE_RULE_WORDS. */
enum fuse_status fuse_rules_verify(const struct fuse_rules *rules, struct fuse_error *err) FUSE_CHECKED;
/* A line for each relation and rule. */
void fuse_rules_print(struct fuse_text *text, const struct fuse_rules *rules);
/* One rule, without the line end: "Path(x, z) = Path(x, y) Edge(y, z)". */
void fuse_rule_print(struct fuse_text *text, const struct fuse_rules *rules, const struct fuse_rule *rule);

/* Whether a positive atom of the rule is of the head's stratum. */
bool fuse_rule_is_recursive(const struct fuse_rules *rules, const struct fuse_rule *rule);
/* The variables that an atom has, and those of all positive atoms: bit v for variable v. */
uint64_t fuse_rule_atom_variables(const struct fuse_rules *rules, const struct fuse_rule_atom *atom);
uint64_t fuse_rule_bound_variables(const struct fuse_rules *rules, const struct fuse_rule *rule);

/* Where the ids of a tuple are: id c is (word[c] >> shift[c]) & mask[c], and comparing words in their order compares tuples in
 * the order of their columns. At least one word; an id is never split; the highest bit of a word is 0. */
struct fuse_rule_packing {
    int columns, words;
    int word[FUSE_MAX_AXES], shift[FUSE_MAX_AXES];
    uint64_t mask[FUSE_MAX_AXES];
};
struct fuse_rule_packing fuse_rule_pack(int columns, const int64_t *extent);
static inline int64_t fuse_rule_unpack_id(const struct fuse_rule_packing *packing, const uint64_t *tuple, int column) {
    return (int64_t)(tuple[packing->word[column]] >> packing->shift[column] & packing->mask[column]);
}

/* The order in which a rule's positive atoms are joined: order[0 .. n), n being the result. The first is `first`, or whichever
 * is best when that is -1. sizes[relation] is the number of its tuples or an estimate. Greedy: next comes the atom that is
 * expected to leave the fewest bindings, columns being taken for independent and uniform. A pure function of its
 * arguments. */
int fuse_rule_order(int order[FUSE_RULE_ATOMS], const struct fuse_rules *rules, const struct fuse_rule *rule, int first,
                    const int64_t *sizes);

/* The same in words: "new Path(x, y), then Edge by (y)", as the evaluation does it where the sizes are these. first: as above. */
void fuse_rule_explain(struct fuse_text *text, const struct fuse_rules *rules, const struct fuse_rule *rule, int first,
                       const int64_t *sizes);

/* Rules that derive the same, in which variables that a guard says are equal to another one, or to a constant, have become that. */
const struct fuse_rules *fuse_rules_fix(struct fuse_arena *arena, const struct fuse_rules *rules);

/* [relations] how many tuples a relation has at most, saturating, when it is given most[r] at most from outside. */
const int64_t *fuse_rules_bound(struct fuse_arena *arena, const struct fuse_rules *rules, const int64_t *most);

/* The same relations, with rules that derive the same from them: recursive rules of facts that join several derived atoms with
 * others may get a relation of their own for what two of their atoms have in common. Such relations come behind the others, and
 * what derives them uses none of them. sizes: as above. */
struct fuse_rules *fuse_rules_split(struct fuse_arena *arena, const struct fuse_rules *rules, const int64_t *sizes);

#endif
