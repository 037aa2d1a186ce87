/* Extents: positions that must have the same extent are united, slices and joins derive new ones, and what was fixed in two ways
 * is an error that names both places. */
#include "lang/check.h"

#include <stdlib.h>

/* Elements, and bytes, of one tensor. */
#define MAX_ELEMS ((int64_t)1 << 62)

int fuse_new_domain(struct fuse_checker *c) {
    struct fuse_domain domain = {
        .parent = c->domains.n, .extent = -1, .span = FUSE_NO_SPAN, .largest_id = -1, .table = -1};
    fuse_vec_push(c->arena, &c->domains, domain);
    return c->domains.n - 1;
}

int fuse_domain_root(struct fuse_checker *c, int domain) {
    struct fuse_domain *at = c->domains.at;
    while (at[domain].parent != domain) {
        at[domain].parent = at[at[domain].parent].parent;
        domain = at[domain].parent;
    }
    return domain;
}

const struct fuse_domain *fuse_domain_of(struct fuse_checker *c, int domain) {
    return &c->domains.at[fuse_domain_root(c, domain)];
}

static const char *elements(struct fuse_checker *c, int64_t n) {
    return fuse_arena_printf(c->arena, "%lld element%s", (long long)n, n == 1 ? "" : "s");
}

/* `here` of this fact against `there` that was known before. */
static void complain_extents(struct fuse_checker *c, const struct fuse_fact *fact, int64_t here, const char *here_from,
                             int64_t there, const char *there_from, struct fuse_span there_span) {
    struct fuse_text text = {.arena = c->arena};
    const char *tensor = fact->tensor >= 0 ? c->tensors.at[fact->tensor]->name : NULL;
    if (tensor)
        fuse_text_add(&text, "axis %d of '%s'", fact->axis, tensor);
    else
        fuse_text_add(&text, "index '%s'", fact->index_name ? fact->index_name : "?");
    fuse_text_add(&text, " has %s", elements(c, here));
    if (here_from)
        fuse_text_add(&text, " (from %s)", here_from);
    if (tensor && fact->index_name)
        fuse_text_add(&text, ", but index '%s' has %lld", fact->index_name, (long long)there);
    else
        fuse_text_add(&text, ", but %lld elsewhere", (long long)there);
    if (there_from)
        fuse_text_add(&text, " (from %s)", there_from);
    struct fuse_diagnostic *d = fuse_complain(c, fact->span, "%s", text.at);
    fuse_point_to(d, there_span, fuse_arena_printf(c->arena, "%lld comes from here", (long long)there));
    fuse_advise(c, d,
                "where the two are different axes, give them different names; a slice such as i=0:%lld takes a part",
                (long long)(here < there ? here : there));
}

static void blame(struct fuse_checker *c, const struct fuse_fact *fact) {
    if (fact->equation >= 0)
        c->equations.at[fact->equation]->bad = true;
}

static void set_extent(struct fuse_checker *c, const struct fuse_fact *fact, int domain, int64_t extent,
                       const char *from) {
    struct fuse_domain *d = &c->domains.at[fuse_domain_root(c, domain)];
    if (extent > FUSE_MAX_EXTENT) {
        fuse_complain(c, fact->span, "an axis of %s is longer than any tensor can be", elements(c, extent));
        blame(c, fact);
    } else if (d->extent < 0) {
        d->extent = extent;
        d->span = fact->span;
        d->from = from;
    } else if (d->extent != extent) {
        complain_extents(c, fact, extent, from, d->extent, d->from, d->span);
        blame(c, fact);
    }
}

void fuse_unite_domains(struct fuse_checker *c, const struct fuse_fact *fact) {
    int ra = fuse_domain_root(c, fact->a), rb = fuse_domain_root(c, fact->b);
    struct fuse_domain *a = &c->domains.at[ra], *b = &c->domains.at[rb];
    if (ra == rb)
        return;
    if (a->extent >= 0 && b->extent >= 0 && a->extent != b->extent) {
        complain_extents(c, fact, a->extent, a->from, b->extent, b->from, b->span);
        blame(c, fact);
        return;
    }
    if (b->extent < 0) {
        b->extent = a->extent;
        b->span = a->span;
        b->from = a->from;
    }
    if (b->largest_id < a->largest_id)
        b->largest_id = a->largest_id;
    b->open |= a->open;
    b->tainted |= a->tainted;
    a->parent = rb;
}

/* Python's rules for x[start:stop:step]. */
void fuse_slice_range(const struct fuse_position *position, int64_t n, int64_t *first, int64_t *step, int64_t *count) {
    int64_t s = position->step, low = s > 0 ? 0 : -1, high = s > 0 ? n : n - 1;
    int64_t start = s > 0 ? low : high, stop = s > 0 ? high : low;
    if (position->has_start) {
        start = position->start < 0 ? position->start + n : position->start;
        start = start < low ? low : start > high ? high : start;
    }
    if (position->has_stop) {
        stop = position->stop < 0 ? position->stop + n : position->stop;
        stop = stop < low ? low : stop > high ? high : stop;
    }
    int64_t length = s > 0 ? stop - start : start - stop, size = s > 0 ? s : -s;
    *first = start;
    *step = s;
    *count = length > 0 ? (length - 1) / size + 1 : 0;
    /* An axis of one element never steps: keep maps small whatever the step says. */
    if (*count <= 1)
        *step = 1;
}

/* One round over the slices; true when an extent became known. */
static bool derive_slices(struct fuse_checker *c, bool *done) {
    bool progress = false;
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (fact->kind != FUSE_FACT_SLICE || done[f] || c->equations.at[fact->equation]->bad)
            continue;
        int64_t n = fuse_domain_of(c, fact->a)->extent, first, step, count;
        if (n < 0)
            continue;
        fuse_slice_range(fact->position, n, &first, &step, &count);
        struct fuse_fact result = *fact;
        result.tensor = -1;
        set_extent(c, &result, fact->b, count, fuse_arena_printf(c->arena, "a slice of %s", elements(c, n)));
        done[f] = progress = true;
    }
    return progress;
}

/* true when an extent became known: the sum, or the product, of others that are. */
static bool derive_joins(struct fuse_checker *c, bool *done) {
    bool progress = false;
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (fact->kind != FUSE_FACT_JOIN || done[f] || c->equations.at[fact->equation]->bad)
            continue;
        int64_t whole = fact->product;
        bool known = true;
        for (int k = 0; k < fact->parts && known; k++) {
            int64_t n = fuse_domain_of(c, fact->part[k])->extent;
            known = n >= 0;
            if (known)
                whole = fact->product ? fuse_sat_mul(whole, n) : fuse_sat_add(whole, n);
        }
        if (!known)
            continue;
        set_extent(c, fact, fact->a, whole, "concat");
        done[f] = progress = true;
    }
    return progress;
}

static bool close_open_domains(struct fuse_checker *c) {
    bool progress = false;
    for (int k = 0; k < c->domains.n; k++) {
        struct fuse_domain *d = &c->domains.at[k];
        if (d->parent == k && d->extent < 0 && (d->largest_id >= 0 || d->open)) {
            d->extent = d->largest_id + 1;
            d->from = d->open ? "the largest id" : "the largest position that is written";
            progress = true;
        }
    }
    return progress;
}

static void check_inside(struct fuse_checker *c, const struct fuse_fact *fact) {
    int64_t n = fuse_domain_of(c, fact->a)->extent;
    if (n < 0 || (fact->number < n && fact->number >= -n))
        return;
    const struct fuse_domain *d = fuse_domain_of(c, fact->a);
    struct fuse_diagnostic *diagnostic =
        fuse_complain(c, fact->span, "position %lld is outside of axis %d of '%s', which has %s",
                      (long long)fact->number, fact->axis, c->tensors.at[fact->tensor]->name, elements(c, n));
    fuse_point_to(diagnostic, d->span, "its extent comes from here");
    blame(c, fact);
}

/* Ids of a file within an extent that something else fixes. */
static void check_rows(struct fuse_checker *c, const struct fuse_fact *fact) {
    const struct fuse_domain *d = fuse_domain_of(c, fact->a);
    const struct fuse_equation *eq = c->equations.at[fact->equation];
    if (d->extent < 0 || fact->number < d->extent)
        return;
    struct fuse_diagnostic *diagnostic =
        fuse_complain(c, fact->span, "row %lld of %s: id %lld is outside of axis %d of '%s', which has %s",
                      (long long)eq->source->probe.tally->largest_row[fact->axis] + 1, fact->from,
                      (long long)fact->number, fact->axis, c->tensors.at[fact->tensor]->name, elements(c, d->extent));
    if (diagnostic)
        diagnostic->status = FUSE_EINPUT;
    fuse_point_to(diagnostic, d->span, "its extent comes from here");
    fuse_advise(c, diagnostic, "ids count from 0");
    blame(c, fact);
}

/* A domain that a bad tensor is part of may lack the very fact that would have fixed it. */
static void taint(struct fuse_checker *c) {
    for (int t = 0; t < c->tensors.n; t++)
        for (int a = 0; c->tensors.at[t]->bad && a < c->tensors.at[t]->rank; a++)
            c->domains.at[fuse_domain_root(c, c->tensors.at[t]->domain[a])].tainted = true;
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (fact->kind == FUSE_FACT_SLICE && fuse_domain_of(c, fact->a)->tainted)
            c->domains.at[fuse_domain_root(c, fact->b)].tainted = true;
        for (int k = 0; fact->kind == FUSE_FACT_JOIN && k < fact->parts; k++)
            if (fuse_domain_of(c, fact->part[k])->tainted)
                c->domains.at[fuse_domain_root(c, fact->a)].tainted = true;
    }
}

/* Every index of an equation must have an extent. */
static void check_known(struct fuse_checker *c, struct fuse_equation *eq) {
    for (int k = 0; k < eq->indices; k++) {
        const struct fuse_domain *d = fuse_domain_of(c, eq->index[k].domain);
        if (d->extent >= 0)
            continue;
        eq->bad = true;
        if (d->tainted)
            continue;
        struct fuse_diagnostic *diagnostic =
            fuse_complain(c, eq->index[k].span, "the extent of index '%s' is not known", eq->index[k].name);
        fuse_advise(c, diagnostic, "no source or literal fixes it; declare it: axis %s = ..",
                    eq->index[k].sliced ? "i" : eq->index[k].name);
        /* One message for the class. */
        c->domains.at[fuse_domain_root(c, eq->index[k].domain)].tainted = true;
    }
}

static void check_size(struct fuse_checker *c, struct fuse_tensor *tensor) {
    int64_t elems = 8; /* bytes of the widest type */
    if (tensor->derived || fuse_tensor_relation(c, tensor) != FUSE_NO_RELATION)
        return;
    for (int a = 0; a < tensor->rank; a++) {
        int64_t n = fuse_domain_of(c, tensor->domain[a])->extent;
        if (n == 0)
            return;
        elems = fuse_sat_mul(elems, n > 0 ? n : 1);
    }
    if (elems <= MAX_ELEMS)
        return;
    struct fuse_text text = {.arena = c->arena};
    for (int a = 0; a < tensor->rank; a++)
        fuse_text_add(&text, "%s%lld", a > 0 ? " x " : "", (long long)fuse_domain_of(c, tensor->domain[a])->extent);
    fuse_complain(c, tensor->span, "'%s' would have %s elements, more than can be addressed", tensor->name, text.at);
    for (int k = 0; k < tensor->contributions.n; k++)
        c->equations.at[tensor->contributions.at[k]]->bad = true;
}

/* A tensor without a free position on its left side, such as Y[0], still has extents to be known. */
static void check_tensor_known(struct fuse_checker *c, struct fuse_tensor *tensor) {
    for (int a = 0; a < tensor->rank && !tensor->bad; a++) {
        const struct fuse_domain *d = fuse_domain_of(c, tensor->domain[a]);
        if (d->extent >= 0)
            continue;
        if (!d->tainted)
            fuse_complain(c, tensor->span, "the extent of axis %d of '%s' is not known", a, tensor->name);
        tensor->bad = true;
    }
}

void fuse_solve_domains(struct fuse_checker *c) {
    /* Sources and declarations first: they are what a conflict is explained by. */
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (fact->kind == FUSE_FACT_EXTENT && !c->equations.at[fact->equation]->bad)
            set_extent(c, fact, fact->a, fact->number, fact->from);
    }
    for (int f = 0; f < c->facts.n; f++)
        if (c->facts.at[f].kind == FUSE_FACT_SAME && !c->equations.at[c->facts.at[f].equation]->bad)
            fuse_unite_domains(c, &c->facts.at[f]);
    fuse_name_domains(c);
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (c->equations.at[fact->equation]->bad)
            continue;
        if (fact->kind == FUSE_FACT_NAMES)
            set_extent(c, fact, fact->a, fact->number, fact->from);
        struct fuse_domain *d = &c->domains.at[fuse_domain_root(c, fact->a)];
        bool is_id = fact->kind == FUSE_FACT_ID || fact->kind == FUSE_FACT_SYMBOL || fact->kind == FUSE_FACT_ROWS;
        if (is_id && fact->number > d->largest_id)
            d->largest_id = fact->number;
        if (fact->kind == FUSE_FACT_ROWS) {
            d->open = true;
            d->span = d->extent < 0 ? fact->span : d->span;
        }
    }
    /* A number at a position of a relation is an id, too, where nothing but ids says how many there are. */
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (fact->kind != FUSE_FACT_INSIDE || c->equations.at[fact->equation]->bad || !fuse_is_sparse(c, fact->tensor))
            continue;
        struct fuse_domain *d = &c->domains.at[fuse_domain_root(c, fact->a)];
        if (d->open && d->extent < 0 && fact->number > d->largest_id)
            d->largest_id = fact->number;
    }
    bool *done = FUSE_NEW_ARRAY(c->arena, bool, c->facts.n);
    while (derive_slices(c, done) || derive_joins(c, done) || close_open_domains(c))
        continue;

    fuse_spread_bad(c);
    taint(c);
    for (int e = 0; e < c->equations.n; e++)
        if (!c->equations.at[e]->bad)
            check_known(c, c->equations.at[e]);
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        bool is_fixed = fact->kind == FUSE_FACT_INSIDE || fact->kind == FUSE_FACT_ID || fact->kind == FUSE_FACT_SYMBOL;
        if (is_fixed && !c->equations.at[fact->equation]->bad)
            check_inside(c, fact);
        if (fact->kind == FUSE_FACT_ROWS && !c->equations.at[fact->equation]->bad)
            check_rows(c, fact);
    }
    fuse_spread_bad(c);
    fuse_choose_sums(c);
    for (int t = 0; t < c->tensors.n; t++)
        if (!c->tensors.at[t]->bad) {
            check_tensor_known(c, c->tensors.at[t]);
            check_size(c, c->tensors.at[t]);
        }
    fuse_spread_bad(c);
}
