/* The functions of the language, from builtins.def. Local and pure. */
#ifndef FUSE_LANG_BUILTINS_H
#define FUSE_LANG_BUILTINS_H

#include "core/scalar.h"

#include <stdbool.h>

enum fuse_builtin_code {
#define FUSE_BUILTIN(NAME, text, group, type, scalar, runs, signature, doc) FUSE_BUILTIN_##NAME,
#include "lang/builtins.def"
#undef FUSE_BUILTIN
    FUSE_BUILTINS
};

enum fuse_builtin_group {
    FUSE_GROUP_INDEX,      /* of an index name; its axis is that index */
    FUSE_GROUP_CHOICE,     /* conditions and values */
    FUSE_GROUP_ELEMENT,    /* axes: the union of the arguments' */
    FUSE_GROUP_REDUCTION,  /* axes: the argument's without those taken */
    FUSE_GROUP_NORMALISER, /* axes: the arguments' */
    FUSE_GROUP_MAKER,      /* axes: the argument's and a new one */
    FUSE_GROUP_LEFT,       /* axes: the left side's positions in order */
    FUSE_GROUP_STRUCTURE   /* rules of their own */
};

enum fuse_builtin_type {
    FUSE_RESULT_REAL,   /* integers become reals */
    FUSE_RESULT_NUMBER, /* integers are 64-bit, reals are kept */
    FUSE_RESULT_VALUE,  /* the arguments' common type */
    FUSE_RESULT_I64,
    FUSE_RESULT_BOOL,
    FUSE_RESULT_F32,
    FUSE_RESULT_NAMED /* named by an argument */
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
    const char *signature;      /* "x, eps=1e-5, weight=, bias=": '=' marks what may be left out, ".." any number */
    const char *doc;
};

/* Case does not matter. NULL when there is none. */
const struct fuse_builtin *fuse_builtin_find(const char *name);
const struct fuse_builtin *fuse_builtin_at(int number);
/* Splits the signature; the texts live in the arena. Returns the number of formals, -1 when any number is taken. */
int fuse_builtin_formals(struct fuse_formal out[FUSE_MAX_FORMALS], const struct fuse_builtin *builtin,
                         struct fuse_arena *arena);

#endif
