#include "backend/cpu.h"

#include "backend/blas_buffers.h"
#include "backend/call_check.h"
#include "backend/cpu_epilogue.h"
#include "backend/cpu_ordered.h"

#include <cblas.h>
#include <stdlib.h>

static size_t scratch_bytes(const struct fuse_cpu_backend *cpu) {
    size_t each = FUSE_CPU_SCRATCH + FUSE_CPU_EPILOGUE + (cpu->deterministic ? FUSE_CPU_SLOTS : 0);
    return (size_t)cpu->threads * each + FUSE_CPU_PARTIALS;
}

static enum fuse_status open_backend(struct fuse_backend **out, const struct fuse_backend_options *options,
                                     struct fuse_error *err) {
    if (options->threads < 1)
        return fuse_fail(err, FUSE_EBUG, "a back end with %d threads", options->threads);
    const struct fuse_tile_table *tile = fuse_tile_choose(options->isa);
    if (tile == NULL)
        return fuse_fail(err, FUSE_EUSAGE, "this processor has no '%s'", options->isa);
    struct fuse_cpu_backend *cpu = calloc(1, sizeof *cpu);
    if (cpu == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a back end");
    cpu->base.ops = &fuse_backend_cpu;
    cpu->threads = options->threads;
    if (options->deterministic)
        fuse_ordered_table(&cpu->exact, tile);
    cpu->tile = options->deterministic ? &cpu->exact : tile;
    cpu->words = fuse_words_choose(tile->isa);
    cpu->deterministic = options->deterministic;
    void *scratch = NULL;
    enum fuse_status status = fuse_host_map(&scratch, scratch_bytes(cpu), cpu->threads, err);
    if (status == FUSE_OK)
        status = fuse_blas_buffers_open(cpu->threads, err);
    if (status != FUSE_OK) {
        if (scratch)
            fuse_host_unmap(scratch, scratch_bytes(cpu));
        free(cpu);
        return status;
    }
    cpu->scratch = scratch;
    cpu->partials = cpu->scratch + (size_t)cpu->threads * FUSE_CPU_SCRATCH;
    cpu->epilogue = cpu->partials + FUSE_CPU_PARTIALS;
    cpu->slots = cpu->deterministic ? cpu->epilogue + (size_t)cpu->threads * FUSE_CPU_EPILOGUE : NULL;
    /* The threads are ours: a BLAS that starts more would oversubscribe the cores. */
    openblas_set_num_threads(1);
    *out = &cpu->base;
    return FUSE_OK;
}

static void close_backend(struct fuse_backend *backend) {
    struct fuse_cpu_backend *cpu = (struct fuse_cpu_backend *)backend;
    fuse_host_unmap(cpu->scratch, scratch_bytes(cpu));
    free(cpu);
}

static enum fuse_status open_memory(struct fuse_backend *backend, void **base, enum fuse_memkind kind, size_t bytes,
                                    struct fuse_error *err) {
    if (kind == FUSE_MEM_DEVICE)
        return fuse_fail(err, FUSE_EBUG, "this back end has no device memory");
    return fuse_host_map(base, bytes, ((struct fuse_cpu_backend *)backend)->threads, err);
}

static const char *open_shared_memory(struct fuse_backend *backend, void **base, int *file, size_t bytes) {
    return fuse_host_map_shared(base, file, bytes, ((struct fuse_cpu_backend *)backend)->threads);
}

static void close_memory(struct fuse_backend *backend, void *base, enum fuse_memkind kind, size_t bytes) {
    (void)backend;
    (void)kind;
    fuse_host_unmap(base, bytes);
}

int fuse_cpu_threads(const struct fuse_cpu_backend *cpu, int64_t parts, int64_t steps) {
    int64_t useful = steps / FUSE_CPU_GRAIN + 1;
    if (useful > parts)
        useful = parts;
    return useful < 1 ? 1 : useful < cpu->threads ? (int)useful : cpu->threads;
}

static struct fuse_cpu_backend *begin_call(struct fuse_queue *queue) {
    struct fuse_host_queue *host = (struct fuse_host_queue *)queue;
    host->calls++;
    host->backend->kernel_calls++;
    return (struct fuse_cpu_backend *)host->backend;
}

static void end_call(struct fuse_queue *queue, const struct fuse_cpu_counts *counts, const char *what) {
    struct fuse_host_queue *host = (struct fuse_host_queue *)queue;
    host->backend->blas_calls += counts->blas_calls;
    host->backend->packed_bytes += counts->packed_bytes;
    host->backend->epilogue_bytes += counts->epilogue_bytes;
    if (counts->overflow)
        fuse_fail(&host->failure, FUSE_EFAILED, "integer overflow in %s", what);
}

static enum fuse_status contract(struct fuse_queue *queue, const struct fuse_contract *call, struct fuse_error *err) {
    FUSE_TRY(fuse_contract_check(call, err));
    struct fuse_cpu_backend *cpu = begin_call(queue);
    struct fuse_cpu_counts counts = {0};
    cpu->base.contract_flops += 2 * fuse_points(call->indices, call->extent, UINT32_MAX);
    FUSE_TRY(call->order ? fuse_cpu_run_ordered_contract(cpu, call, &counts, err)
                         : fuse_cpu_run_contract(cpu, call, NULL, &counts, err));
    end_call(queue, &counts, "a contraction");
    return FUSE_OK;
}

static enum fuse_status contract_maps(struct fuse_queue *queue, const struct fuse_contract *call,
                                      const struct fuse_map_call *map, int maps, struct fuse_error *err) {
    FUSE_TRY(fuse_contract_check(call, err));
    for (int m = 0; m < maps; m++)
        FUSE_TRY(fuse_map_check(&map[m], err));
    if (call->order || maps > FUSE_CONTRACT_MAPS)
        return fuse_fail(err, FUSE_EBUG, "contract: maps that it cannot take along");
    struct fuse_cpu_backend *cpu = begin_call(queue);
    struct fuse_cpu_counts counts = {0};
    struct fuse_epilogue then;
    cpu->base.contract_flops += 2 * fuse_points(call->indices, call->extent, UINT32_MAX);
    fuse_epilogue_make(&then, cpu, call, map, maps);
    enum fuse_status status = fuse_cpu_run_contract(cpu, call, &then, &counts, err);
    status = fuse_epilogue_end(&then, status, &counts, err);
    end_call(queue, &counts, "a contraction");
    return status;
}

static enum fuse_status map(struct fuse_queue *queue, const struct fuse_map_call *call, struct fuse_error *err) {
    FUSE_TRY(fuse_map_check(call, err));
    struct fuse_cpu_counts counts = {0};
    struct fuse_cpu_backend *cpu = begin_call(queue);
    FUSE_TRY(call->order ? fuse_cpu_run_ordered_map(cpu, call, &counts, err)
                         : fuse_cpu_run_map(cpu, call, &counts, err));
    if (cpu->deterministic)
        FUSE_TRY(fuse_cpu_drop_zero_signs(cpu, call, &counts, err));
    end_call(queue, &counts, "a map");
    return FUSE_OK;
}

static enum fuse_status maps(struct fuse_queue *queue, const struct fuse_map_call *call, int calls, const int *row,
                             struct fuse_error *err) {
    for (int m = 0; m < calls; m++)
        FUSE_TRY(fuse_map_check(&call[m], err));
    struct fuse_cpu_counts counts = {0};
    struct fuse_cpu_backend *cpu = begin_call(queue);
    FUSE_TRY(fuse_cpu_run_maps(cpu, call, calls, row, &counts, err));
    end_call(queue, &counts, "a map");
    return FUSE_OK;
}

static enum fuse_status join(struct fuse_queue *queue, const struct fuse_join_call *call, struct fuse_error *err) {
    FUSE_TRY(fuse_join_check(call, err));
    struct fuse_cpu_counts counts = {0};
    struct fuse_cpu_backend *cpu = begin_call(queue);
    FUSE_TRY(fuse_cpu_run_join(cpu, call, &counts, err));
    if (cpu->deterministic)
        FUSE_TRY(fuse_cpu_drop_zero_signs(cpu, &call->at, &counts, err));
    end_call(queue, &counts, "a join");
    return FUSE_OK;
}

static enum fuse_status attention(struct fuse_queue *queue, const struct fuse_attention_call *call,
                                  struct fuse_error *err) {
    FUSE_TRY(fuse_attention_check(call, err));
    struct fuse_cpu_backend *cpu = begin_call(queue);
    return fuse_cpu_run_attention(cpu, call, err);
}

static enum fuse_status copy(struct fuse_queue *queue, const struct fuse_view *to, const struct fuse_view *from,
                             int64_t whole_bytes, struct fuse_error *err) {
    FUSE_TRY(fuse_view_check(to, from, err));
    fuse_cpu_run_copy(begin_call(queue), to, from, whole_bytes);
    return FUSE_OK;
}

static enum fuse_status combine(struct fuse_queue *queue, enum fuse_reduce op, const struct fuse_view *to,
                                const struct fuse_view *from, struct fuse_error *err) {
    FUSE_TRY(fuse_combine_check(op, to, from, err));
    struct fuse_cpu_counts counts = {0};
    FUSE_TRY(fuse_cpu_run_combine(begin_call(queue), op, to, from, &counts, err));
    end_call(queue, &counts, "a combination of partial results");
    return FUSE_OK;
}

static enum fuse_status clear(struct fuse_queue *queue, const struct fuse_view *to, struct fuse_error *err) {
    FUSE_TRY(fuse_view_check(to, NULL, err));
    fuse_cpu_run_clear(begin_call(queue), to);
    return FUSE_OK;
}

const struct fuse_backend_ops fuse_backend_cpu = {
    .name = "cpu",
    .kind = FUSE_MEM_HOST,
    .open = open_backend,
    .close = close_backend,
    .memory_open = open_memory,
    .memory_open_shared = open_shared_memory,
    .memory_close = close_memory,
    .queue_open = fuse_host_queue_open,
    .contract = contract,
    .contract_maps = contract_maps,
    .map = map,
    .maps = maps,
    .join = join,
    .attention = attention,
    .copy = copy,
    .combine = combine,
    .clear = clear,
    .transfer = fuse_host_transfer,
};
