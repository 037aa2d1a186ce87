/* Reading ahead and writing behind. One thread takes requests in the order in which they were made, so that what is read into a
 * half of a buffer has waited for what was to be written from it. It reads and writes files, and does nothing else: no
 * messages, no kernels, no word to the user; failures wait for whoever waits for their request. */
#include "exec/internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define QUEUE 64

struct request {
    int step;
    int64_t turn;
};

struct fuse_exec_background {
    struct fuse_exec *exec;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct request queue[QUEUE];
    int64_t made, done; /* requests, counted from the start; number n is queue[n % QUEUE] */
    int64_t *last;      /* [steps] one more than the number of the step's last request; 0: none */
    bool ends;
    enum fuse_status status; /* the first failure */
    struct fuse_error error;
};

static void *serve(void *context) {
    struct fuse_exec_background *b = context;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (b->done == b->made && !b->ends)
            pthread_cond_wait(&b->changed, &b->lock);
        if (b->done == b->made)
            break;
        struct request request = b->queue[b->done % QUEUE];
        bool fails = b->status != FUSE_OK;
        pthread_mutex_unlock(&b->lock);
        struct fuse_error err = {0};
        enum fuse_status status =
            fails ? FUSE_OK
                  : fuse_exec_transfer_file(b->exec, &b->exec->plan->steps.at[request.step], request.turn, &err);
        pthread_mutex_lock(&b->lock);
        if (status != FUSE_OK) {
            b->status = status;
            b->error = err;
        }
        b->done++;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* Signals are for the thread that was there first. */
static bool start_thread(struct fuse_exec_background *b) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&b->thread, NULL, serve, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

static struct fuse_exec_background *open_background(struct fuse_exec *exec) {
    struct fuse_exec_background *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->exec = exec;
    b->last = calloc((size_t)exec->plan->steps.n + 1, sizeof *b->last);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    if (b->last && start_thread(b))
        return b;
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b->last);
    free(b);
    return NULL;
}

void fuse_exec_background_start(struct fuse_exec *exec, const struct fuse_step *step, int64_t turn) {
    struct fuse_error err = {0};
    enum fuse_status status = exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &err);
    if (status == FUSE_OK && fuse_exec_fault(exec, step->kind == FUSE_STEP_READ ? FUSE_FAULT_READ : FUSE_FAULT_WRITE))
        status = fuse_exec_planted(exec, step, &err);
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, &err);
    if (exec->status != FUSE_OK)
        return;
    if (!exec->background && !(exec->background = open_background(exec))) {
        fuse_exec_fail(exec, fuse_fail(&err, FUSE_EMEMORY, "no memory for a thread that reads and writes files"), &err);
        return;
    }
    struct fuse_exec_background *b = exec->background;
    pthread_mutex_lock(&b->lock);
    while (b->made - b->done == QUEUE)
        pthread_cond_wait(&b->changed, &b->lock);
    b->queue[b->made % QUEUE] = (struct request){(int)(step - exec->plan->steps.at), turn};
    b->last[step - exec->plan->steps.at] = ++b->made;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void wait_for(struct fuse_exec *exec, int64_t made) {
    struct fuse_exec_background *b = exec->background;
    pthread_mutex_lock(&b->lock);
    while (b->done < made)
        pthread_cond_wait(&b->changed, &b->lock);
    enum fuse_status status = b->status;
    pthread_mutex_unlock(&b->lock);
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, &b->error); /* which is not written again */
}

void fuse_exec_background_wait(struct fuse_exec *exec, const struct fuse_step *step) {
    if (exec->background)
        wait_for(exec, exec->background->last[step - exec->plan->steps.at]);
}

void fuse_exec_background_drain(struct fuse_exec *exec) {
    if (exec->background)
        wait_for(exec, exec->background->made);
}

void fuse_exec_background_close(struct fuse_exec *exec) {
    struct fuse_exec_background *b = exec->background;
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->ends = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b->last);
    free(b);
    exec->background = NULL;
}
