#include "lang/check.h"

#include <string.h>

void fuse_later(struct fuse_checker *c, struct fuse_span span, const char *what) {
    struct fuse_diagnostic *d = fuse_complain(c, span, "%s part of the language but cannot be run yet", what);
    fuse_advise(c, d, "README.md says under \"What runs today\" what can be used instead");
}

void fuse_point_to(struct fuse_diagnostic *diagnostic, struct fuse_span other, const char *message) {
    if (diagnostic && other.file >= 0) {
        diagnostic->other = other;
        diagnostic->other_message = message;
    }
}

bool fuse_may_suggest(const struct fuse_checker *c) {
    return c->diagnostics->errors <= 100;
}

void fuse_nearest_try(struct fuse_nearest *nearest, const char *candidate) {
    int letters = (int)strlen(nearest->wanted), limit = letters <= 3 ? 1 : letters <= 5 ? 2 : 3;
    int distance = fuse_text_distance(nearest->wanted, candidate, limit);
    if (distance > 0 && distance <= limit && distance < letters && (!nearest->best || distance < nearest->distance)) {
        nearest->best = candidate;
        nearest->distance = distance;
    }
}

const char *fuse_excerpt(const struct fuse_checker *c, struct fuse_span span) {
    if (span.file < 0 || span.file >= c->files->list.n)
        return NULL;
    const struct fuse_program_file *file = &c->files->list.at[span.file];
    if (span.begin >= span.end || span.end > file->bytes || span.end - span.begin > 60)
        return NULL;
    const char *text = fuse_arena_strndup(c->arena, file->text + span.begin, span.end - span.begin);
    return strpbrk(text, "\n#") ? NULL : text;
}

const char *fuse_quote_indices(struct fuse_checker *c, const struct fuse_equation *eq, uint64_t set) {
    struct fuse_text text = {.arena = c->arena};
    int left = __builtin_popcountll(set);
    for (int k = 0; k < eq->indices; k++)
        if (set & FUSE_BIT(k)) {
            left--;
            fuse_text_add(&text, "'%s'%s", eq->index[k].name, left == 0 ? "" : left == 1 ? " and " : ", ");
        }
    return text.at ? text.at : "";
}
