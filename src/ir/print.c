#include "ir/ir.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Literals longer than this are cut: a dump is for reading. */
#define MAX_PRINTED_ELEMS 8

static void add_value_name(struct fuse_text *text, const struct fuse_ir *ir, int value) {
    const char *name = ir->values.at[value].name;
    if (name)
        fuse_text_add(text, "%s", name);
    else
        fuse_text_add(text, "%%%d", value);
}

static void add_index_name(struct fuse_text *text, const struct fuse_op *op, int index) {
    if (op->index_name[index])
        fuse_text_add(text, "%s", op->index_name[index]);
    else
        fuse_text_add(text, "#%d", index);
}

/* The fewest digits that read back as the same number. */
static void add_real(struct fuse_text *text, double real, bool single) {
    char digits[40];
    if (isnan(real)) {
        fuse_text_add(text, "nan");
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, real);
        double back = strtod(digits, NULL);
        if (single ? (float)back == (float)real : back == real)
            break;
    }
    fuse_text_add(text, "%s", digits);
}

static void add_access(struct fuse_text *text, const struct fuse_op *op, const struct fuse_access *access) {
    if (access->rank == 0)
        return;
    fuse_text_add(text, "[");
    for (int a = 0; a < access->rank; a++) {
        int64_t stride = access->at[a].stride, offset = access->at[a].offset;
        if (a > 0)
            fuse_text_add(text, ",");
        if (access->at[a].index < 0) {
            fuse_text_add(text, "%" PRId64, offset);
            continue;
        }
        if (stride == -1)
            fuse_text_add(text, "-");
        else if (stride != 1)
            fuse_text_add(text, "%" PRId64 "*", stride);
        add_index_name(text, op, access->at[a].index);
        if (access->at[a].divide > 0)
            fuse_text_add(text, "/%" PRId64, access->at[a].divide);
        if (access->at[a].modulo > 0)
            fuse_text_add(text, "%%%" PRId64, access->at[a].modulo);
        if (offset != 0)
            fuse_text_add(text, "%+" PRId64, offset);
    }
    fuse_text_add(text, "]");
}

static const char *kind_word(const struct fuse_op *op) {
    switch (op->kind) {
    case FUSE_OP_EINSUM: return "einsum";
    case FUSE_OP_JOIN: return "join";
    case FUSE_OP_ATTENTION: return op->guarded ? "attention guarded" : "attention";
    default: return "map";
    }
}

static void add_indices(struct fuse_text *text, const struct fuse_ir *ir, const struct fuse_op *op) {
    bool in_out[FUSE_MAX_AXES] = {false}, bar = false;
    int rank = ir->values.at[op->out].rank;
    fuse_text_add(text, " [");
    for (int a = 0; a < rank; a++) {
        if (a > 0)
            fuse_text_add(text, " ");
        add_index_name(text, op, op->out_index[a]);
        fuse_text_add(text, ":%" PRId64, op->extent[op->out_index[a]]);
        in_out[op->out_index[a]] = true;
    }
    for (int x = 0; x < op->indices; x++) {
        if (in_out[x])
            continue;
        fuse_text_add(text, bar || rank == 0 ? "" : " ");
        fuse_text_add(text, bar ? " " : "| ");
        bar = true;
        add_index_name(text, op, x);
        fuse_text_add(text, ":%" PRId64, op->extent[x]);
    }
    fuse_text_add(text, "]");
}

static void add_elements(struct fuse_text *text, const struct fuse_value *value, const void *data) {
    int64_t elems = fuse_value_elems(value);
    size_t bytes = fuse_dtype_bytes(value->dtype);
    bool real = fuse_dtype_class(value->dtype) == FUSE_CLASS_REAL;
    for (int64_t i = 0; i < elems; i++) {
        if (i == MAX_PRINTED_ELEMS) {
            fuse_text_add(text, " ..");
            return;
        }
        const char *at = (const char *)data + (size_t)i * bytes;
        fuse_text_add(text, " ");
        if (real) {
            double number;
            (void)fuse_dtype_convert(&number, FUSE_F64, at, value->dtype, 1);
            add_real(text, number, value->dtype != FUSE_F64);
        } else {
            int64_t number;
            (void)fuse_dtype_convert(&number, FUSE_I64, at, value->dtype, 1);
            fuse_text_add(text, "%" PRId64, number);
        }
    }
}

static void add_path(struct fuse_text *text, const struct fuse_op *op) {
    fuse_text_add(text, " ");
    fuse_text_add_json_string(text, op->path ? op->path : "");
    if (op->part) {
        fuse_text_add(text, ":");
        fuse_text_add_json_string(text, op->part);
    }
}

/* "[3:4, 0:64]" */
static void add_file_part(struct fuse_text *text, const struct fuse_value *value, const struct fuse_op *op) {
    fuse_text_add(text, " [");
    for (int a = 0; a < value->rank; a++)
        fuse_text_add(text, "%s%" PRId64 ":%" PRId64, a > 0 ? ", " : "", op->begin[a], op->begin[a] + value->extent[a]);
    fuse_text_add(text, "]");
}

/* The rules that a DERIVED operation reads. */
static const struct fuse_rules *producer_rules(const struct fuse_ir *ir, const struct fuse_op *op) {
    return ir->ops.at[ir->values.at[op->input[0].value].op]->rules;
}

void fuse_ir_print_op(struct fuse_text *text, const struct fuse_ir *ir, int number) {
    const struct fuse_op *op = ir->ops.at[number];
    if (op->kind == FUSE_OP_SINK) {
        fuse_text_add(text, "sink");
        add_path(text, op);
        fuse_text_add(text, " ");
        add_value_name(text, ir, op->input[0].value);
        if (op->reduce != FUSE_REDUCE_NONE)
            fuse_text_add(text, " where %s reached", fuse_reduce_name(op->reduce));
        return;
    }

    const struct fuse_value *out = &ir->values.at[op->out];
    add_value_name(text, ir, op->out);
    fuse_text_add(text, " %s[", fuse_dtype_name(out->dtype));
    for (int a = 0; a < out->rank; a++)
        fuse_text_add(text, "%s%" PRId64, a > 0 ? "," : "", out->extent[a]);
    fuse_text_add(text, "] = ");

    switch (op->kind) {
    case FUSE_OP_SOURCE:
        fuse_text_add(text, op->probe.tally ? "relation" : "source");
        add_path(text, op);
        if (op->probe.tally)
            fuse_text_add(text, " %" PRId64 " rows", op->probe.tally->rows);
        else if (!fuse_source_is_whole(ir, op))
            add_file_part(text, out, op);
        for (int i = 0; i < op->inputs; i++) {
            fuse_text_add(text, " ");
            add_value_name(text, ir, op->input[i].value);
        }
        break;
    case FUSE_OP_LITERAL:
        fuse_text_add(text, op->draw ? "draw" : "literal");
        if (op->draw)
            fuse_text_add(text, " %" PRId64 " points, seed %" PRId64, op->draw->rows, op->draw->seed);
        else
            add_elements(text, out, op->data);
        break;
    case FUSE_OP_EINSUM:
    case FUSE_OP_MAP:
    case FUSE_OP_JOIN:
    case FUSE_OP_ATTENTION:
        fuse_text_add(text, "%s", kind_word(op));
        if ((op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_JOIN) && op->reduce != FUSE_REDUCE_NONE)
            fuse_text_add(text, " %s", fuse_reduce_name(op->reduce));
        add_indices(text, ir, op);
        for (int i = 0; i < op->inputs; i++) {
            fuse_text_add(text, " ");
            add_value_name(text, ir, op->input[i].value);
            add_access(text, op, &op->input[i].access);
        }
        if (op->kind != FUSE_OP_EINSUM) {
            fuse_text_add(text, " : ");
            fuse_scalar_print(text, op->body);
        }
        break;
    case FUSE_OP_SPARSIFY:
        fuse_text_add(text, "sparsify ");
        add_value_name(text, ir, op->input[0].value);
        break;
    case FUSE_OP_RULES:
        fuse_text_add(text, "rules");
        for (int i = 0; i < op->inputs; i++) {
            fuse_text_add(text, " %s: ", op->rules->relation[op->feed[i]].name);
            add_value_name(text, ir, op->input[i].value);
        }
        break;
    case FUSE_OP_DERIVED:
        fuse_text_add(text, "derived ");
        add_value_name(text, ir, op->input[0].value);
        fuse_text_add(text, " %s", producer_rules(ir, op)->relation[op->derived].name);
        break;
    case FUSE_OP_CARRY:
        fuse_text_add(text, "carry %d", op->until);
        add_indices(text, ir, op);
        fuse_text_add(text, " : ");
        fuse_scalar_print(text, op->body);
        break;
    case FUSE_OP_FIXPOINT:
        fuse_text_add(text, "fixpoint %d of ", op->until);
        add_value_name(text, ir, op->input[0].value);
        fuse_text_add(text, " -> ");
        add_value_name(text, ir, op->input[1].value);
        fuse_text_add(text, " until ");
        add_value_name(text, ir, op->input[2].value);
        fuse_text_add(text, " <= 0");
        break;
    case FUSE_OP_SINK: break;
    }
}

void fuse_ir_print(struct fuse_text *text, const struct fuse_ir *ir) {
    for (int i = 0; i < ir->ops.n; i++) {
        fuse_ir_print_op(text, ir, i);
        fuse_text_add(text, "\n");
        if (ir->ops.at[i]->kind == FUSE_OP_RULES)
            fuse_rules_print(text, ir->ops.at[i]->rules);
    }
}
