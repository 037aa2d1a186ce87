/* Calls of a fn: each one gets tensors of its own for the formals and the locals, and equations that define them; from
 * then on they are like any others. A formal's tensor has the axes that the formal names, and before them those of the
 * actual's indices that are left: every local that depends on it carries them along. */
#include "lang/resolve.h"

#include <string.h>

/* Calls expand where they stand; nested ones multiply. */
#define MOST_CALLS 20000

/* One call. Carried axes have a name in the body, which nothing written can clash with, and one at the call. */
struct fuse_instance {
    const struct fuse_item *fn;
    const struct fuse_instance *outer;
    int block, carried;
    const char *inside[FUSE_MAX_AXES], *outside[FUSE_MAX_AXES];
};

static void fail(struct fuse_resolver *r) {
    r->eq->bad = true;
}

const struct fuse_item *fuse_called_fn(const struct fuse_checker *c, const struct fuse_equation *eq,
                                       const struct fuse_expr *expr) {
    if (expr->kind != FUSE_EXPR_APPLY || !expr->apply.is_call)
        return NULL;
    const struct fuse_symbol *symbol = fuse_find_symbol(c, eq->block, expr->apply.name);
    return symbol && symbol->kind == FUSE_SYMBOL_FN && !symbol->disputed ? symbol->item : NULL;
}

int fuse_formal_of(const struct fuse_item *fn, const struct fuse_expr *call, int argument) {
    const char *name = call->apply.argument[argument].name;
    int place = 0;
    for (int k = 0; k < argument; k++)
        place += !call->apply.argument[k].name;
    if (!name)
        return place < fn->formals ? place : -1;
    for (int f = 0; f < fn->formals; f++)
        if (strcmp(fn->formal[f].name, name) == 0)
            return f;
    return -1;
}

/* ---- what is wrong with a call ------------------------------------------------------------------------------------ */

static void complain(struct fuse_resolver *r, struct fuse_span span, const struct fuse_item *fn, const char *message) {
    struct fuse_diagnostic *d = fuse_complain(r->c, span, "%s", message);
    fuse_point_to(d, fn->name_span, "defined here");
    fuse_advise(r->c, d, "its arguments are those of its first line, in that order or by name; it may not call itself");
    fail(r);
}

/* Fills actual[f], the argument for each formal. */
static bool match(struct fuse_resolver *r, const struct fuse_expr **actual, const struct fuse_expr *call,
                  const struct fuse_item *fn) {
    struct fuse_arena *arena = r->c->arena;
    for (int k = 0; k < call->apply.arguments; k++) {
        const struct fuse_argument *argument = &call->apply.argument[k];
        int f = fuse_formal_of(fn, call, k);
        if (f < 0 && argument->name) {
            complain(r, argument->name_span, fn,
                     fuse_arena_printf(arena, "%s has no argument '%s'", fn->name, argument->name));
        } else if (f < 0) {
            complain(
                r, argument->value->span, fn,
                fuse_arena_printf(arena, "%s takes %d argument%s", fn->name, fn->formals, fn->formals == 1 ? "" : "s"));
        } else if (actual[f]) {
            complain(r, argument->value->span, fn,
                     fuse_arena_printf(arena, "argument '%s' of %s is given twice", fn->formal[f].name, fn->name));
        } else {
            actual[f] = argument->value;
        }
    }
    for (int f = 0; f < fn->formals && !r->eq->bad; f++)
        if (!actual[f])
            complain(r, call->span, fn,
                     fuse_arena_printf(arena, "%s lacks its argument '%s'", fn->name, fn->formal[f].name));
    return !r->eq->bad;
}

static bool is_recursive(struct fuse_resolver *r, const struct fuse_expr *call, const struct fuse_item *fn) {
    const struct fuse_instance *at = r->eq->instance;
    while (at && at->fn != fn)
        at = at->outer;
    if (!at)
        return false;
    struct fuse_text cycle = {.arena = r->c->arena};
    fuse_text_add(&cycle, "%s", fn->name);
    for (at = r->eq->instance; at->fn != fn; at = at->outer)
        fuse_text_add(&cycle, " <- %s", at->fn->name);
    fuse_text_add(&cycle, " <- %s", fn->name);
    complain(r, call->span, fn, fuse_arena_printf(r->c->arena, "%s calls itself (%s)", fn->name, cycle.at));
    return true;
}

bool fuse_is_well_formed(struct fuse_checker *c, const struct fuse_item *fn) {
    int errors = c->diagnostics->errors;
    for (int f = 0; f <= fn->formals; f++) {
        const struct fuse_lhs *lhs = f < fn->formals ? &fn->formal[f] : &fn->lhs;
        for (int a = 0; a < lhs->n; a++)
            if (lhs->index[a].kind != FUSE_INDEX_NAME || lhs->index[a].offset != 0 || lhs->index[a].dotted)
                fuse_complain(c, lhs->index[a].span, "the axes of '%s' are names of indices", lhs->name);
        for (int g = 0; g < f && f < fn->formals; g++)
            if (strcmp(fn->formal[g].name, lhs->name) == 0)
                fuse_complain(c, lhs->name_span, "%s has two arguments called '%s'", fn->name, lhs->name);
    }
    return c->diagnostics->errors == errors;
}

/* ---- carried axes ------------------------------------------------------------------------------------------------- */

/* The number of a carried axis by its name at the call. */
static int carry(struct fuse_resolver *r, struct fuse_instance *instance, const char *name) {
    for (int k = 0; k < instance->carried; k++)
        if (strcmp(instance->outside[k], name) == 0)
            return k;
    if (instance->carried == FUSE_MAX_AXES) {
        fuse_complain(r->c, r->eq->item->span, "more than %d indices are carried through %s", FUSE_MAX_AXES,
                      instance->fn->name);
        fail(r);
        return 0;
    }
    int k = instance->carried++;
    instance->outside[k] = name;
    instance->inside[k] = fuse_arena_printf(r->c->arena, "%s@%s", name, instance->fn->name);
    return k;
}

/* Names of tensors in an expression, for what the function says about each. */
static void each_name(struct fuse_checker *c, const struct fuse_expr *expr, void (*tell)(void *, const char *),
                      void *context) {
    if (expr->kind == FUSE_EXPR_REF)
        tell(context, expr->ref.name);
    if (expr->kind == FUSE_EXPR_APPLY)
        tell(context, expr->apply.name);
    struct fuse_expr **child;
    int n = fuse_expr_children(c, &child, expr);
    for (int k = 0; k < n; k++)
        each_name(c, child[k], tell, context);
}

/* What an actual carries along already, because it mentions tensors of the body that it stands in. */
struct carried {
    struct fuse_resolver *r;
    int n;
    const char *name[FUSE_MAX_AXES];
};

static void add_carried(void *context, const char *name) {
    struct carried *carried = context;
    const struct fuse_symbol *symbol = fuse_find_symbol(carried->r->c, carried->r->eq->block, name);
    if (!symbol || symbol->kind != FUSE_SYMBOL_TENSOR)
        return;
    const struct fuse_tensor *tensor = carried->r->c->tensors.at[symbol->tensor];
    for (int k = 0; k < tensor->carried; k++) {
        int seen = 0;
        while (seen < carried->n && strcmp(carried->name[seen], tensor->carried_name[k]) != 0)
            seen++;
        if (seen == carried->n)
            carried->name[carried->n++] = tensor->carried_name[k];
    }
}

static void set_carried(struct fuse_checker *c, struct fuse_tensor *tensor, const struct fuse_instance *instance,
                        uint64_t set) {
    tensor->local = true;
    tensor->carried_name = FUSE_NEW_ARRAY(c->arena, const char *, FUSE_MAX_AXES);
    for (int k = 0; k < instance->carried; k++)
        if (set & FUSE_BIT(k))
            tensor->carried_name[tensor->carried++] = instance->inside[k];
}

/* ---- formals ------------------------------------------------------------------------------------------------------ */

/* The tensor of a formal and the equation that gives it the actual: x[b,i,j] = the argument. */
static void bind_formal(struct fuse_resolver *r, struct fuse_instance *instance, const struct fuse_lhs *formal,
                        const struct fuse_expr *actual) {
    struct fuse_checker *c = r->c;
    int order[FUSE_MAX_INDICES], n = fuse_names_in_order(c, r->eq, actual, order);
    struct carried outer = {.r = r};
    each_name(c, actual, add_carried, &outer);
    struct fuse_item *item = FUSE_NEW(c->arena, struct fuse_item);
    *item = (struct fuse_item){.kind = FUSE_ITEM_EQUATION,
                               .span = actual->span,
                               .assign = FUSE_ASSIGN_SUM,
                               .assign_span = actual->span,
                               .value = (struct fuse_expr *)actual};
    item->lhs = (struct fuse_lhs){.name = formal->name,
                                  .span = actual->span,
                                  .name_span = actual->span,
                                  .boolean = formal->boolean,
                                  .has_brackets = true};
    item->lhs.index = FUSE_NEW_ARRAY(c->arena, struct fuse_index, n);
    for (int k = 0; k < outer.n; k++)
        carry(r, instance, outer.name[k]);
    for (int k = 0; k < n; k++) {
        bool leading = k < n - formal->n;
        const char *name = r->eq->name[order[k]];
        if (leading && c->inner[actual->id] & FUSE_BIT(order[k]))
            continue; /* contracted there */
        if (leading)
            carry(r, instance, name);
        item->lhs.index[item->lhs.n++] = (struct fuse_index){
            .kind = strchr(name, ':') ? FUSE_INDEX_SLICE : FUSE_INDEX_NAME, .span = actual->span, .name = name};
    }

    struct fuse_tensor *tensor = fuse_add_tensor(c, instance->block, formal, outer.n + item->lhs.n);
    struct fuse_equation *eq = fuse_add_equation(c, item, r->eq->block, FUSE_EQUATION_EXPR);
    tensor->boolean = formal->boolean;
    tensor->local = true;
    /* Its axes in the order of the equation's left side: what is carried already, what is carried from here on, its own. */
    tensor->carried_name = FUSE_NEW_ARRAY(c->arena, const char *, FUSE_MAX_AXES);
    for (int k = 0; k < outer.n; k++)
        tensor->carried_name[tensor->carried++] = instance->inside[carry(r, instance, outer.name[k])];
    for (int k = 0; k < item->lhs.n - formal->n; k++)
        tensor->carried_name[tensor->carried++] = instance->inside[carry(r, instance, item->lhs.index[k].name)];
    eq->tensor = c->tensors.n - 1;
    eq->instance = r->eq->instance;
    eq->carried = outer.n;
    eq->carried_name = FUSE_NEW_ARRAY(c->arena, const char *, FUSE_MAX_AXES);
    memcpy(eq->carried_name, outer.name, sizeof outer.name);
    fuse_vec_push(c->arena, &tensor->contributions, eq->number);
}

/* Two actuals on one formal axis share its extent. */
static void unite_formals(struct fuse_resolver *r, const struct fuse_instance *instance,
                          const struct fuse_expr **actual) {
    const struct fuse_item *fn = instance->fn;
    struct {
        const char *name;
        int domain;
    } seen[FUSE_MAX_INDICES];
    int n = 0;
    for (int f = 0; f < fn->formals; f++) {
        const struct fuse_symbol *symbol = fuse_find_symbol(r->c, instance->block, fn->formal[f].name);
        const struct fuse_tensor *tensor = r->c->tensors.at[symbol->tensor];
        for (int a = 0; a < fn->formal[f].n; a++) {
            const char *name = fn->formal[f].index[a].name;
            int domain = tensor->domain[tensor->carried + a], k = 0;
            while (k < n && strcmp(seen[k].name, name) != 0)
                k++;
            if (k < n)
                fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_SAME,
                                                    .a = domain,
                                                    .b = seen[k].domain,
                                                    .span = actual[f]->span,
                                                    .index_name = name,
                                                    .tensor = symbol->tensor,
                                                    .axis = tensor->carried + a});
            else if (n < FUSE_MAX_INDICES) {
                seen[n].name = name;
                seen[n++].domain = domain;
            }
        }
    }
}

/* ---- locals ------------------------------------------------------------------------------------------------------- */

/* The names that the left sides of a body define, and which carried axes each depends on. */
struct local {
    const struct fuse_lhs *lhs;
    uint64_t carried;
};

struct body {
    struct fuse_resolver *r;
    struct fuse_instance *instance;
    FUSE_VEC(struct local) locals;
    uint64_t *into; /* where a mentioned name's carried axes go */
    bool changed;
};

static struct local *find_local(struct body *body, const char *name) {
    for (int k = 0; k < body->locals.n; k++)
        if (strcmp(body->locals.at[k].lhs->name, name) == 0)
            return &body->locals.at[k];
    return NULL;
}

static void collect_locals(struct body *body, struct fuse_item *const *item, int items) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_BLOCK)
            collect_locals(body, item[i]->body, item[i]->bodies);
        if (item[i]->kind == FUSE_ITEM_SINK) {
            fuse_complain(body->r->c, item[i]->text_span, "a function writes no file");
            fail(body->r);
        }
        if (item[i]->kind != FUSE_ITEM_EQUATION && item[i]->kind != FUSE_ITEM_SOURCE && item[i]->kind != FUSE_ITEM_LET)
            continue;
        struct local local = {.lhs = &item[i]->lhs};
        if (!find_local(body, local.lhs->name))
            fuse_vec_push(body->r->c->arena, &body->locals, local);
    }
}

static void add_dependency(void *context, const char *name) {
    struct body *body = context;
    const struct local *local = find_local(body, name);
    for (int f = 0; local && f < body->instance->fn->formals; f++)
        if (strcmp(body->instance->fn->formal[f].name, name) == 0)
            local = NULL; /* an equation for a formal carries what the formal does */
    uint64_t set = local ? local->carried : 0;
    const struct fuse_symbol *symbol = fuse_find_symbol(body->r->c, body->instance->block, name);
    if (!local && symbol && symbol->kind == FUSE_SYMBOL_TENSOR) {
        const struct fuse_tensor *tensor = body->r->c->tensors.at[symbol->tensor];
        for (int a = 0; a < tensor->carried; a++)
            for (int k = 0; k < body->instance->carried; k++)
                if (strcmp(body->instance->inside[k], tensor->carried_name[a]) == 0)
                    set |= FUSE_BIT(k);
    }
    body->changed |= (set & ~*body->into) != 0;
    *body->into |= set;
}

static void follow_equations(struct body *body, struct fuse_item *const *item, int items) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_BLOCK)
            follow_equations(body, item[i]->body, item[i]->bodies);
        if (item[i]->kind != FUSE_ITEM_EQUATION && item[i]->kind != FUSE_ITEM_LET)
            continue;
        body->into = &find_local(body, item[i]->lhs.name)->carried;
        if (item[i]->value)
            each_name(body->r->c, item[i]->value, add_dependency, body);
        if (item[i]->guard)
            each_name(body->r->c, item[i]->guard, add_dependency, body);
    }
}

static void define_body(struct fuse_resolver *r, struct fuse_instance *instance) {
    struct fuse_checker *c = r->c;
    const struct fuse_item *fn = instance->fn;
    struct body body = {.r = r, .instance = instance};
    collect_locals(&body, fn->body, fn->bodies);
    do {
        body.changed = false;
        follow_equations(&body, fn->body, fn->bodies);
    } while (body.changed);
    for (int k = 0; k < body.locals.n; k++) {
        const struct local *local = &body.locals.at[k];
        if (fuse_is_declared(c, instance->block, local->lhs->name))
            continue;
        int carried = __builtin_popcountll(local->carried);
        set_carried(c, fuse_add_tensor(c, instance->block, local->lhs, local->lhs->n + carried), instance,
                    local->carried);
    }
    int first = c->equations.n, first_tensor = c->tensors.n;
    fuse_collect_statements(c, fn->body, fn->bodies, instance->block);
    /* A `let` in a block of the body carries all, which is more than it may need. */
    for (int t = first_tensor; t < c->tensors.n; t++)
        if (!c->tensors.at[t]->carried_name) {
            c->tensors.at[t]->rank += instance->carried;
            for (int a = c->tensors.at[t]->rank - instance->carried; a < c->tensors.at[t]->rank; a++)
                c->tensors.at[t]->domain[a] = fuse_new_domain(c);
            set_carried(c, c->tensors.at[t], instance, ~(uint64_t)0);
        }
    for (int e = first; e < c->equations.n; e++) {
        struct fuse_equation *eq = c->equations.at[e];
        eq->instance = instance;
        if (eq->tensor >= 0) {
            eq->carried = c->tensors.at[eq->tensor]->carried;
            eq->carried_name = c->tensors.at[eq->tensor]->carried_name;
        }
    }
}

/* ---- the result --------------------------------------------------------------------------------------------------- */

static struct fuse_node *refer_to_result(struct fuse_resolver *r, const struct fuse_expr *call,
                                         const struct fuse_instance *instance, const struct fuse_scope *scope) {
    struct fuse_checker *c = r->c;
    const struct fuse_item *fn = instance->fn;
    if (!fuse_is_declared(c, instance->block, fn->lhs.name)) {
        fuse_complain(c, fn->lhs.span, "the body of %s defines no '%s'", fn->name, fn->lhs.name);
        fail(r);
        return NULL;
    }
    int number = fuse_find_symbol(c, instance->block, fn->lhs.name)->tensor;
    struct fuse_tensor *tensor = c->tensors.at[number];
    if (tensor->rank - tensor->carried != fn->lhs.n) {
        fuse_point_to(fuse_complain(c, fn->lhs.span, "'%s' has %d %s here, but the body defines it with %d",
                                    fn->lhs.name, fn->lhs.n, fn->lhs.n == 1 ? "index" : "indices",
                                    tensor->rank - tensor->carried),
                      tensor->span, "defined here");
        fail(r);
        return NULL;
    }
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_REF, call->span, 0);
    node->tensor = number;
    node->positions = tensor->rank;
    node->at = FUSE_NEW_ARRAY(c->arena, struct fuse_position, tensor->rank);
    tensor->mentioned = true;
    fuse_vec_push(c->arena, &r->eq->mentions, number);
    const int *made = c->result[call->id];
    for (int a = 0; a < tensor->rank && !r->eq->bad; a++) {
        const char *name = NULL;
        if (a < tensor->carried) {
            int k = 0;
            while (strcmp(instance->inside[k], tensor->carried_name[a]) != 0)
                k++;
            name = instance->outside[k];
        } else if (made[a - tensor->carried] >= 0) {
            name = r->eq->name[made[a - tensor->carried]];
        }
        node->at[a] = (struct fuse_position){.step = 1, .domain = tensor->domain[a], .span = call->span};
        node->at[a].index = name ? fuse_find_index(r, scope, name, call->span, strchr(name, ':') != NULL)
                                 : fuse_new_index(r, fn->name, call->span, true);
        if (node->at[a].index < 0) {
            fail(r);
            return NULL;
        }
        node->uses |= FUSE_BIT(node->at[a].index);
        fuse_note_position(r, &node->at[a], number, a);
    }
    return r->eq->bad ? NULL : node;
}

struct fuse_node *fuse_resolve_fn(struct fuse_resolver *r, const struct fuse_expr *call, const struct fuse_item *fn,
                                  const struct fuse_scope *scope) {
    struct fuse_checker *c = r->c;
    const struct fuse_expr **actual = FUSE_NEW_ARRAY(c->arena, const struct fuse_expr *, fn->formals);
    fuse_find_symbol(c, 0, fn->name)->called = true;
    if (r->eq->bad || !match(r, actual, call, fn) || is_recursive(r, call, fn))
        return NULL;
    if (++c->calls > MOST_CALLS) {
        if (c->calls == MOST_CALLS + 1)
            complain(r, call->span, fn, "calls in calls expand to more than 20000 calls");
        fail(r);
        return NULL;
    }
    struct fuse_instance *instance = FUSE_NEW(c->arena, struct fuse_instance);
    instance->fn = fn;
    instance->outer = r->eq->instance;
    instance->block = fuse_open_block(c, 0);
    int first = c->tensors.n;
    for (int f = 0; f < fn->formals; f++)
        bind_formal(r, instance, &fn->formal[f], actual[f]);
    if (r->eq->bad)
        return NULL;
    unite_formals(r, instance, actual);
    define_body(r, instance);
    for (int t = first; t < c->tensors.n; t++)
        fuse_settle_operator(c, c->tensors.at[t]);
    return r->eq->bad ? NULL : refer_to_result(r, call, instance, scope);
}

void fuse_resolve_uncalled(struct fuse_checker *c) {
    for (int s = 0, symbols = c->symbols.n; s < symbols; s++) {
        if (c->symbols.at[s].kind != FUSE_SYMBOL_FN || c->symbols.at[s].called || c->symbols.at[s].disputed)
            continue;
        struct fuse_equation nowhere = {.tensor = -1};
        struct fuse_resolver r = {.c = c, .eq = &nowhere};
        struct fuse_instance *instance = FUSE_NEW(c->arena, struct fuse_instance);
        const struct fuse_item *fn = c->symbols.at[s].item;
        c->symbols.at[s].called = true;
        instance->fn = fn;
        instance->block = fuse_open_block(c, 0);
        /* Nothing is known of the actuals: what depends on them is looked at for its names only. */
        for (int f = 0; f < fn->formals; f++) {
            struct fuse_tensor *formal = fuse_add_tensor(c, instance->block, &fn->formal[f], fn->formal[f].n);
            set_carried(c, formal, instance, 0);
            formal->boolean = fn->formal[f].boolean;
            formal->bad = formal->mentioned = true;
        }
        int first = c->tensors.n;
        define_body(&r, instance);
        for (int t = first; t < c->tensors.n; t++) {
            fuse_settle_operator(c, c->tensors.at[t]);
            c->tensors.at[t]->mentioned |= strcmp(c->tensors.at[t]->name, fn->lhs.name) == 0;
        }
        if (!fuse_is_declared(c, instance->block, fn->lhs.name))
            fuse_complain(c, fn->lhs.span, "the body of %s defines no '%s'", fn->name, fn->lhs.name);
    }
}
