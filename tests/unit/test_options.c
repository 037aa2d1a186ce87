/* The command line's parser: every kind of value, what goes with what, and what is suggested for a slip. */
#include "launcher/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_WORDS 48

/* Definitions are cut in place, so the words are copied. */
struct line {
    char text[1024];
    char *argv[MAX_WORDS + 1];
    int argc;
    struct launch launch;
};

/* Words are separated by blanks; '_' in a word of its own is an empty word. */
static struct launch *parse(struct line *line, const char *text) {
    memset(line, 0, sizeof *line);
    snprintf(line->text, sizeof line->text, "fuse-dist %s", text);
    for (char *save = NULL, *word = strtok_r(line->text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        line->argv[line->argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
    launch_parse(&line->launch, line->argc, line->argv);
    return &line->launch;
}

static void expect_ok(struct line *line, const char *text) {
    parse(line, text);
    if (line->launch.error[0])
        fail_msg("'%s': %s", text, line->launch.error);
}

static void expect_error(const char *text, const char *error, const char *hint) {
    struct line line;
    parse(&line, text);
    if (!strstr(line.launch.error, error) || !line.launch.error[0])
        fail_msg("'%s': error '%s' lacks '%s'", text, line.launch.error, error);
    if (!strstr(line.launch.hint, hint))
        fail_msg("'%s': hint '%s' lacks '%s'", text, line.launch.hint, hint);
    launch_close(&line.launch);
}

static void test_commands(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum launch_command command;
        const char *program;
    } cases[] = {
        {"a.fuse", LAUNCH_RUN, "a.fuse"},
        {"run a.fuse", LAUNCH_RUN, "a.fuse"},
        {"run run", LAUNCH_RUN, "run"},
        {"convert a.npy b.npy --mem-per-rank 1G", LAUNCH_CONVERT, NULL},
        {"info a.npy b.npy --json", LAUNCH_INFO, NULL},
        {"bench gemm 64 --json --repeat 3 --warmup 0", LAUNCH_BENCH, NULL},
        {"bench scale gemm 64 --json --weak --ranks 1,2", LAUNCH_BENCH, NULL},
        {"bench scale attention 1 64 8 --causal", LAUNCH_BENCH, NULL},
        {"policies p.json a.fuse --ranks 4", LAUNCH_POLICIES, "a.fuse"},
        {"-- --help", LAUNCH_RUN, "--help"},
        {"run -- -x", LAUNCH_RUN, "-x"},
        {"-", LAUNCH_RUN, "-"},
        {"--ranks 4 plan a.fuse", LAUNCH_PLAN, "a.fuse"},
        {"plan a.fuse --ranks=4", LAUNCH_PLAN, "a.fuse"},
        {"help", LAUNCH_HELP, NULL},
        {"help plan", LAUNCH_HELP, NULL},
        {"--help", LAUNCH_HELP, NULL},
        {"plan -h", LAUNCH_HELP, NULL},
        {"--version", LAUNCH_VERSION, NULL},
        {"--version --json", LAUNCH_VERSION, NULL},
        {"--help --version", LAUNCH_HELP, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct line line;
        expect_ok(&line, cases[i].text);
        if (line.launch.command != cases[i].command)
            fail_msg("'%s' is command %d", cases[i].text, (int)line.launch.command);
        if (cases[i].program)
            assert_string_equal(line.launch.program, cases[i].program);
        launch_close(&line.launch);
    }
}

static void test_values(void **state) {
    (void)state;
    struct line line;
    expect_ok(&line, "--threads 3 --mem-per-rank=220M --root in --output-root out -D a=1 -Db=2=3 --define=c= a.fuse "
                     "--backend ref --panel 7 --explain --times json --dump plan --replicate-below 2K --workspace 512 "
                     "--file-unit 64");
    const struct launch *l = &line.launch;
    assert_int_equal(l->options.threads, 3);
    assert_int_equal(l->options.memory_bytes, 220 << 20);
    assert_string_equal(l->options.root, "in");
    assert_string_equal(l->options.output_root, "out");
    assert_string_equal(l->options.backend, "ref");
    assert_int_equal(l->options.panels, 7);
    assert_int_equal(l->options.replicate_below, 2048);
    assert_int_equal(l->options.workspace_bytes, 512);
    assert_int_equal(l->options.file_unit_bytes, 64);
    assert_true(l->explain && l->times && !l->json);
    assert_string_equal(l->dump, "plan");
    assert_int_equal(l->options.defines, 3);
    assert_string_equal(l->options.define[0].name, "a");
    assert_string_equal(l->options.define[0].value, "1");
    assert_string_equal(l->options.define[1].name, "b");
    assert_string_equal(l->options.define[1].value, "2=3");
    assert_string_equal(l->options.define[2].value, "");
    launch_close(&line.launch);

    expect_ok(&line, "plan a.fuse --ranks 1,7,4096");
    assert_int_equal(line.launch.rank_counts, 3);
    assert_int_equal(line.launch.ranks[1], 7);
    assert_int_equal(line.launch.ranks[2], 4096);
    launch_close(&line.launch);

    expect_ok(&line, "a.fuse --replicate-below 0"); /* no tensor is small */
    assert_int_equal(line.launch.options.replicate_below, -1);
    launch_close(&line.launch);

    expect_ok(&line, "a.fuse --threads 2 --threads 5"); /* the last one counts */
    assert_int_equal(line.launch.options.threads, 5);
    launch_close(&line.launch);
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {
        {"1", 1},
        {"1000B", 1000},
        {"4k", 4096},
        {"4K", 4096},
        {"4KiB", 4096},
        {"4KB", 4096},
        {"220M", 230686720},
        {"64G", (int64_t)64 << 30},
        {"2T", (int64_t)2 << 40},
        {"8388607T", (int64_t)8388607 << 40},
        {"9223372036854775807", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct line line;
        char text[64];
        snprintf(text, sizeof text, "a.fuse --mem-per-rank %s", cases[i].text);
        expect_ok(&line, text);
        assert_int_equal(line.launch.options.memory_bytes, cases[i].bytes);
        launch_close(&line.launch);
    }
    static const char *const bad[] = {
        "_", "0", "0M", "-1", "M", "1X", "1MM", "1.5G", "8388608T", "9223372036854775808", "0x10", "1iB"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        snprintf(text, sizeof text, "--mem-per-rank %s a.fuse", bad[i]);
        expect_error(text, "is no value for --mem-per-rank SIZE", "");
    }
}

static void test_wrong_values(void **state) {
    (void)state;
    expect_error("a.fuse --threads 0", "'0' is no value for --threads N", "");
    expect_error("a.fuse --threads 2x", "'2x'", "");
    expect_error("a.fuse --threads=", "''", "");
    expect_error("a.fuse --threads 99999999999", "--threads", "");
    expect_error("a.fuse --threads", "--threads needs a value", "");
    expect_error("a.fuse -D", "--define needs a value", "");
    expect_error("a.fuse -D x", "write -D NAME=VALUE", "");
    expect_error("a.fuse -D =3", "write -D NAME=VALUE", "");
    expect_error("a.fuse --backend abacus", "'abacus' is no value for --backend cpu|ref|fakedev", "");
    expect_error("a.fuse --backend fakdev", "--backend", "did you mean 'fakedev'");
    expect_error("a.fuse --backend cp", "--backend", "did you mean 'cpu'");
    expect_error("a.fuse --dump=pln", "--dump", "did you mean 'plan'");
    expect_error("a.fuse --dump=", "--dump", "");
    expect_error("a.fuse --dump=ast|ir", "--dump", "");
    expect_error("a.fuse --times=xml", "--times json", "");
    expect_error("a.fuse --explain=yes", "--explain takes no value", "");
    expect_error("a.fuse --root=", "--root", "");
    expect_error("plan a.fuse --ranks 0", "--ranks", "");
    expect_error("plan a.fuse --ranks 4,", "--ranks", "");
    expect_error("plan a.fuse --ranks ,4", "--ranks", "");
    expect_error("plan a.fuse --ranks 4;5", "--ranks", "");
    expect_error("plan a.fuse --ranks 99999999999999999999", "--ranks", "");
}

static void test_wrong_words(void **state) {
    (void)state;
    expect_error("--explian a.fuse", "unknown option '--explian'", "did you mean '--explain'");
    expect_error("--mem 1G a.fuse", "unknown option '--mem'", "did you mean '--mem-per-rank'");
    expect_error("--thread=3 a.fuse", "unknown option '--thread'", "did you mean '--threads'");
    expect_error("-threads 3 a.fuse", "unknown option '-threads'", "did you mean '--threads'");
    expect_error("--frobnicate a.fuse", "unknown option '--frobnicate'", "");
    expect_error("-x a.fuse", "unknown option '-x'", "");
    expect_error("paln a.fuse", "unknown command 'paln'", "did you mean 'plan'");
    expect_error("a.fuse b.fuse", "'b.fuse' is too many", "");
    expect_error("run", "no program", "");
    expect_error("_", "no program", "");
}

static void test_together(void **state) {
    (void)state;
    expect_error("", "no program is given", "");
    expect_error("plan a.fuse", "--ranks N", "");
    expect_error("a.fuse --ranks 4", "--ranks does not go with 'run'", "fuse-dist plan");
    expect_error("plan --ranks 4 --explain a.fuse", "--explain does not go with 'plan'", "fuse-dist run");
    expect_error("plan --ranks 4 --threads 2 a.fuse", "--threads does not go with 'plan'", "");
    expect_error("a.fuse --json", "--json goes with --version", "");
}

/* Every row is in the help, and every row is understood. */
static void test_table(void **state) {
    (void)state;
    static const char *const value[] = {
        [LAUNCH_COUNT] = "3",     [LAUNCH_COUNT_OR_0] = "0", [LAUNCH_COUNTS] = "3",   [LAUNCH_SIZE] = "3",
        [LAUNCH_SIZE_OR_0] = "0", [LAUNCH_TEXT] = "x",       [LAUNCH_DEFINE] = "x=3", [LAUNCH_INCLUDE] = ".",
    };
    char *help = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&help, &bytes);
    assert_non_null(to);
    launch_help(to);
    fclose(to);
    for (int i = 0; i < LAUNCH_OPTIONS; i++) {
        const struct launch_option_row *row = &launch_options[i];
        char word[64], text[128], choice[32] = "";
        snprintf(word, sizeof word, "--%s", row->word);
        if (!strstr(help, word))
            fail_msg("%s is not in the help", word);
        if (row->kind == LAUNCH_CHOICE)
            snprintf(choice, sizeof choice, "%.*s", (int)strcspn(row->argument, "|"), row->argument);
        assert_true((row->kind == LAUNCH_FLAG) == !row->argument);
        const char *command = row->commands & 1u << LAUNCH_RUN                       ? "run a.fuse"
                              : row->commands & 1u << LAUNCH_PLAN                    ? "plan a.fuse --ranks 3"
                              : row->commands & 1u << LAUNCH_PACK                    ? "pack a.fuse -o a.pack"
                              : i == LAUNCH_OPTION_STRONG || i == LAUNCH_OPTION_WEAK ? "bench scale gemm 8"
                              : i == LAUNCH_OPTION_CAUSAL                            ? "bench attention 1 8 8"
                              : i == LAUNCH_OPTION_THRESHOLD                         ? "bench compare a.json b.json"
                              : row->commands & 1u << LAUNCH_BENCH && !(row->commands & 1u << LAUNCH_CONVERT)
                                  ? "bench gemm 8"
                                  : "convert a.npy b.npy";
        snprintf(text, sizeof text, "%s %s %s%s", command, word,
                 row->kind == LAUNCH_FLAG     ? ""
                 : row->kind == LAUNCH_CHOICE ? choice
                                              : value[row->kind],
                 i == LAUNCH_OPTION_JSON ? " --version" : "");
        struct line line;
        expect_ok(&line, text);
        launch_close(&line.launch);
    }
    for (int i = 0; i < LAUNCH_COMMANDS; i++)
        assert_non_null(strstr(help, launch_commands[i].usage));
    free(help);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),     cmocka_unit_test(test_values),      cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_wrong_values), cmocka_unit_test(test_wrong_words), cmocka_unit_test(test_together),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
