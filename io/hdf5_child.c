#include "io/hdf5_child.h"

#include "io/child_process.h"
#include "io/rawfile.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a question may cost, at least; more when it is about many bytes. Facts of a good file take milliseconds. */
enum { CPU_SECONDS = 5, WALL_SECONDS = 60, CPU_BYTES_A_SECOND = 8 << 20, WALL_BYTES_A_SECOND = 1 << 20 };
/* Memory beyond what this process has: libhdf5's caches, and chunks packed and unpacked. */
enum { FREE_BYTES = 192 << 20, COPIES_OF_A_CHUNK = 5 };

struct question {
    int64_t offset, bytes; /* where in the shared memory */
    bool is_for_places;    /* of chunks, not for elements */
    struct fuse_box box;
};

struct answer {
    enum fuse_status status;
    struct fuse_error error;
    struct fuse_hdf5_facts facts; /* of the first */
    int64_t read_bytes;           /* from files, for this answer */
};

struct fuse_hdf5_child {
    struct fuse_child process;
    char *path;
    char *mapped;
    size_t slot_bytes; /* of each slot, of which there are FUSE_HDF5_SLOTS in `mapped` */
    size_t asked_bytes[FUSE_HDF5_SLOTS];
    int64_t questions, answers; /* so far; question n has slot n % FUSE_HDF5_SLOTS */
};

/* ---- the child's side ---- */

struct errand {
    const char *path, *part;
};

static void allow_memory(const struct fuse_hdf5_facts *facts) {
    int64_t chunk = facts ? (int64_t)fuse_dtype_bytes((enum fuse_dtype)facts->dtype) : 0;
    for (int64_t a = 0; facts && a < facts->rank; a++)
        chunk = fuse_sat_mul(chunk, facts->chunk[a]);
    fuse_child_allow_memory(fuse_sat_add(FREE_BYTES, fuse_sat_mul(COPIES_OF_A_CHUNK, chunk) / 2));
}

static int64_t count_read(void) {
    long long bytes = 0;
    FILE *file = fopen("/proc/self/io", "r");
    if (!file)
        return 0;
    if (fscanf(file, "rchar: %lld", &bytes) != 1)
        bytes = 0;
    fclose(file);
    return bytes;
}

static bool send_answer(int socket, struct answer *answer, int64_t *read_before) {
    int64_t now = count_read();
    answer->read_bytes = now - *read_before;
    *read_before = now;
    return fuse_child_send(socket, answer, sizeof *answer);
}

/* Maps the part of the shared memory that the question names, or keeps the mapping that holds it. */
static char *map_slot(int memory, char **mapped, size_t *mapped_bytes, const struct question *question) {
    size_t end = (size_t)(question->offset + question->bytes);
    if (end > *mapped_bytes) {
        if (*mapped)
            munmap(*mapped, *mapped_bytes);
        fuse_child_allow_memory((int64_t)end + FREE_BYTES);
        *mapped = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        *mapped_bytes = end;
        if (*mapped == MAP_FAILED)
            return NULL;
    }
    return *mapped + question->offset;
}

static void serve(int socket, int memory, void *context) {
    const struct errand *errand = context;
    struct fuse_hdf5_look *look;
    struct answer answer = {.status = FUSE_OK};
    struct question question;
    char *mapped = NULL;
    size_t mapped_bytes = 0;
    int64_t read_before = count_read();
    fuse_child_allow_seconds(CPU_SECONDS);
    allow_memory(NULL);
    answer.status = fuse_hdf5_look_open(&look, &answer.facts, errand->path, errand->part, &answer.error);
    struct fuse_hdf5_facts facts = answer.facts;
    while (send_answer(socket, &answer, &read_before) && answer.status == FUSE_OK &&
           recv(socket, &question, sizeof question, 0) == (ssize_t)sizeof question) {
        char *to = map_slot(memory, &mapped, &mapped_bytes, &question);
        if (!to)
            return;
        allow_memory(&facts);
        fuse_child_allow_seconds(CPU_SECONDS + question.bytes / CPU_BYTES_A_SECOND);
        answer = (struct answer){.status = FUSE_OK};
        answer.status = question.is_for_places
                            ? fuse_hdf5_look_find(look, &facts, &question.box, (void *)to, &answer.error)
                            : fuse_hdf5_look_read(look, &question.box, to, &answer.error);
    }
}

/* ---- this side ---- */

void fuse_hdf5_child_close(struct fuse_hdf5_child *child) {
    if (!child)
        return;
    fuse_child_end(&child->process);
    if (child->mapped)
        munmap(child->mapped, FUSE_HDF5_SLOTS * child->slot_bytes);
    free(child->path);
    free(child);
}

/* It ended without an answer: why. */
static enum fuse_status fail_ended(const struct fuse_hdf5_child *child, int number, struct fuse_error *err) {
    if (number == SIGXCPU)
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: looking at it took more than %d seconds of processor time",
                  child->path, CPU_SECONDS);
    else if (number > 0)
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: the HDF5 library crashes on it (signal %d, %s)", child->path,
                  number, sigabbrev_np(number) ? sigabbrev_np(number) : "unknown");
    else
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: the process that looked at it ended without an answer",
                  child->path);
    fuse_hint(err, "copy or write the file again");
    return FUSE_EINPUT;
}

static enum fuse_status wait_answer(struct fuse_hdf5_child *child, struct answer *answer, size_t bytes,
                                    struct fuse_error *err) {
    int64_t seconds = WALL_SECONDS + (int64_t)bytes / WALL_BYTES_A_SECOND;
    int number;
    switch (fuse_child_receive(&child->process, answer, sizeof *answer, seconds, &number)) {
    case FUSE_CHILD_ANSWERED: break;
    case FUSE_CHILD_ENDED: return fail_ended(child, number, err);
    case FUSE_CHILD_SILENT:
        fuse_fail(err, FUSE_EINPUT, "%s: nothing was heard for %lld seconds about what it holds", child->path,
                  (long long)seconds);
        fuse_hint(err, "it is damaged, or its file system does not answer");
        return FUSE_EINPUT;
    }
    fuse_rawfile_count_read(answer->read_bytes);
    if (answer->status != FUSE_OK)
        *err = answer->error;
    return answer->status;
}

enum fuse_status fuse_hdf5_child_open(struct fuse_hdf5_child **out, struct fuse_hdf5_facts *facts, const char *path,
                                      const char *part, struct fuse_error *err) {
    struct fuse_hdf5_child *child = calloc(1, sizeof *child);
    if (child)
        child->path = strdup(path);
    if (!child || !child->path) {
        free(child);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    struct answer answer;
    struct errand errand = {.path = path, .part = part};
    char what[256];
    snprintf(what, sizeof what, "look at %s", path);
    enum fuse_status st = fuse_child_start(&child->process, serve, &errand, what, err);
    if (st == FUSE_OK)
        st = wait_answer(child, &answer, 0, err);
    if (st != FUSE_OK) {
        fuse_hdf5_child_close(child);
        return st;
    }
    *facts = answer.facts;
    *out = child;
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_child_reserve(struct fuse_hdf5_child *child, size_t bytes, struct fuse_error *err) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), slot = (bytes + page - 1) / page * page;
    if (slot <= child->slot_bytes)
        return FUSE_OK;
    if (child->mapped)
        munmap(child->mapped, FUSE_HDF5_SLOTS * child->slot_bytes);
    child->slot_bytes = slot;
    child->mapped = NULL;
    void *mapped = MAP_FAILED;
    if (ftruncate(child->process.memory, (off_t)(FUSE_HDF5_SLOTS * slot)) == 0)
        mapped = mmap(NULL, FUSE_HDF5_SLOTS * slot, PROT_READ | PROT_WRITE, MAP_SHARED, child->process.memory, 0);
    if (mapped == MAP_FAILED)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a chunk of %zu bytes of %s", bytes, child->path);
    child->mapped = mapped;
    return FUSE_OK;
}

static void ask(struct fuse_hdf5_child *child, const struct fuse_box *box, size_t bytes, bool is_for_places) {
    int slot = (int)(child->questions++ % FUSE_HDF5_SLOTS);
    struct question question = {.offset = (int64_t)((size_t)slot * child->slot_bytes),
                                .bytes = (int64_t)bytes,
                                .is_for_places = is_for_places,
                                .box = *box};
    child->asked_bytes[slot] = bytes;
    /* That it has ended shows when the answer is waited for. */
    (void)fuse_child_send(child->process.socket, &question, sizeof question);
}

void fuse_hdf5_child_ask(struct fuse_hdf5_child *child, const struct fuse_box *box, size_t bytes) {
    ask(child, box, bytes, false);
}

enum fuse_status fuse_hdf5_child_answer(struct fuse_hdf5_child *child, const void **elements, struct fuse_error *err) {
    struct answer answer;
    int slot = (int)(child->answers++ % FUSE_HDF5_SLOTS);
    FUSE_TRY(wait_answer(child, &answer, child->asked_bytes[slot], err));
    *elements = child->mapped + (size_t)slot * child->slot_bytes;
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_child_find(struct fuse_hdf5_child *child, const struct fuse_box *places,
                                      const struct fuse_hdf5_place **to, struct fuse_error *err) {
    size_t bytes = (size_t)fuse_box_elems(places) * sizeof **to;
    const void *answer;
    FUSE_TRY(fuse_hdf5_child_reserve(child, bytes, err));
    ask(child, places, bytes, true);
    FUSE_TRY(fuse_hdf5_child_answer(child, &answer, err));
    *to = answer;
    return FUSE_OK;
}
