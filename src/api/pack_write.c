#include "api/cache.h"
#include "api/packed.h"
#include "api/weights.h"
#include "core/hash.h"
#include "io/bundle.h"
#include "io/vocabulary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct data {
    const char *path, *at;
    int64_t bytes;
    int number, beside; /* beside: the text that this is the vocabulary of, -1: it is none */
    bool is_packed;
    uint64_t digest;
    const char *member;
};

struct packing {
    struct fuse_dist_program *program;
    struct fuse_bundle_writer writer;
    struct fuse_text manifest;
    FUSE_VEC(struct data) data;
};

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void key(struct packing *p, const char *before, const char *name) {
    fuse_text_add(&p->manifest, "%s\"%s\":", before, name);
}

static void string(struct packing *p, const char *before, const char *name, const char *text) {
    key(p, before, name);
    fuse_text_add_json_string(&p->manifest, text);
}

static void digest(struct packing *p, uint64_t number) {
    fuse_text_add(&p->manifest, ",\"digest\":\"%016" PRIx64 "\"}", number);
}

static enum fuse_status add_text(struct packing *p, const char *member, const struct fuse_program_file *file,
                                 struct fuse_error *err) {
    string(p, "{", "path", file->path);
    string(p, ",", "member", member);
    digest(p, fuse_hash_bytes(FUSE_HASH_SEED, file->text, file->bytes));
    return fuse_bundle_add(&p->writer, member, file->text, file->bytes, err);
}

static enum fuse_status add_program(struct packing *p, struct fuse_error *err) {
    const struct fuse_dist_program *program = p->program;
    int files = 1;
    for (int i = 0; i < program->lookups.n; i++)
        if (program->lookups.at[i].file >= files)
            files = program->lookups.at[i].file + 1;
    key(p, ",\n", "files");
    for (int i = 0; i < files; i++) {
        const struct fuse_program_file *file = &program->files.list.at[i];
        fuse_text_add(&p->manifest, i ? "," : "[");
        FUSE_TRY(add_text(p, fuse_arena_printf(p->writer.arena, "program/%d-%s", i, base_name(file->path)), file, err));
    }
    fuse_text_add(&p->manifest, "]");
    key(p, ",\n", "imports");
    fuse_text_add(&p->manifest, "[");
    for (int i = 0; i < program->lookups.n; i++) {
        const struct fuse_api_lookup *lookup = &program->lookups.at[i];
        fuse_text_add(&p->manifest, "%s{\"from\":%d,\"file\":%d", i ? "," : "", lookup->from, lookup->file);
        string(p, ",", "text", lookup->text);
        fuse_text_add(&p->manifest, "}");
    }
    fuse_text_add(&p->manifest, "]");
    if (program->policy_file.path) {
        key(p, ",\n", "policy");
        FUSE_TRY(add_text(p, "policy.json", &program->policy_file, err));
    }
    if (!program->weights)
        return FUSE_OK;
    string(p, ",\n", "weights_folder", program->weights->folder);
    key(p, ",", "weights");
    return add_text(p, "weights.json", &program->files.list.at[program->weights->file], err);
}

static void add_pairs(struct packing *p, const char *name, const struct fuse_dist_define *pair, int pairs) {
    key(p, ",", name);
    fuse_text_add(&p->manifest, "[");
    for (int i = 0; i < pairs; i++) {
        string(p, i ? ",{" : "{", "name", pair[i].name);
        string(p, ",", "value", pair[i].value);
        fuse_text_add(&p->manifest, "}");
    }
    fuse_text_add(&p->manifest, "]");
}

static void add_options(struct packing *p) {
    const struct fuse_dist_options *o = &p->program->options;
    const struct {
        const char *name, *word;
    } words[] = {{"precision", o->precision},
                 {"validate", o->validate},
                 {"projection", o->projection},
                 {"mode", o->mode},
                 {"weights", o->weights},
                 {"tol", o->tol},
                 {"rtol", o->rtol}};
    key(p, ",\n", "options");
    fuse_text_add(&p->manifest, "{\"samples\":%" PRId64 ",\"seed\":%" PRId64 ",\"werror\":%s,\"weights_anywhere\":%s",
                  o->samples, o->seed, o->warnings_are_errors ? "true" : "false",
                  o->weights_anywhere ? "true" : "false");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].word)
            string(p, ",", words[i].name, words[i].word);
    add_pairs(p, "define", o->define, o->defines);
    add_pairs(p, "input", o->input, o->inputs);
    add_pairs(p, "adapter", o->adapter, o->adapters);
    key(p, ",", "query");
    fuse_text_add(&p->manifest, "[");
    for (int i = 0; i < o->queries; i++) {
        fuse_text_add(&p->manifest, i ? "," : "");
        fuse_text_add_json_string(&p->manifest, o->query[i]);
    }
    fuse_text_add(&p->manifest, "]}");
}

/* ---- sources ---- */

static int by_size(const void *a, const void *b) {
    const struct data *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes > y->bytes) - (x->bytes < y->bytes) : x->number - y->number;
}

static int by_number(const void *a, const void *b) {
    return ((const struct data *)a)->number - ((const struct data *)b)->number;
}

static int add_file(struct packing *p, const char *path, const char *at, int beside) {
    struct data data = {.path = path, .at = at, .number = p->data.n, .beside = beside};
    struct stat status;
    data.bytes = stat(at, &status) == 0 ? (int64_t)status.st_size : INT64_MAX;
    fuse_vec_push(p->program->arena, &p->data, data);
    return data.number;
}

/* A file, by its path as the program says it; its number. */
static int list_file(struct packing *p, const char *path) {
    struct fuse_dist_program *program = p->program;
    for (int k = 0; k < p->data.n; k++)
        if (strcmp(p->data.at[k].path, path) == 0 && p->data.at[k].beside < 0)
            return k;
    const char *at = fuse_api_packed_path(program, path, fuse_api_resolve(program->arena, program->options.root, path));
    return add_file(p, path, at, -1);
}

static void list_vocabulary(struct packing *p, int text) {
    struct fuse_arena *arena = p->program->arena;
    const char *path = p->data.at[text].path, *at = p->data.at[text].at;
    for (int k = 0; k < p->data.n; k++)
        if (p->data.at[k].beside == text)
            return;
    add_file(p, fuse_vocabulary_path(arena, path), fuse_vocabulary_path(arena, at), text);
}

static void list_data(struct packing *p) {
    struct fuse_dist_program *program = p->program;
    for (int i = 0; i < program->sources.list.n; i++) {
        const struct fuse_source_request *source = &program->sources.list.at[i];
        const struct fuse_shards *shards = source->probe.shards;
        const char *path, *part;
        fuse_api_split_place(&path, &part, program->arena, source->text);
        int number = shards ? -1 : list_file(p, path);
        if (source->probe.vocabulary && number >= 0)
            list_vocabulary(p, number);
        for (int k = 0; shards && k < shards->n; k++)
            list_file(p, shards->at[k].path);
    }
    for (int i = 0; i < program->names.n; i++)
        list_file(p, program->names.at[i]);
}

/* The smallest ones, as long as there is room. */
static void choose_data(struct packing *p, int64_t room) {
    if (p->data.n == 0)
        return;
    qsort(p->data.at, (size_t)p->data.n, sizeof *p->data.at, by_size);
    for (int i = 0; i < p->data.n && p->data.at[i].bytes <= room; i++) {
        p->data.at[i].is_packed = true;
        room -= p->data.at[i].bytes;
    }
    qsort(p->data.at, (size_t)p->data.n, sizeof *p->data.at, by_number);
    /* A text and its vocabulary lie beside each other: both are packed, or none. */
    for (int i = 0; i < p->data.n; i++)
        if (p->data.at[i].beside >= 0)
            p->data.at[p->data.at[i].beside].is_packed &= p->data.at[i].is_packed;
    for (int i = 0; i < p->data.n; i++)
        if (p->data.at[i].beside >= 0)
            p->data.at[i].is_packed = p->data.at[p->data.at[i].beside].is_packed;
}

static enum fuse_status add_data(struct packing *p, struct fuse_error *err) {
    struct fuse_arena *arena = p->writer.arena;
    key(p, ",\n", "data");
    fuse_text_add(&p->manifest, "[");
    for (int i = 0; i < p->data.n; i++) {
        struct data *data = &p->data.at[i];
        string(p, i ? ",{" : "{", "path", data->path);
        if (data->is_packed) {
            data->member = fuse_arena_printf(arena, "sources/%d-%s", i, base_name(data->path));
            FUSE_TRY(fuse_bundle_add_file(&p->writer, &data->digest, data->member, data->at, err));
            string(p, ",", "member", data->member);
            if (data->beside >= 0)
                fuse_text_add(&p->manifest, ",\"beside\":%d", data->beside);
            digest(p, data->digest);
            continue;
        }
        char *whole = realpath(data->at, NULL);
        string(p, ",", "at", whole ? whole : data->at);
        free(whole);
        fuse_text_add(&p->manifest, "}");
    }
    fuse_text_add(&p->manifest, "]");
    key(p, ",\n", "sources");
    fuse_text_add(&p->manifest, "[");
    for (int i = 0; i < p->program->sources.list.n; i++) {
        const struct fuse_source_request *source = &p->program->sources.list.at[i];
        string(p, i ? ",{" : "{", "text", source->text);
        digest(p, fuse_api_probe_digest(arena, &source->probe));
    }
    fuse_text_add(&p->manifest, "]");
    return FUSE_OK;
}

static enum fuse_status add_plan(struct packing *p, struct fuse_error *err) {
    struct fuse_pack entry = fuse_pack_writer(p->writer.arena);
    const char *why = fuse_api_make_entry(&entry, p->program);
    if (why) { /* the program is planned when it is run */
        fuse_report(&p->program->diagnostics, FUSE_SEVERITY_NOTE, FUSE_NO_SPAN, "the pack has no plan: %s", why);
        return FUSE_OK;
    }
    unsigned char *whole = fuse_arena_alloc(p->writer.arena, entry.bytes + FUSE_API_SEAL_BYTES);
    fuse_api_seal(whole, &entry);
    memcpy(whole + FUSE_API_SEAL_BYTES, entry.at, entry.bytes);
    return fuse_bundle_add(&p->writer, "plan", whole, entry.bytes + FUSE_API_SEAL_BYTES, err);
}

static enum fuse_status add_all(struct packing *p, struct fuse_error *err) {
    fuse_text_add(&p->manifest, "{\"schema\":\"fuse.pack\",\"version\":1");
    string(p, ",", "fuse_dist", fuse_dist_version());
    fuse_text_add(&p->manifest, ",\"ranks\":%d", p->program->plan->mesh.ranks);
    FUSE_TRY(add_program(p, err));
    add_options(p);
    FUSE_TRY(add_data(p, err));
    FUSE_TRY(add_plan(p, err));
    fuse_text_add(&p->manifest, "}\n");
    return fuse_bundle_add(&p->writer, "manifest.json", p->manifest.at, p->manifest.bytes, err);
}

/* Rank 0. */
static enum fuse_status write_pack(struct fuse_dist_program *program, const char *path, int64_t room,
                                   struct fuse_error *err) {
    struct packing p = {.program = program, .manifest = {.arena = program->arena}};
    list_data(&p);
    choose_data(&p, room);
    FUSE_TRY(fuse_bundle_create(&p.writer, program->arena, path, err));
    enum fuse_status st = add_all(&p, err);
    if (st == FUSE_OK)
        return fuse_bundle_finish(&p.writer, err);
    fuse_bundle_discard(&p.writer);
    return st;
}

int fuse_dist_pack(fuse_dist_program *program, const char *path, int64_t below_bytes) {
    struct fuse_error err = {0};
    int planned = fuse_dist_plan(program);
    if (planned != FUSE_OK)
        return planned;
    enum fuse_status st = FUSE_OK;
    if (!fuse_api_is_pack(path)) {
        st = fuse_fail(&err, FUSE_EUSAGE, "the name of a pack ends in .pack, and '%s' does not", path);
        fuse_hint(&err, "by its suffix it is known when it is run");
    } else if (program->job->comm->rank == 0) {
        st = write_pack(program, path, below_bytes, &err);
    }
    return fuse_api_end_stage(program, st, &err);
}
