#include "launcher/options.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    ON_RUN = 1u << LAUNCH_RUN,
    ON_PLAN = 1u << LAUNCH_PLAN,
    ON_CHECK = 1u << LAUNCH_CHECK,
    ON_PACK = 1u << LAUNCH_PACK,
    ON_CONVERT = 1u << LAUNCH_CONVERT,
    ON_POLICIES = 1u << LAUNCH_POLICIES,
    ON_INFO = 1u << LAUNCH_INFO,
    ON_CALIBRATE = 1u << LAUNCH_CALIBRATE,
    ON_BENCH = 1u << LAUNCH_BENCH,
    ON_ANY = LAUNCH_EXPERT - 1,
};

const struct launch_option_row launch_options[LAUNCH_OPTIONS] = {
#define RUN ON_RUN
#define PLAN ON_PLAN
#define CHECK ON_CHECK
#define CONVERT ON_CONVERT
#define CALIBRATE ON_CALIBRATE
#define PACK ON_PACK
#define POLICIES ON_POLICIES
#define INFO ON_INFO
#define BENCH ON_BENCH
#define ANY ON_ANY
#define EXPERT LAUNCH_EXPERT
#define FUSE_OPTION(NAME, word, letter, kind, argument, commands, help) \
    {word, letter, LAUNCH_##kind, argument, commands, help},
#include "launcher/options.def"
#undef FUSE_OPTION
#undef RUN
#undef PLAN
#undef CHECK
#undef CONVERT
#undef CALIBRATE
#undef PACK
#undef POLICIES
#undef INFO
#undef BENCH
#undef ANY
#undef EXPERT
};

const struct launch_command_row launch_commands[LAUNCH_COMMANDS] = {
#define FUSE_COMMAND(NAME, word, usage, help) {word, usage, help},
#include "launcher/options.def"
#undef FUSE_COMMAND
};

/* ---- what is wrong ---- */

__attribute__((format(printf, 2, 3))) static bool fail(struct launch *out, const char *format, ...) {
    va_list args;
    if (out->error[0])
        return false;
    va_start(args, format);
    vsnprintf(out->error, sizeof out->error, format, args);
    va_end(args);
    return false;
}

/* Optimal string alignment: a swap of neighbours counts once. */
static int distance(const char *a, const char *b) {
    enum { MOST = 31 };
    int n = (int)strlen(a), m = (int)strlen(b);
    int d[MOST + 1][MOST + 1];
    if (n > MOST || m > MOST)
        return MOST;
    for (int i = 0; i <= n; i++) {
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

struct nearest {
    const char *wanted, *best;
    int distance;
};

/* A third of the letters may be wrong; a longer word that begins with what was typed is near, too. */
static void offer(struct nearest *nearest, const char *candidate) {
    size_t n = strlen(nearest->wanted);
    int d = distance(nearest->wanted, candidate);
    if (n >= 3 && strncmp(nearest->wanted, candidate, n) == 0)
        d = 1;
    if (d <= ((int)n + 2) / 3 && (!nearest->best || d < nearest->distance)) {
        nearest->best = candidate;
        nearest->distance = d;
    }
}

const char *launch_nearest_topic(const char *topic) {
    struct nearest nearest = {.wanted = topic};
    struct fuse_dist_builtin builtin;
    offer(&nearest, "builtins");
    for (int i = 0; i < LAUNCH_COMMANDS; i++)
        offer(&nearest, launch_commands[i].word);
    for (int i = 0; i < LAUNCH_OPTIONS; i++)
        offer(&nearest, launch_options[i].word);
    for (int i = 0; fuse_dist_builtin(&builtin, i); i++)
        offer(&nearest, builtin.name);
    return nearest.best;
}

static void suggest(struct launch *out, const struct nearest *nearest, const char *before) {
    if (nearest->best && !out->hint[0])
        snprintf(out->hint, sizeof out->hint, "did you mean '%s%s'?", before, nearest->best);
}

/* ---- values ---- */

static bool parse_number(int64_t *out, const char **at, int64_t most) {
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    char *end;
    long long number = strtoll(*at, &end, 10);
    if (errno || number > most)
        return false;
    *out = number;
    *at = end;
    return true;
}

static bool parse_count(int64_t *out, const char *text, int64_t most) {
    return parse_number(out, &text, most) && *text == '\0' && *out > 0;
}

/* SIZE := digits ['K' | 'M' | 'G' | 'T'] ['iB' | 'B'] */
static bool parse_size(int64_t *out, const char *text) {
    static const char units[] = "KMGT", small[] = "kmgt";
    int shift = 0;
    if (!parse_number(out, &text, INT64_MAX))
        return false;
    for (int i = 0; i < 4; i++) {
        if (*text == units[i] || *text == small[i])
            shift = 10 * (i + 1);
    }
    text += shift > 0;
    if (shift > 0 && strcmp(text, "iB") == 0)
        text += 2;
    else if (strcmp(text, "B") == 0)
        text++;
    if (*text || *out == 0 || *out > INT64_MAX >> shift)
        return false;
    *out <<= shift;
    return true;
}

static bool parse_counts(struct launch *out, const char *text) {
    out->rank_counts = 0;
    for (;;) {
        int64_t ranks;
        if (out->rank_counts == LAUNCH_MAX_COUNTS || !parse_number(&ranks, &text, 1 << 20) || ranks < 1)
            return false;
        out->ranks[out->rank_counts++] = (int)ranks;
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
}

static bool is_choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    for (const char *at = choices; *at; at += strcspn(at, "|"), at += *at == '|') {
        if (n == strcspn(at, "|") && strncmp(at, text, n) == 0)
            return true;
    }
    return false;
}

static bool suggest_choice(struct launch *out, const char *choices, const char *text) {
    struct nearest nearest = {.wanted = text};
    char words[128];
    snprintf(words, sizeof words, "%s", choices);
    for (char *save = NULL, *word = strtok_r(words, "|", &save); word; word = strtok_r(NULL, "|", &save))
        offer(&nearest, word);
    suggest(out, &nearest, "");
    return false;
}

static bool add_input(struct launch *out, const struct fuse_dist_define *pair) {
    if (!*pair->value)
        return fail(out, "--input %s= names no file", pair->name);
    for (int i = 0; i < out->options.inputs; i++)
        if (strcmp(out->inputs[i].name, pair->name) == 0)
            return fail(out, "--input %s is given twice", pair->name);
    out->inputs[out->options.inputs++] = *pair;
    return true;
}

static bool add_adapter(struct launch *out, char *text) {
    char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return fail(out, "'%s' chooses no adapter: write --adapter SLOT=NAME", text);
    *equals = '\0';
    for (int i = 0; i < out->options.adapters; i++)
        if (strcmp(out->adapters[i].name, text) == 0)
            return fail(out, "--adapter %s is given twice", text);
    out->adapters[out->options.adapters++] = (struct fuse_dist_define){.name = text, .value = equals + 1};
    return true;
}

static bool parse_define(struct launch *out, enum launch_option option, char *text) {
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:");
    if (name == 0 || text[name] != '=')
        return option == LAUNCH_OPTION_INPUT ? fail(out, "'%s' is no input: write --input NAME=FILE", text)
                                             : fail(out, "'%s' is no definition: write -D NAME=VALUE", text);
    text[name] = '\0';
    struct fuse_dist_define pair = {.name = text, .value = text + name + 1};
    if (option == LAUNCH_OPTION_INPUT)
        return add_input(out, &pair);
    out->defines[out->options.defines++] = pair;
    return true;
}

/* Stores the value of an option that is not a flag. */
static bool take_value(struct launch *out, enum launch_option option, char *text) {
    const struct launch_option_row *row = &launch_options[option];
    int64_t number = 0;
    bool ok = true;
    switch (row->kind) {
    case LAUNCH_FLAG: break;
    case LAUNCH_CHOICE: ok = is_choice(row->argument, text) || suggest_choice(out, row->argument, text); break;
    case LAUNCH_COUNT: ok = parse_count(&number, text, INT_MAX); break;
    case LAUNCH_COUNT_OR_0: ok = strcmp(text, "0") == 0 || parse_count(&number, text, INT_MAX); break;
    case LAUNCH_COUNTS: ok = parse_counts(out, text); break;
    case LAUNCH_SIZE: ok = parse_size(&number, text); break;
    case LAUNCH_SIZE_OR_0: ok = strcmp(text, "0") == 0 || parse_size(&number, text); break;
    case LAUNCH_TEXT: ok = *text != '\0'; break;
    case LAUNCH_DEFINE:
        return option == LAUNCH_OPTION_ADAPTER ? add_adapter(out, text) : parse_define(out, option, text);
    case LAUNCH_INCLUDE: ok = *text != '\0'; break;
    }
    if (!ok)
        return fail(out, "'%s' is no value for --%s %s", text, row->word, row->argument);
    switch (option) {
    case LAUNCH_OPTION_DUMP: out->dump = text; break;
    case LAUNCH_OPTION_FORMAT: out->format = text; break;
    case LAUNCH_OPTION_MODE: out->options.mode = text; break;
    case LAUNCH_OPTION_QUERY: out->queries[out->options.queries++] = text; break;
    case LAUNCH_OPTION_COUNT: out->counts[out->options.counts++] = text; break;
    case LAUNCH_OPTION_WHY:
    case LAUNCH_OPTION_WHY_NOT:
        out->questions[out->options.questions++] = (struct fuse_dist_question){text, option == LAUNCH_OPTION_WHY_NOT};
        break;
    case LAUNCH_OPTION_WHY_FORMAT: out->options.answers_json = strcmp(text, "json") == 0; break;
    case LAUNCH_OPTION_TOL: out->options.tol = text; break;
    case LAUNCH_OPTION_RTOL: out->options.rtol = text; break;
    case LAUNCH_OPTION_MAX_ITERS: out->options.max_iters = number; break;
    case LAUNCH_OPTION_FIXPOINT: out->options.fixpoint = text; break;
    case LAUNCH_OPTION_PACK_BELOW: out->pack_below = number; break;
    case LAUNCH_OPTION_ISA: out->options.isa = text; break;
    case LAUNCH_OPTION_REPEAT: out->bench.repeats = (int)number; break;
    case LAUNCH_OPTION_WARMUP: out->bench.warmups = (int)number; break;
    case LAUNCH_OPTION_THRESHOLD: out->bench.threshold = (double)number; break;
    case LAUNCH_OPTION_CACHE: out->options.cache = text; break;
    case LAUNCH_OPTION_MACHINE: out->options.machine = text; break;
    case LAUNCH_OPTION_DTYPE: out->options.dtype = text; break;
    case LAUNCH_OPTION_WEIGHTS_CACHE: out->options.weights_cache = text; break;
    case LAUNCH_OPTION_WEIGHTS_CACHE_SIZE: out->options.weights_cache_bytes = number; break;
    case LAUNCH_OPTION_WEIGHTS_TIMEOUT: out->options.weights_timeout = number; break;
    case LAUNCH_OPTION_WEIGHTS: out->options.weights = text; break;
    case LAUNCH_OPTION_OUT: out->options.out = text; break;
    case LAUNCH_OPTION_PROGRESS: out->progress = text; break;
    case LAUNCH_OPTION_TIMES: out->times = true; break;
    case LAUNCH_OPTION_MEMORY: out->options.memory_bytes = number; break;
    case LAUNCH_OPTION_THREADS: out->options.threads = (int)number; break;
    case LAUNCH_OPTION_BACKEND: out->options.backend = text; break;
    case LAUNCH_OPTION_VALIDATE: out->options.validate = text; break;
    case LAUNCH_OPTION_PRECISION: out->options.precision = text; break;
    case LAUNCH_OPTION_PROJECTION: out->options.projection = text; break;
    case LAUNCH_OPTION_SAMPLES: out->options.samples = number; break;
    case LAUNCH_OPTION_SEED: out->options.seed = number; break;
    case LAUNCH_OPTION_PANEL: out->options.panels = number; break;
    case LAUNCH_OPTION_STALL: out->options.stall_seconds = number > 0 ? number : -1; break;
    case LAUNCH_OPTION_SLABS_ABOVE: out->options.slab_bytes = number > 0 ? number : -1; break;
    case LAUNCH_OPTION_STREAM_ABOVE: out->options.stream_bytes = number > 0 ? number : -1; break;
    case LAUNCH_OPTION_REPLICATE_BELOW: out->options.replicate_below = number > 0 ? number : -1; break;
    case LAUNCH_OPTION_WORKSPACE: out->options.workspace_bytes = number; break;
    case LAUNCH_OPTION_SHARE_ABOVE: out->options.share_bytes = number > 0 ? number : -1; break;
    case LAUNCH_OPTION_FILE_UNIT: out->options.file_unit_bytes = number; break;
    case LAUNCH_OPTION_INCLUDE: out->includes[out->options.includes++] = text; break;
    case LAUNCH_OPTION_POLICY: out->options.policy = text; break;
    case LAUNCH_OPTION_ROOT: out->options.root = text; break;
    case LAUNCH_OPTION_OUTPUT_ROOT: out->options.output_root = text; break;
    default: break;
    }
    return true;
}

/* ---- words ---- */

static int find_option(const char *word, size_t bytes) {
    for (int i = 0; i < LAUNCH_OPTIONS; i++) {
        if (strlen(launch_options[i].word) == bytes && strncmp(launch_options[i].word, word, bytes) == 0)
            return i;
    }
    return -1;
}

static bool fail_unknown(struct launch *out, const char *text) {
    char word[64];
    const char *start = text + strspn(text, "-");
    snprintf(word, sizeof word, "%.*s", (int)strcspn(start, "="), start);
    struct nearest nearest = {.wanted = word};
    for (int i = 0; i < LAUNCH_OPTIONS; i++)
        offer(&nearest, launch_options[i].word);
    suggest(out, &nearest, "--");
    return fail(out, "unknown option '%.*s'", (int)strcspn(text, "="), text);
}

struct scan {
    int argc, at;
    char **argv;
    bool seen[LAUNCH_OPTIONS];
};

/* value: what stands behind '=' or the letter, or NULL. */
static bool take_option(struct launch *out, struct scan *scan, int option, char *value) {
    const struct launch_option_row *row = &launch_options[option];
    scan->seen[option] = true;
    if (row->kind == LAUNCH_FLAG)
        return value ? fail(out, "--%s takes no value", row->word) : true;
    if (!value && scan->at < scan->argc)
        value = scan->argv[scan->at++];
    if (!value)
        return fail(out, "--%s needs a value: --%s %s", row->word, row->word, row->argument);
    return take_value(out, (enum launch_option)option, value);
}

static bool parse_long(struct launch *out, struct scan *scan, char *text) {
    size_t bytes = strcspn(text + 2, "=");
    int option = find_option(text + 2, bytes);
    if (option < 0)
        return fail_unknown(out, text);
    char *equals = text + 2 + bytes;
    return take_option(out, scan, option, *equals ? equals + 1 : NULL);
}

static bool parse_letter(struct launch *out, struct scan *scan, char *text) {
    for (int i = 0; i < LAUNCH_OPTIONS; i++) {
        if (launch_options[i].letter && launch_options[i].letter == text[1])
            return take_option(out, scan, i, text[2] ? text + 2 : NULL);
    }
    return fail_unknown(out, text);
}

static int find_command(const char *word) {
    for (int i = 0; i < LAUNCH_COMMANDS; i++) {
        if (strcmp(launch_commands[i].word, word) == 0)
            return i;
    }
    return -1;
}

/* plain: the words that are no options. */
static bool take_plain(struct launch *out, char **plain, int plains) {
    int command = plains > 0 ? find_command(plain[0]) : -1;
    if (command >= 0) {
        out->command = (enum launch_command)command;
        plain++;
        plains--;
    } else if (plains > 1) {
        struct nearest nearest = {.wanted = plain[0]};
        for (int i = 0; i < LAUNCH_COMMANDS; i++)
            offer(&nearest, launch_commands[i].word);
        if (nearest.best) {
            suggest(out, &nearest, "");
            return fail(out, "unknown command '%s'", plain[0]);
        }
    }
    out->words = plain;
    out->word_count = plains;
    if (out->command == LAUNCH_HELP || out->command == LAUNCH_INFO)
        return true;
    if (out->command == LAUNCH_BENCH)
        return plains > 0 || fail(out, "bench: of what? For example: fuse-dist bench gemm 1024");
    if (out->command == LAUNCH_POLICIES && plains != 2)
        return fail(out, "policies takes a policy and a program: fuse-dist policies FILE PROG");
    if (out->command == LAUNCH_POLICIES) {
        out->options.policy = plain[0];
        out->options.policy_report = true;
        out->program = plain[1];
        return plain[0][0] && plain[1][0] ? true : fail(out, "no program is given");
    }
    if (out->command == LAUNCH_CALIBRATE)
        return plains == 1 || fail(out, "calibrate takes the file to write: fuse-dist calibrate FILE");
    if (out->command == LAUNCH_CONVERT)
        return plains == 2 || fail(out, "convert takes two files: fuse-dist convert FROM TO");
    if (plains == 0 || plain[0][0] == '\0')
        return fail(out, "no program is given");
    if (plains > 1 && out->command != LAUNCH_CHECK)
        return fail(out, "one program at a time: '%s' is too many", plain[1]);
    out->program = plain[0];
    return true;
}

/* Options of single cases of bench. `compare` measures nothing, and takes no others. */
static bool check_case(struct launch *out, const struct scan *scan) {
    static const struct {
        enum launch_option option;
        const char *word;
    } rows[] = {{LAUNCH_OPTION_STRONG, "scale"},
                {LAUNCH_OPTION_WEAK, "scale"},
                {LAUNCH_OPTION_RANKS, "scale"},
                {LAUNCH_OPTION_CAUSAL, "attention"},
                {LAUNCH_OPTION_THRESHOLD, "compare"}};
    const char *word = out->words[0];
    const char *measured = strcmp(word, "scale") == 0 && out->word_count > 1 ? out->words[1] : word;
    for (int i = 0; i < LAUNCH_OPTIONS; i++) {
        const char *home = NULL;
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            home = rows[r].option == (enum launch_option)i ? rows[r].word : home;
        bool fits = home ? strcmp(home, word) == 0 || strcmp(home, measured) == 0 : strcmp(word, "compare") != 0;
        if (!scan->seen[i] || fits)
            continue;
        if (home)
            snprintf(out->hint, sizeof out->hint, "--%s goes with 'fuse-dist bench %s'", launch_options[i].word, home);
        else
            snprintf(out->hint, sizeof out->hint, "compare reads what was measured, and takes --threshold only");
        return fail(out, "--%s does not go with 'bench %s'", launch_options[i].word, measured);
    }
    return true;
}

static bool check_together(struct launch *out, const struct scan *scan) {
    for (int i = 0; i < LAUNCH_OPTIONS; i++) {
        if (!scan->seen[i] || (launch_options[i].commands & 1u << out->command))
            continue;
        for (int c = 0; c < LAUNCH_COMMANDS; c++) {
            if ((launch_options[i].commands & 1u << c) && !out->hint[0])
                snprintf(out->hint, sizeof out->hint, "--%s goes with 'fuse-dist %s'", launch_options[i].word,
                         launch_commands[c].word);
        }
        return fail(out, "--%s does not go with '%s'", launch_options[i].word, launch_commands[out->command].word);
    }
    if (scan->seen[LAUNCH_OPTION_JSON] && out->command != LAUNCH_INFO && out->command != LAUNCH_BENCH)
        return fail(out, "--json goes with --version, info and bench only");
    if (out->command == LAUNCH_BENCH && !check_case(out, scan))
        return false;
    if (scan->seen[LAUNCH_OPTION_STRONG] && scan->seen[LAUNCH_OPTION_WEAK])
        return fail(out, "scaling is --strong or --weak, not both");
    if (out->command == LAUNCH_POLICIES && out->rank_counts > 1)
        return fail(out, "policies looks at one number of ranks at a time");
    if (out->command == LAUNCH_PACK) {
        out->pack = out->options.out;
        out->options.out = NULL;
        out->options.packing = 1;
        if (!out->pack)
            return fail(out, "pack needs the name of a file: -o FILE.pack");
    }
    if (out->command == LAUNCH_PLAN && !out->rank_counts)
        return fail(out, "plan needs a number of ranks: --ranks N");
    bool is_picture = out->format && (strcmp(out->format, "html") == 0 || strcmp(out->format, "svg") == 0);
    if (is_picture && out->rank_counts > 1)
        return fail(out, "a picture shows the plan for one number of ranks: --ranks N");
    return true;
}

static bool parse(struct launch *out, struct scan *scan, char **plain) {
    int plains = 0;
    bool options_end = false;
    while (scan->at < scan->argc) {
        char *text = scan->argv[scan->at++];
        bool ok = true;
        if (options_end || (plains > 0 && strcmp(plain[0], "help") == 0) || text[0] != '-' || text[1] == '\0')
            plain[plains++] = text;
        else if (strcmp(text, "--") == 0)
            options_end = true;
        else
            ok = text[1] == '-' ? parse_long(out, scan, text) : parse_letter(out, scan, text);
        if (!ok)
            return false;
    }
    out->explain = scan->seen[LAUNCH_OPTION_EXPLAIN];
    out->bench.weak = scan->seen[LAUNCH_OPTION_WEAK];
    out->bench.causal = scan->seen[LAUNCH_OPTION_CAUSAL];
    out->options.warnings_are_errors = scan->seen[LAUNCH_OPTION_WERROR];
    out->options.allow_nonconverged = scan->seen[LAUNCH_OPTION_ALLOW_NONCONVERGED];
    out->options.deterministic = scan->seen[LAUNCH_OPTION_DETERMINISTIC];
    out->options.explain_all = scan->seen[LAUNCH_OPTION_EXPLAIN_ALL];
    out->options.weights_anywhere = scan->seen[LAUNCH_OPTION_WEIGHTS_ANYWHERE];
    out->json = scan->seen[LAUNCH_OPTION_JSON];
    if (scan->seen[LAUNCH_OPTION_HELP]) {
        out->command = LAUNCH_HELP;
        return true;
    }
    if (scan->seen[LAUNCH_OPTION_VERSION]) {
        out->command = LAUNCH_VERSION;
        return true;
    }
    return take_plain(out, plain, plains) && (out->command == LAUNCH_HELP || check_together(out, scan));
}

void launch_parse(struct launch *out, int argc, char **argv) {
    *out = (struct launch){.command = LAUNCH_RUN, .pack_below = (int64_t)64 << 20, .bench = {.warmups = -1}};
    struct scan scan = {.argc = argc, .at = 1, .argv = argv};
    char **plain = calloc((size_t)argc + 1, sizeof *plain);
    out->defines = calloc((size_t)argc + 1, sizeof *out->defines);
    out->includes = calloc((size_t)argc + 1, sizeof *out->includes);
    out->inputs = calloc((size_t)argc + 1, sizeof *out->inputs);
    out->adapters = calloc((size_t)argc + 1, sizeof *out->adapters);
    out->queries = calloc((size_t)argc + 1, sizeof *out->queries);
    out->counts = calloc((size_t)argc + 1, sizeof *out->counts);
    out->questions = calloc((size_t)argc + 1, sizeof *out->questions);
    out->plain = plain;
    if (!plain || !out->defines || !out->queries || !out->counts || !out->questions || !out->inputs || !out->includes ||
        !out->adapters)
        fail(out, "out of memory");
    else
        parse(out, &scan, plain);
    out->options.define = out->defines;
    out->options.input = out->inputs;
    out->options.adapter = out->adapters;
    out->options.query = out->queries;
    out->options.count = out->counts;
    out->options.question = out->questions;
    out->options.include = out->includes;
}

void launch_close(struct launch *launch) {
    free(launch->plain);
    free(launch->defines);
    free(launch->inputs);
    free(launch->adapters);
    free(launch->queries);
    free(launch->counts);
    free(launch->questions);
    free(launch->includes);
}
