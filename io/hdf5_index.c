#include "io/hdf5_write.h"

#include "io/hdf5_driver.h"
#include "io/hdf5_errand.h"

#include <hdf5.h>
#include <stdlib.h>
#include <unistd.h>

/* For one member, and for chunks; a thousand a second is slow. */
enum { WALL_SECONDS = 60, CHUNKS_A_SECOND = 1000 };

struct index {
    const struct fuse_output_file *file;
    const struct fuse_hdf5_chunked *member;
    int members;
    struct fuse_hdf5_elements elements;
};

/* libhdf5 gives out room for a chunk and notes where; the bytes are there already. */
static bool add_chunk(struct index *index, const struct fuse_hdf5_chunked *member, hid_t set, int64_t number,
                      const void *nothing) {
    struct fuse_box places = fuse_box_full(member->grid.rank, member->grid.count);
    struct fuse_chunk chunk = fuse_chunk_grid_nth(&member->grid, &places, number);
    hsize_t begin[FUSE_MAX_AXES];
    for (int a = 0; a < member->grid.rank; a++)
        begin[a] = (hsize_t)(chunk.place[a] * member->grid.chunk[a]);
    size_t bytes = member->packed ? member->packed[number] : member->chunk_bytes;
    int64_t at = index->elements.next;
    return H5Dwrite_chunk(set, H5P_DEFAULT, 0, begin, bytes, nothing) >= 0 && index->elements.at == at &&
           index->elements.bytes == (int64_t)bytes;
}

static bool add_member(struct index *index, const struct fuse_hdf5_chunked *member, hid_t file) {
    size_t most = member->chunk_bytes;
    for (int64_t n = 0; member->packed && n < member->grid.chunks; n++)
        most = member->packed[n] > most ? member->packed[n] : most;
    void *nothing = calloc(1, most); /* never read, so it takes no memory */
    hid_t set = nothing ? H5Dopen2(file, member->part, H5P_DEFAULT) : -1;
    bool is_fine = set >= 0;
    for (int64_t n = 0; n < member->grid.chunks && is_fine; n++)
        is_fine = add_chunk(index, member, set, n, nothing);
    free(nothing);
    return is_fine && H5Dclose(set) >= 0;
}

static enum fuse_status write_index(void *context, struct fuse_error *err) {
    struct index *index = context;
    hid_t access = (hid_t)fuse_hdf5_driver_access(&index->elements);
    hid_t file = access >= 0 ? H5Fopen(index->file->temporary, H5F_ACC_RDWR, access) : -1;
    bool is_fine = file >= 0;
    for (int m = 0; m < index->members && is_fine; m++)
        is_fine = add_member(index, &index->member[m], file);
    is_fine = is_fine && index->elements.next == index->elements.floor && H5Fclose(file) >= 0;
    return is_fine ? FUSE_OK : fuse_hdf5_fail_write(index->file->path, FUSE_EIO, err);
}

enum fuse_status fuse_hdf5_index_chunks(const struct fuse_output_file *file, const struct fuse_hdf5_chunked *member,
                                        int members, int64_t begin, int64_t end, struct fuse_error *err) {
    struct index index = {.file = file, .member = member, .members = members};
    index.elements = (struct fuse_hdf5_elements){.stay = true, .next = begin, .floor = end};
    int64_t seconds = WALL_SECONDS * (int64_t)members;
    for (int m = 0; m < members; m++)
        seconds = fuse_sat_add(seconds, member[m].grid.chunks / CHUNKS_A_SECOND);
    return fuse_hdf5_errand(write_index, &index, NULL, 0, file->path, seconds, FUSE_EIO, err);
}
