/* From text to syntax tree. Local and pure. */
#ifndef FUSE_LANG_PARSER_H
#define FUSE_LANG_PARSER_H

#include "lang/ast.h"
#include "lang/diagnostics.h"

/* Parses file `file` of `files` and appends its items to *ast (zeroed by the caller, in `arena`). Every syntax error of
 * the file is reported; reading resumes at the next line. Returns false when there was one; the items of the correct
 * lines are in *ast all the same. Nesting is limited to 200 levels and the height of an expression tree, which a chain
 * a + b + c + ... makes as high as it is long, to 1,000: readers of the tree may recurse. */
bool fuse_parse(struct fuse_ast *ast, struct fuse_arena *arena, const struct fuse_files *files, int file,
                struct fuse_diagnostics *diagnostics);

/* Parses file `file`, which is a query: a tensor with positions as on a right side, or its name alone. Appends a SINK or
 * an EXPORT to *ast. Slices may be the same text. false when something is wrong, which is then reported. */
bool fuse_parse_query(struct fuse_ast *ast, struct fuse_arena *arena, const struct fuse_files *files, int file,
                      struct fuse_diagnostics *diagnostics);

/* Parses file `file`, which is a fact: a tensor with positions. NULL when it is something else, which is reported. */
const struct fuse_expr *fuse_parse_fact(struct fuse_ast *ast, struct fuse_arena *arena, const struct fuse_files *files,
                                        int file, struct fuse_diagnostics *diagnostics);

/* An S-expression per item, one line each, nested bodies indented: stable, for --dump=ast and golden tests. */
void fuse_ast_print(struct fuse_text *text, const struct fuse_ast *ast);

#endif
