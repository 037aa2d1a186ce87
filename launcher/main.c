/* fuse-dist: reads the command line, joins the job, and lets the library do the rest. Rank 0 speaks for all. */
#include "launcher/environment.h"
#include "launcher/options.h"
#include "launcher/progress.h"
#include "launcher/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { FAILED = 1, USAGE = 2, IO = 74 };

static void complain(const char *message, const char *hint) {
    fprintf(stderr, "error: %s\n", message);
    if (*hint)
        fprintf(stderr, "hint: %s\n", hint);
    fprintf(stderr, "hint: 'fuse-dist --help' lists commands and options\n");
}

/* Standard output; error is the first failure's errno. */
struct output {
    int error;
};

static void write_output(struct output *output, const char *text) {
    errno = 0;
    if (fputs(text, stdout) == EOF && !output->error)
        output->error = errno;
}

/* 0, or IO after a message. A reader that went away has what it wanted. */
static int flush_output(struct output *output) {
    errno = 0;
    if (fflush(stdout) == EOF && !output->error)
        output->error = errno;
    if (output->error == 0 || output->error == EPIPE)
        return 0;
    fprintf(stderr, "error: cannot write to standard output: %s\n", strerror(output->error));
    return IO;
}

static void print_export(void *context, const char *text) {
    progress_hold();
    write_output(context, text);
    if (isatty(STDOUT_FILENO))
        fflush(stdout);
    progress_release();
}

/* From the watchdog's thread, while this rank hangs in MPI: what is left to do is to say so and to go. */
static void give_up(void *context, const char *message, const char *hint) {
    (void)context;
    progress_hold();
    fprintf(stderr, "error: %s\nhint: %s\n", message, hint);
    signals_remove();
    _exit(FAILED);
}

/* Prints on rank 0 what the program has to say and has not said yet. */
static void print_messages(fuse_dist_program *program, const struct output *output, size_t *printed) {
    const char *messages = fuse_dist_messages(program);
    if (output)
        fputs(messages + *printed, stderr);
    *printed = strlen(messages);
}

/* output: NULL on the ranks that are silent. */
static void print_text(fuse_dist_program *program, struct output *output, enum fuse_dist_text what) {
    const char *text = output ? fuse_dist_text(program, what) : NULL;
    if (text)
        write_output(output, text);
}

/* ---- commands ---- */

static int run_program(fuse_dist_program *program, const struct launch *launch, struct output *output,
                       size_t *printed) {
    if (launch->dump && strcmp(launch->dump, "plan") == 0) {
        int status = fuse_dist_plan(program);
        print_text(program, output, FUSE_DIST_PLAN);
        return status;
    }
    if (launch->dump) {
        print_text(program, output, strcmp(launch->dump, "ast") == 0 ? FUSE_DIST_AST : FUSE_DIST_IR);
        return 0;
    }
    if (launch->pack)
        return fuse_dist_pack(program, launch->pack, launch->pack_below);
    print_messages(program, output, printed); /* warnings, before a long run */
    if (output)
        progress_start(progress_choose(launch->progress, isatty(STDERR_FILENO)));
    int status = fuse_dist_run(program);
    progress_stop();
    if (launch->explain)
        print_text(program, output, FUSE_DIST_EXPLAIN);
    if (launch->times)
        print_text(program, output, FUSE_DIST_TIMES);
    return status;
}

static int calibrate(fuse_dist_job *job, const struct launch *launch, struct output *output) {
    const char *text;
    int status = fuse_dist_calibrate(&text, job, launch->words[0], &launch->options);
    if (output && status == 0)
        write_output(output, text);
    else if (output)
        fputs(text, stderr);
    return status;
}

static int open_and_run(fuse_dist_job *job, const struct launch *launch, struct output *output) {
    struct fuse_dist_options options = launch->options;
    options.print = output ? print_export : NULL;
    options.progress = output ? progress_note : NULL;
    options.context = output;
    options.temporary = signals_keep;
    options.stalled = give_up;
    if (launch->dump && strcmp(launch->dump, "plan") != 0)
        options.cache = NULL; /* forms that come before the plan */
    signals_catch();
    size_t printed = 0;
    fuse_dist_program *program;
    int status = launch->command == LAUNCH_CONVERT
                     ? fuse_dist_open_convert(&program, job, launch->words[0], launch->words[1], &options)
                     : fuse_dist_open(&program, job, launch->program, &options);
    if (!program) {
        if (output)
            fprintf(stderr, "error: %s\n", fuse_dist_status_text(status));
        return status;
    }
    if (status == 0)
        status = run_program(program, launch, output, &printed);
    else if (launch->dump && strcmp(launch->dump, "ast") == 0)
        print_text(program, output, FUSE_DIST_AST); /* what parses can be looked at, whatever else is wrong */
    print_messages(program, output, &printed);
    fuse_dist_close(program);
    return status;
}

static int info(fuse_dist_job *job, const struct launch *launch, struct output *output) {
    const char *text;
    int status = fuse_dist_info(&text, job, &launch->options, launch->json);
    if (output && status == 0)
        write_output(output, text);
    else if (output)
        fprintf(stderr, "error: %s\n", fuse_dist_status_text(status));
    return status;
}

static int info_of_file(fuse_dist_job *job, const struct launch *launch, const char *path, struct output *output) {
    fuse_dist_program *file;
    int status = fuse_dist_open_file(&file, job, path, &launch->options);
    if (!file) {
        if (output)
            fprintf(stderr, "error: %s\n", fuse_dist_status_text(status));
        return status;
    }
    size_t printed = 0;
    print_messages(file, output, &printed);
    if (status == 0)
        print_text(file, output, launch->json ? FUSE_DIST_CONTENTS_JSON : FUSE_DIST_CONTENTS);
    fuse_dist_close(file);
    return status;
}

/* The status of the first file that cannot be looked at; the others are shown. */
static int info_of_files(fuse_dist_job *job, const struct launch *launch, struct output *output) {
    int status = 0;
    for (int i = 0; i < launch->word_count; i++) {
        int one = info_of_file(job, launch, launch->words[i], output);
        status = status ? status : one;
    }
    return status;
}

static int bench(fuse_dist_job *job, const struct launch *launch, struct output *output) {
    struct fuse_dist_options options = launch->options;
    struct fuse_dist_bench request = launch->bench;
    const char *messages;
    options.print = output ? print_export : NULL;
    options.context = output;
    options.temporary = signals_keep;
    options.stalled = give_up;
    request.word = (const char *const *)launch->words;
    request.words = launch->word_count;
    request.ranks = launch->ranks;
    request.rank_counts = launch->rank_counts;
    request.json = launch->json;
    signals_catch();
    int status = fuse_dist_bench(&messages, job, &request, &options);
    if (output)
        fputs(messages, stderr);
    return status;
}

/* Ranks that do not have a job in common would each run the whole program. */
static bool refuse_singletons(const struct environment *env, int size) {
    if (env->ranks <= 1 || size > 1)
        return false;
    if (env->rank == 0) {
        char message[160], hint[160];
        snprintf(message, sizeof message, "%s started %d ranks, but MPI does not join them: each would run alone",
                 env->launcher, env->ranks);
        snprintf(hint, sizeof hint, "%s",
                 strcmp(env->launcher, "srun") == 0
                     ? "start them with 'srun --mpi=pmix', or with mpirun inside the allocation"
                     : "use the mpirun of the MPI library that 'fuse-dist --version --json' names");
        complain(message, hint);
    }
    return true;
}

static int run(const struct launch *launch, const struct environment *env, uint64_t arguments) {
    fuse_dist_job *job;
    if (!env->has_mpi && refuse_singletons(env, 1))
        return USAGE;
    if (env->has_mpi)
        environment_tune_mpi();
    int status = fuse_dist_job_open(&job, env->has_mpi ? FUSE_DIST_MPI : FUSE_DIST_SELF);
    if (status != 0) {
        if (env->rank == 0)
            fprintf(stderr, "error: the job could not be started: %s\n", fuse_dist_status_text(status));
        return status;
    }
    bool speaks = fuse_dist_job_rank(job) == 0;
    struct output output = {0};
    if (refuse_singletons(env, fuse_dist_job_size(job))) {
        status = USAGE;
    } else if (!fuse_dist_job_same(job, arguments)) {
        if (speaks)
            complain("the ranks were started with different arguments", "");
        status = USAGE;
    } else if (launch->error[0]) {
        /* Only now: a rank that left earlier could take rank 0 with it before it has spoken. */
        if (speaks)
            complain(launch->error, launch->hint);
        status = USAGE;
    } else {
        struct output *told = speaks ? &output : NULL;
        status = launch->command == LAUNCH_CALIBRATE ? calibrate(job, launch, told)
                 : launch->command == LAUNCH_BENCH   ? bench(job, launch, told)
                 : launch->command != LAUNCH_INFO    ? open_and_run(job, launch, told)
                 : launch->word_count > 0            ? info_of_files(job, launch, told)
                                                     : info(job, launch, told);
    }
    int flushed = speaks ? flush_output(&output) : 0;
    if (!fuse_dist_job_same(job, (uint64_t)flushed) || flushed != 0)
        status = status ? status : IO;
    fuse_dist_job_close(job);
    return status;
}

/* ---- how plans for several numbers of ranks compare ---- */

enum { SCALING_ROWS = 64, SCALING_WIDTH = 160 };

struct scaling {
    int rows;
    char row[SCALING_ROWS][SCALING_WIDTH];
    double first; /* rank seconds of the first plan that fits; 0: none does */
    int plans;
    struct fuse_dist_plan_summary plan[SCALING_ROWS]; /* those that fit; names of steps are gone */
};

static void add_row(struct scaling *scaling, fuse_dist_program *program, int ranks) {
    struct fuse_dist_plan_summary sum;
    if (scaling->rows == SCALING_ROWS)
        return;
    char *row = scaling->row[scaling->rows++];
    if (!fuse_dist_summarise_plan(&sum, program)) {
        snprintf(row, SCALING_WIDTH, "%7d  there is no plan: see above", ranks);
        return;
    }
    scaling->plan[scaling->plans++] = sum;
    double cost = sum.ranks * sum.seconds, all = sum.kernel_seconds + sum.message_seconds + sum.file_seconds;
    if (scaling->first == 0)
        scaling->first = cost;
    double percent = all > 0 ? 100 / all : 0;
    snprintf(row, SCALING_WIDTH, "%7d %7d %12.6f %9.0f%% %12.1f %12.1f %7.0f%% %7.0f%% %7.0f%%  %s, %.0f%%", sum.ranks,
             sum.used, sum.seconds, cost > 0 ? 100 * scaling->first / cost : 100,
             (double)sum.received_bytes_max / (1 << 20), (double)sum.peak_bytes / (1 << 20),
             percent * sum.kernel_seconds, percent * sum.message_seconds, percent * sum.file_seconds, sum.longest,
             percent * sum.longest_seconds);
}

static double more_rank_seconds(int ranks, double seconds, int first_ranks, double first_seconds) {
    double more = ranks * seconds - first_ranks * first_seconds;
    return more > 0 ? more : 0;
}

/* From which number of ranks on less than half of the efficiency is left, and what took the rest. */
static void print_end_of_scaling(struct output *output, const struct scaling *scaling) {
    const struct fuse_dist_plan_summary *first = scaling->plan, *sum = first;
    char line[400];
    if (scaling->plans < 2)
        return;
    while (sum < scaling->plan + scaling->plans - 1 && 2 * scaling->first >= sum->ranks * sum->seconds)
        sum++;
    bool is_half = 2 * scaling->first < sum->ranks * sum->seconds;
    double messages = more_rank_seconds(sum->ranks, sum->message_seconds, first->ranks, first->message_seconds);
    double kernels = more_rank_seconds(sum->ranks, sum->kernel_seconds, first->ranks, first->kernel_seconds);
    double files = more_rank_seconds(sum->ranks, sum->file_seconds, first->ranks, first->file_seconds);
    double all = messages + kernels + files, percent = all > 0 ? 100 / all : 0;
    int n = snprintf(line, sizeof line,
                     is_half ? "from %d ranks on less than half of the efficiency is left"
                             : "on %d ranks more than half of the efficiency is left",
                     sum->ranks);
    if (all > 0)
        n +=
            snprintf(line + n, sizeof line - (size_t)n,
                     "; of what was lost, %.0f%% are messages, %.0f%% kernels on small or repeated parts, %.0f%% files",
                     percent * messages, percent * kernels, percent * files);
    write_output(output, line);
    write_output(output, "\n");
    for (int i = 1; i < scaling->plans; i++)
        if (scaling->plan[i].ranks > scaling->plan[i - 1].ranks &&
            scaling->plan[i].seconds >= scaling->plan[i - 1].seconds) {
            snprintf(line, sizeof line, "%d ranks are no faster than %d\n", scaling->plan[i].ranks,
                     scaling->plan[i - 1].ranks);
            write_output(output, line);
            return;
        }
}

static void print_scaling(struct output *output, const struct scaling *scaling) {
    write_output(
        output, "\nscaling, modelled: efficiency against the first that fits, MiB a rank at most, what takes the time, "
                "and the longest step\n"
                "  ranks    used      seconds efficiency MiB received     MiB held kernels messages   files\n");
    for (int i = 0; i < scaling->rows; i++) {
        write_output(output, scaling->row[i]);
        write_output(output, "\n");
    }
    print_end_of_scaling(output, scaling);
}

static enum fuse_dist_text plan_form(const char *format) {
    static const struct {
        const char *word;
        enum fuse_dist_text form;
    } forms[] = {{"json", FUSE_DIST_PLAN_JSON}, {"html", FUSE_DIST_PLAN_HTML}, {"svg", FUSE_DIST_PLAN_SVG}};
    for (size_t i = 0; format && i < sizeof forms / sizeof *forms; i++)
        if (strcmp(format, forms[i].word) == 0)
            return forms[i].form;
    return FUSE_DIST_PLAN;
}

/* *opened: the program is right, so that another number of ranks may be tried. */
static int plan_once(fuse_dist_job *job, const struct launch *launch, int ranks, struct output *output, size_t *printed,
                     bool *opened, struct scaling *scaling) {
    struct fuse_dist_options options = launch->options;
    options.ranks = ranks;
    fuse_dist_program *program;
    int status = fuse_dist_open(&program, job, launch->program, &options);
    *opened = status == 0;
    if (!program) {
        if (output)
            fprintf(stderr, "error: %s\n", fuse_dist_status_text(status));
        return status;
    }
    print_messages(program, output, printed); /* the same every time: once */
    if (status == 0) {
        size_t said = strlen(fuse_dist_messages(program));
        status = fuse_dist_plan(program);
        print_text(program, output, plan_form(launch->format));
        print_messages(program, output, &said);
        add_row(scaling, program, ranks);
    }
    fuse_dist_close(program);
    return status;
}

/* In a job of several ranks each makes the plan, and one prints it. */
static int plan(const struct launch *launch, const struct environment *env) {
    fuse_dist_job *job;
    int status = fuse_dist_job_open(&job, FUSE_DIST_SELF);
    if (status != 0)
        return status;
    struct output standard = {0}, *output = env->rank == 0 ? &standard : NULL;
    size_t printed = 0;
    bool opened = true, is_text = !launch->format || strcmp(launch->format, "text") == 0;
    struct scaling scaling = {0};
    for (int i = 0; i < launch->rank_counts && opened; i++) {
        if (output && i > 0 && is_text)
            write_output(output, "\n");
        int one = plan_once(job, launch, launch->ranks[i], output, &printed, &opened, &scaling);
        status = status ? status : one;
    }
    if (output && is_text && scaling.rows > 1)
        print_scaling(output, &scaling);
    fuse_dist_job_close(job);
    int flushed = output ? flush_output(output) : 0;
    return status ? status : flushed;
}

static int check_one(fuse_dist_job *job, const struct launch *launch, const char *path, struct output *output) {
    fuse_dist_program *program;
    int status = fuse_dist_open(&program, job, path, &launch->options);
    if (!program) {
        if (output)
            fprintf(stderr, "error: %s\n", fuse_dist_status_text(status));
        return status;
    }
    size_t printed = 0;
    print_messages(program, output, &printed);
    if (status == 0)
        print_text(program, output, FUSE_DIST_SUMMARY);
    fuse_dist_close(program);
    return status;
}

/* The status of the first program that is not right. In a job of several ranks one of them does it. */
static int check(const struct launch *launch, const struct environment *env) {
    fuse_dist_job *job;
    int status = fuse_dist_job_open(&job, FUSE_DIST_SELF);
    if (status != 0)
        return status;
    struct output standard = {0}, *output = env->rank == 0 ? &standard : NULL;
    for (int i = 0; i < launch->word_count; i++) {
        int one = check_one(job, launch, launch->words[i], output);
        status = status ? status : one;
    }
    fuse_dist_job_close(job);
    int flushed = output ? flush_output(output) : 0;
    return status ? status : flushed;
}

/* In a job of several ranks one of them does it. */
static int policies(const struct launch *launch, const struct environment *env) {
    fuse_dist_job *job;
    int status = fuse_dist_job_open(&job, FUSE_DIST_SELF);
    if (status != 0)
        return status;
    struct output standard = {0}, *output = env->rank == 0 ? &standard : NULL;
    struct fuse_dist_options options = launch->options;
    options.ranks = launch->rank_counts > 0 ? launch->ranks[0] : 0;
    fuse_dist_program *program;
    status = fuse_dist_open(&program, job, launch->program, &options);
    if (program) {
        size_t printed = 0;
        if (status == 0 && options.ranks > 0)
            status = fuse_dist_plan(program);
        if (status == 0)
            print_text(program, output, FUSE_DIST_POLICY);
        print_messages(program, output, &printed);
        fuse_dist_close(program);
    } else if (output) {
        fprintf(stderr, "error: %s\n", fuse_dist_status_text(status));
    }
    fuse_dist_job_close(job);
    int flushed = output ? flush_output(output) : 0;
    return status ? status : flushed;
}

static int help(const struct launch *launch) {
    if (launch->word_count == 0)
        launch_help(stdout);
    for (int i = 0; i < launch->word_count; i++) {
        if (launch_help_topic(stdout, launch->words[i]))
            continue;
        char message[160], hint[160] = "";
        const char *nearest = launch_nearest_topic(launch->words[i]);
        snprintf(message, sizeof message, "there is no help on '%.100s'", launch->words[i]);
        if (nearest)
            snprintf(hint, sizeof hint, "did you mean '%s'?", nearest);
        complain(message, hint);
        return USAGE;
    }
    return 0;
}

/* ---- start ---- */

static uint64_t hash_arguments(int argc, char **argv) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a, ends of words included */
    for (int i = 1; i < argc; i++) {
        for (const char *at = argv[i];; at++) {
            hash = (hash ^ (unsigned char)*at) * 1099511628211u;
            if (!*at)
                break;
        }
    }
    return hash;
}

int main(int argc, char **argv) {
    /* A reader of our output that goes away ends the output, not a run that has files to write. */
    signal(SIGPIPE, SIG_IGN);
    struct environment env = environment_read();
    uint64_t arguments = hash_arguments(argc, argv); /* before parsing cuts them */
    struct launch launch;
    launch_parse(&launch, argc, argv);
    if (!launch.options.threads)
        launch.options.threads = env.threads;
    const char *isa = launch.options.isa ? launch.options.isa : env.isa;
    launch.options.isa = isa && strcmp(isa, "auto") == 0 ? NULL : isa;
    launch.options.fault = env.fault;
    if (!launch.options.weights_cache && env.weights_cache[0])
        launch.options.weights_cache = env.weights_cache;
    launch.options.s3_key = env.s3_key;
    launch.options.s3_secret = env.s3_secret;
    launch.options.s3_token = env.s3_token;
    launch.options.s3_region = env.s3_region;
    launch.options.s3_endpoint = env.s3_endpoint;
    launch.options.scratch = env.scratch;
    launch.options.node_memory_bytes = env.node_memory_bytes;

    int status = 0;
    bool is_run = launch.command == LAUNCH_RUN || launch.command == LAUNCH_CONVERT || launch.command == LAUNCH_PACK ||
                  launch.command == LAUNCH_INFO || launch.command == LAUNCH_CALIBRATE || launch.command == LAUNCH_BENCH;
    if (is_run || launch.error[0]) {
        status = run(&launch, &env, arguments);
    } else if (launch.command == LAUNCH_PLAN) {
        status = plan(&launch, &env);
    } else if (launch.command == LAUNCH_CHECK) {
        status = check(&launch, &env);
    } else if (launch.command == LAUNCH_POLICIES) {
        status = policies(&launch, &env);
    } else if (env.rank == 0) {
        struct output output = {0};
        if (launch.command == LAUNCH_HELP)
            status = help(&launch);
        else if (launch.json)
            write_output(&output, fuse_dist_version_json());
        else
            printf("fuse-dist %s\n", fuse_dist_version());
        int flushed = flush_output(&output);
        status = status ? status : flushed;
    }
    launch_close(&launch);
    return status;
}
