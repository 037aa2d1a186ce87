/* What the files of proofs share. All of it is the same on every rank but for the rows that a rank holds. */
#ifndef FUSE_EXEC_WHY_INTERNAL_H
#define FUSE_EXEC_WHY_INTERNAL_H

#include "exec/logic_internal.h"
#include "exec/why.h"

/* What of a relation is looked into. */
enum fuse_why_part {
    FUSE_WHY_ALL,
    FUSE_WHY_GIVEN,  /* tuples that came from outside */
    FUSE_WHY_STAGED, /* with the turn in which each came about (why_stages.c) */
    FUSE_WHY_PARTS
};

/* Rows of a relation on this rank, found by the ids of some columns. */
struct fuse_why_index {
    struct fuse_why_index *next;
    uint64_t columns; /* bits */
    enum fuse_why_part part;
    int scans; /* all rows were looked at so many times; the index is made when that has become too often */
    bool is_made;
    const void *of; /* rows that it was made of, before they were brought in order or after it */
    bool of_sorted;
    struct fuse_rule_packing packing;
    struct fuse_index index; /* to numbers of rows */
};

/* A relation of some rules of the plan. */
struct fuse_why_relation {
    const struct fuse_rule_relation *rule;
    struct fuse_logic_relation *at_work;
    int canonical;       /* the relation, of the rules that derive it or read it first, that has its facts; itself */
    int input;           /* value that its tuples come from, -1: none */
    const char *sources; /* files and tensors that its given tuples are from, NULL: none */
    int64_t total;       /* tuples on all ranks */
    int64_t given;       /* of relations that rules derive: tuples that came from outside, on all ranks */
    int square;          /* R(x, z) = R(x, y) R(y, z), whose facts are cut out of paths (why_path.c); -1 */
    struct fuse_why_index *index;
    /* The same on every rank, in the order of their ids; of what is small. */
    struct fuse_why_copy {
        bool is_there;
        struct fuse_run rows;
    } copy[FUSE_WHY_PARTS];
    struct fuse_logic_relation *staged; /* of a canonical one whose facts have stages, NULL */
};

struct fuse_why_rule {
    const struct fuse_rules *rules;
    const struct fuse_rule *rule;
    int first_relation; /* that of number 0 of its rules */
    int positives;
    int order[FUSE_RULE_ATOMS]; /* positive atoms as they are joined when the head is known */
    int width;                  /* words of a binding: fact, variables, values of atoms */
};

struct fuse_why_fact {
    int relation;     /* canonical */
    int ids;          /* where they begin in id */
    int height;       /* -1: not known */
    int instance;     /* the first of its list, -1 */
    int chosen;       /* instance of the proof, -1 */
    int next;         /* of those with the same hash, -1 */
    bool is_asked;    /* of a relation with a square: it is to be proved, and not only a part of a path */
    bool is_given;    /* by a source */
    bool is_shown;    /* in the proof */
    bool is_bettered; /* the value is none of the result */
    int64_t value;    /* the word, of relations that have values */
};

/* A rule whose head is a fact, and whose atoms are facts. */
struct fuse_why_instance {
    int rule, fact, next;   /* next: of the same fact */
    int premises, bindings; /* where they begin: facts of positive atoms in their order, ids of variables */
};

struct fuse_why {
    struct fuse_exec *exec;
    struct fuse_comm *comm;
    struct fuse_arena *whole;   /* of all questions */
    struct fuse_arena *arena;   /* of one question */
    struct fuse_arena *scratch; /* between a mark and a rewind */
    struct fuse_arena_mark begin, begin_of_question;
    struct fuse_ledger ledger;
    int operations, *first; /* RULES of the plan that have run; [operations of the plan] number of the first relation */
    struct fuse_logic *stages;
    int64_t before_stages; /* turns before the one in which facts of height 1 came about */
    int64_t most;          /* facts, instances and bindings of a wave; is_beyond: there are more */
    bool is_beyond;
    bool takes_all_values; /* of instances, also those that do not give the head's value; without stages */
    int relations, rules;
    struct fuse_why_relation *relation;
    struct fuse_why_rule *rule;
    FUSE_VEC(struct fuse_why_fact) facts;
    FUSE_VEC(int64_t) id;
    FUSE_VEC(struct fuse_why_instance) instances;
    FUSE_VEC(int) paths; /* facts that are asked */
    FUSE_VEC(int) premise;
    FUSE_VEC(int64_t) binding;
    int *head; /* hash table of facts */
    int heads;
    enum fuse_status status; /* sticky, of this rank */
    struct fuse_error error;
};

/* A binding is a row of 64-bit words: a number, ids of variables, values of atoms. */
static inline int fuse_why_variable(int v) {
    return 1 + v;
}
static inline int fuse_why_value(const struct fuse_rule *rule, int atom) {
    return 1 + rule->variables + atom;
}
static inline const struct fuse_why_relation *fuse_why_of_atom(const struct fuse_why *why,
                                                               const struct fuse_why_rule *rule, int atom) {
    return &why->relation[rule->first_relation + rule->rule->atom[atom].relation];
}

/* ---- why_rows.c ---- */

void fuse_why_fail(struct fuse_why *why, enum fuse_status status, const struct fuse_error *err);
/* false: the relation is finished as rows of bits, which are not looked into. */
static inline bool fuse_why_has_rows(const struct fuse_why_relation *relation) {
    return relation->at_work->reach == NULL;
}
/* Whether an atom's tuples can be found: those of the relation, or those that have stages. */
static inline bool fuse_why_is_readable(const struct fuse_why *why, const struct fuse_why_relation *relation) {
    return fuse_why_has_rows(relation) || (why->relation[relation->canonical].staged != NULL && !why->takes_all_values);
}
/* Local. Makes ready what rules look for, so that no question has to wait for it. */
void fuse_why_prepare(struct fuse_why *why);
/* Local. Tuples of this rank with these ids in some columns; stops when visit says false. */
void fuse_why_find(struct fuse_why *why, int relation, uint64_t columns, enum fuse_why_part part, const int64_t *id,
                   bool (*visit)(void *context, const uint64_t *row), void *context);
/* Collective. Every rank gets all rows of all ranks, in the order of ranks. */
void fuse_why_gather(struct fuse_why *why, struct fuse_run *rows);
/* Collective. Bindings with every match of a positive atom; `bound`: variables that have ids. */
void fuse_why_extend(struct fuse_why *why, const struct fuse_why_rule *rule, int atom, uint64_t bound,
                     const struct fuse_run *bindings, struct fuse_run *out);
/* Collective. found[i]: whether the atom, of whose variables some have ids, has a fact for binding i. */
void fuse_why_has(struct fuse_why *why, const struct fuse_why_rule *rule, int atom, uint64_t bound,
                  const struct fuse_run *bindings, int64_t *found);
/* Collective. Of a fact: whether it was given, and, where the relation has rows, whether it is there, and its value. */
struct fuse_why_lookup {
    bool is_given, is_there;
    int64_t value;
};
void fuse_why_look(struct fuse_why *why, int relation, const struct fuse_run *ids, struct fuse_why_lookup *out);
/* Collective. The heights of facts of a relation that has stages; -1: not among them. */
void fuse_why_look_stages(struct fuse_why *why, int relation, const struct fuse_run *ids, int64_t *height);
/* Local. Of a guard or a value, for a binding. */
union fuse_scalar_value fuse_why_evaluate(const struct fuse_why *why, const struct fuse_why_rule *rule,
                                          const struct fuse_scalar *scalar, const uint64_t *binding);
/* Appends the binding of a head's variables to the fact, unless they do not fit. */
bool fuse_why_unify(struct fuse_why *why, const struct fuse_why_rule *rule, const int64_t *id, uint64_t number,
                    struct fuse_run *bindings);
uint64_t fuse_why_head_variables(const struct fuse_why *why, const struct fuse_why_rule *rule);
/* Bindings with each id of the free variables that have none yet. */
void fuse_why_enumerate(struct fuse_why *why, const struct fuse_why_rule *rule, uint64_t bound,
                        struct fuse_run *bindings);

/* ---- why_search.c ---- */

/* The number of a fact, which is new or not. */
int fuse_why_fact(struct fuse_why *why, int relation, const int64_t *id);
/* Collective. Finds a proof of minimal height: chosen instances from the fact down. *found false: there is none, or what it takes is
 * beyond why->most. */
enum fuse_status fuse_why_prove(bool *found, struct fuse_why *why, int fact, struct fuse_error *err) FUSE_CHECKED;
/* Collective. All instances that the facts so far can rest on. */
enum fuse_status fuse_why_reach(struct fuse_why *why, struct fuse_error *err) FUSE_CHECKED;
/* A fact that is to be proved. */
int fuse_why_ask(struct fuse_why *why, int relation, const int64_t *id);
void fuse_why_add_instance(struct fuse_why *why, int rule, const uint64_t *binding);
/* Whether an instance comes before another one: by rule, then by ids of variables. */
bool fuse_why_is_before(const struct fuse_why *why, int a, int b);
/* Whether all premises of an instance are of less height. */
bool fuse_why_is_below(const struct fuse_why *why, const struct fuse_why_instance *instance, int height);
/* Sums and products are results of all their contributions together, which are no proof. */
static inline bool fuse_why_is_leaf(const struct fuse_rule_relation *rule) {
    return rule->stratum < 0 ||
           (rule->dtype != FUSE_BOOL && rule->combine != FUSE_REDUCE_MIN && rule->combine != FUSE_REDUCE_MAX);
}

/* Collective. Bindings that some variables of a rule have, of which its head's facts are the numbers: those that pass all of it. */
void fuse_why_join(struct fuse_why *why, int rule, uint64_t bound, struct fuse_run *bindings);

/* ---- why_stages.c ---- */

/* Collective. Evaluates the rules once more, turn by turn, and keeps for each fact the turn in which it came about, which is the least
 * height of its proofs. relation >= 0: only for facts that proofs of this one can have. */
enum fuse_status fuse_why_count_stages(struct fuse_why *why, int relation, const int64_t *id,
                                       struct fuse_error *err) FUSE_CHECKED;
void fuse_why_forget_stages(struct fuse_why *why);

/* ---- why_history.c ---- */

/* Collective. A proof by values that were bettered later; *fact becomes the one to begin with; -1: there is none, or too much to look
 * at. The least height that there is by any values. */
enum fuse_status fuse_why_replay(int *fact, struct fuse_why *why, struct fuse_error *err) FUSE_CHECKED;

/* ---- why_trace.c ---- */

/* The same proof as fuse_why_prove's from stages: nothing but the proof is looked at. */
enum fuse_status fuse_why_trace(bool *found, struct fuse_why *why, int fact, struct fuse_error *err) FUSE_CHECKED;

/* ---- why_path.c ---- */

/* The rule that is a square, where the relation's other rules derive it from sources alone; -1: there is none. */
int fuse_why_find_square(const struct fuse_why *why, int relation);
/* Collective. Instances of the square for a fact, and for all parts of a path that it is cut into; none without a path. */
void fuse_why_cut_path(struct fuse_why *why, int square, int fact);

/* ---- why_not.c ---- */

/* The best rule for a fact that does not hold: the one with the most atoms that have facts, in the order of the program. */
struct fuse_why_lack {
    int rule;       /* -1: no rule's left side fits */
    int holds;      /* atoms that have facts, from the first on */
    int atom;       /* that has none, or the negated one that has; -1: the guard is false */
    uint64_t bound; /* variables with ids */
    uint64_t *binding;
};
enum fuse_status fuse_why_find_lack(struct fuse_why_lack *out, struct fuse_why *why, int relation, const int64_t *id,
                                    struct fuse_error *err) FUSE_CHECKED;

/* ---- why_text.c: collective, for names; printed by rank 0 ---- */

enum fuse_status fuse_why_print_proof(struct fuse_why *why, const struct fuse_question *question, int fact,
                                      struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_why_print_lack(struct fuse_why *why, const struct fuse_question *question, int relation,
                                     const struct fuse_why_lack *lack, struct fuse_error *err) FUSE_CHECKED;

#endif
