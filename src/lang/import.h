/* The files of a program as one: import statements are followed, and names get the prefixes of `import .. as ns`. */
#ifndef FUSE_LANG_IMPORT_H
#define FUSE_LANG_IMPORT_H

#include "lang/ast.h"
#include "lang/diagnostics.h"

/* Where imported files come from. */
struct fuse_loader {
    /* Sets *file to the number in the program's files of what `text` means in file number `from`, read if it was not yet;
     * -1 when there is no such file. The same on every rank; may be collective. */
    enum fuse_status (*find)(void *context, int *file, const char *text, int from, struct fuse_error *err);
    void *context;
};

/* Parses file 0 and what it imports into one syntax tree without imports. A file is taken once per name space; sinks and
 * exports of imported files stay behind. What is wrong is reported, missing and cyclic imports too, and *good is then
 * false. Fails only when the loader does. */
enum fuse_status fuse_parse_program(struct fuse_ast *ast, bool *good, struct fuse_arena *arena,
                                    struct fuse_files *files, const struct fuse_loader *loader,
                                    struct fuse_diagnostics *diagnostics, struct fuse_error *err) FUSE_CHECKED;

#endif
