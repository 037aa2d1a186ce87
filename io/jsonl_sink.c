/* .jsonl sinks: a line that says what follows, then a line an element, or for rankings a line a row.
 *
 *   {"schema":"fuse.tensor","version":1,"shape":[2,3]}        {"schema":"fuse.topk","version":1}
 *   {"value":0.5}                                             {"topk":[{"index":7,"value":0.5},{"index":2,"value":0.25}]}
 *   ..                                                        ..                                                       */
#include "io/jsonl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static size_t put(char *to, const char *text) {
    size_t bytes = strlen(text);
    memcpy(to, text, bytes);
    return bytes;
}

/* ---- tensors ---- */

static size_t tensor_head(char *to, const struct fuse_text_shape *shape) {
    size_t bytes = put(to, FUSE_JSONL_TENSOR_HEAD);
    for (int a = 0; a < shape->member->rank; a++)
        bytes += (size_t)sprintf(to + bytes, "%s%" PRId64, a ? "," : "", shape->member->extent[a]);
    return bytes + put(to + bytes, "]}\n");
}

static size_t before_element(char *to, const struct fuse_text_shape *shape, int64_t n) {
    size_t bytes = n == 0 ? tensor_head(to, shape) : 0;
    return bytes + put(to + bytes, FUSE_JSONL_VALUE);
}

static size_t behind_element(char *to, const struct fuse_text_shape *shape, int64_t n) {
    (void)shape;
    (void)n;
    return put(to, "}\n");
}

static enum fuse_dtype shown_element(const struct fuse_text_shape *shape, int64_t n) {
    (void)n;
    return shape->member->dtype;
}

static enum fuse_status no_elements(struct fuse_text_runs *text, const struct fuse_text_shape *shape,
                                    struct fuse_error *err) {
    char head[FUSE_JSON_AROUND_BYTES];
    return fuse_text_runs_append(text, head, tensor_head(head, shape), err);
}

static const struct fuse_json_form tensor_form = {
    .before = before_element, .behind = behind_element, .shown = shown_element};
static const struct fuse_text_layout tensor = {
    .form = &tensor_form, .elements = fuse_json_elements, .nothing = no_elements};

/* ---- rankings: elements are positions and values by turns ---- */

static int64_t row_elems(const struct fuse_text_shape *shape) {
    return 2 * shape->member->extent[shape->member->rank - 2];
}

static size_t before_ranked(char *to, const struct fuse_text_shape *shape, int64_t n) {
    size_t bytes = n == 0 ? put(to, FUSE_JSONL_TOPK_HEAD) : 0;
    if (n % 2 != 0)
        return put(to, ",\"value\":");
    return bytes + put(to + bytes, n % row_elems(shape) == 0 ? "{\"topk\":[{\"index\":" : ",{\"index\":");
}

static size_t behind_ranked(char *to, const struct fuse_text_shape *shape, int64_t n) {
    if (n % 2 == 0)
        return 0;
    return put(to, (n + 1) % row_elems(shape) == 0 ? "}]}\n" : "}");
}

static enum fuse_dtype shown_ranked(const struct fuse_text_shape *shape, int64_t n) {
    return n % 2 == 0 ? FUSE_I64 : shape->member->ranked;
}

/* No rows, or rows of nothing. */
static enum fuse_status nothing_ranked(struct fuse_text_runs *text, const struct fuse_text_shape *shape,
                                       struct fuse_error *err) {
    static const char head[] = FUSE_JSONL_TOPK_HEAD, row[] = "{\"topk\":[]}\n";
    int64_t rows = 1;
    for (int a = 0; a < shape->member->rank - 2; a++)
        rows = fuse_sat_mul(rows, shape->member->extent[a]);
    FUSE_TRY(fuse_text_runs_append(text, head, sizeof head - 1, err));
    for (int64_t r = 0; r < rows; r++)
        FUSE_TRY(fuse_text_runs_append(text, row, sizeof row - 1, err));
    return FUSE_OK;
}

static const struct fuse_json_form ranking_form = {
    .before = before_ranked, .behind = behind_ranked, .shown = shown_ranked};
static const struct fuse_text_layout ranking = {
    .form = &ranking_form, .elements = fuse_json_elements, .nothing = nothing_ranked};

enum fuse_status fuse_jsonl_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                      struct fuse_error *err) {
    return fuse_text_sink_open(out, comm, FUSE_OK, want,
                               want->members == 1 && want->member->ranking ? &ranking : &tensor, err);
}
