#include "backend/cpu_map.h"

#include "backend/cpu_stream.h"

#include <math.h>
#include <string.h>

/* Tiles of COLUMNS that are accumulated together, so that each pass over the operands reads longer runs. */
#define GROUP 4
/* A reduction with few results is cut in chunks, whatever the number of threads, so that they all have work. */
#define FEW_ROWS 16
#define ROW_CHUNKS 64
#define SHORTEST_CHUNK 4096
#define PLAIN_RUN 16384 /* elements that are folded at once where they lie */
#define FETCH_AHEAD 8192
#define PACED_AHEAD 4096
#define FEW_COLUMNS 4096
#define COLUMN_CHUNKS 16
#define SHORTEST_RUN 64 /* for which tiles are cut */

/* One thread's state: where the tile of each node is, and the offsets of the reduced loops of COLUMNS. */
struct context {
    const struct fuse_map_plan *plan;
    const void **value; /* [nodes] */
    int64_t *outer;     /* [sources] */
    char *slots;
    char *acc;   /* GROUP tiles of accumulators */
    char *spare; /* two tiles: the old value, the rounded result */
    bool overflow;
    bool is_near; /* operands are in a cache, and what lies behind them is none of this call's */
    int64_t next; /* .. position of the tile after this one; -1: none */
    /* What is fetched while the last operation works. */
    const void *fetch[2];
    int fetches;
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t padded(int64_t n) {
    return (n + FUSE_TILE_LANES - 1) / FUSE_TILE_LANES * FUSE_TILE_LANES;
}

/* Repeats the last element up to whole vectors: a valid value raises no overflow that is not there. */
static void pad(void *tile, size_t bytes, int64_t n) {
    char *at = (char *)tile + (size_t)n * bytes;
    for (int64_t i = n; i % FUSE_TILE_LANES != 0; i++, at += bytes)
        memcpy(at, at - bytes, bytes);
}

static void run_op(struct context *x, const struct fuse_map_step *step, int64_t n, void *out, bool stream) {
    struct fuse_tile_args args = {.out = out,
                                  .a = x->value[step->a],
                                  .b = step->b >= 0 ? x->value[step->b] : NULL,
                                  .c = step->c >= 0 ? x->value[step->c] : NULL,
                                  .n = n,
                                  .integer = step->integer};
    if (step->constant)
        memcpy(args.constant, step->constant, sizeof args.constant);
    args.stream = stream;
    memcpy(args.fetch, x->fetch, sizeof args.fetch);
    step->op(&args);
    x->overflow |= args.overflow;
}

#define FILL(type, value)           \
    for (int64_t i = 0; i < n; i++) \
    ((type *)tile)[i] = (type)(value)

static void fill_const(void *tile, const struct fuse_scalar_node *node, int64_t n) {
    switch (fuse_tile_class(node->dtype)) {
    case FUSE_TILE_BOOL: FILL(uint8_t, node->integer != 0); break;
    case FUSE_TILE_I64: FILL(int64_t, node->integer); break;
    case FUSE_TILE_F32: FILL(float, node->real); break;
    default: FILL(double, node->real); break;
    }
}

static void open_context(struct context *x, const struct fuse_map_plan *plan, char *scratch) {
    *x = (struct context){.plan = plan, .acc = scratch};
    x->spare = x->acc + (size_t)GROUP * FUSE_TILE * 8;
    x->value = (const void **)(x->spare + (size_t)2 * FUSE_TILE * 8 + 128);
    x->outer = (int64_t *)(x->value + plan->nodes);
    x->slots = scratch + ((size_t)((char *)(x->outer + plan->nodes) - scratch) + 63) / 64 * 64;
    for (int s = 0; s < plan->sources; s++)
        x->outer[s] = 0;
    for (int i = 0; i < plan->nodes; i++) {
        const struct fuse_map_step *step = &plan->step[i];
        x->value[i] = x->slots + step->slot;
        if (step->action == FUSE_MAP_DONE)
            fill_const(x->slots + step->slot, &plan->call->body->node[i], plan->length);
        else if (step->invariant && step->action != FUSE_MAP_UNUSED)
            run_op(x, step, plan->length, x->slots + step->slot, false);
    }
}

/* While this tile is worked on, those behind it come nearer: operations one by one leave memory idle else. Where the
 * last one takes long, or writes to memory itself, that happens line by line in between. */
static void fetch_ahead(struct context *x, const struct fuse_map_source *source, const char *tile, int64_t bytes) {
    if (x->is_near) {
        struct fuse_walk_point point;
        if (!x->plan->paces || x->next < 0 || x->fetches == 2)
            return;
        fuse_walk_seek(&source->walk, x->next, &point);
        x->fetch[x->fetches++] = source->data + point.offset * (int64_t)source->bytes;
        return;
    }
    if ((x->plan->streams || x->plan->last_paces) && x->fetches < 2) {
        x->fetch[x->fetches++] = tile + PACED_AHEAD;
        return;
    }
    for (int64_t line = 0; line < bytes && x->plan->shape == FUSE_MAP_ELEMENTS; line += 64)
        __builtin_prefetch(tile + FETCH_AHEAD + line, 0, 2);
}

static void load_tile(struct context *x, int node, int64_t first, int64_t n) {
    const struct fuse_map_plan *plan = x->plan;
    const struct fuse_map_step *step = &plan->step[node];
    const struct fuse_map_source *source = &plan->source[step->source];
    struct fuse_walk_point point;
    fuse_walk_seek(&source->walk, first, &point);
    point.offset += x->outer[step->source];
    const int64_t stride = source->walk.stride[0];
    if (source->in_place && stride == 1 && n % FUSE_TILE_LANES == 0 && fuse_walk_run(&source->walk, &point) >= n) {
        x->value[node] = source->data + point.offset * (int64_t)source->bytes;
        fetch_ahead(x, source, x->value[node], n * (int64_t)source->bytes);
        return;
    }
    char *to = x->slots + step->slot;
    const size_t bytes = fuse_tile_class_bytes(step->class);
    for (int64_t done = 0; done < n;) {
        const struct fuse_walk *walk = &source->walk;
        int64_t run = fuse_walk_run(walk, &point);
        if (source->runs && run <= n - done && fuse_walk_runs(walk, &point) > 0) {
            int64_t runs = least(fuse_walk_runs(walk, &point), (n - done) / run);
            source->runs(to + (size_t)done * bytes, 1, run, source->data + point.offset * (int64_t)source->bytes,
                         stride, walk->stride[1], run, runs);
            fuse_walk_step(walk, &point, 1, runs);
            done += runs * run;
            continue;
        }
        if (run > n - done)
            run = n - done;
        if (step->action == FUSE_MAP_RAMP)
            plan->tile->ramp((int64_t *)to + done, source->first + point.offset, stride, run);
        else
            source->load(to + (size_t)done * bytes, source->data + point.offset * (int64_t)source->bytes, stride, run);
        fuse_walk_advance(&source->walk, &point, run);
        done += run;
    }
    pad(to, bytes, n);
    x->value[node] = to;
}

/* The body at n points from position `first` of the tile's space. The last node may write straight to `direct`. */
static const void *evaluate(struct context *x, int64_t first, int64_t n, void *direct) {
    const struct fuse_map_plan *plan = x->plan;
    const int64_t whole = padded(n);
    x->fetches = 0;
    x->fetch[0] = x->fetch[1] = NULL;
    for (int i = 0; i < plan->nodes; i++) {
        const struct fuse_map_step *step = &plan->step[i];
        if (step->invariant)
            continue;
        if (step->action != FUSE_MAP_OP) {
            load_tile(x, i, first, n);
            continue;
        }
        const bool goes_out = direct != NULL && i == plan->nodes - 1;
        void *out = goes_out ? direct : x->slots + step->slot;
        run_op(x, step, whole, out, goes_out && plan->streams);
        x->value[i] = out;
    }
    return x->value[plan->nodes - 1];
}

static void store_tile(const struct fuse_map_plan *plan, const void *from, int64_t first, int64_t n) {
    const enum fuse_dtype dtype = plan->call->out.dtype;
    const size_t bytes = fuse_dtype_bytes(dtype), step = fuse_tile_class_bytes(plan->class);
    const struct fuse_walk *walk = &plan->out;
    fuse_tile_store *store = plan->tile->store[plan->class][dtype];
    struct fuse_walk_point point;
    fuse_walk_seek(walk, first, &point);
    for (int64_t done = 0; done < n;) {
        int64_t run = fuse_walk_run(walk, &point);
        if (plan->out_runs && run <= n - done && fuse_walk_runs(walk, &point) > 0) {
            int64_t runs = least(fuse_walk_runs(walk, &point), (n - done) / run);
            plan->out_runs((char *)plan->call->out.data + point.offset * (int64_t)bytes, walk->stride[0],
                           walk->stride[1], (const char *)from + (size_t)done * step, 1, run, run, runs);
            fuse_walk_step(walk, &point, 1, runs);
            done += runs * run;
            continue;
        }
        if (run > n - done)
            run = n - done;
        store((char *)plan->call->out.data + point.offset * (int64_t)bytes, walk->stride[0],
              (const char *)from + (size_t)done * step, run);
        fuse_walk_advance(walk, &point, run);
        done += run;
    }
}

/* The result's own memory, when a whole tile can be computed there. */
static void *direct_target(const struct fuse_map_plan *plan, int64_t first, int64_t n) {
    if (plan->reduce != FUSE_REDUCE_NONE || plan->call->out.dtype != fuse_tile_dtype(plan->class) ||
        plan->out.stride[0] != 1 || n % FUSE_TILE_LANES != 0)
        return NULL;
    struct fuse_walk_point point;
    fuse_walk_seek(&plan->out, first, &point);
    if (fuse_walk_run(&plan->out, &point) < n)
        return NULL;
    return (char *)plan->call->out.data + point.offset * (int64_t)fuse_dtype_bytes(plan->call->out.dtype);
}

static void fill_neutral(const struct fuse_map_plan *plan, void *acc, int64_t n) {
    const bool low = plan->reduce == FUSE_REDUCE_MAX;
    const double real = plan->reduce == FUSE_REDUCE_PROD  ? 1
                        : plan->reduce == FUSE_REDUCE_MIN ? INFINITY
                        : low                             ? -INFINITY
                                                          : 0;
    const int64_t integer = plan->reduce == FUSE_REDUCE_PROD  ? 1
                            : plan->reduce == FUSE_REDUCE_AND ? 1
                            : plan->reduce == FUSE_REDUCE_MIN ? INT64_MAX
                            : low                             ? INT64_MIN
                                                              : 0;
    struct fuse_scalar_node node = {.dtype = fuse_tile_dtype(plan->acc_class), .real = real, .integer = integer};
    fill_const(acc, &node, n);
}

/* Adds the old values where the call accumulates, rounds, converts and stores n accumulators. */
static void finish(struct context *x, void *acc, int64_t first, int64_t n) {
    const struct fuse_map_plan *plan = x->plan;
    if (plan->call->accumulate) {
        char *old = x->spare;
        const size_t bytes = fuse_tile_class_bytes(plan->class), out_bytes = fuse_dtype_bytes(plan->call->out.dtype);
        struct fuse_walk_point point;
        fuse_walk_seek(&plan->out, first, &point);
        for (int64_t done = 0; done < n;) {
            int64_t run = fuse_walk_run(&plan->out, &point);
            if (run > n - done)
                run = n - done;
            plan->reload(old + (size_t)done * bytes,
                         (const char *)plan->call->out.data + point.offset * (int64_t)out_bytes, plan->out.stride[0],
                         run);
            fuse_walk_advance(&plan->out, &point, run);
            done += run;
        }
        plan->tile->accumulate[plan->reduce][plan->class](acc, old, 0, 1, n, &x->overflow);
    }
    if (plan->acc_class != plan->class) {
        char *rounded = x->spare + (size_t)FUSE_TILE * 8 + 64;
        plan->tile->store[plan->acc_class][fuse_tile_dtype(plan->class)](rounded, 1, acc, n);
        acc = rounded;
    }
    store_tile(plan, acc, first, n);
}

static int worth(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan, int64_t parts) {
    int64_t points = fuse_sat_mul(plan->kept, plan->reduced);
    return fuse_cpu_threads(cpu, parts, fuse_sat_mul(points, 1 + plan->nodes / 4));
}

static char *thread_scratch(const struct fuse_cpu_backend *cpu, int thread) {
    return cpu->scratch + (size_t)thread * FUSE_CPU_SCRATCH;
}

/* n elements from position `first` of an ELEMENTS plan. */
static void run_tile(struct context *x, int64_t first, int64_t n) {
    const struct fuse_map_plan *plan = x->plan;
    void *direct = direct_target(plan, first, n);
    const bool there = !plan->streams || (plan->last_paces && (uintptr_t)direct % FUSE_CPU_LINE == 0);
    const void *value = evaluate(x, first, n, there ? direct : NULL);
    if (plan->reduce != FUSE_REDUCE_NONE) {
        fill_neutral(plan, x->acc, padded(n));
        plan->tile->accumulate[plan->reduce][plan->class](x->acc, value, 0, 1, n, &x->overflow);
        finish(x, x->acc, first, n);
    } else if (direct && value != direct) {
        plan->tile->stream(direct, value, n * (int64_t)fuse_tile_class_bytes(plan->class), x->fetch);
    } else if (value != direct) {
        store_tile(plan, value, first, n);
    }
}

bool fuse_map_run_tiles(const struct fuse_map_plan *plan, char *scratch, int64_t begin, int64_t end) {
    struct context x;
    open_context(&x, plan, scratch);
    for (int64_t t = begin; t < end; t++) {
        int64_t first = t * plan->length, n = plan->kept - first < plan->length ? plan->kept - first : plan->length;
        run_tile(&x, first, n);
    }
    if (plan->streams)
        fuse_stream_fence();
    return x.overflow;
}

bool fuse_map_run_part(const struct fuse_map_plan *plan, char *scratch) {
    const int64_t run = plan->out.axes > 1 && plan->out.extent[0] >= SHORTEST_RUN ? plan->out.extent[0] : plan->kept,
                  tiles = (run + plan->length - 1) / plan->length, length = padded((run + tiles - 1) / tiles);
    struct context x;
    open_context(&x, plan, scratch);
    x.is_near = true;
    for (int64_t first = 0; first < plan->kept; first += run)
        for (int64_t t = 0; t < run; t += length) {
            const int64_t n = run - t < length ? run - t : length;
            x.next = first + t + n < plan->kept ? first + t + n : -1;
            run_tile(&x, first + t, n);
        }
    return x.overflow;
}

static bool run_elements(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan) {
    const int64_t tiles = (plan->kept + plan->length - 1) / plan->length;
    const int threads = worth(cpu, plan, tiles);
    bool overflow = false;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(|| : overflow)
    for (int thread = 0; thread < threads; thread++)
        overflow = fuse_map_run_tiles(plan, thread_scratch(cpu, thread), tiles * thread / threads,
                                      tiles * (thread + 1) / threads) ||
                   overflow;
    return overflow;
}

/* Folds n points from `first`, a row's or a part of it, into *acc: of a plain body .. */
static void fold_in_place(struct context *x, void *acc, int64_t first, int64_t n) {
    const struct fuse_map_plan *plan = x->plan;
    const struct fuse_map_source *source = &plan->source[0];
    struct fuse_walk_point point;
    fuse_walk_seek(&source->walk, first, &point);
    while (n > 0) {
        const int64_t run = least(fuse_walk_run(&source->walk, &point), least(n, PLAIN_RUN));
        plan->tile->fold[plan->reduce][plan->class](acc, source->data + point.offset * (int64_t)source->bytes, run,
                                                    &x->overflow);
        fuse_walk_advance(&source->walk, &point, run);
        n -= run;
    }
}

/* .. or of a product of two operands. */
static void fold_products(struct context *x, void *acc, int64_t first, int64_t n) {
    const struct fuse_map_plan *plan = x->plan;
    const struct fuse_map_source *a = &plan->source[plan->factor[0]], *b = &plan->source[plan->factor[1]];
    struct fuse_walk_point p, q;
    fuse_walk_seek(&a->walk, first, &p);
    fuse_walk_seek(&b->walk, first, &q);
    while (n > 0) {
        const int64_t run = least(least(fuse_walk_run(&a->walk, &p), fuse_walk_run(&b->walk, &q)), least(n, PLAIN_RUN));
        plan->tile->fold_products[plan->class](acc, a->data + p.offset * (int64_t)a->bytes,
                                               b->data + q.offset * (int64_t)b->bytes, run);
        fuse_walk_advance(&a->walk, &p, run);
        fuse_walk_advance(&b->walk, &q, run);
        n -= run;
    }
}

/* Folds points [begin, end) of one row into *acc. */
static void fold_part(struct context *x, void *acc, int64_t row, int64_t begin, int64_t end) {
    const struct fuse_map_plan *plan = x->plan;
    if (plan->plain || plan->products) {
        (plan->plain ? fold_in_place : fold_products)(x, acc, row * plan->reduced + begin, end - begin);
        return;
    }
    for (int64_t r = begin; r < end; r += plan->length) {
        int64_t n = end - r < plan->length ? end - r : plan->length;
        const void *value = evaluate(x, row * plan->reduced + r, n, NULL);
        plan->tile->fold[plan->reduce][plan->class](acc, value, n, &x->overflow);
    }
}

/* Rows shorter than a tile: as many whole rows as fit in one. */
static void fold_rows(struct context *x, char *acc, int64_t row, int64_t rows) {
    const struct fuse_map_plan *plan = x->plan;
    const size_t bytes = fuse_tile_class_bytes(plan->class), acc_bytes = fuse_tile_class_bytes(plan->acc_class);
    const int64_t at_once = plan->length / plan->reduced;
    for (int64_t r = 0; r < rows; r += at_once) {
        int64_t n = rows - r < at_once ? rows - r : at_once;
        const char *value = evaluate(x, (row + r) * plan->reduced, n * plan->reduced, NULL);
        for (int64_t i = 0; i < n; i++)
            plan->tile->fold[plan->reduce][plan->class](acc + (size_t)(r + i) * acc_bytes,
                                                        value + (size_t)(i * plan->reduced) * bytes, plan->reduced,
                                                        &x->overflow);
    }
}

/* Rows in pieces that are far apart are folded a part of each at a time: where one row's pieces end, the next one's begin. */
static int64_t row_part(const struct fuse_map_plan *plan) {
    for (int s = 0; s < plan->sources; s++)
        if (plan->source[s].walk.stride[0] == 1 && plan->source[s].walk.extent[0] < plan->reduced)
            return plan->length;
    return plan->reduced;
}

static bool run_rows(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan) {
    const int64_t part = row_part(plan);
    int64_t block = plan->reduced >= 65536 ? 1 : 65536 / plan->reduced;
    block = block < FUSE_TILE ? block : FUSE_TILE;
    const int64_t blocks = (plan->kept + block - 1) / block;
    const int threads = worth(cpu, plan, blocks);
    const size_t acc_bytes = fuse_tile_class_bytes(plan->acc_class);
    bool overflow = false;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(|| : overflow)
    for (int thread = 0; thread < threads; thread++) {
        struct context x;
        open_context(&x, plan, thread_scratch(cpu, thread));
        for (int64_t b = blocks * thread / threads; b < blocks * (thread + 1) / threads; b++) {
            int64_t row = b * block, rows = plan->kept - row < block ? plan->kept - row : block;
            fill_neutral(plan, x.acc, rows);
            if (plan->reduced < (plan->plain || plan->products ? FUSE_TILE : plan->length))
                fold_rows(&x, x.acc, row, rows);
            else
                for (int64_t p = 0; p < plan->reduced; p += part)
                    for (int64_t r = 0; r < rows; r++)
                        fold_part(&x, x.acc + (size_t)r * acc_bytes, row + r, p,
                                  plan->reduced - p < part ? plan->reduced : p + part);
            finish(&x, x.acc, row, rows);
        }
        overflow = overflow || x.overflow;
    }
    return overflow;
}

/* Few long rows: each is cut in chunks, their partial results are folded in order. */
static bool run_long_rows(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan) {
    int64_t length = (plan->reduced + ROW_CHUNKS - 1) / ROW_CHUNKS;
    length = length < SHORTEST_CHUNK ? SHORTEST_CHUNK : length;
    length = (length + FUSE_TILE - 1) / FUSE_TILE * FUSE_TILE;
    const int64_t chunks = (plan->reduced + length - 1) / length, parts = plan->kept * chunks;
    const int threads = worth(cpu, plan, parts);
    const size_t acc_bytes = fuse_tile_class_bytes(plan->acc_class);
    bool overflow = false;
    fill_neutral(plan, cpu->partials, parts);
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(|| : overflow)
    for (int thread = 0; thread < threads; thread++) {
        struct context x;
        open_context(&x, plan, thread_scratch(cpu, thread));
        for (int64_t p = parts * thread / threads; p < parts * (thread + 1) / threads; p++) {
            int64_t begin = p % chunks * length, end = plan->reduced < begin + length ? plan->reduced : begin + length;
            fold_part(&x, cpu->partials + (size_t)p * acc_bytes, p / chunks, begin, end);
        }
        overflow = overflow || x.overflow;
    }
    struct context x;
    open_context(&x, plan, cpu->scratch);
    fill_neutral(plan, x.acc, plan->kept);
    for (int64_t row = 0; row < plan->kept; row++)
        plan->tile->fold[plan->reduce][plan->acc_class](
            x.acc + (size_t)row * acc_bytes, cpu->partials + (size_t)(row * chunks) * acc_bytes, chunks, &x.overflow);
    finish(&x, x.acc, 0, plan->kept);
    return overflow || x.overflow;
}

static void seek_outer(struct context *x, int64_t *at, int64_t position) {
    const struct fuse_map_plan *plan = x->plan;
    for (int o = plan->outers - 1; o >= 0; o--) {
        at[o] = position % plan->outer_extent[o];
        position /= plan->outer_extent[o];
    }
    for (int s = 0; s < plan->sources; s++) {
        x->outer[s] = 0;
        for (int o = 0; o < plan->outers; o++)
            x->outer[s] += at[o] * plan->source[s].outer[o];
    }
}

/* A plain body's `rows` rows, `stride` apart, from where the outer loops are. */
static void add_in_place(struct context *x, char *acc, int64_t first, int64_t n, int64_t stride, int64_t rows) {
    const struct fuse_map_plan *plan = x->plan;
    const struct fuse_map_source *source = &plan->source[0];
    struct fuse_walk_point point;
    fuse_walk_seek(&source->walk, first, &point);
    for (int64_t done = 0; done < n;) {
        const int64_t run = least(fuse_walk_run(&source->walk, &point), n - done);
        plan->tile->accumulate[plan->reduce][plan->class](
            acc + (size_t)done * fuse_tile_class_bytes(plan->acc_class),
            source->data + (point.offset + x->outer[0]) * (int64_t)source->bytes, stride, rows, run, &x->overflow);
        fuse_walk_advance(&source->walk, &point, run);
        done += run;
    }
}

/* Adds reduced points [begin, end) to the accumulators of n kept points from `first`, GROUP tiles at most. */
static void add_columns(struct context *x, char *acc, int64_t first, int64_t n, int64_t begin, int64_t end) {
    const struct fuse_map_plan *plan = x->plan;
    const size_t acc_bytes = fuse_tile_class_bytes(plan->acc_class);
    fuse_tile_accumulate *accumulate = plan->tile->accumulate[plan->reduce][plan->class];
    const int inner = plan->outers - 1;
    int64_t at[FUSE_MAX_AXES] = {0}, rows = 1;
    for (int64_t r = begin; r < end; r += rows) {
        seek_outer(x, at, r);
        if (plan->plain) {
            if (inner >= 0)
                rows =
                    plan->outer_extent[inner] - at[inner] < end - r ? plan->outer_extent[inner] - at[inner] : end - r;
            add_in_place(x, acc, first, n, inner >= 0 ? plan->source[0].outer[inner] : 0, rows);
            continue;
        }
        for (int64_t i = 0; i < n; i += plan->length) {
            int64_t part = n - i < plan->length ? n - i : plan->length;
            const void *value = evaluate(x, first + i, part, NULL);
            accumulate(acc + (size_t)i * acc_bytes, value, 0, 1, part, &x->overflow);
        }
    }
}

/* Adds reduced points [begin, end) to the accumulators of all kept points, a tile of several such points at a time. */
static void add_narrow(struct context *x, char *acc, int64_t begin, int64_t end) {
    const struct fuse_map_plan *plan = x->plan;
    const int64_t kept = plan->kept, most = plan->length / kept, whole = most / FUSE_TILE_LANES * FUSE_TILE_LANES,
                  rows = whole > 0 ? whole : most; /* dense tiles of whole vectors are read where they lie */
    const struct fuse_walk *walk = &plan->source[0].walk;
    fuse_tile_accumulate *accumulate = plan->tile->accumulate[plan->reduce][plan->class];
    int64_t r = begin;
    if (end - begin >= 2 * rows) {
        fill_neutral(plan, x->acc, rows * kept);
        if (plan->plain && walk->axes == 1) {
            const int64_t tiles = (end - begin) / rows;
            add_in_place(x, x->acc, r * kept, rows * kept, rows * kept, tiles);
            r += tiles * rows;
        }
        for (; r + rows <= end; r += rows)
            accumulate(x->acc, evaluate(x, r * kept, rows * kept, NULL), 0, 1, rows * kept, &x->overflow);
        plan->tile->accumulate[plan->reduce][plan->acc_class](acc, x->acc, kept, rows, kept, &x->overflow);
    }
    for (; r < end; r += rows) {
        const int64_t n = end - r < rows ? end - r : rows;
        accumulate(acc, evaluate(x, r * kept, n * kept, NULL), kept, n, kept, &x->overflow);
    }
}

static bool run_columns(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan) {
    /* Shorter groups where they are needed to give every thread some: the results do not depend on it. */
    int64_t group = GROUP * plan->length;
    while (group > plan->length && plan->kept / group < 4 * (int64_t)cpu->threads)
        group /= 2;
    const int64_t groups = (plan->kept + group - 1) / group;
    const int threads = worth(cpu, plan, groups);
    const size_t acc_bytes = fuse_tile_class_bytes(plan->acc_class);
    bool overflow = false;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(|| : overflow)
    for (int thread = 0; thread < threads; thread++) {
        struct context x;
        open_context(&x, plan, thread_scratch(cpu, thread));
        for (int64_t g = groups * thread / threads; g < groups * (thread + 1) / threads; g++) {
            int64_t first = g * group, n = plan->kept - first < group ? plan->kept - first : group;
            fill_neutral(plan, x.acc, padded(n));
            add_columns(&x, x.acc, first, n, 0, plan->reduced);
            for (int64_t i = 0; i < n; i += FUSE_TILE)
                finish(&x, x.acc + (size_t)i * acc_bytes, first + i, n - i < FUSE_TILE ? n - i : FUSE_TILE);
        }
        overflow = overflow || x.overflow;
    }
    return overflow;
}

/* Few columns: the reduced points are cut in chunks, each with accumulators of its own. */
static bool run_long_columns(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan) {
    const int64_t whole = padded(plan->kept), chunks = plan->reduced >= 4 * COLUMN_CHUNKS ? COLUMN_CHUNKS : 1;
    const int threads = worth(cpu, plan, chunks);
    const size_t acc_bytes = fuse_tile_class_bytes(plan->acc_class);
    bool overflow = false;
    fill_neutral(plan, cpu->partials, chunks * whole);
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(|| : overflow)
    for (int thread = 0; thread < threads; thread++) {
        struct context x;
        open_context(&x, plan, thread_scratch(cpu, thread));
        for (int64_t c = chunks * thread / threads; c < chunks * (thread + 1) / threads; c++) {
            char *acc = cpu->partials + (size_t)(c * whole) * acc_bytes;
            const int64_t begin = fuse_split_begin(plan->reduced, chunks, c),
                          end = fuse_split_begin(plan->reduced, chunks, c + 1);
            if (plan->shape == FUSE_MAP_NARROW)
                add_narrow(&x, acc, begin, end);
            else
                add_columns(&x, acc, 0, plan->kept, begin, end);
        }
        overflow = overflow || x.overflow;
    }
    struct context x;
    open_context(&x, plan, cpu->scratch);
    plan->tile->accumulate[plan->reduce][plan->acc_class](cpu->partials, cpu->partials + (size_t)whole * acc_bytes,
                                                          whole, chunks - 1, whole, &x.overflow);
    for (int64_t i = 0; i < plan->kept; i += FUSE_TILE)
        finish(&x, cpu->partials + (size_t)i * acc_bytes, i, plan->kept - i < FUSE_TILE ? plan->kept - i : FUSE_TILE);
    return overflow || x.overflow;
}

static bool run_plan(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan) {
    switch (plan->shape) {
    case FUSE_MAP_ELEMENTS: return run_elements(cpu, plan);
    case FUSE_MAP_ROWS:
        return plan->kept < FEW_ROWS && plan->reduced >= 4 * SHORTEST_CHUNK ? run_long_rows(cpu, plan)
                                                                            : run_rows(cpu, plan);
    case FUSE_MAP_NARROW: return run_long_columns(cpu, plan);
    default:
        return plan->kept <= FEW_COLUMNS && plan->reduced >= 4 * COLUMN_CHUNKS ? run_long_columns(cpu, plan)
                                                                               : run_columns(cpu, plan);
    }
}

/* A map that only moves elements is a copy. */
static bool run_as_copy(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call) {
    const struct fuse_scalar_node *node = call->body->node;
    if (call->reduce != FUSE_REDUCE_NONE || call->body->n != 1 || node->op != FUSE_SCALAR_LOAD)
        return false;
    const struct fuse_operand_view *operand = &call->operand[node->arg];
    if (operand->dtype != call->out.dtype || operand->dtype != node->dtype || operand->dtype == FUSE_BOOL ||
        operand->data == call->out.data)
        return false;
    struct fuse_view to = {.data = call->out.data, .dtype = call->out.dtype, .rank = call->indices};
    struct fuse_view from = {.data = operand->data, .dtype = operand->dtype, .rank = call->indices};
    for (int x = 0; x < call->indices; x++) {
        to.extent[x] = from.extent[x] = call->extent[x];
        to.stride[x] = call->out.stride[x];
        from.stride[x] = operand->stride[x];
    }
    fuse_cpu_run_copy(cpu, &to, &from, 0);
    return true;
}

enum fuse_status fuse_cpu_run_map(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                                  struct fuse_cpu_counts *counts, struct fuse_error *err) {
    if (run_as_copy(cpu, call) || fuse_cpu_run_semiring(cpu, call, counts))
        return FUSE_OK;
    struct fuse_map_plan plan;
    FUSE_TRY(fuse_map_plan_open(&plan, cpu, call, err));
    bool done = plan.kept == 0;
    enum fuse_status status = FUSE_OK;
    if (!done)
        status = fuse_map_run_blocks(cpu, &plan, &done, &counts->overflow, err);
    if (!done)
        counts->overflow |= run_plan(cpu, &plan);
    fuse_map_plan_close(&plan);
    return status;
}
