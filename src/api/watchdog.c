#include "api/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TURN_SECONDS 2 /* a rank speaks so much later than the one before it */
#define MOST_TURNS 15
/* Seconds between two looks, of which there is one a second: after more this rank was stopped itself. */
#define MOST_GAP 2

struct fuse_watchdog {
    const struct fuse_comm *comm;
    int64_t seconds;
    void (*stalled)(void *context, const char *message, const char *hint);
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t closing;
    bool closed;
};

static void tell(const struct fuse_watchdog *w, int64_t waited) {
    char message[512], host[64] = "", whom[64] = "the other ranks", what[192] = "";
    int peer = atomic_load(&w->comm->wait.peer);
    const char *subject = atomic_load(&w->comm->wait.at_work_for);
    gethostname(host, sizeof host - 1);
    if (peer >= 0)
        snprintf(whom, sizeof whom, "a message of rank %d", peer);
    if (subject)
        snprintf(what, sizeof what, ", at work on '%.150s'", subject);
    snprintf(message, sizeof message,
             "rank %d on %s has waited %lld seconds for %s%s: it is stopped, lost or very late", w->comm->rank, host,
             (long long)waited, whom, what);
    w->stalled(w->context, message, "--stall-timeout SECONDS sets how long a rank waits; 0: for ever");
}

static void *watch(void *argument) {
    struct fuse_watchdog *w = argument;
    int turns = w->comm->rank < MOST_TURNS ? w->comm->rank : MOST_TURNS;
    int64_t patience = w->seconds + (int64_t)turns * TURN_SECONDS;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t looked = now.tv_sec, resumed = 0;
    bool told = false;
    pthread_mutex_lock(&w->mutex);
    while (!w->closed) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > looked + MOST_GAP)
            resumed = now.tv_sec;
        looked = now.tv_sec;
        int64_t since = atomic_load(&w->comm->wait.since_ns);
        int64_t began = since / 1000000000 > resumed ? since / 1000000000 : resumed;
        int64_t waited = since > 0 ? now.tv_sec - began : 0;
        if (waited >= patience && !told) {
            told = true;
            tell(w, waited);
        }
        now.tv_sec++;
        pthread_cond_timedwait(&w->closing, &w->mutex, &now);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* Signals are for the main thread. */
static int start_thread(struct fuse_watchdog *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    int failed = pthread_create(&w->thread, &small, watch, w);
    pthread_attr_destroy(&small);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum fuse_status fuse_watchdog_open(struct fuse_watchdog **out, const struct fuse_comm *comm, int64_t seconds,
                                    void (*stalled)(void *context, const char *message, const char *hint),
                                    void *context, struct fuse_error *err) {
    struct fuse_watchdog *w = calloc(1, sizeof *w);
    if (!w)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a watchdog");
    *w = (struct fuse_watchdog){.comm = comm, .seconds = seconds, .stalled = stalled, .context = context};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->closing, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->mutex, NULL);
    if (start_thread(w) != 0) {
        pthread_cond_destroy(&w->closing);
        pthread_mutex_destroy(&w->mutex);
        free(w);
        return fuse_fail(err, FUSE_EFAILED, "cannot start a thread");
    }
    *out = w;
    return FUSE_OK;
}

void fuse_watchdog_close(struct fuse_watchdog *w) {
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->closed = true;
    pthread_cond_signal(&w->closing);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->closing);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
