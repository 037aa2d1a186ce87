/* Measurements as lines for people, or as one JSON document, which `bench compare` reads. */
#include "api/bench.h"

#include <cblas.h>
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

static bool is_silent(const struct fuse_bench *bench) {
    return bench->job->comm->rank != 0 || !bench->print;
}

static void add_json_text(struct fuse_text *text, const char *key, const char *value) {
    fuse_text_add(text, "\"%s\":", key);
    fuse_text_add_json_string(text, value);
    fuse_text_add(text, ",");
}

static void begin(struct fuse_bench *bench) {
    struct utsname host;
    struct fuse_text text = {.arena = bench->arena};
    if (!bench->request->json) {
        fuse_text_add(&text, "%-10s %-22s %-34s %5s %5s %7s %11s %11s %7s %9s %8s %8s %6s\n", "case", "what", "shape",
                      "type", "ranks", "threads", "median s", "min s", "spread", "GFLOP/s", "GB/s", "error", "check");
    } else {
        fuse_text_add(&text, "{");
        add_json_text(&text, "version", fuse_dist_version());
        if (uname(&host) == 0)
            add_json_text(&text, "host", host.nodename);
        add_json_text(&text, "blas", openblas_get_config());
        add_json_text(&text, "blas_core", openblas_get_corename());
        fuse_text_add(&text, "\"lines\":[\n");
    }
    bench->print(bench->options.context, text.at);
}

static double spread(const struct fuse_bench_line *line) {
    return line->median > 0 ? (line->most - line->least) / line->median : 0;
}

static double per_second(double amount, const struct fuse_bench_line *line) {
    return line->median > 0 ? amount * 1e-9 / line->median : 0;
}

static void add_rate(struct fuse_text *text, int width, double rate) {
    if (rate > 0)
        fuse_text_add(text, " %*.2f", width, rate);
    else
        fuse_text_add(text, " %*s", width, "-");
}

/* Of what all threads together could do. */
static double peak_share(const struct fuse_bench_line *line) {
    return per_second(line->c->flops, line) * 1e9 / (line->c->peak_flops * line->threads * line->ranks);
}

static void add_text_line(struct fuse_text *text, const struct fuse_bench_line *line) {
    const struct fuse_bench_case *c = line->c;
    fuse_text_add(text, "%-10s %-22s %-34s %5s %5d %7d %11.6f %11.6f %6.1f%%", c->kind, c->what, c->shape,
                  fuse_dtype_name(c->dtype), line->ranks, line->threads, line->median, line->least, 100 * spread(line));
    add_rate(text, 9, per_second(c->flops, line));
    add_rate(text, 8, per_second(c->bytes, line));
    fuse_text_add(text, " %8.3f %6s", line->verdict.error,
                  line->unchecked ? "NONE"
                  : line->passed  ? "PASSED"
                                  : "FAILED");
    if (line->efficiency > 0)
        fuse_text_add(text, "  efficiency %.3f waiting %.1f%%", line->efficiency,
                      line->run > 0 ? 100 * line->waiting / line->run : 0);
    if (c->bus_factor > 0)
        fuse_text_add(text, "  algbw %.3f GB/s busbw %.3f GB/s #wrong %" PRId64, per_second(c->bytes, line),
                      per_second(c->bytes * c->bus_factor, line), line->verdict.wrong);
    if (c->peak_flops > 0)
        fuse_text_add(text, "  %.2f of the peak", peak_share(line));
    fuse_text_add(text, "\n");
}

static void add_number(struct fuse_text *text, const char *key, double value) {
    fuse_text_add(text, ",\"%s\":%.9g", key, value);
}

static void add_count(struct fuse_text *text, const char *key, int64_t value) {
    fuse_text_add(text, ",\"%s\":%" PRId64, key, value);
}

static void add_json_line(struct fuse_text *text, const struct fuse_bench_line *line) {
    const struct fuse_bench_case *c = line->c;
    fuse_text_add(text, "{");
    add_json_text(text, "case", c->kind);
    add_json_text(text, "what", c->what);
    add_json_text(text, "shape", c->shape);
    fuse_text_add(text, "\"dtype\":\"%s\",\"ranks\":%d,\"threads\":%d,\"repeats\":%d", fuse_dtype_name(c->dtype),
                  line->ranks, line->threads, line->repeats);
    add_number(text, "median", line->median);
    add_number(text, "min", line->least);
    add_number(text, "max", line->most);
    add_number(text, "load", line->load);
    add_number(text, "run", line->run);
    add_number(text, "store", line->store);
    add_number(text, "waiting", line->waiting);
    add_number(text, "wall", line->wall);
    add_number(text, "cpu", line->cpu);
    add_number(text, "cpu_min", line->cpu_least);
    add_number(text, "flops", c->flops);
    add_number(text, "bytes", c->bytes);
    add_number(text, "gflops", per_second(c->flops, line));
    add_number(text, "gbytes", per_second(c->bytes, line));
    if (line->efficiency > 0)
        add_number(text, "efficiency", line->efficiency);
    if (c->bus_factor > 0) {
        add_number(text, "algbw", per_second(c->bytes, line));
        add_number(text, "busbw", per_second(c->bytes * c->bus_factor, line));
    }
    if (c->peak_flops > 0)
        add_number(text, "of_peak", peak_share(line));
    add_count(text, "flops_planned", line->flops_planned);
    add_count(text, "blas_calls", line->blas_calls);
    add_count(text, "packed_bytes", line->packed_bytes);
    add_count(text, "kernel_calls", line->kernel_calls);
    add_count(text, "received_bytes", line->received_bytes);
    add_count(text, "received_bytes_max", line->received_bytes_max);
    add_count(text, "tensor_bytes", line->operand_bytes);
    add_count(text, "arena_bytes", line->arena_bytes);
    add_count(text, "checked", line->verdict.checked);
    add_count(text, "wrong", line->verdict.wrong);
    /* NaN and infinity, which JSON has not, are errors beyond any number. */
    add_number(text, "error", line->verdict.error <= 1e30 ? line->verdict.error : 1e30);
    fuse_text_add(text, ",\"passed\":%s}", line->unchecked ? "null" : line->passed ? "true" : "false");
}

void fuse_bench_print(struct fuse_bench *bench, const struct fuse_bench_line *line) {
    if (is_silent(bench))
        return;
    struct fuse_text text = {.arena = bench->arena};
    if (bench->lines == 0)
        begin(bench);
    if (bench->request->json) {
        fuse_text_add(&text, "%s", bench->lines > 0 ? ",\n" : "");
        add_json_line(&text, line);
    } else {
        add_text_line(&text, line);
    }
    bench->lines++;
    bench->print(bench->options.context, text.at);
}

void fuse_bench_end(struct fuse_bench *bench) {
    if (!is_silent(bench) && bench->request->json && bench->lines > 0)
        bench->print(bench->options.context, "\n]}\n");
}
