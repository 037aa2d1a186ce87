/* What the rules of a policy are about in a program: its tensors and their axes, as the syntax tree has them. Local, pure. */
#ifndef FUSE_API_POLICY_PROGRAM_H
#define FUSE_API_POLICY_PROGRAM_H

#include "api/policy.h"
#include "lang/ast.h"

/* All tensors of one name, in blocks and functions too. */
struct fuse_policy_tensor {
    const char *name;
    int rank;                        /* on its first left side, or where it is first used if nothing writes it */
    const char *axis[FUSE_MAX_AXES]; /* names of its indices there; NULL: a fixed position or a slice */
    bool is_defined;                 /* by a left side; else it is used, and a manifest may have it, unless: */
    bool is_formal;                  /* of a function */
    bool has_steps;                  /* a left side with a step axis */
    /* Known once the program is checked: */
    bool is_computed, is_relation;
    int pin;            /* 0, or one more than the number of its layout among fuse_dist_program.pins */
    int cold_calls;     /* calls of sig without T in its equations */
    FUSE_VEC(int) uses; /* numbers of the tensors that its equations read */
};

struct fuse_policy_program {
    struct fuse_arena *arena;
    FUSE_VEC(struct fuse_policy_tensor) tensors;
    struct fuse_map number_of; /* by name */
    bool hides_sig;            /* a function or tensor of the program is called so */
};

void fuse_policy_survey(struct fuse_policy_program *out, struct fuse_arena *arena, const struct fuse_ast *ast);
/* A tensor that rules are about. */
static inline bool fuse_policy_is_tensor(const struct fuse_policy_tensor *tensor) {
    return tensor->is_defined || !tensor->is_formal;
}
/* A rule of layouts with this pattern is about the tensor. Wildcards pass over single numbers, which have no layout to
 * choose; their own names do not. */
bool fuse_policy_lays_out(const char *pattern, const struct fuse_policy_tensor *tensor);
/* It depends on itself or has a step axis. */
bool fuse_policy_has_turns(const struct fuse_policy_program *program, int tensor);
/* The place of an axis by its name, else by its position in digits; -1: there is none. */
int fuse_policy_axis(const struct fuse_policy_tensor *tensor, const char *axis);

/* Gives calls of sig in the equations of each tensor a T, unless they have one. temperature[i] is for tensor i; NULL:
 * leave it alone. */
void fuse_policy_set_temperatures(const struct fuse_policy_program *program, struct fuse_ast *ast,
                                  const double *const *temperature);

#endif
