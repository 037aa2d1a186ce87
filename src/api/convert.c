/* A file in another format: a program of sources and sinks, made from what the file holds, runs as every other. So all
 * ranks read and write, formats need no second code, and what a program could not do with the files is refused alike. */
#include "api/program.h"
#include "lang/lexer.h"

#include <string.h>

struct ends {
    const char *from, *to, *from_part, *to_part;
    const struct fuse_format *from_format, *to_format;
};

/* The parts to convert, NULL: what the place itself says. */
struct parts {
    FUSE_VEC(const char *) list;
};

/* Rank 0 has listed the file; its names for all. */
static enum fuse_status share_parts(struct parts *out, struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    struct fuse_text names = {.arena = program->arena};
    const struct fuse_contents *contents = program->contents;
    for (int i = 0; contents && i < contents->parts.n; i++)
        fuse_text_add_bytes(&names, contents->parts.at[i].name, strlen(contents->parts.at[i].name) + 1);
    int64_t bytes = (int64_t)names.bytes;
    FUSE_TRY(comm->ops->broadcast(comm, &bytes, sizeof bytes, 0, err));
    char *at = comm->rank == 0 && names.at ? names.at : fuse_arena_alloc(program->arena, (size_t)bytes + 1);
    FUSE_TRY(comm->ops->broadcast(comm, at, (size_t)bytes, 0, err));
    for (const char *end = at + bytes; at < end; at += strlen(at) + 1)
        fuse_vec_push(program->arena, &out->list, at);
    return FUSE_OK;
}

static enum fuse_status find_parts(struct parts *out, struct fuse_dist_program *program, const struct ends *ends,
                                   struct fuse_error *err) {
    if (ends->from_part || !ends->from_format->list_parts) {
        fuse_vec_push(program->arena, &out->list, NULL);
        return FUSE_OK;
    }
    FUSE_TRY(fuse_api_list_contents(program, program->path, err));
    FUSE_TRY(share_parts(out, program, err));
    if (out->list.n == 0) {
        fuse_fail(err, FUSE_EINPUT, "%s holds no array", ends->from);
        fuse_hint(err, "'fuse-dist info %s' shows what a file holds", ends->from);
        return FUSE_EINPUT;
    }
    if (out->list.n > 1 && (ends->to_part || !ends->to_format->has_parts)) {
        fuse_fail(err, FUSE_EUSAGE, "%s holds %d arrays, and there is room for one in %s", ends->from, out->list.n,
                  program->converted_to);
        fuse_hint(err, "name the one that is meant: %s:%s", ends->from, out->list.at[0]);
        return FUSE_EUSAGE;
    }
    return FUSE_OK;
}

/* ---- the program ---- */

static void add_reference(struct fuse_text *text, int number, const struct fuse_probe *probe) {
    const struct fuse_tally *tally = probe->tally;
    bool has_value = tally && tally->last != FUSE_COLUMN_IDS && tally->last != FUSE_COLUMN_SYMBOLS,
         is_set = tally && !has_value;
    int axes = tally ? tally->columns - has_value : probe->rank;
    fuse_text_add(text, "A%d", number);
    for (int a = 0; a < axes; a++)
        fuse_text_add(text, "%si%d", a ? "," : is_set ? "(" : "[", a);
    if (axes > 0)
        fuse_text_add(text, is_set ? ")" : "]");
}

static enum fuse_status check_utf8(const char *name, struct fuse_error *err) {
    for (size_t at = 0, bytes = strlen(name); at < bytes;) {
        int length = fuse_utf8_decode(NULL, name + at, bytes - at);
        if (length == 0) {
            fuse_fail(err, FUSE_EUSAGE, "'%s' is not UTF-8, as names of files and parts have to be", name);
            fuse_hint(err, "give the file another name, or a link to it");
            return FUSE_EUSAGE;
        }
        at += (size_t)length;
    }
    return FUSE_OK;
}

/* A string of the language, whose escapes are those of JSON. */
static void add_place(struct fuse_text *text, const char *path, const char *part) {
    struct fuse_text place = {.arena = text->arena};
    fuse_text_add(&place, "%s%s%s", path, part ? ":" : "", part ? part : "");
    fuse_text_add_json_string(text, place.at);
}

static enum fuse_status add_part(struct fuse_text *text, struct fuse_dist_program *program, const struct ends *ends,
                                 const char *part, int number, struct fuse_error *err) {
    const char *from = part ? fuse_arena_printf(program->arena, "%s:%s", ends->from, part) : program->path;
    FUSE_TRY(check_utf8(from, err));
    FUSE_TRY(fuse_api_probe_place(program, from, err));
    const struct fuse_source_request *source = &program->probed.list.at[program->probed.list.n - 1];
    if (!source->probed)
        return FUSE_OK;
    if (source->probe.tally && source->probe.tally->columns == 0) {
        fuse_fail(err, FUSE_EINPUT, "%s has no row, so nobody knows how many columns it has", from);
        fuse_hint(err, "a relation of known columns has a row at least");
        return FUSE_EINPUT;
    }
    add_reference(text, number, &source->probe);
    fuse_text_add(text, " = ");
    add_place(text, from, NULL);
    fuse_text_add(text, "\n");
    const char *name = ends->to_part ? ends->to_part : ends->to_format->has_parts ? part : NULL;
    add_place(text, ends->to, name);
    fuse_text_add(text, program->options.dtype ? " = cast(" : " = ");
    add_reference(text, number, &source->probe);
    if (program->options.dtype)
        fuse_text_add(text, ", \"%s\")", program->options.dtype);
    fuse_text_add(text, "\n");
    return FUSE_OK;
}

static enum fuse_status check_dtype(const char *name, struct fuse_error *err) {
    enum fuse_dtype dtype;
    if (!name || (fuse_dtype_parse(&dtype, name) && fuse_dtype_resident(dtype) == dtype))
        return FUSE_OK;
    fuse_fail(err, FUSE_EUSAGE, "there is no dtype '%s' to convert to", name);
    fuse_hint(err, "the dtypes are those of cast: f64, f32, bf16, f16, i64, i32, i16, i8, u8, bool");
    return FUSE_EUSAGE;
}

enum fuse_status fuse_api_make_conversion(struct fuse_program_file *out, struct fuse_dist_program *program,
                                          struct fuse_error *err) {
    struct ends ends;
    struct parts parts = {0};
    struct fuse_text text = {.arena = program->arena};
    *out = (struct fuse_program_file){.path = program->path, .text = ""};
    FUSE_TRY(check_dtype(program->options.dtype, err));
    FUSE_TRY(check_utf8(program->converted_to, err));
    fuse_api_split_place(&ends.from, &ends.from_part, program->arena, program->path);
    fuse_api_split_place(&ends.to, &ends.to_part, program->arena, program->converted_to);
    ends.from_format = fuse_api_find_format(program, ends.from, ends.from_part, FUSE_NO_SPAN, false);
    ends.to_format = fuse_api_find_format(program, ends.to, ends.to_part, FUSE_NO_SPAN, true);
    if (!ends.from_format || !ends.to_format)
        return FUSE_OK;
    FUSE_TRY(find_parts(&parts, program, &ends, err));
    for (int i = 0; i < parts.list.n && program->diagnostics.errors == 0; i++)
        FUSE_TRY(add_part(&text, program, &ends, parts.list.at[i], i, err));
    out->text = text.at ? text.at : "";
    out->bytes = text.bytes;
    return FUSE_OK;
}
