#include "launcher/signals.h"

#include "launcher/progress.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A handler can reach static data only. Slots are filled and emptied with the signals blocked. */
static char **temporary;
static size_t slots;

/* Those that end a run: sent by people, by a terminal that closes, by a batch system before the time limit (USR1, USR2:
 * srun and mpirun pass them on), by a limit on processor time. */
static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};

/* A folder goes once it is empty: another round as long as something went. */
void signals_remove(void) {
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < slots; i++)
            if (temporary[i])
                again |= unlink(temporary[i]) == 0 || rmdir(temporary[i]) == 0;
    }
}

static void remove_and_die(int number) {
    progress_wipe();
    signals_remove();
    /* The default action is back (SA_RESETHAND): end as if nobody had caught it. */
    raise(number);
}

static void block(sigset_t *before) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        sigaddset(&set, caught[i]);
    sigprocmask(SIG_BLOCK, &set, before);
}

void signals_catch(void) {
    struct sigaction action = {.sa_handler = remove_and_die, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
        struct sigaction old;
        /* A signal that whoever started us wants ignored (nohup) stays ignored. */
        if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(caught[i], &action, NULL);
    }
}

static size_t find_slot(const char *path) {
    size_t i = 0;
    while (i < slots && !(temporary[i] ? path && strcmp(temporary[i], path) == 0 : !path))
        i++;
    return i;
}

void signals_keep(void *context, const char *path, int exists) {
    (void)context;
    sigset_t before;
    block(&before);
    size_t i = find_slot(exists ? NULL : path);
    if (exists && i == slots) {
        char **more = realloc(temporary, (slots + 1) * sizeof *more);
        if (more) {
            temporary = more;
            temporary[slots++] = NULL;
        }
    }
    if (i < slots) {
        free(temporary[i]);
        temporary[i] = exists ? strdup(path) : NULL;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}
