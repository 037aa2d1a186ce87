/* A map call made ready to run: the order of its loops, where each operand's elements lie along them, and the body as a
 * list of tile kernels. Made once a call by cpu_map_plan.c, run by cpu_map.c. Local. */
#ifndef FUSE_BACKEND_CPU_MAP_H
#define FUSE_BACKEND_CPU_MAP_H

#include "backend/cpu.h"
#include "backend/cpu_walk.h"

/* Bytes of a result that has left the caches before anybody reads it: writing it without reading its lines first saves a third of
 * the way through memory. */
#define FUSE_MAP_LARGE ((int64_t)16 << 20)
#define FUSE_MAP_LONG (4 * FUSE_TILE) /* most elements of a tile that needs no accumulators of its own */
#define FUSE_MAP_GELUS 4              /* bodies with more have the others in several steps */

enum fuse_map_shape {
    FUSE_MAP_ELEMENTS, /* no reduced index */
    FUSE_MAP_ROWS,     /* tiles run along the reduced indices, each row is folded to one element */
    FUSE_MAP_COLUMNS,  /* tiles run along the kept indices, reduced points are added to a row of accumulators */
    FUSE_MAP_NARROW /* so few kept points that tiles hold several rows of them: along the reduced, then the kept indices */
};

enum fuse_map_action { FUSE_MAP_DONE, FUSE_MAP_LOAD, FUSE_MAP_RAMP, FUSE_MAP_OP, FUSE_MAP_UNUSED };

/* One node of the body. Nodes that depend on constants only are computed once a thread, before the tiles. */
struct fuse_map_step {
    enum fuse_map_action action;
    bool invariant;
    enum fuse_tile_class class;
    int a, b, c, source;
    fuse_tile_op *op;
    int64_t integer;
    const double *constant; /* [5] of gelu, or NULL */
    size_t slot;            /* offset of its buffer in the thread's tile buffers */
};

/* Where a LOAD's elements, or an IOTA's numbers, come from. `outer` are its strides along the reduced loops of COLUMNS. */
struct fuse_map_source {
    const char *data;
    size_t bytes;
    int64_t first; /* IOTA: the number at the origin */
    bool in_place; /* a run of stride 1 is a tile as it lies in memory */
    fuse_tile_load *load;
    fuse_tile_runs *runs; /* for runs that are short, NULL: they are long, or converted */
    struct fuse_walk walk;
    int64_t outer[FUSE_MAX_AXES];
};

struct fuse_map_plan {
    const struct fuse_map_call *call;
    const struct fuse_tile_table *tile;
    enum fuse_map_shape shape;
    enum fuse_reduce reduce;
    enum fuse_tile_class class, acc_class; /* of the body, of the accumulators */
    int64_t kept, reduced;                 /* points */
    int outers;                            /* reduced loops of COLUMNS, outermost first */
    int64_t outer_extent[FUSE_MAX_AXES];
    int64_t length;  /* elements of a tile */
    bool plain;      /* the body is one operand, whose elements are reduced where they lie */
    bool products;   /* .. or a product of two of reals, the same or not, that is summed along rows .. */
    int factor[2];   /* .. these sources */
    bool streams;    /* the result is so large that its tiles are written past the caches */
    bool paces;      /* the last step is one that fetches and streams as it goes */
    bool last_paces; /* .. of a result that is large */
    int nodes, sources;
    struct fuse_map_step *step;
    struct fuse_map_source *source;
    double constant[FUSE_MAP_GELUS][5];
    int gelus;
    struct fuse_walk out;     /* along the kept indices */
    fuse_tile_runs *out_runs; /* as a source's */
    fuse_tile_load *reload;   /* the old value of an accumulating result */
    size_t slot_bytes;        /* of all tile buffers of one thread */
};

size_t fuse_tile_class_bytes(enum fuse_tile_class class);
/* The plan borrows the call. Close frees its lists. */
enum fuse_status fuse_map_plan_open(struct fuse_map_plan *plan, const struct fuse_cpu_backend *cpu,
                                    const struct fuse_map_call *call, struct fuse_error *err) FUSE_CHECKED;
void fuse_map_plan_close(struct fuse_map_plan *plan);

/* Tiles [begin, end) of an ELEMENTS plan in one thread's scratch memory; true when an integer operation overflowed. */
bool fuse_map_run_tiles(const struct fuse_map_plan *plan, char *scratch, int64_t begin, int64_t end);

/* All of an ELEMENTS plan in one thread, tiles cut so that none crosses a border of the result's runs. */
bool fuse_map_run_part(const struct fuse_map_plan *plan, char *scratch);
/* After data and origin of the plan's call, but no extent, have changed. */
void fuse_map_plan_aim(struct fuse_map_plan *plan);

/* Narrows the call to `extent` elements of index x from `begin`; operand is its list, which may be written. */
void fuse_map_narrow(struct fuse_map_call *part, struct fuse_operand_view *operand, int x, int64_t begin,
                     int64_t extent);

/* cpu_map_blocks.c: element-wise maps with an operand that runs across the result. *done is false when there is none, or
 * the map is small; nothing is done then. *overflow is set, never cleared. */
bool fuse_map_runs_across(const struct fuse_map_call *call); /* whether there is one */
enum fuse_status fuse_map_run_blocks(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan, bool *done,
                                     bool *overflow, struct fuse_error *err) FUSE_CHECKED;

#endif
