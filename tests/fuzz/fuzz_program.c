/* Any bytes as a program: parsing, checking and lowering must end with errors or with a valid IR, never with a crash. */
#include "lang/lang.h"
#include "lang/parser.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_files files = {.arena = arena};
    char *text = fuse_arena_strndup(arena, (const char *)data, bytes);
    struct fuse_program_file file = {.path = "fuzz.fuse", .text = text, .bytes = bytes};
    fuse_vec_push(arena, &files.list, file);
    struct fuse_diagnostics diagnostics = {.arena = arena};
    struct fuse_ast ast = {0};
    if (fuse_parse(&ast, arena, &files, 0, &diagnostics)) {
        struct fuse_sources sources = {0};
        fuse_list_sources(&sources, arena, &ast);
        for (int i = 0; i < sources.list.n; i++) {
            /* every source is a small matrix */
            sources.list.at[i].probed = true;
            sources.list.at[i].probe = (struct fuse_probe){.rank = 2, .extent = {3, 4}, .file_dtype = FUSE_F32};
        }
        struct fuse_ir ir = {.arena = arena};
        struct fuse_error err = {0};
        if (fuse_check(&ir, arena, &ast, &sources, NULL, &files, &diagnostics) &&
            (fuse_ir_verify(&ir, &err) != FUSE_OK || fuse_ir_simplify(&ir, &err) != FUSE_OK ||
             fuse_ir_verify(&ir, &err) != FUSE_OK))
            abort();
    }
    struct fuse_text out = {.arena = arena};
    for (int i = 0; i < diagnostics.list.n; i++)
        fuse_diagnostic_print(&out, &files, &diagnostics.list.at[i]);
    fuse_arena_close(arena);
    return 0;
}
