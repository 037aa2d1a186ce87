#include "io/hdf5_errand.h"

#include "io/child_process.h"
#include "io/hdf5_reason.h"
#include "io/rawfile.h"

#include <hdf5.h>
#include <stdio.h>

struct errand {
    enum fuse_status (*work)(void *context, struct fuse_error *err);
    void *context;
    void *out;
    size_t bytes;
    const char *path;
};

struct outcome {
    enum fuse_status status;
    struct fuse_error error;
};

enum fuse_status fuse_hdf5_fail_write(const char *path, enum fuse_status failure, struct fuse_error *err) {
    struct fuse_hdf5_reason reason = fuse_hdf5_last_reason();
    if (failure == FUSE_EIO)
        fuse_fail(err, FUSE_EIO, "writing %s failed: %s", path, reason.text);
    else
        fuse_fail(err, failure, "cannot write %s: %s", path, reason.text);
    fuse_rawfile_hint_room(reason.code, err);
    return failure;
}

/* What it leaves goes through the shared memory: it may be of any size. */
static void run(int socket, int memory, void *context) {
    const struct errand *errand = context;
    struct outcome outcome = {.status = FUSE_OK};
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    outcome.status = errand->work(errand->context, &outcome.error);
    if (outcome.status == FUSE_OK)
        outcome.status = fuse_rawfile_write(memory, errand->out, errand->bytes, 0, errand->path, &outcome.error);
    (void)fuse_child_send(socket, &outcome, sizeof outcome);
}

enum fuse_status fuse_hdf5_errand(enum fuse_status (*work)(void *context, struct fuse_error *err), void *context,
                                  void *out, size_t bytes, const char *path, int64_t seconds, enum fuse_status failure,
                                  struct fuse_error *err) {
    struct errand errand = {.work = work, .context = context, .out = out, .bytes = bytes, .path = path};
    struct outcome outcome;
    struct fuse_child child;
    char what[256];
    int number;
    snprintf(what, sizeof what, "write %s", path);
    FUSE_TRY(fuse_child_start(&child, run, &errand, what, err));
    enum fuse_status st;
    switch (fuse_child_receive(&child, &outcome, sizeof outcome, seconds, &number)) {
    case FUSE_CHILD_ANSWERED:
        st = outcome.status;
        if (st != FUSE_OK)
            *err = outcome.error;
        break;
    case FUSE_CHILD_SILENT:
        st = fuse_fail(err, failure, "cannot write %s: its file system does not answer", path);
        break;
    default:
        st = fuse_fail(err, failure, "cannot write %s: the HDF5 library failed to make it (signal %d)", path, number);
        fuse_hint(err, "is the disk full, or a limit of file sizes reached?");
    }
    if (st == FUSE_OK)
        st = fuse_rawfile_read(child.memory, out, bytes, 0, path, err);
    fuse_child_end(&child);
    return st;
}
