/* The functions of the language, from builtins.def. Local and pure. */
#ifndef FUSE_LANG_BUILTINS_H
#define FUSE_LANG_BUILTINS_H

#include "core/scalar.h"

#include <stdbool.h>

enum fuse_builtin_code {
#define FUSE_BUILTIN(NAME, text, group, type, scalar, runs, differentiable, signature, doc) FUSE_BUILTIN_##NAME,
#include "lang/builtins.def"
#undef FUSE_BUILTIN
    FUSE_BUILTINS
};

/* What a function does to axes. */
enum fuse_builtin_group {
#define FUSE_BUILTIN_GROUP(NAME, title, axes) FUSE_GROUP_##NAME,
#define FUSE_BUILTIN_TYPE(NAME, text)
#include "lang/builtin_groups.def"
#undef FUSE_BUILTIN_GROUP
#undef FUSE_BUILTIN_TYPE
};

enum fuse_builtin_type {
#define FUSE_BUILTIN_GROUP(NAME, title, axes)
#define FUSE_BUILTIN_TYPE(NAME, text) FUSE_RESULT_##NAME,
#include "lang/builtin_groups.def"
#undef FUSE_BUILTIN_GROUP
#undef FUSE_BUILTIN_TYPE
};

#define FUSE_MAX_FORMALS 8

struct fuse_formal {
    const char *name;
    bool optional;
    const char *preset; /* the text after '=', or "" */
};

struct fuse_builtin {
    enum fuse_builtin_code code;
    const char *name;
    enum fuse_builtin_group group;
    enum fuse_builtin_type type;
    enum fuse_scalar_op scalar; /* ELEMENT of one operation; FUSE_SCALAR_OPS: more to it */
    bool runs;                  /* false: "cannot be run yet" */
    bool differentiable;        /* grad goes through it */
    const char *signature;      /* "x, eps=1e-5, weight=, bias=": '=' marks what may be left out, ".." any number */
    const char *doc;
};

/* Case does not matter. NULL when there is none. */
const struct fuse_builtin *fuse_builtin_find(const char *name);
const struct fuse_builtin *fuse_builtin_at(int number);
/* The heading of a group and what it says about axes; the type of the result in words. */
const char *fuse_builtin_group_title(enum fuse_builtin_group group);
const char *fuse_builtin_group_axes(enum fuse_builtin_group group);
const char *fuse_builtin_type_text(enum fuse_builtin_type type);
/* Splits the signature; the texts live in the arena. Returns the number of formals, -1 when any number is taken. */
int fuse_builtin_formals(struct fuse_formal out[FUSE_MAX_FORMALS], const struct fuse_builtin *builtin,
                         struct fuse_arena *arena);

#endif
