/* A[i,z] = U[i] where `axis z = 7` is all that is known of z: a copy for each position of an axis that nothing else has. */
#include "lang/check.h"

#include <string.h>

enum { NOBODY = -1, SEVERAL = -2 };

/* Per domain: the only tensor with such an axis, NOBODY or SEVERAL. */
static int *owners(struct fuse_checker *c) {
    int *owner = FUSE_NEW_ARRAY(c->arena, int, c->domains.n);
    for (int d = 0; d < c->domains.n; d++)
        owner[d] = NOBODY;
    for (int t = 0; t < c->tensors.n; t++)
        for (int a = 0; a < c->tensors.at[t]->rank; a++) {
            int *at = &owner[fuse_domain_of(c, c->tensors.at[t]->domain[a]) - c->domains.at];
            *at = *at == NOBODY || *at == t ? t : SEVERAL;
        }
    return owner;
}

/* The index at this axis, when the right side has indices and this is none of them; -1 otherwise. */
static int broadcast_index(const struct fuse_equation *eq, int axis) {
    if (eq->bad || eq->kind != FUSE_EQUATION_EXPR || !eq->root || axis >= eq->lefts || eq->left[axis].index < 0)
        return -1;
    uint64_t uses = eq->root->uses | (eq->guard ? eq->guard->uses : 0);
    return uses != 0 && !(uses & FUSE_BIT(eq->left[axis].index)) ? eq->left[axis].index : -1;
}

static void check_axis(struct fuse_checker *c, const struct fuse_tensor *tensor, int axis) {
    const struct fuse_domain *domain = fuse_domain_of(c, tensor->domain[axis]);
    if (c->files->list.at[tensor->span.file].is_made) /* on purpose */
        return;
    if (!domain->from || strncmp(domain->from, "axis ", 5) != 0 || domain->extent == 1)
        return;
    for (int k = 0; k < tensor->contributions.n; k++)
        if (broadcast_index(c->equations.at[tensor->contributions.at[k]], axis) < 0)
            return;
    const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[0]];
    struct fuse_diagnostic *d =
        fuse_report(c->diagnostics, FUSE_SEVERITY_WARNING, eq->left[axis].span,
                    "'%s' is repeated %lld times along '%s', which nothing else has", tensor->name,
                    (long long)domain->extent, eq->index[eq->left[axis].index].name);
    fuse_point_to(d, domain->span, "declared here");
    fuse_advise(c, d, "leave the index out, or use it on the right side");
}

void fuse_warn_of_broadcasts(struct fuse_checker *c) {
    if (c->axes.n == 0)
        return;
    const int *owner = owners(c);
    for (int t = 0; t < c->tensors.n; t++) {
        const struct fuse_tensor *tensor = c->tensors.at[t];
        for (int a = 0; a < tensor->rank && !tensor->bad && tensor->carried == 0 && tensor->contributions.n > 0; a++)
            if (owner[fuse_domain_of(c, tensor->domain[a]) - c->domains.at] == t)
                check_axis(c, tensor, a);
    }
}
