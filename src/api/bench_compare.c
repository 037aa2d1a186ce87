/* Two documents of measurements: which lines have become slower. */
#include "api/bench.h"
#include "io/json_document.h"

#include <string.h>

/* What a line is about: equal keys are compared. */
static const char *const identity[] = {"case", "what", "shape", "dtype"};
static const char *const counts[] = {"ranks", "threads"};

struct measured {
    double median, least;
    bool passed;
};

static bool same_line(const struct fuse_document_value *a, const struct fuse_document_value *b) {
    for (size_t i = 0; i < sizeof identity / sizeof *identity; i++) {
        const struct fuse_document_value *x = fuse_document_find(a, identity[i]),
                                         *y = fuse_document_find(b, identity[i]);
        if (!x || !y || x->kind != FUSE_DOCUMENT_STRING || y->kind != FUSE_DOCUMENT_STRING ||
            strcmp(x->string, y->string) != 0)
            return false;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const struct fuse_document_value *x = fuse_document_find(a, counts[i]), *y = fuse_document_find(b, counts[i]);
        if (!x || !y || x->kind != FUSE_DOCUMENT_INTEGER || y->kind != FUSE_DOCUMENT_INTEGER ||
            x->integer != y->integer)
            return false;
    }
    return true;
}

static enum fuse_status read_line(struct measured *out, const struct fuse_document *doc,
                                  const struct fuse_document_value *line, struct fuse_error *err) {
    FUSE_TRY(fuse_document_expect(doc, line, FUSE_DOCUMENT_OBJECT, "a line", err));
    *out = (struct measured){.passed = true};
    FUSE_TRY(fuse_document_get_real(&out->median, doc, line, "median", true, err));
    FUSE_TRY(fuse_document_get_real(&out->least, doc, line, "min", true, err));
    const struct fuse_document_value *passed = fuse_document_find(line, "passed");
    if (passed && passed->kind == FUSE_DOCUMENT_NULL)
        return FUSE_OK;
    return fuse_document_get_bool(&out->passed, doc, line, "passed", true, err);
}

static const char *string_of(const struct fuse_document_value *line, const char *key) {
    const struct fuse_document_value *value = fuse_document_find(line, key);
    return value && value->kind == FUSE_DOCUMENT_STRING ? value->string : "";
}

static enum fuse_status open_document(struct fuse_document *doc, const struct fuse_document_value **lines,
                                      struct fuse_bench *bench, const char *path, struct fuse_error *err) {
    FUSE_TRY(fuse_document_read(doc, bench->arena, path, (struct fuse_document_limits){0}, err));
    FUSE_TRY(fuse_document_expect(doc, doc->root, FUSE_DOCUMENT_OBJECT, "a document of measurements", err));
    return fuse_document_get(lines, doc, doc->root, "lines", FUSE_DOCUMENT_LIST, true, err);
}

static enum fuse_status compare(struct fuse_text *text, bool *worse, struct fuse_bench *bench, struct fuse_error *err) {
    struct fuse_document before, after;
    const struct fuse_document_value *olds, *news;
    const double threshold = bench->request->threshold > 0 ? bench->request->threshold : 5, most = 1 + threshold / 100;
    FUSE_TRY(open_document(&before, &olds, bench, bench->request->word[1], err));
    FUSE_TRY(open_document(&after, &news, bench, bench->request->word[2], err));
    fuse_text_add(text, "%-10s %-22s %-34s %11s %11s %7s\n", "case", "what", "shape", "old s", "new s", "new/old");
    for (const struct fuse_document_value *old = olds->first; old; old = old->next) {
        struct measured was, is;
        const struct fuse_document_value *now = news->first;
        FUSE_TRY(read_line(&was, &before, old, err));
        while (now && !same_line(old, now))
            now = now->next;
        fuse_text_add(text, "%-10s %-22s %-34s %11.6f", string_of(old, "case"), string_of(old, "what"),
                      string_of(old, "shape"), was.median);
        if (!now) {
            fuse_text_add(text, " %11s %7s MISSING\n", "-", "-");
            *worse = true;
            continue;
        }
        FUSE_TRY(read_line(&is, &after, now, err));
        /* Both, so that noise in a few repeats is no verdict. */
        bool slower = is.median > most * was.median && is.least > most * was.least,
             faster = was.median > most * is.median && was.least > most * is.least;
        fuse_text_add(text, " %11.6f %7.3f %s\n", is.median, was.median > 0 ? is.median / was.median : 0,
                      !is.passed ? "FAILED"
                      : slower   ? "SLOWER"
                      : faster   ? "faster"
                                 : "same");
        *worse |= slower || !is.passed;
    }
    return FUSE_OK;
}

enum fuse_status fuse_bench_compare(struct fuse_bench *bench, struct fuse_error *err) {
    struct fuse_comm *comm = bench->job->comm;
    struct fuse_text text = {.arena = bench->arena};
    if (bench->request->words != 3)
        return fuse_fail(err, FUSE_EUSAGE, "compare takes two documents: fuse-dist bench compare OLD NEW");
    enum fuse_status st = FUSE_OK;
    bool worse = false;
    if (comm->rank == 0)
        st = compare(&text, &worse, bench, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    if (comm->rank == 0 && bench->print)
        bench->print(bench->options.context, text.at);
    int64_t failed = worse;
    FUSE_TRY(comm->ops->broadcast(comm, &failed, sizeof failed, 0, err));
    bench->failed = failed != 0;
    return FUSE_OK;
}
