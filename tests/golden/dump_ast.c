/* usage: dump_ast ast|err FILE
 *
 * ast prints the syntax tree of FILE, err what is wrong with it. Exits with 65 when there was a syntax error. */
#include "lang/parser.h"

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

int main(int argc, char **argv) {
    if (argc != 3 || (strcmp(argv[1], "ast") != 0 && strcmp(argv[1], "err") != 0)) {
        fprintf(stderr, "usage: dump_ast ast|err FILE\n");
        return 2;
    }
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_files files = {.arena = arena};
    struct fuse_program_file file = {0};
    if (!arena || !read_file(&file, argv[2], arena)) {
        fprintf(stderr, "dump_ast: cannot read %s\n", argv[2]);
        return 66;
    }
    fuse_vec_push(arena, &files.list, file);
    struct fuse_diagnostics diagnostics = {.arena = arena};
    struct fuse_ast ast = {0};
    bool ok = fuse_parse(&ast, arena, &files, 0, &diagnostics);

    struct fuse_text text = {.arena = arena};
    if (strcmp(argv[1], "ast") == 0)
        fuse_ast_print(&text, &ast);
    else
        for (int k = 0; k < diagnostics.list.n; k++)
            fuse_diagnostic_print(&text, &files, &diagnostics.list.at[k]);
    if (text.bytes)
        fwrite(text.at, 1, text.bytes, stdout);
    fuse_arena_close(arena);
    return ok ? 0 : 65;
}
