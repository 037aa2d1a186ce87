/* Which domains have symbols, and from where: a column with a field that is no integer, a list of names, or strings where
 * nothing says that positions are numbers. What has them is numbered by the caller, who has the files; then strings are ids. */
#include "lang/check.h"

#include <string.h>

/* What the facts say of one domain; facts as numbers, -1: none. */
struct evidence {
    int column, integers; /* a column with symbols, one without */
    int extent;           /* of a file or literal */
    int names, string;
    bool told; /* that there are two lists */
};

struct survey {
    struct fuse_checker *c;
    struct evidence *of; /* [domains] */
    struct fuse_symbol_demand demand;
    FUSE_VEC(struct fuse_symbol_list) lists;
    FUSE_VEC(struct fuse_symbol_use) uses;
    FUSE_VEC(struct fuse_symbol_string) strings;
    int *string_of; /* [facts] */
};

static bool is_live(const struct fuse_checker *c, const struct fuse_fact *fact) {
    return fact->equation < 0 || !c->equations.at[fact->equation]->bad;
}

static const struct fuse_tally *tally_of(const struct fuse_checker *c, const struct fuse_fact *fact) {
    return c->equations.at[fact->equation]->source->probe.tally;
}

static void first(int *which, int fact) {
    if (*which < 0)
        *which = fact;
}

static void look(struct survey *s, int f) {
    struct fuse_checker *c = s->c;
    const struct fuse_fact *fact = &c->facts.at[f];
    struct evidence *e = &s->of[fuse_domain_root(c, fact->a)];
    switch (fact->kind) {
    case FUSE_FACT_ROWS:
        if (tally_of(c, fact)->columns > 0 && (tally_of(c, fact)->rows > 0 || tally_of(c, fact)->is_partial))
            first(tally_of(c, fact)->kind[fact->axis] >= FUSE_COLUMN_REALS ? &e->column : &e->integers, f);
        break;
    case FUSE_FACT_EXTENT:
        if (fact->tensor >= 0)
            first(&e->extent, f);
        break;
    case FUSE_FACT_NAMES: {
        first(&e->names, f);
        const struct fuse_fact *other = &c->facts.at[e->names];
        if (e->told || strcmp(other->position_text, fact->position_text) == 0)
            break;
        e->told = true;
        struct fuse_diagnostic *d = fuse_complain(c, fact->span, "two lists of names for one axis, \"%s\" and \"%s\"",
                                                  other->position_text, fact->position_text);
        fuse_point_to(d, other->span, "the other one");
        fuse_advise(c, d, "axes that an equation aligns have one list; name the index of the other one differently");
        break;
    }
    case FUSE_FACT_SYMBOL: first(&e->string, f); break;
    default: break;
    }
}

static bool is_symbolic(const struct evidence *e) {
    return e->names >= 0 || e->column >= 0 || (e->string >= 0 && e->integers < 0 && e->extent < 0);
}

/* ---- what is wrong with it ---- */

static void blame(struct fuse_checker *c, const struct fuse_fact *fact) {
    if (fact->equation >= 0)
        c->equations.at[fact->equation]->bad = true;
}

static void complain_string(struct survey *s, const struct fuse_fact *fact, const struct evidence *e) {
    struct fuse_checker *c = s->c;
    const struct fuse_fact *other = &c->facts.at[e->integers >= 0 ? e->integers : e->extent];
    struct fuse_diagnostic *d = fuse_complain(c, fact->span, "\"%s\" is a symbol, and axis %d of '%s' has none",
                                              fact->position->symbol, fact->axis, c->tensors.at[fact->tensor]->name);
    fuse_point_to(d, other->span, e->integers >= 0 ? "its ids are numbers here" : "its positions come from here");
    fuse_advise(c, d, "write the position as a number; axis x = \"names.txt\" gives the positions of index x names");
    blame(c, fact);
}

static void complain_number(struct survey *s, const struct fuse_fact *fact, const struct evidence *e) {
    struct fuse_checker *c = s->c;
    struct fuse_diagnostic *d = fuse_complain(c, fact->span, "axis %d of '%s' has symbols, and the number %lld is none",
                                              fact->axis, c->tensors.at[fact->tensor]->name, (long long)fact->number);
    int from = e->column >= 0 ? e->column : e->names >= 0 ? e->names : e->string;
    fuse_point_to(d, c->facts.at[from].span, "its symbols come from here");
    fuse_advise(c, d, "the symbol is written \"%lld\"; slices such as i=0:3 count positions", (long long)fact->number);
    blame(c, fact);
}

/* Integers that are no ids, where nothing makes them symbols. */
static void check_integers(struct survey *s, const struct fuse_fact *fact) {
    struct fuse_checker *c = s->c;
    const struct fuse_tally *tally = tally_of(c, fact);
    const struct fuse_item *item = c->equations.at[fact->equation]->item;
    if (tally->columns == 0 || tally->kind[fact->axis] != FUSE_COLUMN_INTEGERS)
        return;
    struct fuse_diagnostic *d;
    if (fact->axis + 1 == tally->columns)
        d = fuse_complain(c, item->text_span, "row %lld of \"%s\": the last field is no id",
                          (long long)tally->last_not_id + 1, item->text);
    else
        d = fuse_complain(c, item->text_span, "%s", tally->refused[fact->axis]);
    if (d)
        d->status = FUSE_EINPUT;
    fuse_advise(c, d, "ids are integers from 0 to 2^60 - 1; with one index fewer, the last column is the value");
    blame(c, fact);
}

static void check_facts(struct survey *s) {
    struct fuse_checker *c = s->c;
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (!is_live(c, fact))
            continue;
        const struct evidence *e = &s->of[fuse_domain_root(c, fact->a)];
        bool is_number = fact->kind == FUSE_FACT_INSIDE || fact->kind == FUSE_FACT_ID;
        if (is_number && is_symbolic(e))
            complain_number(s, fact, e);
        if (fact->kind == FUSE_FACT_SYMBOL && !is_symbolic(e))
            complain_string(s, fact, e);
        if (fact->kind == FUSE_FACT_ROWS && !is_symbolic(e))
            check_integers(s, fact);
    }
}

/* ---- what is to be numbered ---- */

static int table_of(const struct survey *s, const struct fuse_fact *fact) {
    return s->c->domains.at[fuse_domain_root(s->c, fact->a)].table;
}

static void add_tables(struct survey *s) {
    struct fuse_checker *c = s->c;
    for (int k = 0; k < c->domains.n; k++) {
        if (!is_symbolic(&s->of[k]))
            continue;
        const struct fuse_fact *names = s->of[k].names >= 0 ? &c->facts.at[s->of[k].names] : NULL;
        struct fuse_symbol_list list = {.names = names ? names->position_text : NULL,
                                        .span = names ? names->span : FUSE_NO_SPAN};
        c->domains.at[k].table = s->lists.n;
        fuse_vec_push(c->arena, &s->lists, list);
    }
}

/* The source of an equation, when one of its columns has symbols. */
static void add_use(struct survey *s, const struct fuse_equation *eq) {
    struct fuse_checker *c = s->c;
    const struct fuse_tally *tally = eq->source->probe.tally;
    struct fuse_symbol_use use = {
        .source = eq->source, .equation = eq->number, .columns = eq->lefts, .probe = eq->source->probe};
    bool has_symbols = false;
    use.has_value = tally->columns > eq->lefts;
    for (int a = 0; a < eq->lefts; a++) {
        int domain = fuse_domain_root(c, c->tensors.at[eq->tensor]->domain[a]);
        use.table[a] = c->domains.at[domain].table;
        has_symbols |= use.table[a] >= 0;
    }
    if (has_symbols && tally->columns > 0)
        fuse_vec_push(c->arena, &s->uses, use);
}

static int string_number(struct survey *s, int table, const char *text) {
    for (int k = 0; k < s->strings.n; k++)
        if (s->strings.at[k].table == table && strcmp(s->strings.at[k].text, text) == 0)
            return k;
    fuse_vec_push(s->c->arena, &s->strings, ((struct fuse_symbol_string){.text = text, .table = table}));
    return s->strings.n - 1;
}

/* Arguments of questions come behind everything that the program says, so that ids do not depend on what is asked. */
static void add_arguments(struct survey *s) {
    for (int k = 0; k < s->c->questions.n; k++) {
        struct fuse_question_asked *question = s->c->questions.at[k];
        int table;
        for (int a = 0; a < question->indices; a++)
            if (fuse_argument_has_symbol(s->c, question, a, &table))
                question->string[a] = string_number(s, table, question->index[a].symbol);
    }
}

static void add_demand(struct survey *s) {
    struct fuse_checker *c = s->c;
    add_tables(s);
    for (int e = 0; e < c->equations.n; e++) {
        const struct fuse_equation *eq = c->equations.at[e];
        if (eq->kind == FUSE_EQUATION_SOURCE && !eq->bad && eq->source->probe.tally)
            add_use(s, eq);
    }
    for (int f = 0; f < c->facts.n; f++)
        if (c->facts.at[f].kind == FUSE_FACT_SYMBOL && is_live(c, &c->facts.at[f]))
            s->string_of[f] = string_number(s, table_of(s, &c->facts.at[f]), c->facts.at[f].position->symbol);
    add_arguments(s);
    s->demand = (struct fuse_symbol_demand){.list = s->lists.at,
                                            .lists = s->lists.n,
                                            .use = s->uses.at,
                                            .uses = s->uses.n,
                                            .string = s->strings.at,
                                            .strings = s->strings.n};
}

/* ---- what it became ---- */

/* This statement's own view of its source. */
static void take_uses(struct survey *s) {
    struct fuse_checker *c = s->c;
    for (int u = 0; u < s->uses.n; u++) {
        struct fuse_equation *eq = c->equations.at[s->uses.at[u].equation];
        struct fuse_source_request *own = FUSE_NEW(c->arena, struct fuse_source_request);
        *own = *eq->source;
        own->probe = s->uses.at[u].probe;
        eq->source = own;
    }
}

/* An open domain has what a vocabulary gives ids, whether it stands in the text or not. */
static void stretch(struct survey *s, const struct fuse_fact *fact) {
    struct fuse_domain *domain = &s->c->domains.at[fuse_domain_root(s->c, fact->a)];
    const struct fuse_symbol_list *list = &s->lists.at[domain->table];
    if (list->given > domain->largest_id)
        domain->largest_id = list->given - 1;
}

static void take_facts(struct survey *s) {
    struct fuse_checker *c = s->c;
    for (int f = 0; f < c->facts.n; f++) {
        struct fuse_fact *fact = &c->facts.at[f];
        if (!is_live(c, fact))
            continue;
        if (fact->kind == FUSE_FACT_ROWS && tally_of(c, fact)->columns > 0)
            fact->number = tally_of(c, fact)->largest[fact->axis];
        if (fact->kind == FUSE_FACT_NAMES)
            fact->number = s->lists.at[table_of(s, fact)].count;
        if (fact->kind == FUSE_FACT_ROWS && table_of(s, fact) >= 0)
            stretch(s, fact);
        if (fact->kind != FUSE_FACT_SYMBOL)
            continue;
        const struct fuse_symbol_string *string = &s->strings.at[s->string_of[f]];
        fact->number = fact->position->offset = string->id;
        if (!string->is_outside)
            continue;
        const struct fuse_symbol_list *list = &s->lists.at[string->table];
        struct fuse_diagnostic *d =
            fuse_complain(c, fact->span, "the symbol \"%s\" is not in \"%s\"", string->text, list->names);
        fuse_point_to(d, list->span, "the names of this axis");
        fuse_advise(c, d, "an axis that is declared with a list of names has those and no others");
        blame(c, fact);
    }
}

static void take_arguments(struct survey *s) {
    for (int k = 0; k < s->c->questions.n; k++) {
        struct fuse_question_asked *question = s->c->questions.at[k];
        int table;
        for (int a = 0; a < question->indices; a++)
            if (fuse_argument_has_symbol(s->c, question, a, &table)) {
                const struct fuse_symbol_string *string = &s->strings.at[question->string[a]];
                question->id[a] = string->is_outside ? INT64_MAX : string->id;
            }
    }
}

/* Nothing is to be said of what depends on symbols that are not there. */
static void give_up(struct survey *s) {
    for (int f = 0; f < s->c->facts.n; f++)
        if (table_of(s, &s->c->facts.at[f]) >= 0)
            blame(s->c, &s->c->facts.at[f]);
}

static void look_at_facts(struct survey *s) {
    const struct evidence none = {-1, -1, -1, -1, -1, false};
    for (int k = 0; k < s->c->domains.n; k++)
        s->of[k] = none;
    for (int f = 0; f < s->c->facts.n; f++)
        if (is_live(s->c, &s->c->facts.at[f]))
            look(s, f);
}

/* Where symbols are compared their domains become one, unless one has a list. true: two have become one. */
static bool unite_compared(struct survey *s) {
    struct fuse_checker *c = s->c;
    for (int f = 0; f < c->facts.n; f++) {
        const struct fuse_fact *fact = &c->facts.at[f];
        if (fact->kind != FUSE_FACT_COMPARED || !is_live(c, fact))
            continue;
        const struct evidence *a = &s->of[fuse_domain_root(c, fact->a)], *b = &s->of[fuse_domain_root(c, fact->b)];
        if (a == b || !is_symbolic(a) || !is_symbolic(b) || a->names >= 0 || b->names >= 0)
            continue;
        fuse_unite_domains(c, fact);
        return true;
    }
    return false;
}

void fuse_name_domains(struct fuse_checker *c) {
    struct survey s = {.c = c, .of = FUSE_NEW_ARRAY(c->arena, struct evidence, c->domains.n)};
    do
        look_at_facts(&s);
    while (unite_compared(&s));
    check_facts(&s);
    s.string_of = FUSE_NEW_ARRAY(c->arena, int, c->facts.n);
    add_demand(&s);
    if (s.lists.n == 0)
        return;
    const struct fuse_symbol_loader *loader = c->settings.symbols;
    if (!loader || !loader->load(loader->context, &s.demand)) {
        c->no_symbols = true;
        give_up(&s);
        return;
    }
    take_uses(&s);
    take_facts(&s);
    take_arguments(&s);
}
