/* What the files of the evaluation of rules share. */
#ifndef FUSE_EXEC_LOGIC_INTERNAL_H
#define FUSE_EXEC_LOGIC_INTERNAL_H

#include "backend/relation_join.h"
#include "core/linear.h"
#include "core/mutual.h"
#include "exec/logic.h"
#include "exec/reach.h"

/* Which rank a row goes to. */
enum fuse_route_kind {
    FUSE_ROUTE_HERE,
    FUSE_ROUTE_HASH,  /* of ids */
    FUSE_ROUTE_ALL,   /* to every rank */
    FUSE_ROUTE_KEYS,  /* the range between splitters that its ids lie in */
    FUSE_ROUTE_PLACES /* by its number among all rows of all ranks */
};
struct fuse_route {
    enum fuse_route_kind kind;
    int ids; /* of HASH */
    struct fuse_route_id {
        bool is_constant;
        int word, shift;
        uint64_t mask;
        int64_t offset; /* added; the constant */
    } * id;
    int keys;                 /* words of KEYS */
    const uint64_t *splitter; /* [ranks - 1] */
    int64_t place, of;        /* PLACES: number of the next row, and of all */
};

/* Rows on their way: pipelines with exchanges between them, and where the last rows end up. */
struct fuse_flow {
    struct fuse_logic *logic;
    int segments;
    struct fuse_flow_segment {
        struct fuse_flow *flow;
        struct fuse_pipeline pipeline;
        struct fuse_pipeline_run run;
        struct fuse_route route; /* of what it puts out */
        const struct fuse_rule *rule;
    } * segment;
    bool is_local; /* no route leads away */
    /* Rows that have arrived; false: refused, and the failure is recorded. */
    bool (*arrive)(struct fuse_flow *flow, const uint64_t *rows, int64_t n);
    int relation; /* that arriving rows belong to */
    struct fuse_index *index;
    struct fuse_run *run;
};

/* Rows of a relation found by some of its columns. */
struct fuse_logic_index {
    struct fuse_logic_index *next;
    int relation;
    const struct fuse_rule_atom
        *only; /* rows that match this negated atom, which has variables of its own; NULL: all */
    const struct fuse_rule_variable *variable; /* of only's rule */
    bool is_growing;                           /* of a relation of the stratum that is evaluated */
    bool is_everywhere;                        /* each rank has all rows; else those of its hash of the columns `at` */
    uint64_t key, rest, at;                    /* columns: bits */
    bool has_value;
    struct fuse_rule_packing key_packing, rest_packing; /* of the columns in their order */
    struct fuse_index index;
    struct fuse_flow feed; /* from rows of the relation */
};

/* One way to evaluate a rule: from the rows of one atom on. */
struct fuse_logic_version {
    struct fuse_logic_version *next;
    const struct fuse_rule *rule;
    int first;      /* the atom that is read, -1: the rule has none */
    bool is_delta;  /* only what the last turn brought */
    bool is_shared; /* without atoms: each rank takes a part of the ids, else it is the first rank's */
    struct fuse_flow flow;
};

struct fuse_logic_relation {
    const struct fuse_rule_relation *rule;
    struct fuse_rule_packing packing;
    int values;            /* words of a value: 0 or 1 */
    uint64_t home;         /* columns whose hash says which rank a tuple belongs to */
    struct fuse_run given; /* as added, on any rank */
    struct fuse_run kept;  /* the same afterwards, where the request says so and rules derive the relation */
    bool is_kept;
    struct fuse_set set;       /* while its stratum is evaluated */
    struct fuse_run fresh;     /* keys that this turn brought */
    struct fuse_run delta;     /* rows that the last turn brought */
    struct fuse_run collected; /* contributions that are united at the end */
    struct fuse_run rows;      /* when finished: ids, value, stage */
    bool collects, is_finished, is_sorted;
    int64_t total, delta_total; /* on all ranks */
    /* Per column about how many tuples have its most frequent id; counted where the relation is too large to be copied. */
    int64_t heaviest[FUSE_MAX_AXES];
    bool is_weighed;
    bool is_spread; /* one column would leave one rank with far more than its share: home is all of them */
    /* A linear recursion that no rule reads is finished as this, and has no rows. */
    struct fuse_reach *reach;
    int64_t reach_bytes; /* that the ledger has for it */
};

struct fuse_logic {
    struct fuse_logic_request request;
    const struct fuse_rules *rules; /* split: relations from `asked` on are only parts of rules */
    int asked;
    struct fuse_comm *comm;
    struct fuse_arena *arena;   /* of the whole */
    struct fuse_arena *scratch; /* of the stratum */
    struct fuse_ledger ledger;
    struct fuse_logic_relation *relation;
    struct fuse_logic_index *index;     /* of the stratum */
    struct fuse_logic_version *version; /* of the stratum, in the order in which they are evaluated */
    int stratum;
    /* Parts of this stratum's rules (core/rules.h, split) are on every rank, so that what is derived with them can stay. */
    bool copies_parts;
    int64_t grown, looked_at; /* tuples that its turns have brought; when it was last looked at how they lie */
    int64_t turn, first_turn; /* over all strata; of this stratum */
    int64_t given_rows;       /* on all ranks */
    struct fuse_logic_report report;
    int64_t derived; /* in this turn, here */
    /* Messages. A rank sends at most piece words to another at a time, so that ranks * piece words arrive at most. */
    int64_t piece;
    struct fuse_block send, *arrived; /* arrived[depth] */
    int depths;
    int64_t *filled;  /* [ranks] words in send */
    int64_t *headers; /* [2][ranks][2] */
    struct fuse_message *message;
    enum fuse_status status; /* sticky: the first local failure */
    struct fuse_error error;
};

/* Local. Records a failure; the rank goes on in the schedule. */
void fuse_logic_fail(struct fuse_logic *logic, enum fuse_status status, const struct fuse_error *err);
/* Memory was refused while rows of the relation were to be held. */
void fuse_logic_refuse(struct fuse_logic *logic, int relation);
/* Collective. Makes what is recorded everybody's. */
enum fuse_status fuse_logic_agree(struct fuse_logic *logic, struct fuse_error *err) FUSE_CHECKED;
static inline int fuse_logic_row_words(const struct fuse_logic_relation *relation) {
    return relation->packing.words + relation->values;
}

/* ---- logic.c: local ---- */

void fuse_logic_close_relation(struct fuse_logic *logic, struct fuse_logic_relation *relation);
/* And versions. */
void fuse_logic_close_indexes(struct fuse_logic *logic);

/* ---- logic_turns.c: collective ---- */

/* Finishes a relation that no rule derives. */
void fuse_logic_take_input(struct fuse_logic *logic, int relation);
/* Totals of the relations of a stratum. */
enum fuse_status fuse_logic_count_tuples(struct fuse_logic *logic, int stratum, struct fuse_error *err) FUSE_CHECKED;
/* Finishes the relations of logic->stratum. */
enum fuse_status fuse_logic_run_stratum(struct fuse_logic *logic, struct fuse_error *err) FUSE_CHECKED;

/* ---- logic_flow.c ---- */

/* Collective unless the flow is local: rows of this rank go through it. Failures are recorded. */
void fuse_flow_pass(struct fuse_flow *flow, const uint64_t *rows, int64_t n);
/* A flow of one segment that moves rows of so many words as they are. */
void fuse_flow_open_move(struct fuse_flow *flow, struct fuse_logic *logic, struct fuse_arena *arena, int words,
                         const struct fuse_route *route);
/* To be called when segments and routes are there. */
void fuse_flow_open(struct fuse_flow *flow, struct fuse_logic *logic, struct fuse_arena *arena);
/* Local. Buffers for flows of so many segments. */
bool fuse_flow_reserve(struct fuse_logic *logic, int segments);

/* ---- logic_index.c, logic_compile.c: local, the same on every rank ---- */

/* The position of a column among those of a set. */
static inline int fuse_logic_place_in(uint64_t columns, int c) {
    return __builtin_popcountll(columns & (((uint64_t)1 << c) - 1));
}
/* The one of the stratum that is as wanted (relation, only, variable, key, rest, at, is_everywhere, has_value). */
const struct fuse_logic_index *fuse_logic_need_index(struct fuse_logic *logic, const struct fuse_logic_index *wanted);

/* Says where tuples of relations belong that are not finished. */
void fuse_logic_choose_homes(struct fuse_logic *logic);
/* The route to a tuple's home from rows of its ids. */
struct fuse_route fuse_logic_home_route(const struct fuse_logic *logic, int relation, struct fuse_arena *arena);
/* Where rows end up: in flow->run, or in the set or the collection of the relation. */
bool fuse_logic_arrive_in_run(struct fuse_flow *flow, const uint64_t *rows, int64_t n);
bool fuse_logic_arrive_in_set(struct fuse_flow *flow, const uint64_t *rows, int64_t n);
/* Bytes of a relation that may be on every rank, at most; >= 1. */
int64_t fuse_logic_copied_bytes(const struct fuse_logic *logic);
/* Whether all tuples of a relation may be on every rank. */
bool fuse_logic_may_copy(const struct fuse_logic *logic, int relation);
/* All versions and indexes of the stratum. */
void fuse_logic_compile(struct fuse_logic *logic);

/* ---- logic_linear.c ---- */

/* Whether the stratum has a faster way than turns, and may take it. */
bool fuse_logic_is_linear(struct fuse_linear *linear, const struct fuse_logic *logic);
/* Collective. Finishes the stratum's relation, from the rows of its base on each rank; base NULL: from the steps alone, and only when
 * that is all. *done false: it is not, or there is too little memory, and nothing has changed. */
enum fuse_status fuse_logic_take_linear(bool *done, struct fuse_logic *logic, const struct fuse_linear *linear,
                                        const struct fuse_run *base, struct fuse_error *err) FUSE_CHECKED;
/* The same for several relations, from the rows of their deltas. */
bool fuse_logic_is_mutual(struct fuse_mutual *mutual, const struct fuse_logic *logic);
enum fuse_status fuse_logic_take_mutual(bool *done, struct fuse_logic *logic, const struct fuse_mutual *mutual,
                                        struct fuse_error *err) FUSE_CHECKED;
/* Collective. */
enum fuse_status fuse_logic_sort_reach(struct fuse_logic *logic, struct fuse_logic_relation *relation,
                                       struct fuse_error *err) FUSE_CHECKED;
void fuse_logic_close_reach(struct fuse_logic *logic, struct fuse_logic_relation *relation);

#endif
