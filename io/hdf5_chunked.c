#include "io/hdf5_write.h"

#include "io/hdf5_filters.h"
#include "io/rawfile.h"

#include <stdlib.h>

/* Of a rank in a round; a larger chunk goes as a whole. CHUNKS: of all ranks together, but for one of each. */
enum { ROUND_BYTES = 16 << 20, ROUND_CHUNKS = 16 << 10 };

struct packing {
    struct fuse_comm *comm;
    struct fuse_output_file *file;
    struct fuse_hdf5_chunked *member;
    struct fuse_hdf5_packing filters;
    int spool;
    int64_t share;     /* chunks of a rank in a round */
    int64_t *bytes;    /* [share * ranks] of packed chunks, in this round */
    char *chunk, *out; /* unpacked, one; packed, of this rank in this round */
};

static enum fuse_status open_packing(struct packing *packing, struct fuse_error *err) {
    const struct fuse_hdf5_chunked *member = packing->member;
    const char *path = packing->file->path;
    int64_t ranks = packing->comm->size, chunks = member->grid.chunks, most = ROUND_CHUNKS / ranks;
    int64_t share = ROUND_BYTES / (int64_t)member->chunk_bytes;
    share = share < most ? share : most;
    share = share < (chunks + ranks - 1) / ranks ? share : (chunks + ranks - 1) / ranks;
    packing->share = share > 0 ? share : 1;
    packing->bytes = malloc((size_t)(packing->share * ranks) * sizeof *packing->bytes);
    packing->chunk = malloc(member->chunk_bytes);
    packing->out = malloc((size_t)packing->share * fuse_hdf5_most_packed(member->chunk_bytes));
    if (packing->comm->rank == 0)
        packing->member->packed = malloc((size_t)chunks * sizeof *member->packed);
    if (!packing->bytes || !packing->chunk || !packing->out || (packing->comm->rank == 0 && !member->packed))
        return fuse_fail(err, FUSE_EMEMORY, "no memory to pack chunks of %zu bytes of %s", member->chunk_bytes, path);
    return fuse_hdf5_packing_open(&packing->filters, member->chunk_bytes, member->elem_bytes, member->gzip, path, err);
}

static void close_packing(struct packing *packing) {
    fuse_hdf5_packing_close(&packing->filters);
    free(packing->out);
    free(packing->chunk);
    free(packing->bytes);
}

/* Chunks from `first` on that are this rank's in a round; *put: their bytes in packing->out. */
static enum fuse_status pack_share(struct packing *packing, int64_t first, size_t *put, struct fuse_error *err) {
    const struct fuse_hdf5_chunked *member = packing->member;
    const char *path = packing->file->path;
    for (int64_t i = 0; i < packing->share && first + i < member->grid.chunks; i++) {
        int64_t at = member->offset + (first + i) * (int64_t)member->chunk_bytes;
        FUSE_TRY(fuse_rawfile_read(packing->spool, packing->chunk, member->chunk_bytes, at, path, err));
        size_t bytes = fuse_hdf5_pack(&packing->filters, packing->chunk, packing->out + *put);
        if (bytes == 0)
            return fuse_fail(err, FUSE_EBUG, "a chunk of %s cannot be packed", path);
        packing->bytes[packing->comm->rank * packing->share + i] = (int64_t)bytes;
        *put += bytes;
    }
    return FUSE_OK;
}

/* Chunks from `first` on, each rank `share` of them. */
static enum fuse_status pack_round(struct packing *packing, int64_t first, int64_t *end, struct fuse_error *err) {
    struct fuse_comm *comm = packing->comm;
    int64_t all = packing->share * comm->size, before = 0, total = 0;
    size_t put = 0;
    for (int64_t i = 0; i < all; i++)
        packing->bytes[i] = 0;
    enum fuse_status local = pack_share(packing, first + comm->rank * packing->share, &put, err);
    FUSE_TRY(fuse_agree(comm, local, err));
    FUSE_TRY(fuse_agree(comm, comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, packing->bytes, (int)all, err), err));
    for (int64_t i = 0; i < all; i++) {
        before += i < comm->rank * packing->share ? packing->bytes[i] : 0;
        total += packing->bytes[i];
        if (comm->rank == 0 && first + i < packing->member->grid.chunks)
            packing->member->packed[first + i] = (uint32_t)packing->bytes[i];
    }
    local = fuse_rawfile_write(packing->file->fd, packing->out, put, *end + before, packing->file->path, err);
    *end += total;
    return fuse_agree(comm, local, err);
}

enum fuse_status fuse_hdf5_pack_member(struct fuse_output_file *file, int spool, struct fuse_comm *comm,
                                       struct fuse_hdf5_chunked *member, int64_t *end, struct fuse_error *err) {
    struct packing packing = {.comm = comm, .file = file, .member = member, .spool = spool};
    enum fuse_status st = fuse_agree(comm, open_packing(&packing, err), err);
    for (int64_t first = 0; first < member->grid.chunks && st == FUSE_OK; first += packing.share * comm->size)
        st = pack_round(&packing, first, end, err);
    close_packing(&packing);
    return st;
}
