#include "launcher/options.h"

#include <string.h>
#include <strings.h>

enum { COLUMN = 30, WIDTH = 100 };

/* Words of `text` from a column on, in lines that end before WIDTH. */
static void write_wrapped(FILE *to, const char *text) {
    int at = COLUMN;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (at > COLUMN && at + 1 + n > WIDTH) {
            fprintf(to, "\n%*s", COLUMN, "");
            at = COLUMN;
        }
        fprintf(to, "%s%.*s", at > COLUMN ? " " : "", n, text);
        at += n + (at > COLUMN);
        text += n + (text[n] == ' ');
    }
    fputc('\n', to);
}

static void write_option(FILE *to, const struct launch_option_row *row) {
    char left[64];
    int n = 0;
    if (row->letter && row->kind != LAUNCH_FLAG)
        n = snprintf(left, sizeof left, "  -%c %s", row->letter, row->argument);
    else
        n = snprintf(left, sizeof left, "  --%s%s%s", row->word,
                     !row->argument               ? ""
                     : row->kind == LAUNCH_CHOICE ? "="
                                                  : " ",
                     row->argument ? row->argument : "");
    if (row->letter && row->kind != LAUNCH_FLAG)
        n += snprintf(left + n, sizeof left - (size_t)n, ", --%s", row->word);
    else if (row->letter)
        n += snprintf(left + n, sizeof left - (size_t)n, ", -%c", row->letter);
    fprintf(to, "%-*s", COLUMN, left);
    if (n >= COLUMN)
        fprintf(to, "\n%*s", COLUMN, "");
    write_wrapped(to, row->help);
}

static void write_options(FILE *to, bool expert) {
    for (int i = 0; i < LAUNCH_OPTIONS; i++) {
        if (((launch_options[i].commands & LAUNCH_EXPERT) != 0) == expert)
            write_option(to, &launch_options[i]);
    }
}

void launch_help(FILE *to) {
    for (int i = 0; i < LAUNCH_COMMANDS; i++) {
        fprintf(to, "%s fuse-dist %s\n", i ? "      " : "usage:", launch_commands[i].usage);
        fprintf(to, "           %s\n", launch_commands[i].help);
    }
    fprintf(to, "\nA job of several ranks is started by mpirun or srun: mpirun -n 8 fuse-dist PROG\n\noptions\n");
    write_options(to, false);
    fprintf(to, "  %-*s", COLUMN - 2, "--");
    write_wrapped(to, "what follows is no option");
    fprintf(to, "\nexpert options: they change how a program is planned, never what it computes\n");
    write_options(to, true);
    fprintf(to, "\nexit status, the same on every rank\n");
    for (int status = 0; status < 128; status++) {
        const char *text = fuse_dist_status_text(status);
        if (strcmp(text, fuse_dist_status_text(-1)) != 0)
            fprintf(to, "  %3d  %s\n", status, text);
    }
}

/* ---- one thing ---- */

static void write_command(FILE *to, int command) {
    fprintf(to, "usage: fuse-dist %s\n           %s\n\noptions\n", launch_commands[command].usage,
            launch_commands[command].help);
    for (int i = 0; i < LAUNCH_OPTIONS; i++)
        if (launch_options[i].commands & 1u << command)
            write_option(to, &launch_options[i]);
}

static void write_commands_of(FILE *to, const struct launch_option_row *row) {
    fprintf(to, "  %-*s", COLUMN - 2, "goes with");
    for (int c = 0; c < LAUNCH_COMMANDS; c++)
        if (row->commands & 1u << c)
            fprintf(to, "%s%s", row->commands & ((1u << c) - 1) ? " " : "", launch_commands[c].word);
    fputc('\n', to);
}

static void write_builtin(FILE *to, const struct fuse_dist_builtin *builtin) {
    char left[128];
    int n = snprintf(left, sizeof left, "  %s(%s)", builtin->name, builtin->signature);
    fprintf(to, "%-*s", COLUMN, left);
    if (n >= COLUMN)
        fprintf(to, "\n%*s", COLUMN, "");
    write_wrapped(to, builtin->doc);
    if (!builtin->runs)
        fprintf(to, "%*s(cannot be run yet)\n", COLUMN, "");
}

static void write_builtins(FILE *to) {
    struct fuse_dist_builtin builtin;
    const char *group = "";
    for (int i = 0; fuse_dist_builtin(&builtin, i); i++) {
        if (strcmp(builtin.group, group) != 0)
            fprintf(to, "%s%s; axes of the result: %s\n", *group ? "\n" : "", builtin.group, builtin.axes);
        group = builtin.group;
        write_builtin(to, &builtin);
    }
}

static bool write_function(FILE *to, const char *name) {
    struct fuse_dist_builtin builtin;
    bool found = false;
    for (int i = 0; fuse_dist_builtin(&builtin, i); i++) {
        if (strcasecmp(builtin.name, name) != 0)
            continue;
        found = true;
        write_builtin(to, &builtin);
        fprintf(to, "  %-*s%s\n  %-*s%s\n", COLUMN - 2, "axes of the result", builtin.axes, COLUMN - 2, "its type",
                builtin.type);
    }
    return found;
}

bool launch_help_topic(FILE *to, const char *topic) {
    if (strcmp(topic, "builtins") == 0) {
        write_builtins(to);
        return true;
    }
    for (int c = 0; c < LAUNCH_COMMANDS; c++) {
        if (strcmp(launch_commands[c].word, topic) == 0) {
            write_command(to, c);
            return true;
        }
    }
    const char *word = topic + strspn(topic, "-");
    for (int i = 0; i < LAUNCH_OPTIONS; i++) {
        const struct launch_option_row *row = &launch_options[i];
        if (strcmp(row->word, word) != 0 && !(row->letter && word[0] == row->letter && !word[1] && word > topic))
            continue;
        write_option(to, row);
        write_commands_of(to, row);
        return true;
    }
    return write_function(to, topic);
}
