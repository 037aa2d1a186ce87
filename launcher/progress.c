#include "launcher/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const char erase[] = "\r\033[K";

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool is_started, stop, is_known;
    enum progress_kind kind;
    struct timespec start;
    struct fuse_dist_progress now;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static volatile sig_atomic_t is_shown;

enum progress_kind progress_choose(const char *word, bool is_terminal) {
    if (!word || strcmp(word, "auto") == 0)
        return is_terminal ? PROGRESS_BAR : PROGRESS_LINES;
    return strcmp(word, "bar") == 0 ? PROGRESS_BAR : strcmp(word, "lines") == 0 ? PROGRESS_LINES : PROGRESS_OFF;
}

double progress_first(enum progress_kind kind) {
    return kind == PROGRESS_BAR ? 2 : 10;
}

double progress_interval(enum progress_kind kind) {
    return kind == PROGRESS_BAR ? 0.5 : 10;
}

/* ---- text ---- */

static void add_time(char *text, size_t bytes, double seconds) {
    size_t used = strlen(text);
    long long s = seconds < 1e9 ? (long long)(seconds + 0.5) : 1000000000;
    if (s < 60)
        snprintf(text + used, bytes - used, "%lld s", s);
    else if (s < 3600)
        snprintf(text + used, bytes - used, "%lld:%02lld min", s / 60, s % 60);
    else
        snprintf(text + used, bytes - used, "%lld:%02lld h", s / 3600, s / 60 % 60);
}

static void add_text(char *text, size_t bytes, const char *more) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s", more);
}

void progress_text(char *text, size_t bytes, enum progress_kind kind, const struct fuse_dist_progress *now,
                   double seconds, int columns) {
    enum { CELLS = 20 };
    char number[16];
    *text = '\0';
    if (kind == PROGRESS_BAR) {
        char bar[CELLS + 3] = "[";
        int full = (int)(now->fraction * CELLS);
        for (int i = 0; i < CELLS; i++)
            bar[i + 1] = i < full ? '#' : '.';
        bar[CELLS + 1] = ']';
        add_text(text, bytes, bar);
    } else {
        add_text(text, bytes, "progress:");
    }
    snprintf(number, sizeof number, " %3d%% ", (int)(now->fraction * 100));
    add_text(text, bytes, number);
    add_text(text, bytes, now->phase);
    add_text(text, bytes, ", ");
    add_time(text, bytes, seconds);
    if (now->fraction >= 0.01) {
        add_text(text, bytes, ", about ");
        add_time(text, bytes, seconds * (1 - now->fraction) / now->fraction);
        add_text(text, bytes, " left");
    }
    if (now->subject) {
        add_text(text, bytes, ", at ");
        add_text(text, bytes, now->subject);
    }
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == '\177')
            *at = '?';
    if (columns > 0 && strlen(text) > (size_t)columns) {
        while (columns > 0 && ((unsigned char)text[columns] & 0xc0) == 0x80)
            columns--; /* not within a character */
        text[columns] = '\0';
    }
}

/* ---- the thread ---- */

static void write_all(const char *text) {
    for (size_t left = strlen(text); left > 0;) {
        ssize_t n = write(STDERR_FILENO, text, left);
        if (n <= 0)
            return;
        text += n;
        left -= (size_t)n;
    }
}

void progress_wipe(void) {
    if (!is_shown)
        return;
    is_shown = 0;
    write_all(erase);
}

static int count_columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

static double since_start(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - state.start.tv_sec) + 1e-9 * (double)(now.tv_nsec - state.start.tv_nsec);
}

static void report(void) {
    char text[512], line[sizeof text + 8];
    bool is_bar = state.kind == PROGRESS_BAR;
    progress_text(text, sizeof text, state.kind, &state.now, since_start(), is_bar ? count_columns() : 0);
    snprintf(line, sizeof line, "%s%s%s", is_bar ? erase : "", text, is_bar ? "" : "\n");
    is_shown = is_bar;
    write_all(line);
}

static void *report_regularly(void *unused) {
    (void)unused;
    double next = progress_first(state.kind);
    pthread_mutex_lock(&state.lock);
    while (!state.stop) {
        struct timespec until = state.start;
        until.tv_sec += (time_t)next;
        until.tv_nsec += (long)((next - (double)(time_t)next) * 1e9);
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&state.stopped, &state.lock, &until);
        double now = since_start();
        if (state.stop || now < next)
            continue;
        if (state.is_known)
            report();
        while (next <= now)
            next += progress_interval(state.kind);
    }
    pthread_mutex_unlock(&state.lock);
    return NULL;
}

void progress_start(enum progress_kind kind) {
    pthread_condattr_t attributes;
    sigset_t all, before;
    if (kind == PROGRESS_OFF || state.is_started)
        return;
    state.kind = kind;
    state.stop = state.is_known = false;
    clock_gettime(CLOCK_MONOTONIC, &state.start);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&state.stopped, &attributes);
    pthread_condattr_destroy(&attributes);
    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    state.is_started = pthread_create(&state.thread, NULL, report_regularly, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_note(void *context, const struct fuse_dist_progress *now) {
    (void)context;
    pthread_mutex_lock(&state.lock);
    state.now = *now;
    state.is_known = true;
    pthread_mutex_unlock(&state.lock);
}

void progress_hold(void) {
    pthread_mutex_lock(&state.lock);
    progress_wipe();
}

void progress_release(void) {
    pthread_mutex_unlock(&state.lock);
}

void progress_stop(void) {
    if (!state.is_started)
        return;
    pthread_mutex_lock(&state.lock);
    state.stop = true;
    pthread_cond_signal(&state.stopped);
    pthread_mutex_unlock(&state.lock);
    pthread_join(state.thread, NULL);
    pthread_cond_destroy(&state.stopped);
    state.is_started = false;
    progress_wipe();
}
