#include "io/hdf5_write.h"

#include "io/hdf5_errand.h"

#include <hdf5.h>

enum {
    CHUNK_BYTES = 1 << 20,    /* of chunks that the format chooses: whole rows where they fit */
    ALIGNED_BYTES = 64 << 10, /* arrays from this size on begin .. */
    WALL_SECONDS = 60,
    ALIGNMENT = 4096, /* .. at a page */
};

bool fuse_hdf5_chunks(int64_t chunk[FUSE_MAX_AXES], const struct fuse_sink_member *member) {
    struct fuse_box full = fuse_box_full(member->rank, member->extent);
    const struct fuse_sink_storage *storage = &member->storage;
    if (member->rank == 0 || fuse_box_elems(&full) == 0 || (storage->chunk[0] == 0 && storage->gzip == 0))
        return false;
    int64_t left = CHUNK_BYTES / (int64_t)fuse_dtype_bytes(member->dtype);
    for (int a = member->rank - 1; a >= 0; a--) {
        int64_t want = storage->chunk[0] > 0 ? storage->chunk[a] : left;
        chunk[a] = want < 1 ? 1 : want < member->extent[a] ? want : member->extent[a];
        left /= chunk[a];
    }
    return true;
}

/* ---- attributes ---- */

static bool write_strings(hid_t object, const char *name, hid_t space, const char *const *text) {
    hid_t type = H5Tcopy(H5T_C_S1);
    bool is_fine = H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0;
    hid_t attribute = is_fine ? H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT) : -1;
    is_fine = attribute >= 0 && H5Awrite(attribute, type, text) >= 0;
    if (attribute >= 0)
        is_fine = H5Aclose(attribute) >= 0 && is_fine;
    H5Tclose(type);
    return is_fine;
}

static bool write_string(hid_t object, const char *name, const char *text) {
    if (!text)
        return true;
    hid_t space = H5Screate(H5S_SCALAR);
    bool is_fine = write_strings(object, name, space, &text);
    H5Sclose(space);
    return is_fine;
}

/* As the dimension scales of HDF5 (and h5py's dims[a].label) want them. */
static bool write_labels(hid_t set, const struct fuse_sink_member *member) {
    const char *label[FUSE_MAX_AXES];
    hsize_t axes = (hsize_t)member->rank;
    bool is_any = false;
    for (int a = 0; a < member->rank; a++) {
        is_any = is_any || member->axis[a];
        label[a] = member->axis[a] ? member->axis[a] : "";
    }
    if (!is_any)
        return true;
    hid_t space = H5Screate_simple(1, &axes, NULL);
    bool is_fine = write_strings(set, "DIMENSION_LABELS", space, label);
    H5Sclose(space);
    return is_fine;
}

/* ---- datasets ---- */

/* As h5py has Booleans. */
static hid_t boolean_type(void) {
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    signed char no = 0, yes = 1;
    H5Tenum_insert(type, "FALSE", &no);
    H5Tenum_insert(type, "TRUE", &yes);
    return type;
}

static hid_t short_real_type(size_t exponent, size_t mantissa, size_t bias) {
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, exponent + mantissa, mantissa, exponent, 0, mantissa);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, bias);
    return type;
}

static hid_t stored_type(enum fuse_dtype dtype) {
    switch (dtype) {
    case FUSE_BOOL: return boolean_type();
    case FUSE_U8: return H5Tcopy(H5T_STD_U8LE);
    case FUSE_I8: return H5Tcopy(H5T_STD_I8LE);
    case FUSE_I16: return H5Tcopy(H5T_STD_I16LE);
    case FUSE_I32: return H5Tcopy(H5T_STD_I32LE);
    case FUSE_I64: return H5Tcopy(H5T_STD_I64LE);
    case FUSE_F16: return short_real_type(5, 10, 15);
    case FUSE_BF16: return short_real_type(8, 7, 127);
    case FUSE_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case FUSE_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case FUSE_U16: return H5Tcopy(H5T_STD_U16LE);
    case FUSE_U32: return H5Tcopy(H5T_STD_U32LE);
    case FUSE_U64: return H5Tcopy(H5T_STD_U64LE);
    case FUSE_DTYPES: break;
    }
    return -1;
}

static hid_t creation_list(const struct fuse_sink_member *member) {
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    int64_t wanted[FUSE_MAX_AXES];
    hsize_t chunk[FUSE_MAX_AXES];
    bool is_fine = H5Pset_obj_track_times(list, 0) >= 0 && H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0;
    if (fuse_hdf5_chunks(wanted, member)) {
        for (int a = 0; a < member->rank; a++)
            chunk[a] = (hsize_t)wanted[a];
        is_fine = is_fine && H5Pset_chunk(list, member->rank, chunk) >= 0 &&
                  H5Pset_alloc_time(list, H5D_ALLOC_TIME_INCR) >= 0;
        if (member->storage.gzip > 0) /* bytes of one significance together: smaller and faster */
            is_fine = is_fine && (fuse_dtype_bytes(member->dtype) == 1 || H5Pset_shuffle(list) >= 0) &&
                      H5Pset_deflate(list, (unsigned)member->storage.gzip) >= 0;
    } else {
        is_fine = is_fine && H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) >= 0;
    }
    return is_fine ? list : -1;
}

static bool make_set(int64_t *offset, hid_t file, const struct fuse_sink_member *member) {
    hsize_t extent[FUSE_MAX_AXES];
    for (int a = 0; a < member->rank; a++)
        extent[a] = (hsize_t)member->extent[a];
    hid_t links = H5Pcreate(H5P_LINK_CREATE), list = creation_list(member), type = stored_type(member->dtype);
    hid_t space = member->rank ? H5Screate_simple(member->rank, extent, NULL) : H5Screate(H5S_SCALAR);
    bool is_fine = list >= 0 && type >= 0 && space >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0;
    hid_t set = is_fine ? H5Dcreate2(file, member->part, type, space, links, list, H5P_DEFAULT) : -1;
    is_fine = set >= 0 && write_labels(set, member) && write_string(set, "fuse_tensor", member->tensor);
    if (set >= 0) {
        haddr_t at = H5Dget_offset(set);
        *offset = at == HADDR_UNDEF ? -1 : (int64_t)at;
        is_fine = H5Dclose(set) >= 0 && is_fine;
    }
    return is_fine;
}

struct layout {
    int64_t *offset;
    const char *temporary;
    const struct fuse_sink_file *want;
};

static enum fuse_status lay_out(void *context, struct fuse_error *err) {
    const struct layout *layout = context;
    const struct fuse_sink_file *want = layout->want;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    bool is_fine = H5Pset_file_locking(access, 0, 1) >= 0 && H5Pset_alignment(access, ALIGNED_BYTES, ALIGNMENT) >= 0 &&
                   H5Pset_obj_track_times(creation, 0) >= 0;
    hid_t file = is_fine ? H5Fcreate(layout->temporary, H5F_ACC_TRUNC, creation, access) : -1;
    is_fine = file >= 0 && write_string(file, "fuse_dist_version", want->version) &&
              write_string(file, "fuse_program", want->program);
    for (int m = 0; m < want->members && is_fine; m++)
        is_fine = make_set(&layout->offset[m], file, &want->member[m]);
    return is_fine && H5Fclose(file) >= 0 ? FUSE_OK : fuse_hdf5_fail_write(want->path, FUSE_EOUTPUT, err);
}

enum fuse_status fuse_hdf5_lay_out(int64_t *offset, const char *temporary, const struct fuse_sink_file *want,
                                   struct fuse_error *err) {
    struct layout layout = {.offset = offset, .temporary = temporary, .want = want};
    return fuse_hdf5_errand(lay_out, &layout, offset, (size_t)want->members * sizeof *offset, want->path,
                            WALL_SECONDS + want->members, FUSE_EOUTPUT, err);
}
