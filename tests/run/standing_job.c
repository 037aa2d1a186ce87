/* The launcher's main, called again and again in one MPI job: a start of ranks costs more than most tests do. Everything but the
 * start and the end of the process is as in fuse-dist, whose sources this is made of: each call reads its command line and
 * joins a job of its own.
 *
 * usage: standing_job FOLDER        under mpirun, by tests/run/launch.py
 *
 * A rank reads lines from the pipe FOLDER/ask.RANK, until that is closed: each is a folder with a file `request`, of words that
 * end in NUL: where to run, how many variables of the environment are set, those as NAME=VALUE, the command line. What the rank
 * prints goes to the files out.RANK and err.RANK there, and "RANK STATUS" to the pipe FOLDER/answers. */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int launcher_main(int argc, char **argv); /* launcher/main.c */

enum { MOST_WORDS = 256 };

static _Noreturn void give_up(const char *what) {
    perror(what);
    MPI_Abort(MPI_COMM_WORLD, 99);
    abort();
}

static int open_or_die(const char *folder, const char *name, int rank, int flags) {
    char path[PATH_MAX];
    if (rank >= 0)
        snprintf(path, sizeof path, "%s/%s.%d", folder, name, rank);
    else
        snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC, 0666);
    if (fd < 0)
        give_up(path);
    return fd;
}

/* All words of a request, the last followed by NULL; to be freed, as word[0] is. */
static char **read_words(const char *folder, int *count) {
    int fd = open_or_die(folder, "request", -1, O_RDONLY);
    struct stat facts;
    if (fstat(fd, &facts) != 0)
        give_up("request");
    size_t bytes = (size_t)facts.st_size;
    char *text = calloc(bytes + 1, 1), **words = calloc(MOST_WORDS + 1, sizeof *words);
    if (!text || !words || read(fd, text, bytes) != (ssize_t)bytes)
        give_up("request");
    close(fd);
    *count = 0;
    for (char *at = text; at < text + bytes; at += strlen(at) + 1) {
        if (*count == MOST_WORDS)
            give_up("a request of too many words");
        words[(*count)++] = at;
    }
    return words;
}

/* Puts a file in the place of a standard stream; returns what that was. */
static int redirect(int stream, const char *folder, const char *name, int rank) {
    int before = fcntl(stream, F_DUPFD_CLOEXEC, 3), fd = open_or_die(folder, name, rank, O_WRONLY | O_CREAT | O_APPEND);
    if (before < 0 || dup2(fd, stream) < 0)
        give_up(name);
    close(fd);
    return before;
}

static void restore(int stream, int before) {
    if (dup2(before, stream) < 0)
        give_up("a standard stream");
    close(before);
}

/* A library that was preloaded to watch one run (tests/fault/io_shim.c) learns that another begins. */
static void tell_shim(void) {
    void (*begin)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "io_shim_begin");
    if (begin)
        begin();
}

static int serve(const char *folder, int rank) {
    int count;
    char **words = read_words(folder, &count);
    int settings = count > 1 ? atoi(words[1]) : 0;
    if (settings < 0 || count < 3 + settings || chdir(words[0]) != 0)
        give_up(folder);
    for (int i = 2; i < 2 + settings; i++) {
        char *equals = strchr(words[i], '=');
        *equals = '\0';
        setenv(words[i], equals + 1, 1);
    }
    int out = redirect(STDOUT_FILENO, folder, "out", rank), err = redirect(STDERR_FILENO, folder, "err", rank);
    tell_shim();
    int status = launcher_main(count - 2 - settings, words + 2 + settings);
    fflush(NULL);
    restore(STDOUT_FILENO, out);
    restore(STDERR_FILENO, err);
    for (int i = 2; i < 2 + settings; i++)
        unsetenv(words[i]);
    tell_shim();
    if (chdir("/") != 0)
        give_up("/");
    free(words[0]);
    free(words);
    return status;
}

int main(int argc, char **argv) {
    int level, rank;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (argc != 2 || level < MPI_THREAD_FUNNELED)
        give_up("usage: standing_job FOLDER");
    FILE *asked = fdopen(open_or_die(argv[1], "ask", rank, O_RDONLY), "r");
    int answers = open_or_die(argv[1], "answers", -1, O_WRONLY);
    char line[PATH_MAX + 1];
    while (asked && fgets(line, sizeof line, asked)) {
        line[strcspn(line, "\n")] = '\0';
        int n = snprintf(line, sizeof line, "%d %d\n", rank, serve(line, rank));
        if (write(answers, line, (size_t)n) != n)
            give_up("answers");
    }
    MPI_Finalize();
    return 0;
}
