/* Plans: who holds what, who sends what, in which order, in which bytes of memory. PURE: a plan is a function of the IR,
 * the machine and the limits, the same on every rank and every computer. Nothing here communicates or allocates tensors.
 *
 *   mesh       Q <= P ranks as a grid of prime factors
 *   layout     of a tensor, or of an iteration space: each mesh dimension goes to one axis (index), or replicates, or
 *              holds partial results
 *   holding    which boxes of a tensor every rank has in a buffer, or needs in it
 *   plan       a tree of regions over a list of steps, and the buffers the steps use
 *
 * A plan is not stored per rank: boxes, messages and views are computed for one rank and one turn of a loop when asked
 * for, so that 4,096 ranks cost no more memory than one. Costs are integers: picoseconds, bytes; saturating. */
#ifndef FUSE_PLAN_PLAN_H
#define FUSE_PLAN_PLAN_H

#include "core/box.h"
#include "core/chunks.h"
#include "core/error.h"
#include "core/queue.h"
#include "core/text.h"
#include "ir/ir.h"

/* ---- machine and request -------------------------------------------------------------------------------------- */

struct fuse_machine {
#define FUSE_MACHINE(field, standard, meaning) int64_t field;
#include "plan/machine.def"
#undef FUSE_MACHINE
    int ranks_per_node;     /* 0: unknown or unequal, the mesh is flat */
    enum fuse_memkind kind; /* where tensors live: HOST or DEVICE */
};

/* The defaults used without a machine file. */
struct fuse_machine fuse_machine_default(void);

/* What a rank uses beside planned buffers: libraries, MPI, the program. Part of --mem-per-rank. */
#define FUSE_PLAN_BASE_BYTES ((int64_t)32 << 20)

/* .. and what relations have at least, where there are rules: their messages, and the first tuples. */
#define FUSE_PLAN_RULES_BYTES ((int64_t)16 << 20)

#define FUSE_PLAN_SMALL_BYTES ((int64_t)64 << 10)
#define FUSE_PLAN_FILE_UNIT_BYTES ((int64_t)1 << 20)

#define FUSE_MESH_MAX 32

/* A layout that somebody wants for a value, in dimensions of the mesh that the request asks for. */
struct fuse_plan_pin {
    int all; /* the whole mesh splits this axis; -1: `split` says which dimensions split which axes, outermost first */
    struct {
        int axis, dim;
    } split[FUSE_MESH_MAX];
    int splits; /* with all -1 and no splits: replicated */
};

struct fuse_plan_request {
    int ranks; /* P >= 1 */
    /* Sizes of the mesh's dimensions, outermost first, of product <= ranks; none: the planner makes a mesh. */
    int mesh_size[FUSE_MESH_MAX], mesh_sizes;
    const struct fuse_plan_pin *pin; /* number fuse_value.pin - 1 is the layout of that value, which is not searched */
    int64_t memory_bytes;            /* per rank, base included; 0: unlimited */
    struct fuse_machine machine;
    int64_t panels;          /* 0: the planner chooses; else the number of turns of every panel loop */
    int64_t replicate_below; /* bytes: smaller tensors are replicated without search; < 0: FUSE_PLAN_SMALL_BYTES */
    int64_t workspace_bytes; /* message staging and file slabs: at most this much each way; 0: 4 MiB */
    int64_t file_unit_bytes; /* ranges of files start at multiples of this; 0: FUSE_PLAN_FILE_UNIT_BYTES */
    /* Intermediates of which a rank would hold more than this are computed slab by slab where they can be, and never
     * exist whole. 0: where that pays or memory is short; < 0: never. */
    int64_t slab_bytes;
    /* Sources of which a rank would hold more than this are streamed where they can be: read slab by slab in the loops that
     * use them, and never there whole. 0: only where the program does not fit otherwise; < 0: never. */
    int64_t stream_bytes;
    /* Sums and products of reals in an order that ranks, threads and loops do not change (plan/ordered.h): */
    int64_t chunk;     /* points of a chunk, FUSE_CHUNK or, for tests, fewer; 0: in any order */
    bool keeps_stages; /* of rules: the turn in which each fact came about, for proofs; beside what they derive */
    bool perturb;      /* tests only: one box of the first exchange is made wrong */
};

/* ---- mesh and layouts ----------------------------------------------------------------------------------------- */

/* The first `used` of `ranks` ranks as a grid; rank = mixed-radix number of its coordinates, the last dimension fastest.
 * Dimensions are prime. The other ranks hold nothing that is distributed; they read, write and agree. */
struct fuse_mesh {
    int ranks, used, dims;
    int dim[FUSE_MESH_MAX];
};

struct fuse_mesh fuse_mesh_make(int ranks, int used, int ranks_per_node);
/* The mesh of a request that gives sizes: each is the product of its own run of dimensions. */
struct fuse_mesh fuse_mesh_make_sized(int ranks, const int *size, int sizes);
/* The first of the dimensions whose ranks are on one node, which are the innermost: 0 when there is one node, or nothing is known
 * of nodes; mesh.dims when each rank may be on its own. */
int fuse_mesh_node_dim(const struct fuse_mesh *mesh, int ranks_per_node);
/* coordinate[d] of a rank < used. */
void fuse_mesh_coordinates(int coordinate[FUSE_MESH_MAX], const struct fuse_mesh *mesh, int rank);

enum { FUSE_REPLICATED = -1, FUSE_PARTIAL = -2 };

/* Per mesh dimension: an axis, FUSE_REPLICATED or FUSE_PARTIAL (the ranks along it hold terms of a reduction). Several
 * dimensions on one axis split it nested, lower level first (outermost); levels count from 0 on each axis, and are 0 for
 * dimensions that are on none, so that equal layouts have equal bytes. Entries beyond mesh.dims are REPLICATED. */
struct fuse_layout {
    int8_t axis[FUSE_MESH_MAX], level[FUSE_MESH_MAX];
    /* One more than the axis that is dealt in zigzag, 0: none. It is cut into twice as many chunks as it has parts, and part i
     * has chunks i and 2 * parts - 1 - i: work that grows along the axis, as that of causal attention, is even. Only attentions
     * are divided so, and what they read and leave; a tensor at rest is not. */
    int8_t zigzag;
};

struct fuse_layout fuse_layout_replicated(void);
/* Puts mesh dimension d on an axis, innermost. d must be replicated or partial. */
void fuse_layout_split(struct fuse_layout *layout, const struct fuse_mesh *mesh, int d, int axis);
bool fuse_layout_equal(const struct fuse_layout *a, const struct fuse_layout *b);
/* The layout that a request pins a value to. */
struct fuse_layout fuse_pin_layout(const struct fuse_mesh *mesh, const struct fuse_plan_request *request,
                                   const struct fuse_plan_pin *pin);
/* Number of parts that an axis is split into, and the part that a rank (< used) holds. */
int64_t fuse_layout_parts(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axis);
int64_t fuse_layout_part(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axis,
                         const int coordinate[FUSE_MESH_MAX]);
/* 2 where an axis is dealt in zigzag: a rank then has two blocks, which are equal but for that axis. Else 1. */
#define FUSE_LAYOUT_HALVES 2
int fuse_layout_halves(const struct fuse_layout *layout);
/* Pieces that an axis is cut into: as many as parts, or twice as many. */
int64_t fuse_layout_chunks(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axis);
/* A block of a rank; partial dimensions do not split. Empty for ranks >= used. */
struct fuse_box fuse_layout_block(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axes,
                                  const int64_t *extent, int rank, int half);
/* "[i/4,j/2 zigzag] x2" in the names given (NULL: axis numbers). */
void fuse_layout_print(struct fuse_text *text, const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axes,
                       const char *const *names);

/* ---- holdings ------------------------------------------------------------------------------------------------- */

enum fuse_holding_kind {
    FUSE_HOLDING_LAYOUT, /* the block of `layout` over the value's axes */
    FUSE_HOLDING_NEED,   /* what operation `op` reads through `input` when `layout` splits its iteration space; not
                            clipped: elements outside the tensor are zeros */
    FUSE_HOLDING_RANGES  /* contiguous ranges of the tensor in file order over some ranks */
};

/* Inside a loop the holding may shrink with the turn: the rank's range of one axis (LAYOUT), of one index of the operation
 * (NEED), or of elements (RANGES) is cut into as many parts as the loop has turns. */
struct fuse_holding {
    enum fuse_holding_kind kind;
    int value;
    struct fuse_layout layout;
    int op, input;
    int aggregators;     /* RANGES: aggregator k is rank floor(k * P / aggregators) */
    int64_t align_elems; /* RANGES: range borders are multiples of this */
    bool reversed;       /* RANGES or slabs of a file in Fortran order; boxes are then stored first axis fastest */
    int loop;            /* region whose turn matters, or -1 */
    int cut;             /* with a loop: LAYOUT: the axis, NEED: the index that it cuts */
    /* LAYOUT, NEED: one more than the axis of which the dimensions of the mesh that make no difference here, from `dealt_from` on,
     * have a part each, of what the turn has left of it and lies in the tensor; 0: none. Slabs of files are read and written so, and
     * it is what the ranks of a node bring for each other: see fuse_plan_shares. */
    int dealt, dealt_from;
};

struct fuse_plan;

/* The boxes of a rank at a turn, in storage order: each box is dense, one behind the other. Returns their number, 0 when
 * the rank holds nothing. */
int fuse_holding_boxes(struct fuse_box out[FUSE_MAX_RANGE_BOXES], const struct fuse_plan *plan,
                       const struct fuse_holding *holding, int rank, int64_t turn);
/* true when dimension d of the mesh has a part each of what a holding deals. */
bool fuse_holding_deals(const struct fuse_plan *plan, const struct fuse_holding *holding, int d);
/* Parts that a holding deals, and the part of a rank; 1 and 0 when it deals nothing. */
int64_t fuse_holding_dealt_parts(const struct fuse_plan *plan, const struct fuse_holding *holding);
int64_t fuse_holding_dealt_part(const struct fuse_plan *plan, const struct fuse_holding *holding,
                                const int coordinate[FUSE_MESH_MAX]);
/* Largest number of elements over ranks and turns. */
int64_t fuse_holding_max_elems(const struct fuse_plan *plan, const struct fuse_holding *holding);
/* The iteration box of an operation for a rank, and of a turn of `loop` that cuts index `cut`; loop -1 for none. There are
 * as many as the partition has halves. */
struct fuse_box fuse_iteration_box(const struct fuse_plan *plan, int op, const struct fuse_layout *partition, int loop,
                                   int cut, int rank, int64_t turn, int half);

/* A buffer of panels: true when what a rank reads from it at a turn lies in its own block, so that nothing is brought. */
bool fuse_plan_reads_in_place(const struct fuse_plan *plan, int buffer, int rank, int64_t turn);
/* The half of a doubled buffer that a turn uses. Panels: every turn before is looked at. */
int fuse_plan_half(const struct fuse_plan *plan, int buffer, int rank, int64_t turn);

/* Buffers of panels in a loop that are doubled, at most: exchanges that are under way beside the kernels. */
#define FUSE_PLAN_FLIGHTS 2

/* ---- steps, regions, buffers ---------------------------------------------------------------------------------- */

enum fuse_phase { FUSE_PHASE_LOAD, FUSE_PHASE_RUN, FUSE_PHASE_STORE, FUSE_PHASES };

enum fuse_step_kind {
    FUSE_STEP_READ,     /* source file -> `to` */
    FUSE_STEP_LITERAL,  /* program text -> `to` */
    FUSE_STEP_MOVE,     /* exchange: `from` under `have` -> `to` under `need`; clears what is outside the tensor */
    FUSE_STEP_REDUCE,   /* partials along mesh dimension `dim` of `to`: have -> need within the same buffer */
    FUSE_STEP_CONTRACT, /* operation on in[0], in[1] -> to */
    FUSE_STEP_MAP,      /* operation on in[..] -> to */
    FUSE_STEP_TUPLES, /* files of operation `op`'s relation -> `to`, what each rank needs of it, see fuse_plan_tuples */
    FUSE_STEP_JOIN,   /* operation on the tuples in[0] and in[1 ..] -> to */
    FUSE_STEP_WRITE,  /* `from` -> sink file */
    FUSE_STEP_PRINT,  /* rank 0 prints a small tensor, or a summary of a large one */
    FUSE_STEP_FEED, /* input `input` of the RULES operation `op` -> its rules: rows of files, what other rules derived, or the
                         cells of the dense value in `from`, under `have` */
    FUSE_STEP_SETTLE, /* FIXPOINT `op`: how far its tensor still moves, `from` under `have`, for the loop's end of turn */
    FUSE_STEP_RULES,    /* evaluates the rules of operation `op` */
    FUSE_STEP_LIST,     /* the tuples of the sink's relation -> its file, or rank 0 prints some of them */
    FUSE_STEP_ATTENTION /* operation on in[..] -> to */
};

#define FUSE_MAX_INPUTS 16 /* inputs of one operation */

struct fuse_step {
    enum fuse_step_kind kind;
    enum fuse_phase phase;
    int op;                         /* operation of the IR that the step serves */
    int from, to;                   /* buffers, or -1 */
    struct fuse_holding have, need; /* MOVE, REDUCE; READ: need is what to read; WRITE: have is what to write */
    int dim;                        /* REDUCE */
    int input;                      /* FEED */
    int in[FUSE_MAX_INPUTS];        /* CONTRACT, MAP, JOIN: buffers */
    struct fuse_layout partition;   /* CONTRACT, MAP, JOIN, TUPLES: of the iteration space */
    int loop;                       /* the loop region around the step, or -1; see UNTIL */
    int cut;                        /* CONTRACT, MAP, JOIN in a loop: the index that its turns cut */
    bool accumulate; /* CONTRACT, MAP, JOIN in a loop over a projected index: turns after the first add */
    int64_t slices; /* CONTRACT, MAP: kernels that a turn is cut into while the next panel is on its way; 0 or 1: one */
    /* Buffers for the tuples of a relation that rules derive have no bytes here: the executor gets them when it knows how many
     * there are, within what request.memory_bytes leaves beside planned buffers (fuse_plan_relation_bytes). */
    /* Staging for messages and, with device memory, for file pieces: one buffer that is halved into send and receive;
     * `pinned` is its twin in pinned memory (-1 when tensors live in host memory). A message is cut into pieces of at
     * most piece_bytes. TUPLES: staging is in memory that messages may use, for rows on their way, at most piece_bytes
     * from each rank to each other at a time, and for those that have come; pinned is a twin of `to`. */
    int staging, pinned;
    int64_t piece_bytes;
    /* Costs over all turns. Bytes that a rank must receive, in the dtype that travels. */
    int64_t received_bytes_max, received_bytes_total;
    int64_t flops_max, time_ps;
    int64_t hidden_ps; /* of time_ps: while other steps of the loop, which take longer, go on */
};

enum fuse_region_kind { FUSE_REGION_SEQ, FUSE_REGION_STEP, FUSE_REGION_LOOP };
/* PANEL: one operation, whose operands arrive in panels of one index. SLAB: file ranges piece by piece, or a chain of
 * operations along one axis that they share. UNTIL: the recursion of FIXPOINT `op`, until every SETTLE of a turn finds its
 * tensor settled; other loops may be in it. It cuts nothing: its turn, whose number is not known, is one turn in all
 * figures, and steps and holdings do not name it. */
enum fuse_loop_kind { FUSE_LOOP_PANEL, FUSE_LOOP_SLAB, FUSE_LOOP_UNTIL };

struct fuse_region {
    enum fuse_region_kind kind;
    int step;         /* STEP */
    int first, count; /* SEQ, LOOP: children are plan->child[first .. first + count) */
    enum fuse_loop_kind loop;
    int op,
        index; /* PANEL: the index of the operation that is cut; SLAB: of the first of a chain, or -1; UNTIL: index -1 */
    struct fuse_layout partition; /* PANEL: of that operation */
    int skew_input; /* PANEL: ranks start at their own block of this input's resident layout along the index; -1 none */
    struct fuse_layout skew_layout;
    bool skews_nodes; /* .. or at that of the first rank of their node */
    /* PANEL: a part of each of so many blocks of that layout in rotation, the own one first, so that what is brought is
     * spread over the loop; 0: one block after the other. turns is a multiple of it. */
    int64_t owners;
    int64_t turns;
};

struct fuse_buffer {
    int value; /* whose elements, or -1 (staging) */
    enum fuse_dtype dtype;
    enum fuse_memkind kind;
    struct fuse_holding holding; /* what it is laid out for */
    int64_t bytes, offset;       /* the same on every rank; offset in the arena of its kind */
    /* Two halves of bytes / 2: while one is computed with, the other is read into or written from, or a panel is on its way
     * to it. Of files they are for even and for odd turns of the holding's loop, of panels for every other one that a rank is
     * brought. */
    bool doubled;
    int resident;    /* panels: the buffer of the whole value; those in a rank's own block are read there. Else -1 */
    bool is_shared;  /* panels: they come in two stages, and are never read there */
    int first, last; /* positions in the top-level order at which it is first and last used */
    /* 'v' value, 'p' partial, 'g' gathered operand, 'f' file range, 't' tuples (value -1 too), 's' staging */
    char role;
};

/* The tuples that a JOIN reads on a rank: those whose place is in the rank's iteration box, at most once each, in compressed
 * sparse rows of 32 bits. They are sorted by the operation's indices that the relation is read through; the first of
 * these is the row. Positions count from the start of the box. Same on every rank; on some, fewer rows and tuples are used. */
struct fuse_tuples {
    int indices, index[FUSE_MAX_AXES]; /* of the operation, increasing; 0: one row of at most one tuple */
    int64_t rows, most;
    enum fuse_dtype dtype; /* of the values; BOOL: they have none */
    /* Bytes from the start of the buffer: where each row begins (rows + 1 of them) at 0, then the positions along the other
     * indices, then the values. */
    int64_t column_offset[FUSE_MAX_AXES], value_offset, bytes;
    /* An unsorted one on its way: its key, whose words order tuples as their positions do, the most significant first, and if it
     * has a value one more word. Index k is bits [shift, shift + width) of a word; bits[w] of word w are in use. */
    int words, word[FUSE_MAX_AXES], shift[FUSE_MAX_AXES], width[FUSE_MAX_AXES], bits[FUSE_MAX_AXES];
    int64_t row_bytes;
    /* What sorting wants: 1 << bucket_bits buckets by the first bits, of blocks of so many rows each, and rows to work with. */
    int bucket_bits;
    int64_t block_rows, blocks, spare_rows, unsorted_bytes;
};

/* A bucket of more rows than this is split by so many bits more. */
#define FUSE_TUPLE_BUCKET_ROWS (1 << 16)
#define FUSE_TUPLE_SPLIT_BITS 6

/* Operations that run one slab of an axis at a time, so that what passes between them is never whole; with them sinks, which
 * write what the turn has made, and sources that are streamed. In every one of them the axis is one index, split over the same mesh dimensions: the outermost `dims`. */
struct fuse_chain {
    int64_t extent; /* of the axis */
    int ops, dims;
    int64_t turns; /* about as many as its loop will have; the search reckons with them */
};

/* A source that a chain reads slab by slab. Chains that read the same one read its file each. */
struct fuse_stream {
    int chain, value, axis;
};

/* A few ranks at the corners and in the middle of the mesh, which the search looks at instead of all. */
#define FUSE_SAMPLES 4
struct fuse_samples {
    int n, coordinate[FUSE_SAMPLES][FUSE_MESH_MAX], rank[FUSE_SAMPLES];
};

struct fuse_plan {
    struct fuse_arena *arena;
    const struct fuse_ir *ir;
    struct fuse_plan_request request;
    struct fuse_mesh mesh;
    struct fuse_samples samples;
    struct fuse_memo *exchanges;   /* what exchanges cost that have been priced */
    struct fuse_layout *layout;    /* [values] resident layout */
    struct fuse_layout *partition; /* [ops] */
    int *order, *position;         /* [ops] execution order; chains stand together */
    FUSE_VEC(struct fuse_chain) chains;
    int *recursion;          /* [ops] the recursion that turns it, or -1; they stand together too */
    int *chain, *slab_index; /* [ops] the chain it belongs to and its index along the axis, or -1 */
    int *slab_axis;          /* [values] axis along the chain that makes it, or -1 (also when a chain sums it away) */
    bool *inner;             /* [values] used in its chain only: exists as slabs */
    bool *streamed;          /* [values] source that only chains read: exists as slabs in each of them */
    FUSE_VEC(struct fuse_stream) streams;
    int whole_value,
        whole_op; /* the largest source that was to stream and cannot, and an operation that keeps it; or -1 */
    FUSE_VEC(struct fuse_step) steps;
    FUSE_VEC(struct fuse_region) regions; /* regions.at[root] is the whole plan */
    FUSE_VEC(int) child;
    FUSE_VEC(struct fuse_buffer) buffers;
    int root;
    int64_t arena_bytes[FUSE_MEM_KINDS]; /* exact high-water of planned buffers per rank */
    int64_t peak_bytes;                  /* their sum */
    int64_t received_bytes_max[FUSE_PHASES], received_bytes_total[FUSE_PHASES]; /* busiest rank, all ranks */
    int64_t flops_max, time_ps;
    uint64_t hash;
};

/* What operation `op`, a JOIN, needs of its relation under a partition. Of one that is derived `most` is all that there is room
 * for, and the rest follows from that. */
struct fuse_tuples fuse_plan_tuples(const struct fuse_plan *plan, int op, const struct fuse_layout *partition);
/* The offsets for another `most`. */
void fuse_tuples_place(struct fuse_tuples *tuples);
/* What a rank may hold of relations whose size depends on the data, rules at work included; 0: no limit. */
int64_t fuse_plan_relation_bytes(const struct fuse_plan *plan);
/* What some rank holds at least of the tuples that rules are fed with from files. */
int64_t fuse_plan_given_bytes(const struct fuse_ir *ir, const struct fuse_op *op, int ranks);
/* What rules need of a rank's memory to begin with, beside planned buffers and the base; 0 without rules. What they derive comes on
 * top of it. */
int64_t fuse_plan_rules_bytes(const struct fuse_ir *ir, const struct fuse_plan_request *request);

/* Plans the whole program. MEMORY (71) when nothing fits: the message names the smallest memory and the smallest number
 * of ranks that would do, the note the largest tensors and the operations that need them. */
enum fuse_status fuse_plan_make(struct fuse_plan **out, struct fuse_arena *arena, const struct fuse_ir *ir,
                                const struct fuse_plan_request *request, struct fuse_error *err) FUSE_CHECKED;

/* Layouts, steps, bytes, flops, peak; stable text. */
void fuse_plan_print(struct fuse_text *text, const struct fuse_plan *plan);

/* The same and more as one JSON object: tensors, steps, buffers. */
void fuse_plan_print_json(struct fuse_text *text, const struct fuse_plan *plan);
/* "C", or "%3" for an intermediate. */
void fuse_plan_print_value(struct fuse_text *text, const struct fuse_plan *plan, int value);
/* A line of fuse_plan_print, with its end. */
void fuse_plan_print_step(struct fuse_text *text, const struct fuse_plan *plan, int step);
/* The rules of a RULES operation stratum by stratum: how atoms are joined, what is asked of which relation, how many tuples relations
 * have at most. */
void fuse_plan_print_rules(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_op *op);
void fuse_plan_print_rules_json(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_op *op);
const char *fuse_step_kind_name(enum fuse_step_kind kind); /* "move", .. */

/* ---- messages ------------------------------------------------------------------------------------------------- */

/* An exchange in two stages, where ranks of a node need the same: a MOVE to a part for each of them brings every element to the node
 * once, and a second one, within the buffer of the first, brings each rank what the others have. */
bool fuse_plan_shares(const struct fuse_step *step);   /* the first stage */
bool fuse_plan_collects(const struct fuse_step *step); /* the second */
/* A MOVE that brings panels of a loop, as far ahead as there are halves of its buffer. */
bool fuse_plan_brings_panels(const struct fuse_plan *plan, const struct fuse_step *step);

/* What two ranks exchange in one MOVE or REDUCE step at one turn, as pieces of at most piece_bytes: both sides compute
 * the same list from the plan. */
struct fuse_piece {
    struct fuse_box box;  /* in the tensor's coordinates */
    int from_box, to_box; /* which box of the sender's `have`, of the receiver's `need` it lies in */
};

/* Walks the pieces that `sender` owes `receiver`. Zero the struct, set the fields of the first group, then call next. */
struct fuse_pieces {
    const struct fuse_plan *plan;
    const struct fuse_step *step;
    int sender, receiver;
    int64_t turn;
    /* private */
    bool started;
    int have_boxes, need_boxes, pair;
    int64_t piece, pieces;
    struct fuse_box part;
};

bool fuse_pieces_next(struct fuse_piece *out, struct fuse_pieces *walk);
/* The boxes that a receiver needs in a MOVE or REDUCE step: the step's `need`. */
int fuse_exchange_need(struct fuse_box out[FUSE_MAX_RANGE_BOXES], const struct fuse_plan *plan,
                       const struct fuse_step *step, int receiver, int64_t turn);

/* A box cut into pieces of at most max_elems elements (at least one each), along its outermost axes first. */
int64_t fuse_box_piece_count(const struct fuse_box *box, int64_t max_elems);
struct fuse_box fuse_box_piece(const struct fuse_box *box, int64_t max_elems, int64_t piece);

/* true when sender and receiver exchange nothing in the step, cheaply and conservatively (false may still be empty). */
bool fuse_pieces_none(const struct fuse_plan *plan, const struct fuse_step *step, int sender, int receiver);

/* ---- proof ---------------------------------------------------------------------------------------------------- */

/* Replays the plan for all ranks in one process on element numbers instead of values: every element that a step reads
 * must be there, every partial must be complete when it is used, every tensor must be written whole, and the bytes that
 * travel must be the planned ones. VERIFY with what is wrong. Memory grows with the tensors: for small programs. */
enum fuse_status fuse_plan_replay(const struct fuse_plan *plan, struct fuse_error *err) FUSE_CHECKED;

#endif
