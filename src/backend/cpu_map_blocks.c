/* Element-wise maps with an operand that runs across the result, as in x[i, j] + y[j, i]. Element by element such an
 * operand costs a cache line each. So the map is cut in blocks, and the operand's part of a block is transposed into the
 * thread's scratch memory first. */
#include "backend/call_check.h"
#include "backend/cpu_map.h"
#include "backend/cpu_transpose.h"

#define EDGE 256
#define MOST_STAGED 3
/* The upper part of the scratch memory holds the transposed blocks, the lower part the tile buffers. */
#define STAGED_BYTES ((size_t)EDGE * EDGE * 8)
#define STAGED_AT (FUSE_CPU_SCRATCH - MOST_STAGED * STAGED_BYTES)
#define SMALLEST ((int64_t)1 << 16)

struct blocks {
    const struct fuse_map_call *call;
    int row, column;       /* the indices that a block spans; the result is densest along column */
    int64_t rows, columns; /* blocks along them */
    int64_t others;        /* points of all further indices */
    int staged, operand[MOST_STAGED];
};

static int64_t size_of(int64_t stride) {
    return stride < 0 ? -stride : stride;
}

static bool runs_across(const struct fuse_operand_view *o, int row, int column) {
    return o->stride[row] == 1 && size_of(o->stride[column]) * (int64_t)fuse_dtype_bytes(o->dtype) >= 64;
}

static bool find_blocks(const struct fuse_map_call *call, struct blocks *b) {
    *b = (struct blocks){.call = call, .row = -1, .column = -1, .others = 1};
    for (int x = 0; x < call->indices; x++)
        if (call->extent[x] > 1 &&
            (b->column < 0 || size_of(call->out.stride[x]) < size_of(call->out.stride[b->column])))
            b->column = x;
    if (b->column < 0 || call->extent[b->column] < FUSE_TILE_LANES)
        return false;
    for (int o = 0; o < call->operands && b->row < 0; o++)
        for (int x = 0; x < call->indices; x++)
            if (x != b->column && call->extent[x] >= FUSE_TILE_LANES && runs_across(&call->operand[o], x, b->column))
                b->row = x;
    if (b->row < 0)
        return false;
    for (int o = 0; o < call->operands && b->staged < MOST_STAGED; o++)
        if (runs_across(&call->operand[o], b->row, b->column))
            b->operand[b->staged++] = o;
    for (int x = 0; x < call->indices; x++)
        if (x != b->row && x != b->column)
            b->others *= call->extent[x];
    b->rows = (call->extent[b->row] + EDGE - 1) / EDGE;
    b->columns = (call->extent[b->column] + EDGE - 1) / EDGE;
    return true;
}

bool fuse_map_runs_across(const struct fuse_map_call *call) {
    struct blocks b;
    return find_blocks(call, &b);
}

void fuse_map_narrow(struct fuse_map_call *part, struct fuse_operand_view *operand, int x, int64_t begin,
                     int64_t extent) {
    part->origin[x] += begin;
    part->extent[x] = extent;
    part->out.data = (char *)part->out.data + begin * part->out.stride[x] * (int64_t)fuse_dtype_bytes(part->out.dtype);
    for (int o = 0; o < part->operands; o++)
        operand[o].data =
            (char *)operand[o].data + begin * operand[o].stride[x] * (int64_t)fuse_dtype_bytes(operand[o].dtype);
}

/* The call's part at one block, its operands in `operand`, with the transposed ones in scratch memory. */
static struct fuse_map_call make_part(const struct blocks *b, struct fuse_operand_view *operand, int64_t block,
                                      char *scratch) {
    struct fuse_map_call part = *b->call;
    part.operand = operand;
    for (int o = 0; o < part.operands; o++)
        operand[o] = b->call->operand[o];
    int64_t column = block % b->columns * EDGE, row = block / b->columns % b->rows * EDGE,
            other = block / (b->columns * b->rows);
    for (int x = part.indices - 1; x >= 0; x--) {
        int64_t n = b->call->extent[x];
        if (x == b->row) {
            fuse_map_narrow(&part, operand, x, row, n - row < EDGE ? n - row : EDGE);
        } else if (x == b->column) {
            fuse_map_narrow(&part, operand, x, column, n - column < EDGE ? n - column : EDGE);
        } else {
            fuse_map_narrow(&part, operand, x, other % n, 1);
            other /= n;
        }
    }
    for (int s = 0; s < b->staged; s++) {
        struct fuse_operand_view *o = &operand[b->operand[s]];
        char *to = scratch + STAGED_AT + (size_t)s * STAGED_BYTES;
        fuse_cpu_transpose((int64_t)fuse_dtype_bytes(o->dtype), to, o->data, part.extent[b->row],
                           part.extent[b->column], EDGE, 1, 1, o->stride[b->column], false);
        o->data = to;
        o->stride[b->row] = EDGE;
        o->stride[b->column] = 1;
    }
    return part;
}

enum fuse_status fuse_map_run_blocks(const struct fuse_cpu_backend *cpu, const struct fuse_map_plan *plan, bool *done,
                                     bool *overflow, struct fuse_error *err) {
    enum { MOST_OPERANDS = 64 };
    const struct fuse_map_call *call = plan->call;
    struct blocks b;
    const size_t lower = plan->slot_bytes + (size_t)plan->nodes * 16 + ((size_t)64 << 10);
    *done = false;
    if (plan->shape != FUSE_MAP_ELEMENTS || plan->reduce != FUSE_REDUCE_NONE || plan->kept < SMALLEST ||
        lower > STAGED_AT || call->operands > MOST_OPERANDS || !find_blocks(call, &b))
        return FUSE_OK;
    const int64_t blocks = b.rows * b.columns * b.others;
    const int threads = fuse_cpu_threads(cpu, blocks, plan->kept);
    bool failed = false, wrong = false;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(|| : failed, wrong)
    for (int thread = 0; thread < threads; thread++) {
        char *scratch = cpu->scratch + (size_t)thread * FUSE_CPU_SCRATCH;
        for (int64_t block = blocks * thread / threads; block < blocks * (thread + 1) / threads; block++) {
            struct fuse_operand_view operand[MOST_OPERANDS];
            struct fuse_map_call part = make_part(&b, operand, block, scratch);
            struct fuse_map_plan inner;
            struct fuse_error own = {0};
            if (fuse_map_plan_open(&inner, cpu, &part, &own) != FUSE_OK) {
                failed = true;
                break;
            }
            wrong = fuse_map_run_tiles(&inner, scratch, 0, (inner.kept + inner.length - 1) / inner.length) || wrong;
            fuse_map_plan_close(&inner);
        }
    }
    *done = true;
    *overflow |= wrong;
    return failed ? fuse_fail(err, FUSE_EMEMORY, "no memory for a map of %d nodes", plan->nodes) : FUSE_OK;
}
