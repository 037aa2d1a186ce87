/* What `fuse-dist check` says of a program that is right. */
#include "api/program.h"

#include <inttypes.h>
#include <string.h>

static void add_shape(struct fuse_text *text, enum fuse_dtype dtype, int rank, const int64_t *extent) {
    fuse_text_add(text, "%s[", fuse_dtype_name(dtype));
    for (int a = 0; a < rank; a++)
        fuse_text_add(text, "%s%" PRId64, a ? ", " : "", extent[a]);
    fuse_text_add(text, "]");
}

struct counted {
    struct fuse_map tensors;
    int equations;
};

static void count(struct counted *out, struct fuse_item *const *item, int items) {
    for (int i = 0; i < items; i++) {
        bool is_equation = item[i]->kind == FUSE_ITEM_EQUATION || item[i]->kind == FUSE_ITEM_LET;
        out->equations += is_equation;
        if (is_equation || item[i]->kind == FUSE_ITEM_SOURCE)
            fuse_map_put(&out->tensors, item[i]->lhs.name, 1);
        if (item[i]->kind == FUSE_ITEM_BLOCK)
            count(out, item[i]->body, item[i]->bodies);
    }
}

/* The tensors that a source is for. */
static void add_readers(struct fuse_text *text, const char *file, struct fuse_item *const *item, int items) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_BLOCK || item[i]->kind == FUSE_ITEM_FN)
            add_readers(text, file, item[i]->body, item[i]->bodies);
        else if (item[i]->kind == FUSE_ITEM_SOURCE && strcmp(item[i]->text, file) == 0)
            fuse_text_add(text, " %s", item[i]->lhs.name);
    }
}

void fuse_api_summarise(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_ast *ast = &program->ast;
    struct counted counted = {.tensors = {.arena = program->arena}};
    count(&counted, ast->item, ast->items);
    int tensors = counted.tensors.keys.n;
    fuse_text_add(text, "%s: right; %d tensor%s, %d equation%s\n", program->path, tensors, tensors == 1 ? "" : "s",
                  counted.equations, counted.equations == 1 ? "" : "s");
    for (int i = 0; i < program->sources.list.n; i++) {
        const struct fuse_source_request *source = &program->sources.list.at[i];
        fuse_text_add(text, "  source");
        add_readers(text, source->text, ast->item, ast->items);
        fuse_text_add(text, " = \"%s\" ", source->text);
        add_shape(text, source->probe.file_dtype, source->probe.rank, source->probe.extent);
        fuse_text_add(text, "\n");
    }
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        if (op->kind != FUSE_OP_SINK || op->asks > 0)
            continue;
        const struct fuse_value *value = &program->ir.values.at[op->input[0].value];
        if (op->path)
            fuse_text_add(text, "  sink \"%s\" ", op->path);
        else
            fuse_text_add(text, "  export %s ", op->part);
        add_shape(text, value->dtype, value->rank, value->extent);
        fuse_text_add(text, "\n");
    }
}
