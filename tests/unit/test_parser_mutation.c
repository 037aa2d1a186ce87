/* Broken programs: whatever bytes come in, the parser ends, reports at most one error a line inside the file, and leaves
 * a tree that can be walked. usage: unit_parser_mutation FOLDER-OF-PROGRAMS [COUNT [SEED]] */
#include "lang/parser.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *folder;
static long count = 6000;
static uint64_t seed = 1;

static uint64_t next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static size_t below(size_t limit) {
    return limit ? (size_t)(next_random() % limit) : 0;
}

struct bytes {
    char *at;
    size_t n;
};

static struct bytes programs[256];
static int program_count;

static int read_programs(void **state) {
    (void)state;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL && program_count < 256;) {
        char path[1024];
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".fuse") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *stream = fopen(path, "rb");
        assert_non_null(stream);
        struct bytes *program = &programs[program_count++];
        program->at = malloc(1 << 17);
        assert_non_null(program->at);
        program->n = fread(program->at, 1, 1 << 17, stream);
        fclose(stream);
    }
    closedir(directory);
    return program_count > 0 ? 0 : -1;
}

static int free_programs(void **state) {
    (void)state;
    while (program_count > 0)
        free(programs[--program_count].at);
    return 0;
}

/* ---- mutation ------------------------------------------------------------------------------------------------- */

static void replace(struct bytes *text, size_t at, size_t removed, const char *with, size_t added) {
    char *result = malloc(text->n - removed + added + 1);
    assert_non_null(result);
    memcpy(result, text->at, at);
    memcpy(result + at, with, added);
    memcpy(result + at + added, text->at + at + removed, text->n - at - removed);
    free(text->at);
    text->at = result;
    text->n += added - removed;
}

static void mutate(struct bytes *text) {
    static const char *const pieces[] = {
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "case {",
        "->",
        "=",
        "==",
        ",",
        ";",
        "\n",
        "\"",
        "'",
        "#",
        "::",
        ":",
        "*",
        "**",
        "-",
        "!",
        "?",
        ".",
        "@",
        "max=",
        " when ",
        " let ",
        "fn ",
        "axis ",
        "reduce(sum, i) ",
        "1e999",
        "0x",
        "\\u",
        "\xff",
        "\xc3",
        "import",
        "default",
        "true",
        "p'",
        "A[i] = ",
        "f(x, ",
        "1_0",
        "5.",
        "&&",
        "A\n",
        "\t",
        "\"\\",
        "\r\n",
        "\"x\" =",
        "\xef\xbb\xbf",
    };
    size_t at = below(text->n + 1), length = below(1 + below(40));
    if (length > text->n - at)
        length = text->n - at;
    switch (below(6)) {
    case 0: {
        char byte = (char)below(256);
        replace(text, at, at < text->n, &byte, 1);
        break;
    }
    case 1: replace(text, at, length, "", 0); break;
    case 2: {
        const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];
        replace(text, at, 0, piece, strlen(piece));
        break;
    }
    case 3: {
        char copy[64];
        memcpy(copy, text->at + at, length);
        replace(text, below(text->n + 1), 0, copy, length);
        break;
    }
    case 4: {
        const struct bytes *other = &programs[below((size_t)program_count)];
        size_t from = below(other->n + 1), bytes = below(200);
        replace(text, at, length, other->at + from, bytes < other->n - from ? bytes : other->n - from);
        break;
    }
    default: text->n = below(8) ? text->n : at; break;
    }
}

/* ---- what must hold ------------------------------------------------------------------------------------------- */

static size_t file_bytes;
static char *seen; /* expression ids */
static int exprs;

static void check_span(struct fuse_span span) {
    assert_int_equal(span.file, 0);
    assert_true(span.begin <= span.end && span.end <= file_bytes);
}

static void check_indices(const struct fuse_index *index, int n) {
    for (int k = 0; k < n; k++) {
        check_span(index[k].span);
        assert_true((index[k].kind == FUSE_INDEX_FIXED) || index[k].name || index[k].symbol);
    }
}

static void check_expr(const struct fuse_expr *expr) {
    assert_non_null(expr);
    check_span(expr->span);
    assert_true(expr->id >= 0 && expr->id < exprs && !seen[expr->id]);
    seen[expr->id] = 1;
    switch (expr->kind) {
    case FUSE_EXPR_LIST:
        for (int k = 0; expr->list.item && k < expr->list.n; k++)
            check_expr(expr->list.item[k]);
        break;
    case FUSE_EXPR_REF: check_indices(expr->ref.index, expr->ref.n); break;
    case FUSE_EXPR_APPLY:
        assert_true(expr->apply.is_call || expr->apply.is_ref);
        check_indices(expr->apply.index, expr->apply.indices);
        for (int k = 0; k < expr->apply.arguments; k++)
            check_expr(expr->apply.argument[k].value);
        break;
    case FUSE_EXPR_UNARY: check_expr(expr->unary.operand); break;
    case FUSE_EXPR_BINARY:
        check_expr(expr->binary.left);
        check_expr(expr->binary.right);
        break;
    case FUSE_EXPR_TERNARY:
        check_expr(expr->ternary.condition);
        check_expr(expr->ternary.then);
        check_expr(expr->ternary.otherwise);
        break;
    case FUSE_EXPR_REDUCE:
        check_indices(expr->reduce.index, expr->reduce.n);
        check_expr(expr->reduce.body);
        break;
    case FUSE_EXPR_CASE:
        for (int k = 0; k < expr->cases.n; k++) {
            check_expr(expr->cases.entry[k].condition);
            check_expr(expr->cases.entry[k].value);
        }
        if (expr->cases.otherwise)
            check_expr(expr->cases.otherwise);
        break;
    default: break;
    }
}

static void check_item(const struct fuse_item *item) {
    check_span(item->span);
    check_indices(item->lhs.index, item->lhs.n);
    if (item->guard)
        check_expr(item->guard);
    if (item->value)
        check_expr(item->value);
    for (int k = 0; k < item->bodies; k++)
        check_item(item->body[k]);
}

static void check_program(const struct bytes *program) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_files files = {.arena = arena};
    /* Of its exact size, so that reading beyond the end is seen. */
    char *text = malloc(program->n + 1);
    assert_non_null(text);
    memcpy(text, program->at, program->n);
    text[program->n] = '\0';
    struct fuse_program_file file = {.path = "p.fuse", .text = text, .bytes = program->n};
    fuse_vec_push(arena, &files.list, file);
    struct fuse_diagnostics diagnostics = {.arena = arena};
    struct fuse_ast ast = {0};
    bool ok = fuse_parse(&ast, arena, &files, 0, &diagnostics);
    assert_int_equal(ok, diagnostics.errors == 0);

    struct fuse_text printed = {.arena = arena};
    int last_line = 0;
    file_bytes = program->n;
    for (int k = 0; k < diagnostics.list.n; k++) {
        int line, column;
        check_span(diagnostics.list.at[k].span);
        fuse_locate(&file, diagnostics.list.at[k].span.begin, &line, &column);
        assert_true(line > last_line);
        last_line = line;
        fuse_diagnostic_print(&printed, &files, &diagnostics.list.at[k]);
    }
    exprs = ast.exprs;
    seen = calloc((size_t)exprs + 1, 1);
    assert_non_null(seen);
    for (int k = 0; k < ast.items; k++)
        check_item(ast.item[k]);
    free(seen);
    fuse_ast_print(&printed, &ast);
    free(text);
    fuse_arena_close(arena);
}

static void test_programs_as_they_are(void **state) {
    (void)state;
    for (int k = 0; k < program_count; k++)
        check_program(&programs[k]);
}

static void test_mutations(void **state) {
    (void)state;
    for (long k = 0; k < count; k++) {
        const struct bytes *program = &programs[below((size_t)program_count)];
        /* A piece of some lines, so that the mutations meet each other. */
        size_t from = below(program->n), n = 1 + below(600);
        struct bytes text = {.at = malloc(n), .n = n < program->n - from ? n : program->n - from};
        assert_non_null(text.at);
        memcpy(text.at, program->at + from, text.n);
        for (size_t mutations = below(6); mutations > 0; mutations--)
            mutate(&text);
        check_program(&text);
        free(text.at);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: unit_parser_mutation FOLDER-OF-PROGRAMS [COUNT [SEED]]\n");
        return 2;
    }
    folder = argv[1];
    if (argc > 2)
        count = atol(argv[2]);
    if (argc > 3)
        seed = strtoull(argv[3], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs_as_they_are),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, read_programs, free_programs);
}
