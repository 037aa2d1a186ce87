/* Questions about facts, --why and --why-not: the relation, and the ids of the arguments. */
#include "lang/lower.h"

#include <string.h>

static struct fuse_diagnostic *refuse(struct fuse_question_asked *question, struct fuse_diagnostic *d) {
    question->tensor = -1;
    if (d)
        d->status = FUSE_EUSAGE;
    return d;
}

/* What is asked about, as a reference: its name and the positions. */
static void take_parts(struct fuse_question_asked *question, const struct fuse_expr *expr) {
    if (expr->kind == FUSE_EXPR_APPLY) {
        question->name = expr->apply.name;
        question->span = expr->apply.name_span;
        question->index = expr->apply.index;
        question->indices = expr->apply.indices;
    } else {
        question->name = expr->ref.name;
        question->span = expr->ref.name_span;
        question->index = expr->ref.index;
        question->indices = expr->ref.n;
    }
}

static bool is_fixed(const struct fuse_index *index) {
    return index->kind == FUSE_INDEX_FIXED || index->kind == FUSE_INDEX_SYMBOL;
}

static void check_arguments(struct fuse_checker *c, struct fuse_question_asked *question) {
    const struct fuse_tensor *tensor = c->tensors.at[question->tensor];
    struct fuse_diagnostic *d = NULL;
    if (question->indices != tensor->rank) {
        d = refuse(question,
                   fuse_complain(c, question->span, "'%s' has %d argument%s here and %d in the program", tensor->name,
                                 question->indices, question->indices == 1 ? "" : "s", tensor->rank));
        fuse_point_to(d, tensor->span, "here");
        fuse_advise(c, d, "write an id or a symbol for each index");
        return;
    }
    for (int a = 0; a < question->indices; a++)
        if (!is_fixed(&question->index[a]) || question->index[a].position < 0) {
            d = refuse(question,
                       fuse_complain(c, question->index[a].span, "an argument of a fact is an id or a symbol"));
            fuse_advise(c, d, "write an id as a number and a symbol in quotes: %s(3, \"ann\")", tensor->name);
            return;
        }
}

void fuse_collect_questions(struct fuse_checker *c) {
    for (int k = 0; k < c->settings.questions; k++) {
        struct fuse_question_asked *question = FUSE_NEW(c->arena, struct fuse_question_asked);
        struct fuse_diagnostic *d;
        *question = (struct fuse_question_asked){.tensor = -1};
        take_parts(question, c->settings.question[k].expr);
        fuse_vec_push(c->arena, &c->questions, question);
        const struct fuse_symbol *symbol = fuse_find_symbol(c, 0, question->name);
        if (!symbol || symbol->kind != FUSE_SYMBOL_TENSOR) {
            d = refuse(question, fuse_complain(c, question->span, "there is no relation '%s'", question->name));
            fuse_advise(c, d, "ask about what a left side of the program writes");
            fuse_suggest_tensor(c, d, question->name);
            continue;
        }
        question->tensor = symbol->tensor;
        c->tensors.at[symbol->tensor]->mentioned = true;
        check_arguments(c, question);
    }
}

void fuse_check_questions(struct fuse_checker *c) {
    for (int k = 0; k < c->questions.n; k++) {
        struct fuse_question_asked *question = c->questions.at[k];
        if (question->tensor < 0 || c->tensors.at[question->tensor]->bad)
            continue;
        const struct fuse_tensor *tensor = c->tensors.at[question->tensor];
        if (tensor->derived || fuse_tensor_relation(c, tensor) != FUSE_NO_RELATION)
            continue;
        struct fuse_diagnostic *d =
            refuse(question, fuse_complain(c, question->span, "'%s' is no relation, so that it has no facts to prove",
                                           tensor->name));
        fuse_point_to(d, tensor->span, "it is dense");
        fuse_advise(c, d, "relations are facts from files, and what rules derive from them");
    }
}

bool fuse_argument_has_symbol(struct fuse_checker *c, const struct fuse_question_asked *question, int a, int *table) {
    if (question->tensor < 0 || !question->index[a].symbol)
        return false;
    *table = c->domains.at[fuse_domain_root(c, c->tensors.at[question->tensor]->domain[a])].table;
    return *table >= 0;
}

/* A symbol of which no row has heard got an id behind all others. */
static void complain_unknown(struct fuse_checker *c, struct fuse_question_asked *question, int a, int table) {
    const struct fuse_index *index = &question->index[a];
    const struct fuse_symbol_loader *loader = c->settings.symbols;
    const char *near = loader && loader->nearest ? loader->nearest(loader->context, table, index->symbol) : NULL;
    struct fuse_diagnostic *d =
        refuse(question, fuse_complain(c, index->span, "there is no symbol \"%s\"", index->symbol));
    if (near)
        fuse_advise(c, d, "did you mean \"%s\"?", near);
    else
        fuse_advise(c, d, "symbols are what the files of the program have in these columns, as it stands there");
}

static void check_id(struct fuse_checker *c, struct fuse_question_asked *question, int a) {
    const struct fuse_index *index = &question->index[a];
    const struct fuse_domain *domain = fuse_domain_of(c, c->tensors.at[question->tensor]->domain[a]);
    struct fuse_diagnostic *d = NULL;
    if (index->symbol && domain->table < 0) {
        d = refuse(question, fuse_complain(c, index->span, "argument %d of '%s' is a number, and \"%s\" is a symbol",
                                           a + 1, question->name, index->symbol));
        fuse_advise(c, d, "write the id as a number");
    } else if (!index->symbol && domain->table >= 0) {
        d = refuse(question, fuse_complain(c, index->span, "argument %d of '%s' is a symbol, and %lld is a number",
                                           a + 1, question->name, (long long)index->position));
        fuse_advise(c, d, "the symbol is written \"%lld\"", (long long)index->position);
    } else if (index->symbol && question->id[a] >= domain->extent) {
        complain_unknown(c, question, a, domain->table);
    } else if (!index->symbol && index->position >= domain->extent) {
        d = refuse(question, fuse_complain(c, index->span, "argument %d of '%s' is below %lld in this program", a + 1,
                                           question->name, (long long)domain->extent));
        fuse_advise(c, d, "ids are counted from 0");
    } else if (!index->symbol)
        question->id[a] = index->position;
}

void fuse_check_arguments(struct fuse_checker *c) {
    for (int k = 0; k < c->questions.n; k++) {
        struct fuse_question_asked *question = c->questions.at[k];
        for (int a = 0; a < question->indices; a++)
            if (question->tensor >= 0 && !c->tensors.at[question->tensor]->bad)
                check_id(c, question, a);
    }
}

void fuse_name_column(struct fuse_checker *c, struct fuse_rule_relation *relation, int column, int domain) {
    if (relation->table[column] == 0)
        relation->table[column] = 1 + fuse_domain_of(c, domain)->table;
}

void fuse_name_columns(struct fuse_checker *c, struct fuse_rule_relation *relation, const struct fuse_tensor *tensor) {
    for (int a = 0; a < tensor->rank; a++)
        fuse_name_column(c, relation, a, tensor->domain[a]);
}
