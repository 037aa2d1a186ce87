/* Measures what the cost model wants to know (plan/machine.def), with the kernels and messages that a run uses. Every rank
 * does the same at the same time, as in a run; a figure is the median of several repeats of the slowest rank's time. */
#include "api/program.h"
#include "io/output_file.h"
#include "io/rawfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REPEATS = 7,
    PRODUCT = 1024,        /* extents of a product of reals */
    INTEGER_PRODUCT = 192, /* .. of integers */
    ELEMENTS = 1 << 23,    /* of a copy and a map: beyond caches */
    MESSAGE_BYTES = 8 << 20,
    PINGS = 200,
    FILE_BYTES = 64 << 20
};

struct bench {
    struct fuse_comm_loan loan; /* the first, so that it leads here: of the message that is received */
    struct fuse_dist_job *job;
    struct fuse_comm *comm;
    struct fuse_backend *backend;
    struct fuse_queue *queue;
    unsigned char *memory; /* of the back end's kind */
    size_t bytes;
    int file;                     /* of the memory, until others have mapped it; -1: in none */
    struct fuse_comm_peers peers; /* whose memory this rank reads */
    int peer_to, peer_from;       /* of messages; -1: none */
    const char *path;             /* a file beside the result */
    int fd;
    struct fuse_error *err;
};

typedef enum fuse_status measured(struct bench *b);

/* ---- what is timed ---- */

static enum fuse_status drain(struct bench *b) {
    return b->queue->ops->wait(b->queue, FUSE_QUEUE_ALL, b->err);
}

static enum fuse_status product(struct bench *b, enum fuse_dtype dtype, int64_t n) {
    size_t matrix = (size_t)(n * n) * fuse_dtype_bytes(dtype);
    struct fuse_contract call = {.indices = 3, .extent = {n, n, n}, .in_a = 5, .in_b = 6, .in_c = 3};
    call.a = (struct fuse_operand_view){.data = b->memory, .dtype = dtype, .stride = {n, 0, 1}};
    call.b = (struct fuse_operand_view){.data = b->memory + matrix, .dtype = dtype, .stride = {0, 1, n}};
    call.c = (struct fuse_operand_view){.data = b->memory + 2 * matrix, .dtype = dtype, .stride = {n, 1, 0}};
    FUSE_TRY(b->backend->ops->contract(b->queue, &call, b->err));
    return drain(b);
}

static enum fuse_status product_f32(struct bench *b) {
    return product(b, FUSE_F32, PRODUCT);
}
static enum fuse_status product_f64(struct bench *b) {
    return product(b, FUSE_F64, PRODUCT);
}
static enum fuse_status product_i64(struct bench *b) {
    return product(b, FUSE_I64, INTEGER_PRODUCT);
}

static enum fuse_status copy(struct bench *b) {
    size_t bytes = (size_t)ELEMENTS * sizeof(float);
    struct fuse_view from = {.data = b->memory, .dtype = FUSE_F32, .rank = 1, .extent = {ELEMENTS}, .stride = {1}};
    struct fuse_view to = from;
    to.data = b->memory + bytes;
    FUSE_TRY(b->backend->ops->copy(b->queue, &to, &from, 0, b->err));
    return drain(b);
}

/* out = a + b: as many operands as most maps have. */
static enum fuse_status map(struct bench *b) {
    static struct fuse_scalar_node node[] = {
        {.op = FUSE_SCALAR_LOAD, .dtype = FUSE_F32, .a = -1, .b = -1, .c = -1},
        {.op = FUSE_SCALAR_LOAD, .dtype = FUSE_F32, .a = -1, .b = -1, .c = -1, .arg = 1},
        {.op = FUSE_SCALAR_ADD, .dtype = FUSE_F32, .a = 0, .b = 1, .c = -1}};
    static const struct fuse_scalar body = {.n = 3, .node = node};
    size_t bytes = (size_t)ELEMENTS * sizeof(float);
    struct fuse_operand_view operand[2] = {{.data = b->memory, .dtype = FUSE_F32, .stride = {1}},
                                           {.data = b->memory + bytes, .dtype = FUSE_F32, .stride = {1}}};
    struct fuse_map_call call = {.indices = 1,
                                 .extent = {ELEMENTS},
                                 .in_out = 1,
                                 .operands = 2,
                                 .operand = operand,
                                 .out = {.data = b->memory + 2 * bytes, .dtype = FUSE_F32, .stride = {1}},
                                 .body = &body,
                                 .reduce = FUSE_REDUCE_NONE};
    FUSE_TRY(b->backend->ops->map(b->queue, &call, b->err));
    return drain(b);
}

/* A message of a rank of this node whose memory is read. */
static void take(struct fuse_comm_loan *loan) {
    struct bench *b = (struct bench *)loan;
    struct fuse_view to = {
        .data = b->memory + MESSAGE_BYTES, .dtype = FUSE_U8, .rank = 1, .extent = {MESSAGE_BYTES}, .stride = {1}};
    struct fuse_view from = to;
    from.data = (void *)(uintptr_t)fuse_comm_lender(&b->peers, b->peer_from);
    if (b->backend->ops->copy(b->queue, &to, &from, 0, b->err) == FUSE_OK)
        (void)!drain(b);
}

static enum fuse_status exchange(struct bench *b, size_t bytes) {
    struct fuse_message send = {.peer = b->peer_to, .data = b->memory, .bytes = bytes};
    struct fuse_message receive = {.peer = b->peer_from, .data = b->memory + bytes, .bytes = bytes};
    send.loan = bytes == MESSAGE_BYTES && fuse_comm_lender(&b->peers, b->peer_to) ? &b->loan : NULL;
    receive.loan = bytes == MESSAGE_BYTES && fuse_comm_lender(&b->peers, b->peer_from) ? &b->loan : NULL;
    FUSE_TRY(
        b->comm->ops->exchange_start(b->comm, 0, NULL, &send, b->peer_to >= 0, &receive, b->peer_from >= 0, b->err));
    return b->comm->ops->exchange_wait(b->comm, 0, b->err);
}

static enum fuse_status pings(struct bench *b) {
    for (int k = 0; k < PINGS; k++)
        FUSE_TRY(exchange(b, 8));
    return FUSE_OK;
}

static enum fuse_status message(struct bench *b) {
    return exchange(b, MESSAGE_BYTES);
}

static enum fuse_status file(struct bench *b) {
    enum { PIECE = 4 << 20 };
    for (int64_t at = 0; at < FILE_BYTES; at += PIECE)
        FUSE_TRY(fuse_rawfile_write(b->fd, b->memory, PIECE, at, b->path, b->err));
    for (int64_t at = 0; at < FILE_BYTES; at += PIECE)
        FUSE_TRY(fuse_rawfile_read(b->fd, b->memory, PIECE, at, b->path, b->err));
    return FUSE_OK;
}

/* ---- timing ---- */

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Collective: median picoseconds of the slowest rank, after one run that is not counted. */
static enum fuse_status time_of(int64_t *out, struct bench *b, measured *work) {
    int64_t taken[REPEATS];
    for (int k = -1; k < REPEATS; k++) {
        FUSE_TRY(b->comm->ops->barrier(b->comm, b->err));
        double begun = fuse_api_seconds();
        enum fuse_status st = work(b);
        int64_t spent = (int64_t)llround((fuse_api_seconds() - begun) * 1e12);
        FUSE_TRY(fuse_agree(b->comm, st, b->err));
        FUSE_TRY(b->comm->ops->reduce_int64(b->comm, FUSE_REDUCE_MAX, &spent, 1, b->err));
        if (k >= 0)
            taken[k] = spent;
    }
    qsort(taken, REPEATS, sizeof *taken, by_value);
    *out = taken[REPEATS / 2];
    return FUSE_OK;
}

/* Picoseconds for 1,024 of `amount` things that took `ps`; at least 1. */
static int64_t per_kilo(int64_t ps, int64_t amount) {
    int64_t each = (int64_t)llround((double)ps * 1024 / (double)amount);
    return each > 0 ? each : 1;
}

static enum fuse_status measure_kernels(struct fuse_machine *out, struct bench *b) {
    const int64_t n = PRODUCT, m = INTEGER_PRODUCT;
    FUSE_TRY(time_of(&out->f32_ps_per_kflop, b, product_f32));
    FUSE_TRY(time_of(&out->f64_ps_per_kflop, b, product_f64));
    FUSE_TRY(time_of(&out->i64_ps_per_kflop, b, product_i64));
    FUSE_TRY(time_of(&out->copy_ps_per_kib, b, copy));
    FUSE_TRY(time_of(&out->map_ps_per_kib, b, map));
    out->f32_ps_per_kflop = per_kilo(out->f32_ps_per_kflop, 2 * n * n * n);
    out->f64_ps_per_kflop = per_kilo(out->f64_ps_per_kflop, 2 * n * n * n);
    out->i64_ps_per_kflop = per_kilo(out->i64_ps_per_kflop, 2 * m * m * m);
    out->copy_ps_per_kib = per_kilo(out->copy_ps_per_kib, (int64_t)ELEMENTS * 4);
    out->map_ps_per_kib = per_kilo(out->map_ps_per_kib, (int64_t)ELEMENTS * 12);
    return FUSE_OK;
}

/* Everybody sends to the next rank of its node, in a circle; or, one node further, to the same place there. Ranks that have no
 * such neighbour only take part in the timing. */
static enum fuse_status measure_messages(struct fuse_machine *out, struct bench *b) {
    const int size = b->comm->size, rank = b->comm->rank, per_node = b->job->ranks_per_node;
    if (size == 1)
        return FUSE_OK;
    int nodes = per_node > 0 ? size / per_node : 0;
    int first = per_node > 0 ? rank / per_node * per_node : 0, here = per_node > 0 ? per_node : size;
    if (here > 1 && per_node > 0) {
        b->peer_to = first + (rank - first + 1) % here;
        b->peer_from = first + (rank - first + here - 1) % here;
        FUSE_TRY(time_of(&out->node_ps_per_kib, b, message));
        out->node_ps_per_kib = per_kilo(out->node_ps_per_kib, MESSAGE_BYTES);
        FUSE_TRY(time_of(&out->latency_ps, b, pings));
    }
    if (nodes > 1 || per_node == 0) {
        int step = per_node > 0 ? per_node : size / 2;
        b->peer_to = (rank + step) % size;
        b->peer_from = (rank + size - step) % size;
        FUSE_TRY(time_of(&out->network_ps_per_kib, b, message));
        out->network_ps_per_kib = per_kilo(out->network_ps_per_kib, MESSAGE_BYTES);
        FUSE_TRY(time_of(&out->latency_ps, b, pings));
    }
    out->latency_ps = out->latency_ps / PINGS;
    return FUSE_OK;
}

static enum fuse_status measure_file(struct fuse_machine *out, struct bench *b) {
    b->fd = open(b->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum fuse_status st = FUSE_OK;
    if (b->fd < 0) {
        st = fuse_fail(b->err, FUSE_EOUTPUT, "%s cannot be made: %s", b->path, strerror(errno));
        fuse_hint(b->err,
                  "every rank writes a file beside the result for a while: its folder has to be there, for all nodes");
    }
    if (b->fd >= 0)
        unlink(b->path);
    FUSE_TRY(fuse_agree(b->comm, st, b->err));
    FUSE_TRY(time_of(&out->file_ps_per_kib, b, file));
    out->file_ps_per_kib = per_kilo(out->file_ps_per_kib, 2 * (int64_t)FILE_BYTES);
    return FUSE_OK;
}

static enum fuse_status measure(struct fuse_machine *out, struct bench *b) {
    out->ranks_per_node = b->job->ranks_per_node;
    FUSE_TRY(measure_kernels(out, b));
    FUSE_TRY(measure_messages(out, b));
    return measure_file(out, b);
}

/* ---- the command ---- */

static enum fuse_status open_bench(struct bench *b, const struct fuse_dist_options *options, struct fuse_error *err) {
    const struct fuse_backend_ops *ops = fuse_backend_find(options->backend ? options->backend : "cpu");
    struct fuse_backend_options with = {.threads = options->threads};
    if (!ops)
        return fuse_fail(err, FUSE_EUSAGE, "there is no back end '%s'", options->backend);
    if (ops->kind != FUSE_MEM_HOST) {
        fuse_fail(err, FUSE_EUSAGE, "back end '%s' keeps tensors in a device: it cannot be measured yet", ops->name);
        fuse_hint(err, "leave --backend out");
        return FUSE_EUSAGE;
    }
    if (!with.threads)
        FUSE_TRY(fuse_api_cores(&with.threads, b->job, err));
    b->bytes = (size_t)3 * ELEMENTS * sizeof(float);
    enum fuse_status st = ops->open(&b->backend, &with, err);
    const char *why = "";
    if (st == FUSE_OK)
        why = ops->memory_open_shared(b->backend, (void **)&b->memory, &b->file, b->bytes);
    if (st == FUSE_OK && why)
        st = ops->memory_open(b->backend, (void **)&b->memory, ops->kind, b->bytes, err);
    if (st == FUSE_OK)
        st = ops->queue_open(b->backend, &b->queue, err);
    FUSE_TRY(fuse_agree(b->comm, st, err));
    return fuse_comm_lend(&b->peers, b->comm, b->file, b->bytes, why, err);
}

static void close_bench(struct bench *b) {
    fuse_comm_return(&b->peers);
    if (b->file >= 0)
        close(b->file);
    if (b->fd >= 0)
        close(b->fd);
    if (b->queue)
        b->queue->ops->close(b->queue);
    if (b->memory)
        b->backend->ops->memory_close(b->backend, b->memory, b->backend->ops->kind, b->bytes);
    if (b->backend)
        b->backend->ops->close(b->backend);
}

/* Before anything is measured. */
static enum fuse_status check_target(struct bench *b, const char *path, struct fuse_error *err) {
    enum fuse_status st = b->comm->rank == 0 ? fuse_output_file_check(path, err) : FUSE_OK;
    if (st != FUSE_OK)
        fuse_hint(err, "choose another name for the machine file");
    return fuse_agree(b->comm, st, err);
}

static enum fuse_status write_file(struct bench *b, const char *path, const struct fuse_machine *machine,
                                   struct fuse_error *err) {
    struct fuse_text text = {.arena = b->job->arena};
    char *temporary = fuse_arena_printf(b->job->arena, "%s.part", path);
    fuse_api_print_machine(&text, machine);
    FILE *out = fopen(temporary, "w");
    bool fine = out && fwrite(text.at, 1, text.bytes, out) == text.bytes;
    fine = (!out || fclose(out) == 0) && fine && rename(temporary, path) == 0;
    if (fine)
        return FUSE_OK;
    int why = errno;
    unlink(temporary);
    return fuse_fail(err, FUSE_EOUTPUT, "%s cannot be written: %s", path, strerror(why));
}

static void describe(struct fuse_text *text, const struct fuse_machine *found, const char *path) {
    const struct fuse_machine standard = fuse_machine_default();
    fuse_text_add(text, "%-20s %14s %14s\n", "picoseconds", "measured", "default");
#define FUSE_MACHINE(field, std, meaning)                                                                              \
    if (found->field >= 0)                                                                                             \
        fuse_text_add(text, "%-20s %14" PRId64 " %14" PRId64 "  %s\n", #field, found->field, standard.field, meaning); \
    else                                                                                                               \
        fuse_text_add(text, "%-20s %14s %14" PRId64 "  %s\n", #field, "-", standard.field, meaning);
#include "plan/machine.def"
#undef FUSE_MACHINE
    fuse_text_add(text, "written to %s: fuse-dist --machine %s PROG; what was not measured (-) keeps its default\n",
                  path, path);
}

int fuse_dist_calibrate(const char **out, fuse_dist_job *job, const char *path,
                        const struct fuse_dist_options *options) {
    static const struct fuse_dist_options none;
    struct fuse_machine machine;
    struct fuse_error err = {0};
    *out = "";
    if (!job->arena)
        job->arena = fuse_arena_open(fuse_api_out_of_memory);
    FUSE_TRY(fuse_agree(job->comm, job->arena ? FUSE_OK : FUSE_EMEMORY, &err));
    struct bench b = {.loan = {.take = take},
                      .job = job,
                      .comm = job->comm,
                      .file = -1,
                      .peer_to = -1,
                      .peer_from = -1,
                      .fd = -1,
                      .err = &err};
    b.path = fuse_arena_printf(job->arena, "%s.%d.part", path, job->comm->rank);
#define FUSE_MACHINE(field, standard, meaning) machine.field = -1;
#include "plan/machine.def"
#undef FUSE_MACHINE
    enum fuse_status st = check_target(&b, path, &err);
    if (st == FUSE_OK)
        st = open_bench(&b, options ? options : &none, &err);
    if (st == FUSE_OK)
        st = measure(&machine, &b);
    close_bench(&b);
    if (st == FUSE_OK && job->comm->rank == 0)
        st = write_file(&b, path, &machine, &err);
    st = fuse_agree(job->comm, st, &err);
    struct fuse_text text = {.arena = job->arena};
    if (st == FUSE_OK)
        describe(&text, &machine, path);
    else
        fuse_error_print(&text, NULL, &err);
    *out = text.at;
    return st;
}
