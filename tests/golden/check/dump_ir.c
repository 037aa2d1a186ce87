/* usage: dump_ir ir|err FILE.fuse [NAME=VALUE ...]
 *
 * ir prints what the program is lowered to, err what is wrong with it (notes and warnings too). What its sources look
 * like stands in FILE.shapes, lines of `x.npy f32 3 4`, of `e.tsv facts 3 4` for rows of ids below the extents, and of
 * `w.tsv values 3 4` for rows with a value behind them; a source that is not listed is unknown. Exits with the status of
 * the first error; the IR of a correct program is verified. */
#include "lang/import.h"
#include "lang/lang.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_file(struct fuse_program_file *file, const char *path, struct fuse_arena *arena) {
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return false;
    FUSE_VEC(char) text = {0};
    for (int c = fgetc(stream); c != EOF; c = fgetc(stream))
        fuse_vec_push(arena, &text, (char)c);
    file->path = path;
    file->bytes = (size_t)text.n;
    fuse_vec_push(arena, &text, '\0');
    file->text = text.at;
    return fclose(stream) == 0;
}

/* A row with the largest ids is all that matters here. */
static void make_tally(struct fuse_probe *probe, struct fuse_arena *arena, bool has_value) {
    struct fuse_tally_part part = {0};
    enum fuse_column_kind kind[FUSE_MAX_AXES] = {FUSE_COLUMN_IDS};
    int64_t id[FUSE_MAX_AXES] = {0};
    for (int a = 0; a < probe->rank; a++)
        id[a] = probe->extent[a] - 1;
    fuse_tally_open(&part, arena, probe->rank + has_value);
    fuse_tally_add(&part, id, 0);
    if (has_value)
        kind[probe->rank] = FUSE_COLUMN_REALS;
    probe->tally = fuse_tally_finish(&part, arena, kind, has_value ? 0 : -1);
    probe->rank = 0;
    probe->file_dtype = FUSE_BOOL;
}

/* One line of the side file; false when it is not about this source. */
static bool read_shape(struct fuse_probe *probe, char *line, const char *source, struct fuse_arena *arena) {
    char *next = NULL;
    const char *name = strtok_r(line, " ", &next), *type = strtok_r(NULL, " ", &next), *extent;
    if (!name || !type || strcmp(name, source) != 0)
        return false;
    bool has_value = strcmp(type, "values") == 0, is_rows = has_value || strcmp(type, "facts") == 0;
    if (!is_rows && !fuse_dtype_parse(&probe->file_dtype, type))
        return false;
    while ((extent = strtok_r(NULL, " ", &next)) && probe->rank < FUSE_MAX_AXES)
        probe->extent[probe->rank++] = strtoll(extent, NULL, 10);
    if (is_rows)
        make_tally(probe, arena, has_value);
    return true;
}

static void probe_sources(struct fuse_sources *sources, const char *program, struct fuse_arena *arena) {
    struct fuse_program_file shapes = {0};
    const char *path = fuse_arena_printf(arena, "%.*s.shapes", (int)(strlen(program) - strlen(".fuse")), program);
    if (!read_file(&shapes, path, arena))
        return;
    for (int s = 0; s < sources->list.n; s++) {
        struct fuse_source_request *request = &sources->list.at[s];
        char *next = NULL, *text = fuse_arena_strndup(arena, shapes.text, shapes.bytes);
        for (char *line = strtok_r(text, "\n", &next); line && !request->probed; line = strtok_r(NULL, "\n", &next))
            request->probed = read_shape(&request->probe, line, request->text, arena);
    }
}

/* Programs and what they import are in one folder. */
static enum fuse_status find_beside(void *context, int *file, const char *text, int from, struct fuse_error *err) {
    struct fuse_files *files = context;
    struct fuse_program_file read = {0};
    (void)from;
    (void)err;
    for (*file = 0; *file < files->list.n; ++*file)
        if (strcmp(files->list.at[*file].path, text) == 0)
            return FUSE_OK;
    if (read_file(&read, fuse_arena_strndup(files->arena, text, strlen(text)), files->arena))
        fuse_vec_push(files->arena, &files->list, read);
    else
        *file = -1;
    return FUSE_OK;
}

static struct fuse_define *read_defines(int n, char **argument, struct fuse_arena *arena) {
    struct fuse_define *define = FUSE_NEW_ARRAY(arena, struct fuse_define, n);
    for (int k = 0; k < n; k++) {
        const char *equals = strchr(argument[k], '=');
        define[k].name = equals ? fuse_arena_strndup(arena, argument[k], (size_t)(equals - argument[k])) : argument[k];
        define[k].value = equals ? equals + 1 : "";
    }
    return define;
}

int main(int argc, char **argv) {
    if (argc < 3 || (strcmp(argv[1], "ir") != 0 && strcmp(argv[1], "err") != 0) || strlen(argv[2]) < 6) {
        fprintf(stderr, "usage: dump_ir ir|err FILE.fuse [NAME=VALUE ...]\n");
        return 2;
    }
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_files files = {.arena = arena};
    struct fuse_program_file file = {0};
    if (!arena || !read_file(&file, argv[2], arena)) {
        fprintf(stderr, "dump_ir: cannot read %s\n", argv[2]);
        return 66;
    }
    fuse_vec_push(arena, &files.list, file);
    struct fuse_diagnostics diagnostics = {.arena = arena};
    struct fuse_ast ast = {0};
    struct fuse_ir ir = {.arena = arena};
    struct fuse_sources sources = {0};
    struct fuse_text text = {.arena = arena};
    struct fuse_loader loader = {.find = find_beside, .context = &files};
    struct fuse_error failure = {0};
    bool good = false;
    if (fuse_parse_program(&ast, &good, arena, &files, &loader, &diagnostics, &failure) == FUSE_OK && good) {
        fuse_list_sources(&sources, arena, &ast);
        probe_sources(&sources, argv[2], arena);
        struct fuse_define *define = read_defines(argc - 3, argv + 3, arena);
        struct fuse_settings settings = {.define = define, .defines = argc - 3};
        struct fuse_error err = {0};
        if (fuse_check(&ir, arena, &ast, &sources, &settings, &files, &diagnostics) &&
            fuse_ir_verify(&ir, &err) != FUSE_OK)
            fuse_error_print(&text, &files, &err);
    }
    int status = 0;
    for (int k = 0; k < diagnostics.list.n; k++) {
        const struct fuse_diagnostic *diagnostic = &diagnostics.list.at[k];
        if (diagnostic->severity == FUSE_SEVERITY_ERROR && status == 0)
            status = (int)diagnostic->status;
        if (strcmp(argv[1], "err") == 0 || diagnostic->severity == FUSE_SEVERITY_ERROR)
            fuse_diagnostic_print(&text, &files, diagnostic);
    }
    if (strcmp(argv[1], "ir") == 0 && status == 0)
        fuse_ir_print(&text, &ir);
    if (text.bytes)
        fwrite(text.at, 1, text.bytes, stdout);
    fuse_arena_close(arena);
    return status;
}
