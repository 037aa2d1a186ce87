/* Symbols get their ids: the checker says which columns of which files belong together, and the files are read here. */
#include "api/packed.h"
#include "api/program.h"
#include "io/symbols.h"
#include "io/vocabulary.h"

#include <string.h>

static void report(struct fuse_dist_program *program, struct fuse_span span, const struct fuse_error *failure) {
    struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, span, "%s", failure->message);
    if (!d)
        return;
    d->status = failure->status;
    if (failure->hint[0])
        d->hint = fuse_arena_printf(program->arena, "%s", failure->hint);
}

struct probed {
    struct fuse_probe probe;
    bool ok;
};

/* Collective: rank 0 asks the file system. */
static bool probe_names(struct fuse_symbol_names *out, struct fuse_dist_program *program,
                        const struct fuse_symbol_list *list) {
    struct fuse_comm *comm = program->job->comm;
    struct fuse_error failure = {0}, *err = &program->symbols_error;
    struct probed *answer = FUSE_NEW(program->arena, struct probed);
    *out = (struct fuse_symbol_names){0};
    if (!list->names)
        return true;
    const char *resolved = fuse_api_resolve(program->arena, program->options.root, list->names);
    out->path = fuse_api_packed_path(program, list->names, resolved);
    fuse_vec_push(program->arena, &program->names, list->names);
    out->probe = &answer->probe;
    if (comm->rank == 0)
        answer->ok = fuse_format_names.probe(&answer->probe, out->path, NULL, &failure) == FUSE_OK;
    program->symbols_status = comm->ops->broadcast(comm, answer, sizeof *answer, 0, err);
    if (program->symbols_status == FUSE_OK && !answer->ok)
        program->symbols_status = comm->ops->broadcast(comm, &failure, sizeof failure, 0, err);
    if (program->symbols_status == FUSE_OK && !answer->ok)
        report(program, list->span, &failure);
    return program->symbols_status == FUSE_OK && answer->ok;
}

static bool is_about(const char *message, const char *path) {
    size_t bytes = strlen(path);
    return strncmp(message, path, bytes) == 0 && (message[bytes] == ':' || message[bytes] == ' ');
}

/* The source or list whose file the message begins with; messages of files begin with their path. */
static struct fuse_span find_span(const struct fuse_symbol_request *want, const struct fuse_symbol_demand *demand,
                                  const char *message) {
    for (int f = 0; f < want->files; f++) {
        const struct fuse_vocabulary *vocabulary = want->file[f].probe->vocabulary;
        if (is_about(message, want->file[f].path) || (vocabulary && is_about(message, vocabulary->path)))
            return demand->use[f].source->span;
    }
    for (int t = 0; t < want->tables; t++)
        if (want->names[t].path && is_about(message, want->names[t].path))
            return demand->list[t].span;
    return FUSE_NO_SPAN;
}

static void list_files(struct fuse_symbol_request *want, struct fuse_dist_program *program,
                       const struct fuse_symbol_demand *demand) {
    for (int u = 0; u < demand->uses; u++) {
        const struct fuse_symbol_use *use = &demand->use[u];
        struct fuse_symbol_file *file = &want->file[u];
        fuse_api_source_place(&file->path, &file->part, program, use->source->text);
        file->format = fuse_format_of(file->path, file->part);
        file->probe = &use->probe;
        file->columns = use->columns;
        file->has_value = use->has_value;
        memcpy(file->table, use->table, sizeof file->table);
    }
}

static bool has_values_for_ids(const struct fuse_symbol_use *use) {
    for (int c = 0; use->probe.tally && c < use->columns; c++)
        if (use->probe.tally->kind[c] != FUSE_COLUMN_IDS)
            return true;
    return false;
}

/* Files of ids only, which hold no symbols, have no part in a domain of symbols. */
static bool check_formats(struct fuse_dist_program *program, const struct fuse_symbol_request *want,
                          const struct fuse_symbol_demand *demand) {
    bool is_fine = true;
    for (int u = 0; u < want->files; u++) {
        const struct fuse_symbol_use *use = &demand->use[u];
        struct fuse_error failure = {0};
        if (want->file[u].format->fields_open)
            continue;
        if (has_values_for_ids(use)) {
            fuse_fail(&failure, FUSE_EINPUT, "'%s' has values where the source has an index", use->source->text);
            fuse_hint(&failure, "values stand behind the tuples: leave an index out");
        } else {
            fuse_fail(&failure, FUSE_EPROGRAM, "'%s' holds ids, and other files have symbols for the same positions",
                      use->source->text);
            fuse_hint(&failure, "give the relation as a file of symbols, .tsv or .csv");
        }
        report(program, use->source->span, &failure);
        is_fine = false;
    }
    return is_fine;
}

bool fuse_api_load_symbols(void *context, struct fuse_symbol_demand *demand) {
    struct fuse_dist_program *program = context;
    struct fuse_arena *arena = program->arena;
    struct fuse_symbol_names *names = FUSE_NEW_ARRAY(arena, struct fuse_symbol_names, demand->lists);
    struct fuse_symbol_request want = {.tables = demand->lists,
                                       .files = demand->uses,
                                       .constants = demand->strings,
                                       .names = names,
                                       .file = FUSE_NEW_ARRAY(arena, struct fuse_symbol_file, demand->uses),
                                       .constant = FUSE_NEW_ARRAY(arena, struct fuse_symbol_constant, demand->strings)};
    double start = fuse_api_seconds();
    for (int t = 0; t < demand->lists; t++)
        if (!probe_names(&names[t], program, &demand->list[t]))
            return false;
    list_files(&want, program, demand);
    if (!check_formats(program, &want, demand))
        return false;
    for (int k = 0; k < demand->strings; k++)
        want.constant[k] =
            (struct fuse_symbol_constant){.text = demand->string[k].text, .table = demand->string[k].table};
    struct fuse_error failure = {0};
    enum fuse_status st = fuse_symbols_open(&program->symbols, arena, program->job->comm, &want, &failure);
    program->scan_seconds += fuse_api_seconds() - start;
    program->compile_seconds -= fuse_api_seconds() - start;
    if (st == FUSE_EINPUT) {
        report(program, find_span(&want, demand, failure.message), &failure);
        return false;
    }
    if (st != FUSE_OK) {
        program->symbols_status = st;
        program->symbols_error = failure;
        return false;
    }
    for (int t = 0; t < demand->lists; t++) {
        demand->list[t].count = fuse_symbols_count(program->symbols, t);
        demand->list[t].given = fuse_symbols_given(program->symbols, t);
    }
    for (int u = 0; u < demand->uses; u++) {
        demand->use[u].probe.tally = want.file[u].tally;
        demand->use[u].probe.index = want.file[u].rows;
    }
    for (int k = 0; k < demand->strings; k++) {
        demand->string[k].id = want.constant[k].id;
        demand->string[k].is_outside = want.constant[k].is_outside;
    }
    return true;
}

const char *fuse_api_nearest_symbol(void *context, int table, const char *text) {
    struct fuse_dist_program *program = context;
    struct fuse_comm *comm = program->job->comm;
    struct fuse_symbol_texts found = {0};
    struct fuse_error failure = {0};
    int64_t id = -1;
    const char *name = NULL;
    enum fuse_status st = fuse_symbols_nearest(&id, program->symbols, comm, table, text, &failure);
    const struct fuse_symbol_id wanted = {table, (uint32_t)id};
    if (st == FUSE_OK && id >= 0) {
        st = fuse_agree(comm, fuse_symbols_find(&found, program->symbols, comm, &wanted, 1, &failure), &failure);
        if (st == FUSE_OK)
            name = fuse_arena_strndup(program->arena, found.text + found.at[0], found.at[1] - found.at[0]);
        fuse_symbol_texts_close(&found);
    }
    return name; /* a suggestion that cannot be had is none */
}
