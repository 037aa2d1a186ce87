#include "io/hdf5_write.h"

#include "io/chunk_blocks.h"
#include "io/hdf5_reason.h"
#include "io/rawfile.h"

#include <errno.h>
#include <hdf5.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Elements of a rank in one collective call; a larger chunk goes as a whole. */
enum { BLOCK_BYTES = 8 << 20 };
/* Room for what libhdf5 writes beside elements. */
enum { INDEX_BYTES = 1 << 20 };

struct writing {
    struct fuse_comm *comm;
    struct fuse_output_file *output;
    hid_t file, transfer;
    char *note;
    size_t note_bytes;
};

/* Inside of libhdf5 this rank waits for the others where the watchdog does not see it otherwise. */
static void wait_for_all(struct fuse_comm *comm, bool waits) {
    struct timespec now = {0};
    if (waits)
        clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&comm->wait.peer, -1);
    atomic_store(&comm->wait.since_ns, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

static enum fuse_status fail_write(const struct writing *writing, struct fuse_error *err) {
    struct fuse_hdf5_reason reason = fuse_hdf5_last_reason();
    enum fuse_status st = fuse_fail(err, FUSE_EIO, "writing %s failed: %s", writing->output->path, reason.text);
    fuse_rawfile_hint_room(reason.code, err);
    return st;
}

/* ---- what became of the wish for collective calls ---- */

static const char *cause_text(uint32_t cause) {
    static const struct {
        uint32_t bit;
        const char *text;
    } causes[] = {
        {H5D_MPIO_DATATYPE_CONVERSION, "a conversion of types"},
        {H5D_MPIO_DATA_TRANSFORMS, "a transformation of data"},
        {H5D_MPIO_MPI_OPT_TYPES_ENV_VAR_DISABLED, "derived MPI types switched off by HDF5_MPI_OPT_TYPES"},
        {H5D_MPIO_NOT_SIMPLE_OR_SCALAR_DATASPACES, "a dataspace that is not simple"},
        {H5D_MPIO_NOT_CONTIGUOUS_OR_CHUNKED_DATASET, "a layout that is neither contiguous nor chunked"},
        {H5D_MPIO_PARALLEL_FILTERED_WRITES_DISABLED, "an MPI library without what filtered writes need"},
        {H5D_MPIO_SET_INDEPENDENT, "independent calls that were asked for"},
    };
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (cause & causes[i].bit)
            return causes[i].text;
    return "a cause that the HDF5 library does not name";
}

/* Says once a member when a call was not collective for all. */
static void note_mode(struct writing *writing, const char *part) {
    H5D_mpio_actual_io_mode_t mode;
    uint32_t local = 0, global = 0;
    size_t used = strlen(writing->note);
    if (used > 0 || H5Pget_mpio_actual_io_mode(writing->transfer, &mode) < 0 || mode == H5D_MPIO_CHUNK_COLLECTIVE ||
        mode == H5D_MPIO_CONTIGUOUS_COLLECTIVE)
        return;
    H5Pget_mpio_no_collective_cause(writing->transfer, &local, &global);
    snprintf(writing->note + used, writing->note_bytes - used, "%s was not written by collective calls throughout: %s",
             part, mode == H5D_MPIO_CHUNK_MIXED ? "some of its chunks were written independently" : cause_text(global));
}

/* ---- one dataset ---- */

static bool write_block(const struct writing *writing, hid_t set, hid_t type, const struct fuse_box *block,
                        const void *from) {
    hsize_t begin[FUSE_MAX_AXES], count[FUSE_MAX_AXES];
    bool is_empty = fuse_box_is_empty(block);
    for (int a = 0; a < block->rank; a++) {
        begin[a] = (hsize_t)block->lo[a];
        count[a] = is_empty ? 1 : (hsize_t)(block->hi[a] - block->lo[a]);
    }
    hid_t file = H5Dget_space(set), memory = H5Screate_simple(block->rank, count, NULL);
    bool is_fine = is_empty ? H5Sselect_none(file) >= 0 && H5Sselect_none(memory) >= 0
                            : H5Sselect_hyperslab(file, H5S_SELECT_SET, begin, NULL, count, NULL) >= 0;
    wait_for_all(writing->comm, writing->comm->size > 1);
    is_fine = H5Dwrite(set, type, memory, file, writing->transfer, from) >= 0 && is_fine;
    wait_for_all(writing->comm, false);
    return is_fine;
}

/* On rank 0, for a round: elements never take more than they do unpacked, and the rest is for their index. */
static enum fuse_status keep_room(const struct writing *writing, const struct fuse_chunk_blocks *blocks,
                                  int64_t elem_bytes, struct fuse_error *err) {
    struct stat now;
    if (writing->comm->rank != 0)
        return FUSE_OK;
    if (fstat(writing->output->fd, &now) != 0)
        return fuse_fail(err, FUSE_EIO, "writing %s failed: %s", writing->output->path, strerror(errno));
    int64_t bytes = fuse_sat_mul(blocks->most_elems * elem_bytes, writing->comm->size);
    return fuse_output_file_keep_room(writing->output, fuse_sat_add(now.st_size, bytes + bytes / 16 + INDEX_BYTES),
                                      err);
}

/* Round by round, every rank one block of chunks, or none in the last. */
static enum fuse_status write_rounds(struct writing *writing, hid_t set, hid_t type, struct fuse_hdf5_chunked *member,
                                     const struct fuse_chunk_blocks *blocks, char *buffer, struct fuse_error *err) {
    struct fuse_comm *comm = writing->comm;
    int rank = blocks->box.rank;
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(member->elements->dtype);
    for (int64_t first = 0; first < blocks->blocks; first += comm->size) {
        enum fuse_status local = keep_room(writing, blocks, elem_bytes, err);
        struct fuse_box block = {.rank = rank};
        FUSE_TRY(fuse_agree(comm, local, err));
        if (first + comm->rank < blocks->blocks) {
            block = fuse_chunk_block(blocks, first + comm->rank);
            struct fuse_view view = fuse_box_view(buffer, member->elements->dtype, &block, false, &block);
            local = fuse_array_read(member->elements, &block, &view, err);
        }
        if (!write_block(writing, set, type, &block, buffer) && local == FUSE_OK)
            local = fail_write(writing, err);
        if (comm->size > 1 && local == FUSE_OK)
            note_mode(writing, member->part);
        FUSE_TRY(fuse_agree(comm, local, err));
    }
    return FUSE_OK;
}

static enum fuse_status write_member(struct writing *writing, struct fuse_hdf5_chunked *member,
                                     struct fuse_error *err) {
    struct fuse_chunk_blocks blocks;
    struct fuse_box full = fuse_box_full(member->elements->rank, member->elements->extent);
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(member->elements->dtype);
    fuse_chunk_blocks_init(&blocks, &full, member->chunk, BLOCK_BYTES / elem_bytes);
    char *buffer = malloc((size_t)(blocks.most_elems * elem_bytes));
    hid_t set = H5Dopen2(writing->file, member->part, H5P_DEFAULT), type = set >= 0 ? H5Dget_type(set) : -1;
    enum fuse_status local = !buffer    ? fuse_fail(err, FUSE_EMEMORY, "no memory to write %s", writing->output->path)
                             : type < 0 ? fail_write(writing, err)
                                        : FUSE_OK;
    enum fuse_status st = fuse_agree(writing->comm, local, err);
    if (st == FUSE_OK)
        st = write_rounds(writing, set, type, member, &blocks, buffer, err);
    H5Tclose(type);
    if (H5Dclose(set) < 0 && st == FUSE_OK)
        st = fail_write(writing, err);
    free(buffer);
    return fuse_agree(writing->comm, st, err);
}

static enum fuse_status open_file(struct writing *writing, struct fuse_error *err) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    bool is_fine = H5Pset_file_locking(access, 0, 1) >= 0;
    writing->transfer = H5Pcreate(H5P_DATASET_XFER);
    if (writing->comm->size > 1) {
        MPI_Comm comm = MPI_Comm_f2c(fuse_comm_mpi_handle(writing->comm));
        is_fine = H5Pset_fapl_mpio(access, comm, MPI_INFO_NULL) >= 0 && is_fine;
        is_fine = H5Pset_dxpl_mpio(writing->transfer, H5FD_MPIO_COLLECTIVE) >= 0 && is_fine;
    }
    writing->file = is_fine ? H5Fopen(writing->output->temporary, H5F_ACC_RDWR, access) : -1;
    enum fuse_status st = writing->file >= 0 ? FUSE_OK : fail_write(writing, err);
    H5Pclose(access);
    return fuse_agree(writing->comm, st, err);
}

enum fuse_status fuse_hdf5_write_chunks(struct fuse_output_file *file, struct fuse_comm *comm,
                                        struct fuse_hdf5_chunked *member, int members, char *note, size_t note_bytes,
                                        struct fuse_error *err) {
    struct writing writing = {.comm = comm, .output = file, .file = -1, .note = note, .note_bytes = note_bytes};
    enum fuse_status st;
    note[0] = '\0';
    H5open();
    H5E_BEGIN_TRY {
        st = open_file(&writing, err);
        for (int m = 0; m < members && st == FUSE_OK; m++)
            st = write_member(&writing, &member[m], err);
        if (writing.file >= 0 && H5Fclose(writing.file) < 0 && st == FUSE_OK)
            st = fail_write(&writing, err);
        H5Pclose(writing.transfer);
        st = fuse_agree(comm, st, err);
    }
    H5E_END_TRY;
    return st;
}
