/* What depends on what: bad things spread, components are found, and what no sink or export needs is set aside. */
#include "lang/check.h"

/* Who mentions a tensor: user[first[t] .. first[t + 1]) are equations. */
struct users {
    int *first, *user;
};

static struct users find_users(struct fuse_checker *c) {
    struct users users = {.first = FUSE_NEW_ARRAY(c->arena, int, c->tensors.n + 2)};
    for (int e = 0; e < c->equations.n; e++)
        for (int k = 0; k < c->equations.at[e]->mentions.n; k++)
            users.first[c->equations.at[e]->mentions.at[k] + 2]++;
    for (int t = 1; t <= c->tensors.n; t++)
        users.first[t + 1] += users.first[t];
    users.user = FUSE_NEW_ARRAY(c->arena, int, users.first[c->tensors.n + 1]);
    /* Filling moves first[t + 1] from the start of t's part to its end, which is where first[t + 1] belongs. */
    for (int e = 0; e < c->equations.n; e++)
        for (int k = 0; k < c->equations.at[e]->mentions.n; k++)
            users.user[users.first[c->equations.at[e]->mentions.at[k] + 1]++] = e;
    return users;
}

void fuse_spread_bad(struct fuse_checker *c) {
    struct users users = find_users(c);
    FUSE_VEC(int) wave = {0};
    for (int e = 0; e < c->equations.n; e++)
        if (c->equations.at[e]->bad && c->equations.at[e]->tensor >= 0)
            c->tensors.at[c->equations.at[e]->tensor]->bad = true;
    for (int t = 0; t < c->tensors.n; t++)
        if (c->tensors.at[t]->bad)
            fuse_vec_push(c->arena, &wave, t);
    for (int w = 0; w < wave.n; w++) {
        int t = wave.at[w];
        for (int k = 0; k < c->tensors.at[t]->contributions.n; k++)
            c->equations.at[c->tensors.at[t]->contributions.at[k]]->bad = true;
        for (int k = users.first[t]; k < users.first[t + 1]; k++) {
            struct fuse_equation *eq = c->equations.at[users.user[k]];
            eq->bad = true;
            if (eq->tensor >= 0 && !c->tensors.at[eq->tensor]->bad) {
                c->tensors.at[eq->tensor]->bad = true;
                fuse_vec_push(c->arena, &wave, eq->tensor);
            }
        }
    }
}

/* ---- dependency order ----------------------------------------------------------------------------------------- */

/* Depth-first search with its own stack: chains of equations may be long. Components by Tarjan (SIAM J. Comput. 1, 1972). */
struct visit {
    int tensor, contribution, mention;
};

struct search {
    struct fuse_checker *c;
    int *number, *low; /* [tensors] in the order of their discovery, from 1; 0: not discovered yet */
    bool *is_open;     /* [tensors] its component is not complete */
    int numbers, components;
    FUSE_VEC(struct visit) stack;
    FUSE_VEC(int) open;
};

/* The next tensor that the top of the stack depends on, or -1. */
static int next_dependency(struct search *s) {
    struct visit *v = &s->stack.at[s->stack.n - 1];
    const struct fuse_tensor *tensor = s->c->tensors.at[v->tensor];
    for (; v->contribution < tensor->contributions.n; v->contribution++, v->mention = 0) {
        const struct fuse_equation *eq = s->c->equations.at[tensor->contributions.at[v->contribution]];
        if (v->mention < eq->mentions.n)
            return eq->mentions.at[v->mention++];
    }
    return -1;
}

static void discover(struct search *s, int tensor) {
    s->number[tensor] = s->low[tensor] = ++s->numbers;
    s->is_open[tensor] = true;
    fuse_vec_push(s->c->arena, &s->open, tensor);
    fuse_vec_push(s->c->arena, &s->stack, (struct visit){.tensor = tensor});
}

static void lower_to(struct search *s, int tensor, int low) {
    if (low < s->low[tensor])
        s->low[tensor] = low;
}

/* All that a tensor depends on has been seen. */
static void leave(struct search *s, int tensor) {
    struct fuse_checker *c = s->c;
    if (s->stack.n > 0)
        lower_to(s, s->stack.at[s->stack.n - 1].tensor, s->low[tensor]);
    if (s->low[tensor] < s->number[tensor])
        return;
    int first = s->open.n - 1;
    while (s->open.at[first] != tensor)
        first--;
    for (int k = s->open.n - 1; k >= first; k--) {
        struct fuse_tensor *member = c->tensors.at[s->open.at[k]];
        s->is_open[s->open.at[k]] = false;
        member->component = s->components;
        member->recursive |= s->open.n - first > 1;
        fuse_vec_push(c->arena, &c->order, s->open.at[k]);
    }
    s->open.n = first;
    s->components++;
}

static void search_from(struct search *s, int tensor) {
    discover(s, tensor);
    while (s->stack.n > 0) {
        int at = s->stack.at[s->stack.n - 1].tensor, next = next_dependency(s);
        if (next < 0) {
            s->stack.n--;
            leave(s, at);
        } else if (s->number[next] == 0) {
            discover(s, next);
        } else if (s->is_open[next]) {
            lower_to(s, at, s->number[next]);
            s->c->tensors.at[at]->recursive |= next == at;
        }
    }
}

void fuse_order_tensors(struct fuse_checker *c) {
    struct search search = {.c = c};
    search.number = FUSE_NEW_ARRAY(c->arena, int, c->tensors.n + 1);
    search.low = FUSE_NEW_ARRAY(c->arena, int, c->tensors.n + 1);
    search.is_open = FUSE_NEW_ARRAY(c->arena, bool, c->tensors.n + 1);
    for (int t = 0; t < c->tensors.n; t++)
        if (search.number[t] == 0)
            search_from(&search, t);
}

/* ---- what is needed ------------------------------------------------------------------------------------------- */

static void need(struct fuse_checker *c, int tensor) {
    FUSE_VEC(int) wave = {0};
    fuse_vec_push(c->arena, &wave, tensor);
    for (int w = 0; w < wave.n; w++) {
        struct fuse_tensor *t = c->tensors.at[wave.at[w]];
        if (t->needed)
            continue;
        t->needed = true;
        for (int e = 0; e < t->contributions.n; e++) {
            const struct fuse_equation *eq = c->equations.at[t->contributions.at[e]];
            for (int m = 0; m < eq->mentions.n; m++)
                if (!c->tensors.at[eq->mentions.at[m]]->needed)
                    fuse_vec_push(c->arena, &wave, eq->mentions.at[m]);
        }
    }
}

void fuse_mark_needed(struct fuse_checker *c) {
    bool demand = c->settings.demand;
    int outlets = c->exports.n + c->counts.n + c->questions.n;
    for (int k = 0; k < c->questions.n; k++)
        if (c->questions.at[k]->tensor >= 0)
            need(c, c->questions.at[k]->tensor);
    for (int k = 0; k < c->counts.n; k++)
        need(c, c->counts.at[k]);
    for (int k = 0; k < c->exports.n; k++)
        if (c->exports.at[k].query == demand)
            need(c, c->exports.at[k].tensor);
    for (int e = 0; e < c->equations.n; e++) {
        const struct fuse_equation *eq = c->equations.at[e];
        bool is_outlet = eq->kind == FUSE_EQUATION_SINK;
        outlets += is_outlet;
        for (int k = 0; is_outlet && eq->item->query == demand && k < eq->mentions.n; k++)
            need(c, eq->mentions.at[k]);
    }
    if (c->diagnostics->errors > 0)
        return; /* what seems to be unused may be used in a place that is not understood */
    if (outlets == 0) {
        struct fuse_diagnostic *d = fuse_report(c->diagnostics, FUSE_SEVERITY_WARNING, FUSE_NO_SPAN,
                                                "the program has no sink and no export: there is nothing to do");
        fuse_advise(c, d, "write \"y.npy\" = Y[..] or export Y");
        return;
    }
    for (int t = 0; t < c->tensors.n && !demand; t++) {
        const struct fuse_tensor *tensor = c->tensors.at[t];
        /* Of an imported file one may well use a part. */
        if (tensor->span.file == 0 && !tensor->mentioned && !tensor->needed)
            fuse_report(c->diagnostics, FUSE_SEVERITY_WARNING, tensor->span, "'%s' is never used", tensor->name);
    }
}
