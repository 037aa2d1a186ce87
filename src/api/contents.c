/* What a file holds, without a program. */
#include "api/packed.h"
#include "api/program.h"
#include "io/bundle.h"
#include "io/vocabulary.h"

#include <inttypes.h>
#include <string.h>

enum fuse_status fuse_api_probe_place(struct fuse_dist_program *program, const char *text, struct fuse_error *err) {
    struct fuse_sources others = program->sources;
    struct fuse_source_request request = {.text = text, .span = FUSE_NO_SPAN};
    program->sources = (struct fuse_sources){0};
    fuse_vec_push(program->arena, &program->sources.list, request);
    enum fuse_status st = fuse_api_probe_sources(program, err);
    fuse_vec_push(program->arena, &program->probed.list, program->sources.list.at[0]);
    program->sources = others;
    return st;
}

/* What a pack of a program looks like to who asks for arrays. */
static const struct fuse_format pack_format = {.name = "pack"};

/* Collective. */
static enum fuse_status list_pack(struct fuse_dist_program *program, const char *path, struct fuse_error *err) {
    struct fuse_bundle bundle;
    struct fuse_contents *contents = FUSE_NEW(program->arena, struct fuse_contents);
    enum fuse_status st = FUSE_OK;
    if (program->job->comm->rank == 0) {
        st = fuse_bundle_open(&bundle, program->arena, path, err);
        for (int i = 0; st == FUSE_OK && i < bundle.directory.members; i++) {
            const struct fuse_zip_member *member = &bundle.directory.member[i];
            struct fuse_attribute one = {.name = member->name,
                                         .text = fuse_arena_printf(program->arena, "%" PRId64 " bytes", member->bytes)};
            fuse_vec_push(program->arena, &contents->attributes, one);
        }
        if (st == FUSE_OK)
            fuse_bundle_close(&bundle);
        program->contents = contents;
    }
    return fuse_agree(program->job->comm, st, err);
}

enum fuse_status fuse_api_list_contents(struct fuse_dist_program *program, const char *text, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    const char *path, *part;
    if (fuse_api_is_pack(text))
        return list_pack(program, text, err);
    fuse_api_source_place(&path, &part, program, text);
    const struct fuse_format *format = fuse_api_find_format(program, path, part, FUSE_NO_SPAN, false);
    if (!format)
        return FUSE_OK;
    struct fuse_contents *contents = FUSE_NEW(program->arena, struct fuse_contents);
    if (!part && format->list_parts) {
        enum fuse_status st = comm->rank == 0 ? format->list_parts(contents, program->arena, path, err) : FUSE_OK;
        FUSE_TRY(fuse_agree(comm, st, err));
    } else {
        FUSE_TRY(fuse_api_probe_place(program, text, err));
        const struct fuse_source_request *probed = &program->probed.list.at[program->probed.list.n - 1];
        struct fuse_part one = {.name = part, .stored_bytes = -1, .probe = probed->probe};
        const struct fuse_vocabulary *vocabulary = probed->probe.vocabulary;
        if (vocabulary)
            fuse_vec_push(program->arena, &one.attributes,
                          ((struct fuse_attribute){
                              .name = "vocabulary",
                              .text = fuse_arena_printf(program->arena, "%" PRId64 " tokens, indices below %" PRId64,
                                                        vocabulary->items, vocabulary->end)}));
        fuse_vec_push(program->arena, &contents->parts, one);
    }
    if (comm->rank == 0)
        program->contents = contents;
    return FUSE_OK;
}

/* ---- for people ---- */

/* Names in files are any bytes; a terminal acts on some. */
static void add_shown(struct fuse_text *text, const char *at) {
    for (; *at; at++) {
        bool is_control = (unsigned char)*at < ' ' || *at == 127 || (at[0] == '\xC2' && (at[1] & 0xE0) == 0x80);
        fuse_text_add_bytes(text, is_control ? "?" : at, 1);
    }
}

static int64_t array_bytes(const struct fuse_probe *probe) {
    int64_t bytes = (int64_t)fuse_dtype_bytes(probe->file_dtype);
    for (int a = 0; a < probe->rank; a++)
        bytes = fuse_sat_mul(bytes, probe->extent[a]);
    return bytes;
}

static const char *kind_of(const struct fuse_tally *tally, int column) {
    static const char *const name[] = {[FUSE_COLUMN_IDS] = "ids",
                                       [FUSE_COLUMN_INTEGERS] = "integers",
                                       [FUSE_COLUMN_REALS] = "reals",
                                       [FUSE_COLUMN_SYMBOLS] = "symbols"};
    return name[tally->kind[column]];
}

static void print_table(struct fuse_text *text, const struct fuse_tally *tally) {
    if (tally->is_partial)
        fuse_text_add(text, "rows");
    else
        fuse_text_add(text, "%" PRId64 " row%s", tally->rows, tally->rows == 1 ? "" : "s");
    for (int c = 0; c < tally->columns; c++) {
        fuse_text_add(text, "\n    column %d  %s", c, kind_of(tally, c));
        if (tally->largest[c] >= 0)
            fuse_text_add(text, " up to %" PRId64, tally->largest[c]);
    }
}

static void print_array(struct fuse_text *text, const struct fuse_probe *probe, bool is_packed) {
    fuse_text_add(text, "%s[", fuse_dtype_name(probe->file_dtype));
    for (int a = 0; a < probe->rank; a++)
        fuse_text_add(text, "%s%" PRId64, a ? ", " : "", probe->extent[a]);
    fuse_text_add(text, "]");
    if (!is_packed)
        return;
    if (probe->rank > 1)
        fuse_text_add(text, ", %s order", probe->reversed ? "Fortran" : "C");
    if (fuse_dtype_bytes(probe->file_dtype) > 1)
        fuse_text_add(text, ", %s-endian", probe->big_endian ? "big" : "little");
    fuse_text_add(text, ", %" PRId64 " bytes", array_bytes(probe));
}

static void print_part(struct fuse_text *text, const struct fuse_part *part, bool is_packed) {
    fuse_text_add(text, "  ");
    if (part->name) {
        add_shown(text, part->name);
        fuse_text_add(text, "  ");
    }
    if (part->refused) {
        fuse_text_add(text, "cannot be read: ");
        add_shown(text, part->refused);
    } else if (part->probe.tally) {
        print_table(text, part->probe.tally);
    } else {
        print_array(text, &part->probe, is_packed);
    }
    if (part->storage)
        fuse_text_add(text, ", %s", part->storage);
    if (part->stored_bytes >= 0 && (part->refused || part->storage))
        fuse_text_add(text, ", %" PRId64 " bytes in the file", part->stored_bytes);
    fuse_text_add(text, "\n");
}

static void print_attributes(struct fuse_text *text, const struct fuse_attribute *attribute, int n,
                             const char *indent) {
    for (int i = 0; i < n; i++) {
        fuse_text_add(text, "%s", indent);
        add_shown(text, attribute[i].name);
        fuse_text_add(text, " = ");
        fuse_text_add_json_string(text, attribute[i].text);
        fuse_text_add(text, "\n");
    }
}

static int64_t file_bytes(const struct fuse_contents *contents) {
    for (int i = 0; i < contents->parts.n; i++)
        if (!contents->parts.at[i].refused)
            return contents->parts.at[i].probe.file_bytes;
    return -1;
}

static void print_text(struct fuse_text *text, const struct fuse_dist_program *program,
                       const struct fuse_format *format) {
    const struct fuse_contents *contents = program->contents;
    int64_t bytes = file_bytes(contents);
    add_shown(text, program->path);
    fuse_text_add(text, ": %s", format->name);
    if (bytes >= 0)
        fuse_text_add(text, ", %" PRId64 " bytes", bytes);
    if (format->has_parts)
        fuse_text_add(text, ", %d part%s", contents->parts.n, contents->parts.n == 1 ? "" : "s");
    fuse_text_add(text, "\n");
    for (int i = 0; i < contents->parts.n; i++) {
        const struct fuse_part *part = &contents->parts.at[i];
        print_part(text, part, !format->scan);
        print_attributes(text, part->attributes.at, part->attributes.n, "    ");
    }
    print_attributes(text, contents->attributes.at, contents->attributes.n, "  ");
}

/* ---- for programs ---- */

static void add_string_or_null(struct fuse_text *text, const char *key, const char *value) {
    fuse_text_add(text, ",\"%s\":", key);
    if (value)
        fuse_text_add_json_string(text, value);
    else
        fuse_text_add(text, "null");
}

static void add_attributes(struct fuse_text *text, const struct fuse_attribute *attribute, int n) {
    fuse_text_add(text, ",\"attributes\":{");
    for (int i = 0; i < n; i++) {
        fuse_text_add(text, i ? "," : "");
        fuse_text_add_json_string(text, attribute[i].name);
        fuse_text_add(text, ":");
        fuse_text_add_json_string(text, attribute[i].text);
    }
    fuse_text_add(text, "}");
}

static void add_table(struct fuse_text *text, const struct fuse_tally *tally) {
    if (tally->is_partial)
        fuse_text_add(text, ",\"rows\":null,\"columns\":[");
    else
        fuse_text_add(text, ",\"rows\":%" PRId64 ",\"columns\":[", tally->rows);
    for (int c = 0; c < tally->columns; c++) {
        fuse_text_add(text, "%s{\"kind\":\"%s\",\"largest\":", c ? "," : "", kind_of(tally, c));
        if (tally->largest[c] >= 0)
            fuse_text_add(text, "%" PRId64 "}", tally->largest[c]);
        else
            fuse_text_add(text, "null}");
    }
    fuse_text_add(text, "]");
}

static void add_array(struct fuse_text *text, const struct fuse_probe *probe, bool is_packed) {
    fuse_text_add(text, ",\"dtype\":\"%s\",\"shape\":[", fuse_dtype_name(probe->file_dtype));
    for (int a = 0; a < probe->rank; a++)
        fuse_text_add(text, "%s%" PRId64, a ? "," : "", probe->extent[a]);
    fuse_text_add(text, "],\"bytes\":%" PRId64, array_bytes(probe));
    add_string_or_null(text, "order", !is_packed ? NULL : probe->reversed ? "F" : "C");
    add_string_or_null(text, "byte_order", !is_packed ? NULL : probe->big_endian ? "big" : "little");
}

static void print_json(struct fuse_text *text, const struct fuse_dist_program *program,
                       const struct fuse_format *format) {
    const struct fuse_contents *contents = program->contents;
    fuse_text_add(text, "{\"path\":");
    fuse_text_add_json_string(text, program->path);
    fuse_text_add(text, ",\"format\":\"%s\",\"file_bytes\":%" PRId64 ",\"parts\":[", format->name,
                  file_bytes(contents));
    for (int i = 0; i < contents->parts.n; i++) {
        const struct fuse_part *part = &contents->parts.at[i];
        fuse_text_add(text, "%s{\"name\":", i ? "," : "");
        if (part->name)
            fuse_text_add_json_string(text, part->name);
        else
            fuse_text_add(text, "null");
        if (part->refused)
            add_string_or_null(text, "refused", part->refused);
        else if (part->probe.tally)
            add_table(text, part->probe.tally);
        else
            add_array(text, &part->probe, !format->scan);
        add_string_or_null(text, "storage", part->storage);
        add_attributes(text, part->attributes.at, part->attributes.n);
        fuse_text_add(text, "}");
    }
    fuse_text_add(text, "]");
    add_attributes(text, contents->attributes.at, contents->attributes.n);
    fuse_text_add(text, "}\n");
}

void fuse_api_print_contents(struct fuse_text *text, const struct fuse_dist_program *program, bool json) {
    const char *path, *part;
    fuse_api_split_place(&path, &part, program->arena, program->path);
    const struct fuse_format *format = fuse_api_is_pack(program->path) ? &pack_format : fuse_format_find(path);
    if (json)
        print_json(text, program, format);
    else
        print_text(text, program, format);
}
