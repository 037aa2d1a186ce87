#include "api/packed.h"
#include "api/program.h"
#include "api/weights.h"
#include "io/format.h"
#include "io/sandbox.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct place {
    const char *suffix;
    bool source, sink;
};

static const struct place places[] = {
#define FUSE_PLACE(suffix, source, sink) {suffix, source, sink},
#include "api/places.def"
#undef FUSE_PLACE
};

enum { PLACES = sizeof places / sizeof *places };

static bool ends_with(const char *text, size_t bytes, const char *suffix) {
    size_t n = strlen(suffix);
    return bytes >= n && strncasecmp(text + bytes - n, suffix, n) == 0;
}

/* The longest suffix that the first `bytes` of the text end in. */
static const struct place *find_place(const char *text, size_t bytes) {
    const struct place *best = NULL;
    for (int i = 0; i < PLACES; i++) {
        if (ends_with(text, bytes, places[i].suffix) && (!best || strlen(places[i].suffix) > strlen(best->suffix)))
            best = &places[i];
    }
    return best;
}

void fuse_api_split_place(const char **path, const char **part, struct fuse_arena *arena, const char *text) {
    *path = text;
    *part = NULL;
    const struct place *whole = find_place(text, strlen(text));
    if (whole && strchr(whole->suffix, ':')) /* ".npy:coo" */
        return;
    /* Folders may hold colons, and so may parts: the first colon behind a known suffix divides. */
    for (const char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':')) {
        if (!find_place(text, (size_t)(colon - text)))
            continue;
        *path = fuse_arena_strndup(arena, text, (size_t)(colon - text));
        *part = colon + 1;
        return;
    }
}

const char *fuse_api_resolve(struct fuse_arena *arena, const char *root, const char *path) {
    if (!root || !*root || path[0] == '/')
        return path;
    const char *between = root[strlen(root) - 1] == '/' ? "" : "/";
    return fuse_arena_printf(arena, "%s%s%s", root, between, path);
}

void fuse_api_source_place(const char **path, const char **part, struct fuse_dist_program *program, const char *text) {
    fuse_api_split_place(path, part, program->arena, text);
    *path = fuse_api_packed_path(program, *path, fuse_api_resolve(program->arena, program->options.root, *path));
}

/* Without "." and doubled slashes; ".." stays, because a link may stand before it. */
static const char *normalise(struct fuse_arena *arena, const char *path) {
    char *out = fuse_arena_alloc(arena, strlen(path) + 2), *to = out;
    if (*path == '/')
        *to++ = '/';
    while (*path) {
        size_t n = strcspn(path, "/");
        if (n > 0 && !(n == 1 && path[0] == '.')) {
            if (to > out && to[-1] != '/')
                *to++ = '/';
            memcpy(to, path, n);
            to += n;
        }
        path += n;
        while (*path == '/')
            path++;
    }
    *to = '\0';
    return out;
}

void fuse_api_sink_place(const char **path, const char **part, struct fuse_dist_program *program, const char *text) {
    struct fuse_error ignored = {0}; /* fuse_api_check_sinks has told it */
    fuse_api_split_place(path, part, program->arena, text);
    const struct fuse_format *format = fuse_format_of(*path, *part);
    *path = fuse_api_resolve(program->arena, program->options.output_root, normalise(program->arena, *path));
    if (format && format->has_parts)
        *part = format->sink_part(program->arena, *part, &ignored);
}

static void hint(struct fuse_diagnostics *diagnostics, struct fuse_diagnostic *diagnostic, const char *text) {
    if (diagnostic && text && *text)
        diagnostic->hint = fuse_arena_printf(diagnostics->arena, "%s", text);
}

/* What is packed is read only. */
static bool is_written(const struct fuse_format *format, const char *path) {
    const struct place *place = find_place(path, strlen(path));
    return format->sink_open && place && place->sink;
}

/* ".npy, .npz" : what can be read, or written, in this build. */
static const char *list_suffixes(struct fuse_arena *arena, bool is_sink) {
    struct fuse_text text = {.arena = arena};
    const struct fuse_format *format;
    for (int i = 0; (format = fuse_format_at(i)); i++)
        for (const char *const *suffix = format->suffixes; *suffix; suffix++)
            if (is_sink ? is_written(format, *suffix) : format->probe != NULL)
                fuse_text_add(&text, "%s%s", text.bytes ? ", " : "", *suffix);
    return text.at ? text.at : "";
}

/* The nearest suffix of the language, NULL when none is near. */
static const char *nearest_suffix(const char *path) {
    enum { NEAR = 1 };
    const char *name = strrchr(path, '/'), *dot = strrchr(name ? name : path, '.'), *best = NULL;
    int least = NEAR + 1;
    for (int i = 0; dot && i < PLACES; i++) {
        int distance = fuse_text_distance(dot, places[i].suffix, NEAR);
        /* ".m" is not near to ".md" */
        if (distance < least && 3 * distance < (int)strlen(places[i].suffix)) {
            least = distance;
            best = places[i].suffix;
        }
    }
    return best;
}

static bool is_compressed(const char *path) {
    static const char *const suffix[] = {".gz", ".bz2", ".xz", ".zst", ".Z", ".zip"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof suffix / sizeof *suffix; i++)
        if (strcmp(dot, suffix[i]) == 0)
            return true;
    return false;
}

static void report_unknown(struct fuse_dist_program *program, const char *path, struct fuse_span span, bool is_sink) {
    struct fuse_arena *arena = program->arena;
    struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, span,
                                            "'%s' is in no format that the language knows", path);
    const char *near = nearest_suffix(path), *known = list_suffixes(arena, is_sink);
    const char *verb = is_sink ? "written" : "read";
    if (is_compressed(path))
        hint(&program->diagnostics, d,
             fuse_arena_printf(arena, "unpack or pack it outside of the program; %s can be %s", known, verb));
    else if (near)
        hint(&program->diagnostics, d,
             fuse_arena_printf(arena, "did you mean '%s'? The suffix tells the format; %s can be %s", near, known,
                               verb));
    else
        hint(&program->diagnostics, d,
             fuse_arena_printf(arena, "the suffix tells the format; %s can be %s", known, verb));
}

const struct fuse_format *fuse_api_find_format(struct fuse_dist_program *program, const char *path, const char *part,
                                               struct fuse_span span, bool is_sink) {
    struct fuse_diagnostics *diagnostics = &program->diagnostics;
    const char *verb = is_sink ? "written" : "read";
    const struct place *place = find_place(path, strlen(path));
    if (!place) {
        report_unknown(program, path, span, is_sink);
        return NULL;
    }
    if (is_sink && !place->sink) {
        struct fuse_diagnostic *d = fuse_report(diagnostics, FUSE_SEVERITY_ERROR, span,
                                                "a %s file is a source only: it cannot be written", place->suffix);
        if (is_compressed(path))
            hint(diagnostics, d, "write it without .gz; gzip packs the file after the run");
        return NULL;
    }
    const struct fuse_format *format = fuse_format_of(path, part);
    if (!part)
        return format;
    if (fuse_format_is_relation(part) && format != &fuse_format_hdf5_coo) {
        struct fuse_diagnostic *d =
            fuse_report(diagnostics, FUSE_SEVERITY_ERROR, span, "a relation (':coo') cannot be %s as part of a %s file",
                        verb, place->suffix);
        hint(diagnostics, d, "relations are in .npy, .h5, .tsv and .csv files: \"p.npy:coo\", \"f.h5:/set:coo\"");
        return NULL;
    }
    if (!format->has_parts) {
        struct fuse_diagnostic *d = fuse_report(diagnostics, FUSE_SEVERITY_ERROR, span,
                                                "a %s file has no parts, so ':%s' names nothing", place->suffix, part);
        hint(diagnostics, d, "leave the colon and what follows it out");
        return NULL;
    }
    return format;
}

/* ---- sources ---- */

struct probe_answer {
    struct fuse_probe probe;
    bool ok;
};

static void report_failure(struct fuse_dist_program *program, const struct fuse_source_request *source,
                           const struct fuse_error *failure) {
    struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, source->span, "%s%s%s",
                                            failure->message, failure->note[0] ? "\n" : "", failure->note);
    if (d)
        d->status = failure->status;
    hint(&program->diagnostics, d,
         failure->hint[0]                 ? failure->hint
         : failure->status != FUSE_EINPUT ? ""
         : program->weights && source->span.file == program->weights->file
             ? "the file of a weight is whole; its path is relative to the manifest's folder"
         : program->files.list.n > 0 ? "a source is a complete file of numbers; its path is relative to --root"
                                     : "the file has to be whole; a relative path begins at the current folder");
}

/* Collective. What a header does not tell. */
static void scan_source(struct fuse_dist_program *program, struct fuse_source_request *source,
                        const struct fuse_format *format, struct fuse_error *failure) {
    struct fuse_comm *comm = program->job->comm;
    const char *path, *part;
    fuse_api_source_place(&path, &part, program, source->text);
    enum fuse_status st = format->scan(&source->probe, program->arena, comm, path, part, failure);
    source->probed = fuse_agree(comm, st, failure) == FUSE_OK;
}

static bool take_probed(struct fuse_source_request *source, const struct fuse_sources *probed) {
    for (int k = 0; k < probed->list.n; k++) {
        const struct fuse_source_request *known = &probed->list.at[k];
        if (!known->probed || strcmp(known->text, source->text) != 0)
            continue;
        source->probed = true;
        source->probe = known->probe;
        return true;
    }
    return false;
}

/* The file system is asked by one rank; formats and spellings are judged by each. */
enum fuse_status fuse_api_probe_sources(struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    int n = program->sources.list.n;
    if (n == 0)
        return FUSE_OK;
    struct probe_answer *answer = FUSE_NEW_ARRAY(program->arena, struct probe_answer, n);
    struct fuse_error *failure = FUSE_NEW_ARRAY(program->arena, struct fuse_error, n);
    const struct fuse_format **format = FUSE_NEW_ARRAY(program->arena, const struct fuse_format *, n);

    for (int i = 0; i < n; i++) {
        struct fuse_source_request *source = &program->sources.list.at[i];
        const char *path, *part;
        if (take_probed(source, &program->probed))
            continue;
        fuse_api_split_place(&path, &part, program->arena, source->text);
        format[i] = fuse_api_find_format(program, path, part, source->span, false);
        if (!format[i] || comm->rank != 0)
            continue;
        fuse_api_source_place(&path, &part, program, source->text);
        answer[i].ok = format[i]->probe(&answer[i].probe, path, part, &failure[i]) == FUSE_OK;
    }
    FUSE_TRY(comm->ops->broadcast(comm, answer, (size_t)n * sizeof *answer, 0, err));

    for (int i = 0; i < n; i++) {
        struct fuse_source_request *source = &program->sources.list.at[i];
        if (source->probed)
            continue;
        source->failed = !format[i];
        if (!format[i])
            continue;
        source->probed = answer[i].ok;
        source->probe = answer[i].probe;
        if (!answer[i].ok)
            FUSE_TRY(comm->ops->broadcast(comm, &failure[i], sizeof failure[i], 0, err));
        else if (format[i]->scan)
            scan_source(program, source, format[i], &failure[i]);
        source->failed = !source->probed;
        if (!source->probed)
            report_failure(program, source, &failure[i]);
    }
    fuse_api_check_packed(program);
    return FUSE_OK;
}

/* ---- sinks ---- */

struct sink_seen {
    const char *place; /* normalised path and part */
    struct fuse_span span;
};

struct sinks_seen {
    FUSE_VEC(struct sink_seen) list;
};

/* true when following the path step by step, were there no links, leaves the folder that it starts in. */
static bool leaves_folder(const char *path) {
    int depth = 0;
    while (*path) {
        size_t n = strcspn(path, "/");
        if (n == 2 && memcmp(path, "..", 2) == 0)
            depth--;
        else if (n > 0 && !(n == 1 && path[0] == '.'))
            depth++;
        if (depth < 0)
            return true;
        path += n;
        while (*path == '/')
            path++;
    }
    return false;
}

struct verdict {
    int64_t outside;
    char reason[600];
};

/* Local: whether a sink would lie outside the output folder. Only rank 0 looks at the links. */
static bool is_outside(struct verdict *out, const struct fuse_dist_program *program, const char *path) {
    const char *root = program->options.output_root;
    *out = (struct verdict){0};
    if (!root)
        return false;
    out->outside = path[0] != '/' && leaves_folder(path);
    if (out->outside)
        snprintf(out->reason, sizeof out->reason, "'..' leads out of it");
    else if (path[0] == '/' || program->job->comm->rank == 0)
        out->outside = fuse_path_escapes(out->reason, sizeof out->reason, root, path, false);
    return out->outside;
}

/* Collective: the verdict of rank 0. */
static enum fuse_status find_outside(struct verdict *out, struct fuse_dist_program *program, const char *path,
                                     struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    (void)is_outside(out, program, path);
    return program->options.output_root ? comm->ops->broadcast(comm, out, sizeof *out, 0, err) : FUSE_OK;
}

bool fuse_api_may_write(struct fuse_dist_program *program, const char *text) {
    struct fuse_error ignored = {0};
    struct verdict verdict;
    const char *path, *part;
    fuse_api_split_place(&path, &part, program->arena, text);
    const struct fuse_format *format = fuse_format_of(path, part);
    if (!format || !format->sink_open || (part && !format->has_parts))
        return false;
    if (format->has_parts && !format->sink_part(program->arena, part, &ignored))
        return false;
    return !is_outside(&verdict, program, path);
}

/* Without "." and without what says how a file is meant, such as ":coo". */
static const char *file_of(struct fuse_arena *arena, const char *path) {
    const struct place *place = find_place(path, strlen(path));
    const char *colon = place ? strchr(place->suffix, ':') : NULL;
    return normalise(arena, fuse_arena_strndup(arena, path, strlen(path) - (colon ? strlen(colon) : 0)));
}

static enum fuse_status check_sink(struct fuse_dist_program *program, struct sinks_seen *seen,
                                   const struct fuse_item *item, struct fuse_error *err) {
    struct fuse_arena *arena = program->arena;
    const char *path, *part;
    fuse_api_split_place(&path, &part, arena, item->text);
    const struct fuse_format *format = fuse_api_find_format(program, path, part, item->text_span, true);
    if (!format)
        return FUSE_OK;
    struct fuse_error failure = {0};
    const char *shown = format->has_parts ? format->sink_part(arena, part, &failure) : "";
    if (!shown) {
        struct fuse_diagnostic *d =
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, item->text_span, "%s", failure.message);
        if (d)
            d->status = failure.status;
        hint(&program->diagnostics, d, failure.hint);
        return FUSE_OK;
    }
    struct verdict verdict;
    FUSE_TRY(find_outside(&verdict, program, path, err));
    if (verdict.outside) {
        struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, item->text_span,
                                                "'%s' lies outside the output folder '%s': %s", path,
                                                program->options.output_root, verdict.reason);
        if (d)
            d->status = FUSE_EOUTPUT;
        return FUSE_OK;
    }
    const char *place = fuse_arena_printf(arena, "%s:%s", file_of(arena, path), shown);
    for (int i = 0; i < seen->list.n; i++) {
        if (strcmp(seen->list.at[i].place, place) != 0)
            continue;
        struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, item->text_span,
                                                "'%s' is written twice", item->text);
        if (d) {
            d->other = seen->list.at[i].span;
            d->other_message = "the first time here";
        }
        return FUSE_OK;
    }
    fuse_vec_push(arena, &seen->list, ((struct sink_seen){.place = place, .span = item->text_span}));
    return FUSE_OK;
}

static enum fuse_status check_items(struct fuse_dist_program *program, struct sinks_seen *seen,
                                    struct fuse_item *const *item, int items, struct fuse_error *err) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_SINK && !item[i]->query)
            FUSE_TRY(check_sink(program, seen, item[i], err));
        else if (item[i]->kind == FUSE_ITEM_BLOCK)
            FUSE_TRY(check_items(program, seen, item[i]->body, item[i]->bodies, err));
    }
    return FUSE_OK;
}

void fuse_api_check_sink_types(struct fuse_dist_program *program) {
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        const char *path, *part;
        if (op->kind != FUSE_OP_SINK || !op->path)
            continue;
        fuse_api_split_place(&path, &part, program->arena, op->path);
        const struct fuse_format *format = fuse_format_of(path, part);
        struct fuse_error failure = {0};
        if (!format || !format->sink_holds ||
            format->sink_holds(program->ir.values.at[op->input[0].value].dtype, path, &failure) == FUSE_OK)
            continue;
        struct fuse_diagnostic *d =
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, op->span, "%s", failure.message);
        if (d)
            d->status = failure.status;
        hint(&program->diagnostics, d, failure.hint);
    }
}

enum fuse_status fuse_api_check_sinks(struct fuse_dist_program *program, struct fuse_error *err) {
    struct sinks_seen seen = {0};
    return check_items(program, &seen, program->ast.item, program->ast.items, err);
}

/* ---- a file for exports ---- */

enum fuse_status fuse_api_check_out(struct fuse_dist_program *program, const char *text, struct fuse_error *err) {
    struct fuse_arena *arena = program->arena;
    const char *path, *part;
    fuse_api_split_place(&path, &part, arena, text);
    const struct fuse_format *format = fuse_format_find(path);
    if (!format || !is_written(format, path) || (part && (!format->has_parts || fuse_format_is_relation(part)))) {
        fuse_fail(err, FUSE_EUSAGE, "--out %s: no tensor can be written there", text);
        fuse_hint(err, "the suffix tells the format; %s can be written", list_suffixes(arena, true));
        return FUSE_EUSAGE;
    }
    if (format->has_parts && !format->sink_part(arena, part, err))
        return err->status;
    struct verdict verdict;
    FUSE_TRY(find_outside(&verdict, program, path, err));
    if (verdict.outside) {
        fuse_fail(err, FUSE_EOUTPUT, "--out %s lies outside the output folder '%s': %s", text,
                  program->options.output_root, verdict.reason);
        fuse_hint(err, "sinks stay under --output-root: give a relative path without '..' and links");
        return FUSE_EOUTPUT;
    }
    const char *other_path, *other_part;
    fuse_api_sink_place(&path, &part, program, text);
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        if (op->kind != FUSE_OP_SINK || !op->path)
            continue;
        fuse_api_sink_place(&other_path, &other_part, program, op->path);
        if (strcmp(path, other_path) != 0 || strcmp(part ? part : "", other_part ? other_part : "") != 0)
            continue;
        fuse_fail(err, FUSE_EUSAGE, "--out %s: the program writes '%s' itself", text, op->path);
        fuse_hint(err, "choose another name for the exports");
        return FUSE_EUSAGE;
    }
    return FUSE_OK;
}
