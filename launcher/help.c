#include "launcher/options.h"

#include <string.h>

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
