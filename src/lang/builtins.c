#include "lang/builtins.h"

#include <string.h>
#include <strings.h>

static const struct fuse_builtin builtins[] = {
#define FUSE_BUILTIN(NAME, text, group_, type_, scalar_, runs_, differentiable_, signature_, doc_) \
    {.code = FUSE_BUILTIN_##NAME,                                                                  \
     .name = text,                                                                                 \
     .group = FUSE_GROUP_##group_,                                                                 \
     .type = FUSE_RESULT_##type_,                                                                  \
     .scalar = FUSE_SCALAR_##scalar_,                                                              \
     .runs = runs_,                                                                                \
     .differentiable = differentiable_,                                                            \
     .signature = signature_,                                                                      \
     .doc = doc_},
#include "lang/builtins.def"
#undef FUSE_BUILTIN
};

const struct fuse_builtin *fuse_builtin_find(const char *name) {
    for (int b = 0; b < FUSE_BUILTINS; b++)
        if (strcasecmp(builtins[b].name, name) == 0)
            return &builtins[b];
    return NULL;
}

const struct fuse_builtin *fuse_builtin_at(int number) {
    return number >= 0 && number < FUSE_BUILTINS ? &builtins[number] : NULL;
}

static const struct {
    const char *title, *axes;
} groups[] = {
#define FUSE_BUILTIN_GROUP(NAME, title_, axes_) {title_, axes_},
#define FUSE_BUILTIN_TYPE(NAME, text)
#include "lang/builtin_groups.def"
#undef FUSE_BUILTIN_GROUP
#undef FUSE_BUILTIN_TYPE
};

static const char *const types[] = {
#define FUSE_BUILTIN_GROUP(NAME, title, axes)
#define FUSE_BUILTIN_TYPE(NAME, text) text,
#include "lang/builtin_groups.def"
#undef FUSE_BUILTIN_GROUP
#undef FUSE_BUILTIN_TYPE
};

const char *fuse_builtin_group_title(enum fuse_builtin_group group) {
    return groups[group].title;
}

const char *fuse_builtin_group_axes(enum fuse_builtin_group group) {
    return groups[group].axes;
}

const char *fuse_builtin_type_text(enum fuse_builtin_type type) {
    return types[type];
}

int fuse_builtin_formals(struct fuse_formal out[FUSE_MAX_FORMALS], const struct fuse_builtin *builtin,
                         struct fuse_arena *arena) {
    if (strstr(builtin->signature, ".."))
        return -1;
    int n = 0;
    for (const char *at = builtin->signature; *at && n < FUSE_MAX_FORMALS;) {
        at += strspn(at, ", ");
        size_t bytes = strcspn(at, ",");
        const char *equals = memchr(at, '=', bytes);
        out[n].optional = equals != NULL;
        out[n].name = fuse_arena_strndup(arena, at, equals ? (size_t)(equals - at) : bytes);
        out[n].preset = equals ? fuse_arena_strndup(arena, equals + 1, bytes - (size_t)(equals + 1 - at)) : "";
        n++;
        at += bytes;
    }
    return n;
}
