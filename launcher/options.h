/* The command line. */
#ifndef FUSE_LAUNCHER_OPTIONS_H
#define FUSE_LAUNCHER_OPTIONS_H

#include "api/fuse_dist.h"

#include <stdbool.h>
#include <stdio.h>

enum launch_command {
#define FUSE_COMMAND(NAME, word, usage, help) LAUNCH_##NAME,
#include "launcher/options.def"
#undef FUSE_COMMAND
    LAUNCH_COMMANDS,
    LAUNCH_VERSION = LAUNCH_COMMANDS /* an option that acts as a command */
};

enum launch_option {
#define FUSE_OPTION(NAME, word, letter, kind, argument, commands, help) LAUNCH_OPTION_##NAME,
#include "launcher/options.def"
#undef FUSE_OPTION
    LAUNCH_OPTIONS
};

enum launch_kind {
    LAUNCH_FLAG,
    LAUNCH_CHOICE,
    LAUNCH_COUNT,
    LAUNCH_COUNT_OR_0,
    LAUNCH_COUNTS,
    LAUNCH_SIZE,
    LAUNCH_SIZE_OR_0,
    LAUNCH_TEXT,
    LAUNCH_DEFINE,
    LAUNCH_INCLUDE
};

enum { LAUNCH_EXPERT = 1 << 30 }; /* a bit of launch_option_row.commands: an option that few need */

struct launch_option_row {
    const char *word; /* without "--" */
    char letter;      /* '\0': none */
    enum launch_kind kind;
    const char *argument; /* NULL: none */
    unsigned commands;    /* bit c: goes with command c; LAUNCH_EXPERT */
    const char *help;
};

struct launch_command_row {
    const char *word, *usage, *help;
};

extern const struct launch_option_row launch_options[LAUNCH_OPTIONS];
extern const struct launch_command_row launch_commands[LAUNCH_COMMANDS];

#define LAUNCH_MAX_COUNTS 64

struct launch {
    enum launch_command command;
    const char *program; /* RUN, PLAN; CHECK: the first */
    char **plain;        /* owned: the words that are no options */
    char **words; /* of them: programs of CHECK, files of CONVERT and INFO, topics of HELP, what BENCH measures */
    int word_count;
    struct fuse_dist_options options;     /* without ranks */
    struct fuse_dist_define *defines;     /* owned; options.define points to it */
    struct fuse_dist_define *inputs;      /* owned; options.input points to it */
    struct fuse_dist_define *adapters;    /* owned; options.adapter points to it */
    const char **queries;                 /* owned; options.query points to it */
    const char **counts;                  /* owned; options.count points to it */
    struct fuse_dist_question *questions; /* owned; options.question points to it */
    const char **includes;                /* owned; options.include points to it */
    int ranks[LAUNCH_MAX_COUNTS];         /* PLAN, BENCH */
    int rank_counts;
    const char *pack;             /* PACK: the file to write */
    int64_t pack_below;           /* .. bytes of sources in it */
    struct fuse_dist_bench bench; /* BENCH, without words, ranks and json */
    const char *progress;         /* NULL: auto */
    const char *dump;             /* NULL: run the program */
    const char *format;           /* PLAN: NULL: text */
    bool explain, times, json;
    char error[512]; /* what is wrong with the command line, "" when nothing is: then nothing else counts */
    char hint[256];
};

/* Reads argv, which must live as long as *out and is cut at the '=' of definitions. launch_close afterwards. */
void launch_parse(struct launch *out, int argc, char **argv);
void launch_close(struct launch *launch);

/* Writes the help text. */
void launch_help(FILE *to);
/* Writes what is known of a command, an option, a function of the language, or "builtins". false: of nothing so named. */
bool launch_help_topic(FILE *to, const char *topic);
/* The nearest name of a topic, NULL when none is near. */
const char *launch_nearest_topic(const char *topic);

#endif
