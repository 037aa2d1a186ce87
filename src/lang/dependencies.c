/* What depends on what: bad things spread, recursion is found, and what no sink or export needs is set aside. */
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

/* Depth-first search with its own stack: chains of equations may be long. */
struct visit {
    int tensor, contribution, mention;
};

struct search {
    struct fuse_checker *c;
    enum { FRESH, OPEN, DONE } * state;
    FUSE_VEC(struct visit) stack;
};

/* The equation that leads from a tensor on the stack to the next one. */
static const struct fuse_equation *edge_of(const struct search *s, int depth) {
    const struct visit *v = &s->stack.at[depth];
    return s->c->equations.at[s->c->tensors.at[v->tensor]->contributions.at[v->contribution]];
}

static void complain_cycle(struct search *s, int target) {
    struct fuse_checker *c = s->c;
    struct fuse_text text = {.arena = c->arena};
    int from = s->stack.n - 1;
    while (s->stack.at[from].tensor != target)
        from--;
    for (int k = from; k < s->stack.n; k++) {
        if (k - from < 8)
            fuse_text_add(&text, "%s -> ", c->tensors.at[s->stack.at[k].tensor]->name);
        else if (k - from == 8)
            fuse_text_add(&text, ".. -> ");
        c->tensors.at[s->stack.at[k].tensor]->bad = true;
    }
    fuse_text_add(&text, "%s", c->tensors.at[target]->name);
    struct fuse_diagnostic *d =
        fuse_complain(c, edge_of(s, from)->item->lhs.name_span,
                      "'%s' depends on itself (%s): recursion is part of the language but cannot "
                      "be run yet",
                      c->tensors.at[target]->name, text.at);
    if (s->stack.n - from > 1)
        fuse_point_to(d, edge_of(s, s->stack.n - 1)->item->lhs.name_span, "the last step of the cycle");
}

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

static void search_from(struct search *s, int tensor) {
    struct fuse_arena *arena = s->c->arena;
    s->state[tensor] = OPEN;
    fuse_vec_push(arena, &s->stack, (struct visit){.tensor = tensor});
    while (s->stack.n > 0) {
        int next = next_dependency(s);
        if (next < 0) {
            int done = s->stack.at[--s->stack.n].tensor;
            s->state[done] = DONE;
            fuse_vec_push(arena, &s->c->order, done);
        } else if (s->state[next] == OPEN) {
            if (!s->c->tensors.at[next]->bad)
                complain_cycle(s, next);
        } else if (s->state[next] == FRESH) {
            s->state[next] = OPEN;
            fuse_vec_push(arena, &s->stack, (struct visit){.tensor = next});
        }
    }
}

void fuse_order_tensors(struct fuse_checker *c) {
    struct search search = {.c = c};
    search.state = fuse_arena_array(c->arena, (size_t)c->tensors.n, sizeof *search.state);
    for (int t = 0; t < c->tensors.n; t++)
        if (search.state[t] == FRESH)
            search_from(&search, t);
}

/* ---- what is needed ------------------------------------------------------------------------------------------- */

static void need(struct fuse_checker *c, int tensor) {
    c->tensors.at[tensor]->needed = true;
}

void fuse_mark_needed(struct fuse_checker *c) {
    bool demand = c->settings.demand;
    int outlets = c->exports.n;
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
    for (int k = c->order.n - 1; k >= 0; k--) {
        const struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
        for (int e = 0; tensor->needed && e < tensor->contributions.n; e++) {
            const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[e]];
            for (int m = 0; m < eq->mentions.n; m++)
                need(c, eq->mentions.at[m]);
        }
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
