/* The rules that fakedev exists to enforce: closed memory, deferred work, failures seen by wait. */
#include "testbed.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_bed(void **state) {
    static struct bed bed;
    bed = bed_open("fakedev", 2, 1 << 20);
    *state = &bed;
    return 0;
}

static int close_bed(void **state) {
    bed_close(*state);
    return 0;
}

static void ok(enum fuse_status status) {
    assert_int_equal(status, FUSE_OK);
}

static struct fuse_view row(void *data, enum fuse_dtype dtype, int64_t n) {
    return (struct fuse_view){.data = data, .dtype = dtype, .rank = 1, .extent = {n}, .stride = {1}};
}

/* true when touching the byte kills a child by a signal. */
static bool faults(volatile char *at, bool write) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        if (write)
            *at = 1;
        else
            (void)*at;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
}

static void memory_is_closed_outside_the_queue(void **state) {
    struct bed *bed = *state;
    struct fuse_error err = {0};
    assert_true(faults(bed->memory, false));
    assert_true(faults(bed->memory, true));
    assert_true(faults(bed->memory + bed->bytes - 1, true));
    struct fuse_view view = row(bed->memory, FUSE_F32, 10);
    ok(bed->backend->ops->clear(bed->queue, &view, &err));
    assert_true(faults(bed->memory, false));
    ok(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err));
    assert_true(faults(bed->memory, false));
    /* Host memory of the same back end is ordinary. */
    void *host = NULL;
    ok(bed->backend->ops->memory_open(bed->backend, &host, FUSE_MEM_PINNED, 4096, &err));
    assert_false(faults(host, true));
    bed->backend->ops->memory_close(bed->backend, host, FUSE_MEM_PINNED, 4096);
}

static void nothing_runs_before_wait(void **state) {
    struct bed *bed = *state;
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct fuse_error err = {0};
    float in[4] = {1, 2, 3, 4}, out[4] = {0};
    ok(ops->transfer(bed->queue, bed->memory, FUSE_MEM_DEVICE, in, FUSE_MEM_HOST, sizeof in, &err));
    ok(ops->transfer(bed->queue, out, FUSE_MEM_HOST, bed->memory, FUSE_MEM_DEVICE, sizeof out, &err));
    uint64_t ticket = bed->queue->ops->signal(bed->queue);
    int64_t before = bed->backend->kernel_calls;
    struct fuse_view view = row(bed->memory, FUSE_F32, 4);
    ok(ops->clear(bed->queue, &view, &err));
    assert_true(out[0] == 0 && bed->backend->kernel_calls == before);
    /* The source may still change: only wait fixes it. */
    in[1] = 20;
    ok(bed->queue->ops->wait(bed->queue, ticket, &err));
    assert_true(out[0] == 1 && out[1] == 20 && out[3] == 4);
    assert_int_equal(bed->backend->kernel_calls, before); /* the clear came after the ticket */
    ok(ops->transfer(bed->queue, out, FUSE_MEM_HOST, bed->memory, FUSE_MEM_DEVICE, sizeof out, &err));
    ok(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err));
    assert_int_equal(bed->backend->kernel_calls, before + 1);
    assert_true(out[0] == 0 && out[3] == 0);
}

/* Argument structures may change as soon as the call has returned. */
static void arguments_are_copied(void **state) {
    struct bed *bed = *state;
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct fuse_error err = {0};
    int64_t in[4] = {1, 2, 3, 4}, out[4] = {0};
    struct fuse_scalar_node node[3] = {load_node(0, FUSE_I64), const_node(FUSE_I64, 5),
                                       op_node(FUSE_SCALAR_MUL, FUSE_I64, 0, 1, -1)};
    struct fuse_scalar body = {.n = 3, .node = node};
    struct fuse_operand_view operand = {.data = bed->memory, .dtype = FUSE_I64, .stride = {1}};
    struct fuse_map_call call = {
        .indices = 1, .extent = {4}, .in_out = 1, .operands = 1, .operand = &operand, .body = &body};
    call.out = operand;
    ok(ops->transfer(bed->queue, bed->memory, FUSE_MEM_DEVICE, in, FUSE_MEM_HOST, sizeof in, &err));
    ok(ops->map(bed->queue, &call, &err));
    memset(&operand, 0xff, sizeof operand);
    memset(&call, 0xff, sizeof call);
    ok(ops->transfer(bed->queue, out, FUSE_MEM_HOST, bed->memory, FUSE_MEM_DEVICE, sizeof out, &err));
    ok(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err));
    assert_true(out[0] == 5 && out[3] == 20);
}

static void memory_of_the_wrong_kind_is_refused(void **state) {
    struct bed *bed = *state;
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct fuse_error err = {0};
    float host[4] = {0};
    struct fuse_view view = row(host, FUSE_F32, 4);
    assert_int_equal(ops->clear(bed->queue, &view, &err), FUSE_EBUG);
    err = (struct fuse_error){0};
    view = row(bed->memory + fuse_dtype_bytes(FUSE_F32), FUSE_F32, (2 << 20) / 4); /* one element too long */
    assert_int_equal(ops->clear(bed->queue, &view, &err), FUSE_EBUG);
    err = (struct fuse_error){0};
    assert_int_equal(ops->transfer(bed->queue, host, FUSE_MEM_DEVICE, bed->memory, FUSE_MEM_DEVICE, 16, &err),
                     FUSE_EBUG);
    err = (struct fuse_error){0};
    assert_int_equal(ops->transfer(bed->queue, host, FUSE_MEM_HOST, bed->memory, FUSE_MEM_HOST, 16, &err), FUSE_EBUG);
}

static void a_failure_waits_for_wait(void **state) {
    struct bed *bed = *state;
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct fuse_error err = {0};
    int64_t in[2] = {INT64_MAX, 1};
    ok(ops->transfer(bed->queue, bed->memory, FUSE_MEM_DEVICE, in, FUSE_MEM_HOST, sizeof in, &err));
    struct fuse_view to = row(bed->memory, FUSE_I64, 1), from = row(bed->memory + 8, FUSE_I64, 1);
    ok(ops->combine(bed->queue, FUSE_REDUCE_SUM, &to, &from, &err));
    ok(err.status);
    assert_int_equal(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err), FUSE_EFAILED);
    assert_non_null(strstr(err.message, "integer overflow"));
    err = (struct fuse_error){0};
    ok(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err));
}

static void long_queues_run_their_oldest_work(void **state) {
    struct bed *bed = *state;
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct fuse_error err = {0};
    int64_t one[2] = {0, 1}, out = 0;
    ok(ops->transfer(bed->queue, bed->memory, FUSE_MEM_DEVICE, one, FUSE_MEM_HOST, sizeof one, &err));
    struct fuse_view to = row(bed->memory, FUSE_I64, 1), from = row(bed->memory + 8, FUSE_I64, 1);
    int64_t before = bed->backend->kernel_calls;
    for (int i = 0; i < 10000; i++)
        ok(ops->combine(bed->queue, FUSE_REDUCE_SUM, &to, &from, &err));
    assert_true(bed->backend->kernel_calls > before && bed->backend->kernel_calls < before + 10000);
    ok(ops->transfer(bed->queue, &out, FUSE_MEM_HOST, bed->memory, FUSE_MEM_DEVICE, sizeof out, &err));
    ok(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err));
    assert_int_equal(out, 10000);
}

/* Work that nobody waited for is not done behind the caller's back, and its lists are freed. */
static void a_closed_queue_drops_its_work(void **state) {
    struct bed *bed = *state;
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct fuse_error err = {0};
    struct fuse_queue *queue = NULL;
    int64_t before = bed->backend->kernel_calls;
    ok(ops->queue_open(bed->backend, &queue, &err));
    struct fuse_view view = row(bed->memory, FUSE_F32, 4);
    ok(ops->clear(queue, &view, &err));
    queue->ops->close(queue);
    assert_int_equal(bed->backend->kernel_calls, before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_closed_outside_the_queue),
        cmocka_unit_test(nothing_runs_before_wait),
        cmocka_unit_test(arguments_are_copied),
        cmocka_unit_test(memory_of_the_wrong_kind_is_refused),
        cmocka_unit_test(a_failure_waits_for_wait),
        cmocka_unit_test(long_queues_run_their_oldest_work),
        cmocka_unit_test(a_closed_queue_drops_its_work),
    };
    return cmocka_run_group_tests(tests, open_bed, close_bed);
}
