#include "io/hdf5_look.h"

#include "io/chunk_grid.h"
#include "io/hdf5_driver.h"
#include "io/hdf5_reason.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_LINKS = 32, /* soft ones on the way to a dataset */
    NAME_BYTES = 4096,
    SHOWN_BYTES = 240,     /* of a list of datasets */
    MOST_SET_NAMES = 1000, /* visited for a list */
};

struct fuse_hdf5_look {
    hid_t file, set, type;
    struct fuse_hdf5_elements elements;
    char where[512]; /* "file.h5:/group/set", for messages */
    const char *path;
};

/* ---- what libhdf5 says ---- */

static enum fuse_status fail_look(const struct fuse_hdf5_look *look, struct fuse_error *err) {
    struct fuse_hdf5_reason reason = fuse_hdf5_last_reason();
    if (reason.code == EIO)
        return fuse_fail(err, FUSE_EIO, "reading %s failed: %s", look->path, reason.text);
    fuse_fail(err, FUSE_EINPUT, "%s is damaged, or no HDF5 file: %s", look->where, reason.text);
    fuse_hint(err, "see what h5dump -H says about it; copy or write the file again");
    return FUSE_EINPUT;
}

static enum fuse_status refuse_set(const struct fuse_hdf5_look *look, const char *what, const char *hint,
                                   struct fuse_error *err) {
    fuse_fail(err, FUSE_EINPUT, "%s %s", look->where, what);
    fuse_hint(err, "%s", hint);
    return FUSE_EINPUT;
}

/* ---- finding the dataset ---- */

struct set_names {
    int sets, visited;
    char shown[SHOWN_BYTES + 64], first[NAME_BYTES];
};

static herr_t note_set(hid_t object, const char *name, const H5O_info_t *info, void *context) {
    (void)object;
    struct set_names *names = context;
    if (++names->visited > MOST_SET_NAMES)
        return 1;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    if (names->sets++ == 0)
        snprintf(names->first, sizeof names->first, "/%s", name);
    size_t used = strlen(names->shown);
    if (used < SHOWN_BYTES)
        snprintf(names->shown + used, sizeof names->shown - used, "%s/%.60s", used ? ", " : "", name);
    else if (used < SHOWN_BYTES + 60)
        strcat(names->shown, ", ..");
    return used < SHOWN_BYTES ? 0 : 1;
}

static struct set_names list_sets(const struct fuse_hdf5_look *look) {
    struct set_names names = {.sets = 0};
    if (H5Ovisit2(look->file, H5_INDEX_NAME, H5_ITER_INC, note_set, &names, H5O_INFO_BASIC) < 0)
        names.visited = -1;
    fuse_hdf5_printable(names.shown);
    return names;
}

static void hint_sets(const struct fuse_hdf5_look *look, struct fuse_error *err) {
    struct set_names names = list_sets(look);
    if (names.sets > 0)
        fuse_hint(err, "its datasets are %s", names.shown);
    else
        fuse_hint(err, "no dataset was found in the file; h5dump -n lists what it holds");
}

/* As a message may have it: a name that comes from the file may hold anything. */
static const char *shown_name(char to[NAME_BYTES], const char *name, bool by_link) {
    snprintf(to, NAME_BYTES, "%.200s", name);
    return by_link ? fuse_hdf5_printable(to) : to;
}

static enum fuse_status fail_missing(const struct fuse_hdf5_look *look, const char *name, bool by_link,
                                     struct fuse_error *err) {
    char shown[NAME_BYTES];
    fuse_fail(err, FUSE_EINPUT, by_link ? "%s is a link to '%.200s', and nothing is there" : "%s: there is no '%.200s'",
              by_link ? look->where : look->path, shown_name(shown, name, by_link));
    hint_sets(look, err);
    return FUSE_EINPUT;
}

/* Puts what a soft link says before the rest of the name. */
static enum fuse_status splice_link(const struct fuse_hdf5_look *look, hid_t group, const char *name, size_t bytes,
                                    char rest[NAME_BYTES], struct fuse_error *err) {
    char value[NAME_BYTES], joined[2 * NAME_BYTES];
    if (bytes >= NAME_BYTES)
        return refuse_set(look, "is behind a link that is too long", "links are at most 4,095 bytes long", err);
    if (H5Lget_val(group, name, value, sizeof value, H5P_DEFAULT) < 0)
        return fail_look(look, err);
    value[bytes] = '\0';
    if (snprintf(joined, sizeof joined, "%s/%s", value, rest) >= NAME_BYTES)
        return refuse_set(look, "is behind links that are too long", "links are at most 4,095 bytes long", err);
    memcpy(rest, joined, strlen(joined) + 1);
    return FUSE_OK;
}

/* One step along the name: *at becomes the object that the link leads to, or stays for a soft link. */
static enum fuse_status follow(const struct fuse_hdf5_look *look, hid_t *at, const char *name, char rest[NAME_BYTES],
                               int *links, struct fuse_error *err) {
    H5L_info_t info;
    char shown[NAME_BYTES];
    if (H5Iget_type(*at) != H5I_GROUP) {
        fuse_fail(err, FUSE_EINPUT, "%s: what '%.200s' is looked for in is no group", look->where,
                  shown_name(shown, name, *links > 0));
        hint_sets(look, err);
        return FUSE_EINPUT;
    }
    htri_t exists = H5Lexists(*at, name, H5P_DEFAULT);
    if (exists == 0)
        return fail_missing(look, name, *links > 0, err);
    if (exists < 0 || H5Lget_info(*at, name, &info, H5P_DEFAULT) < 0)
        return fail_look(look, err);
    if (info.type == H5L_TYPE_HARD) {
        *at = H5Oopen(*at, name, H5P_DEFAULT);
        return *at < 0 ? fail_look(look, err) : FUSE_OK;
    }
    if (info.type != H5L_TYPE_SOFT)
        return refuse_set(look, "is a link out of the file, which is not followed",
                          "name the file that it leads to as the source", err);
    if (++*links > MOST_LINKS)
        return refuse_set(look, "is behind links that lead in a circle", "mend the links, or name the dataset itself",
                          err);
    FUSE_TRY(splice_link(look, *at, name, info.u.val_size, rest, err));
    if (rest[0] == '/')
        *at = H5Gopen2(look->file, "/", H5P_DEFAULT);
    return *at < 0 ? fail_look(look, err) : FUSE_OK;
}

static enum fuse_status find_object(const struct fuse_hdf5_look *look, hid_t *out, const char *part,
                                    struct fuse_error *err) {
    char rest[NAME_BYTES], name[NAME_BYTES];
    int links = 0;
    if ((size_t)snprintf(rest, sizeof rest, "%s", part) >= sizeof rest)
        return refuse_set(look, "has too long a name", "names are at most 4,095 bytes long", err);
    hid_t at = H5Gopen2(look->file, "/", H5P_DEFAULT);
    if (at < 0)
        return fail_look(look, err);
    for (;;) {
        size_t skipped = strspn(rest, "/"), bytes = strcspn(rest + skipped, "/");
        if (bytes == 0)
            break;
        memcpy(name, rest + skipped, bytes);
        name[bytes] = '\0';
        memmove(rest, rest + skipped + bytes, strlen(rest + skipped + bytes) + 1);
        if (strcmp(name, ".") != 0)
            FUSE_TRY(follow(look, &at, name, rest, &links, err));
    }
    *out = at;
    return FUSE_OK;
}

/* The part that is meant where none is named. */
static enum fuse_status default_part(const struct fuse_hdf5_look *look, char part[NAME_BYTES], struct fuse_error *err) {
    strcpy(part, "/data");
    if (H5Lexists(look->file, "data", H5P_DEFAULT) > 0)
        return FUSE_OK;
    struct set_names names = list_sets(look);
    if (names.visited < 0)
        return fail_look(look, err);
    if (names.sets == 1) {
        memcpy(part, names.first, NAME_BYTES);
        return FUSE_OK;
    }
    if (names.sets == 0)
        fuse_fail(err, FUSE_EINPUT, "%s has no datasets", look->path);
    else
        fuse_fail(err, FUSE_EINPUT, "%s has several datasets and none is called /data: say which one is meant",
                  look->path);
    if (names.sets > 0)
        fuse_hint(err, "its datasets are %s; write \"file.h5:/name\"", names.shown);
    else
        fuse_hint(err, "h5dump -n lists what it holds");
    return FUSE_EINPUT;
}

static enum fuse_status open_set(struct fuse_hdf5_look *look, const char *part, struct fuse_error *err) {
    char chosen[NAME_BYTES];
    hid_t object = -1;
    if (!part) {
        FUSE_TRY(default_part(look, chosen, err));
        part = chosen;
    }
    snprintf(look->where, sizeof look->where, "%s:%.200s", look->path, part);
    FUSE_TRY(find_object(look, &object, part, err));
    if (H5Iget_type(object) == H5I_GROUP) {
        fuse_fail(err, FUSE_EINPUT, "%s is a group, not a dataset", look->where);
        hint_sets(look, err);
        return FUSE_EINPUT;
    }
    if (H5Iget_type(object) != H5I_DATASET)
        return refuse_set(look, "is no dataset", "h5dump -n lists what the file holds", err);
    look->set = object;
    return FUSE_OK;
}

/* ---- its elements ---- */

static const char *const not_numbers = "sources are arrays of integers, reals or Booleans";

static enum fuse_status integer_type(const struct fuse_hdf5_look *look, hid_t type, struct fuse_hdf5_facts *facts,
                                     struct fuse_error *err) {
    static const enum fuse_dtype with_sign[] = {FUSE_I8, FUSE_I16, FUSE_I32, FUSE_I64};
    static const enum fuse_dtype without[] = {FUSE_U8, FUSE_U16, FUSE_U32, FUSE_U64};
    size_t bytes = H5Tget_size(type);
    H5T_sign_t sign = H5Tget_sign(type);
    int log = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : bytes == 8 ? 3 : -1;
    if (log < 0 || H5Tget_precision(type) != 8 * bytes || H5Tget_offset(type) != 0 ||
        (sign != H5T_SGN_2 && sign != H5T_SGN_NONE))
        return refuse_set(look, "holds integers of an unusual form", "store them with 8, 16, 32 or 64 bits", err);
    facts->dtype = (int32_t)(sign == H5T_SGN_2 ? with_sign : without)[log];
    return FUSE_OK;
}

static enum fuse_status real_type(const struct fuse_hdf5_look *look, hid_t type, struct fuse_hdf5_facts *facts,
                                  struct fuse_error *err) {
    static const struct {
        enum fuse_dtype dtype;
        size_t bytes, exponent, mantissa, bias;
    } forms[] = {
        {FUSE_F16, 2, 5, 10, 15}, {FUSE_BF16, 2, 8, 7, 127}, {FUSE_F32, 4, 8, 23, 127}, {FUSE_F64, 8, 11, 52, 1023}};
    size_t sign, at, exponent, mantissa_at, mantissa, bytes = H5Tget_size(type), bias = H5Tget_ebias(type);
    if (H5Tget_fields(type, &sign, &at, &exponent, &mantissa_at, &mantissa) < 0)
        return fail_look(look, err);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (bytes == forms[i].bytes && exponent == forms[i].exponent && mantissa == forms[i].mantissa &&
            bias == forms[i].bias && mantissa_at == 0 && at == mantissa && sign == 8 * bytes - 1 &&
            H5Tget_offset(type) == 0 && H5Tget_precision(type) == 8 * bytes && H5Tget_norm(type) == H5T_NORM_IMPLIED) {
            facts->dtype = (int32_t)forms[i].dtype;
            return FUSE_OK;
        }
    }
    return refuse_set(look, "holds reals of an unusual form", "store them as f16, bf16, f32 or f64", err);
}

/* The type that h5py gives Booleans: an enumeration of FALSE and TRUE. */
static bool is_boolean(hid_t type) {
    char name[8] = "", value[2] = {0};
    bool is = H5Tget_nmembers(type) == 2 && H5Tget_size(type) == 1;
    for (unsigned i = 0; is && i < 2; i++) {
        char *stored = H5Tget_member_name(type, i);
        snprintf(name, sizeof name, "%s", stored ? stored : "");
        H5free_memory(stored);
        is = H5Tget_member_value(type, i, value) >= 0 && value[0] == (strcmp(name, "TRUE") == 0) &&
             (strcmp(name, "TRUE") == 0 || strcmp(name, "FALSE") == 0);
    }
    return is;
}

static enum fuse_status element_type(const struct fuse_hdf5_look *look, hid_t type, struct fuse_hdf5_facts *facts,
                                     struct fuse_error *err) {
    enum fuse_status st;
    H5T_class_t class = H5Tget_class(type);
    switch (class) {
    case H5T_INTEGER: st = integer_type(look, type, facts, err); break;
    case H5T_FLOAT: st = real_type(look, type, facts, err); break;
    case H5T_ENUM:
        st = FUSE_OK;
        if (is_boolean(type))
            facts->dtype = FUSE_BOOL;
        else
            st = refuse_set(look, "holds names (an enumeration)", not_numbers, err);
        break;
    case H5T_STRING: return refuse_set(look, "holds text", not_numbers, err);
    case H5T_COMPOUND: return refuse_set(look, "holds records (a compound type)", not_numbers, err);
    case H5T_REFERENCE: return refuse_set(look, "holds references", not_numbers, err);
    case H5T_VLEN: return refuse_set(look, "holds lists of different lengths", not_numbers, err);
    case H5T_ARRAY:
        return refuse_set(look, "holds an array in each element", "store its axes as axes of the dataset", err);
    case H5T_NO_CLASS: return fail_look(look, err);
    default: return refuse_set(look, "holds elements that are no numbers", not_numbers, err);
    }
    if (st != FUSE_OK)
        return st;
    H5T_order_t order = class == H5T_ENUM ? H5T_ORDER_LE : H5Tget_order(type);
    if (order != H5T_ORDER_LE && order != H5T_ORDER_BE)
        return refuse_set(look, "holds numbers in an unusual byte order", "store them little-endian or big-endian",
                          err);
    facts->big_endian = order == H5T_ORDER_BE && fuse_dtype_bytes((enum fuse_dtype)facts->dtype) > 1;
    return FUSE_OK;
}

/* ---- its shape and its place ---- */

static enum fuse_status read_shape(const struct fuse_hdf5_look *look, struct fuse_hdf5_facts *facts,
                                   struct fuse_error *err) {
    hid_t space = H5Dget_space(look->set);
    H5S_class_t class = space < 0 ? H5S_NO_CLASS : H5Sget_simple_extent_type(space);
    hsize_t extent[H5S_MAX_RANK];
    if (class == H5S_NULL)
        return refuse_set(look, "has no elements and no shape (a null dataspace)", "store an array", err);
    if (class == H5S_NO_CLASS)
        return fail_look(look, err);
    facts->rank = class == H5S_SCALAR ? 0 : H5Sget_simple_extent_ndims(space);
    if (facts->rank < 0 || facts->rank > FUSE_MAX_AXES ||
        (facts->rank > 0 && H5Sget_simple_extent_dims(space, extent, NULL) < 0))
        return fail_look(look, err);
    for (int64_t a = 0; a < facts->rank; a++) {
        if (extent[a] > (hsize_t)FUSE_MAX_EXTENT) {
            fuse_fail(err, FUSE_EINPUT, "%s has an axis of %llu, more than 2^60", look->where,
                      (unsigned long long)extent[a]);
            fuse_hint(err, "the file is damaged: copy or write it again");
            return FUSE_EINPUT;
        }
        facts->extent[a] = (int64_t)extent[a];
        facts->chunk[a] = 1;
    }
    return FUSE_OK;
}

static enum fuse_status check_filters(const struct fuse_hdf5_look *look, hid_t plist, struct fuse_hdf5_facts *facts,
                                      struct fuse_error *err) {
    facts->steps = H5Pget_nfilters(plist);
    if (facts->steps < 0)
        return fail_look(look, err);
    facts->filters.n = facts->steps;
    for (unsigned i = 0; i < (unsigned)facts->steps; i++) {
        unsigned flags, config, value = 0;
        size_t values = 1;
        char name[64] = "";
        H5Z_filter_t filter = H5Pget_filter2(plist, i, &flags, &values, &value, sizeof name, name, &config);
        if (filter < 0)
            return fail_look(look, err);
        if (i < FUSE_HDF5_FILTERS) {
            facts->filters.step[i].id = (int32_t)filter;
            facts->filters.step[i].value = value <= INT32_MAX ? (int32_t)value : 0;
        }
        if (H5Zfilter_avail(filter) > 0)
            continue;
        fuse_fail(err, FUSE_EINPUT, "%s is packed by filter %d%s%s, which is not built in", look->where, (int)filter,
                  name[0] ? " " : "", fuse_hdf5_printable(name));
        fuse_hint(err, "pack it again with gzip: h5repack -f GZIP=4 old.h5 new.h5");
        return FUSE_EINPUT;
    }
    return FUSE_OK;
}

/* Elements that were never written. */
static bool read_fill(const struct fuse_hdf5_look *look, hid_t plist, struct fuse_hdf5_facts *facts) {
    H5D_fill_value_t defined;
    return H5Tget_size(look->type) <= sizeof facts->fill && H5Pfill_value_defined(plist, &defined) >= 0 &&
           (defined == H5D_FILL_VALUE_UNDEFINED || H5Pget_fill_value(plist, look->type, facts->fill) >= 0);
}

static enum fuse_status read_chunks(const struct fuse_hdf5_look *look, hid_t plist, struct fuse_hdf5_facts *facts,
                                    struct fuse_error *err) {
    hsize_t chunk[H5S_MAX_RANK];
    if (H5Pget_chunk(plist, (int)facts->rank, chunk) != facts->rank)
        return fail_look(look, err);
    for (int64_t a = 0; a < facts->rank; a++) {
        if (chunk[a] == 0 || chunk[a] > UINT32_MAX)
            return fail_look(look, err);
        facts->chunk[a] = (int64_t)chunk[a];
    }
    FUSE_TRY(check_filters(look, plist, facts, err));
    unsigned options;
    if (H5Pget_chunk_opts(plist, &options) < 0)
        return fail_look(look, err);
    if (facts->rank == 0 || options != 0 || !fuse_hdf5_filters_are_known(&facts->filters))
        facts->filters = (struct fuse_hdf5_filters){.n = 0};
    else if (read_fill(look, plist, facts))
        facts->chunks_lie_apart = 1;
    else
        return fail_look(look, err);
    return FUSE_OK;
}

/* Contiguous elements that are there lie within the file. */
static enum fuse_status place_contiguous(const struct fuse_hdf5_look *look, struct fuse_hdf5_facts *facts,
                                         struct fuse_error *err) {
    struct fuse_box full = fuse_box_full((int)facts->rank, facts->extent);
    int64_t bytes = fuse_sat_mul(fuse_box_elems(&full), (int64_t)fuse_dtype_bytes((enum fuse_dtype)facts->dtype));
    haddr_t offset = H5Dget_offset(look->set);
    hsize_t file_bytes;
    if (offset == HADDR_UNDEF || bytes == 0)
        return FUSE_OK; /* never written: the library knows the fill value */
    if (H5Fget_filesize(look->file, &file_bytes) < 0)
        return fail_look(look, err);
    if (offset > file_bytes || (hsize_t)bytes > file_bytes - offset || bytes == INT64_MAX ||
        H5Dget_storage_size(look->set) < (hsize_t)bytes) {
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: its elements reach beyond the end of the file", look->where);
        fuse_hint(err, "copy or write the file again");
        return FUSE_EINPUT;
    }
    facts->offset = (int64_t)offset;
    return FUSE_OK;
}

static enum fuse_status read_layout(struct fuse_hdf5_look *look, struct fuse_hdf5_facts *facts,
                                    struct fuse_error *err) {
    hid_t plist = H5Dget_create_plist(look->set);
    facts->offset = -1;
    if (plist < 0)
        return fail_look(look, err);
    if (H5Pget_external_count(plist) != 0)
        return refuse_set(look, "keeps its elements in another file",
                          "copy it into one file: h5repack -l CONTI old.h5 new.h5", err);
    switch (H5Pget_layout(plist)) {
    case H5D_COMPACT: return FUSE_OK;
    case H5D_CONTIGUOUS: return place_contiguous(look, facts, err);
    case H5D_CHUNKED: break;
    case H5D_VIRTUAL:
        return refuse_set(look, "is a virtual dataset, made of other ones", "copy it into one: h5repack old.h5 new.h5",
                          err);
    default: return fail_look(look, err);
    }
    return read_chunks(look, plist, facts, err);
}

/* ---- what the child calls ---- */

static enum fuse_status open_file(struct fuse_hdf5_look *look, struct fuse_error *err) {
    /* Nothing that the file names is loaded or opened. */
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0 || H5PLset_loading_state(0) < 0 ||
        (H5Lis_registered(H5L_TYPE_EXTERNAL) > 0 && H5Lunregister(H5L_TYPE_EXTERNAL) < 0))
        return fail_look(look, err);
    hid_t access = (hid_t)fuse_hdf5_driver_access(&look->elements);
    /* No chunk is kept: libhdf5 would not ask the driver for it again. */
    if (access < 0 || H5Pset_cache(access, 0, 0, 0, 0) < 0)
        return fail_look(look, err);
    look->file = H5Fopen(look->path, H5F_ACC_RDONLY, access);
    return look->file < 0 ? fail_look(look, err) : FUSE_OK;
}

enum fuse_status fuse_hdf5_look_file(struct fuse_hdf5_look **out, const char *path, struct fuse_error *err) {
    struct fuse_hdf5_look *look = calloc(1, sizeof *look);
    if (!look)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    look->path = path;
    look->set = -1;
    snprintf(look->where, sizeof look->where, "%s", path);
    FUSE_TRY(open_file(look, err));
    *out = look;
    return FUSE_OK;
}

int64_t fuse_hdf5_look_handle(const struct fuse_hdf5_look *look) {
    return look->set >= 0 ? look->set : look->file;
}

enum fuse_status fuse_hdf5_look_open(struct fuse_hdf5_look **out, struct fuse_hdf5_facts *facts, const char *path,
                                     const char *part, struct fuse_error *err) {
    struct fuse_hdf5_look *look;
    *facts = (struct fuse_hdf5_facts){.offset = -1};
    FUSE_TRY(fuse_hdf5_look_file(&look, path, err));
    FUSE_TRY(open_set(look, part, err));
    look->type = H5Dget_type(look->set);
    if (look->type < 0)
        return fail_look(look, err);
    FUSE_TRY(element_type(look, look->type, facts, err));
    FUSE_TRY(read_shape(look, facts, err));
    FUSE_TRY(read_layout(look, facts, err));
    *out = look;
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_look_read(struct fuse_hdf5_look *look, const struct fuse_box *box, void *to,
                                     struct fuse_error *err) {
    hsize_t begin[FUSE_MAX_AXES], count[FUSE_MAX_AXES];
    for (int a = 0; a < box->rank; a++) {
        begin[a] = (hsize_t)box->lo[a];
        count[a] = (hsize_t)(box->hi[a] - box->lo[a]);
    }
    hid_t file = H5Dget_space(look->set);
    hid_t memory = box->rank ? H5Screate_simple(box->rank, count, NULL) : H5Screate(H5S_SCALAR);
    bool is_fine = file >= 0 && memory >= 0 &&
                   (box->rank == 0 || H5Sselect_hyperslab(file, H5S_SELECT_SET, begin, NULL, count, NULL) >= 0) &&
                   H5Dread(look->set, look->type, memory, file, H5P_DEFAULT, to) >= 0;
    enum fuse_status st = is_fine ? FUSE_OK : fail_look(look, err); /* before other calls forget the reason */
    H5Sclose(memory);
    H5Sclose(file);
    return st;
}

/* The first element of a chunk that is stored as it is: libhdf5 reads it, but from one that was never written. */
static bool touch_element(const struct fuse_hdf5_look *look, const hsize_t *at, int rank) {
    hsize_t one[FUSE_MAX_AXES];
    char element[sizeof(int64_t)];
    hid_t file = H5Dget_space(look->set), memory = H5Screate(H5S_SCALAR);
    for (int a = 0; a < rank; a++)
        one[a] = 1;
    bool is_fine = file >= 0 && memory >= 0 && H5Sselect_hyperslab(file, H5S_SELECT_SET, at, NULL, one, NULL) >= 0 &&
                   H5Dread(look->set, look->type, memory, file, H5P_DEFAULT, element) >= 0;
    if (is_fine) {
        H5Sclose(memory);
        H5Sclose(file);
    }
    return is_fine;
}

/* Of one chunk: `at` are its first indices. */
static enum fuse_status find_chunk(struct fuse_hdf5_look *look, const struct fuse_hdf5_facts *facts,
                                   int64_t chunk_bytes, const hsize_t *at, struct fuse_hdf5_place *to,
                                   struct fuse_error *err) {
    hsize_t bytes;
    uint32_t skipped = 0;
    char nothing;
    struct fuse_hdf5_elements *elements = &look->elements;
    *elements = (struct fuse_hdf5_elements){.stay = true, .at = -1};
    bool is_packed = facts->steps > 0 && H5Dget_chunk_storage_size(look->set, at, &bytes) >= 0;
    /* Asking for the bytes of a chunk that was never written is an error, too. */
    if (facts->steps > 0 && !is_packed && fuse_hdf5_last_reason().code != 0)
        return fail_look(look, err);
    bool is_fine = is_packed ? H5Dread_chunk(look->set, H5P_DEFAULT, at, &skipped, &nothing) >= 0
                             : touch_element(look, at, (int)facts->rank);
    elements->stay = false;
    if (!is_fine || (facts->steps > 0 && is_packed != (elements->at >= 0)))
        return fail_look(look, err);
    *to = (struct fuse_hdf5_place){elements->at, is_packed ? elements->bytes : chunk_bytes, skipped};
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_look_find(struct fuse_hdf5_look *look, const struct fuse_hdf5_facts *facts,
                                     const struct fuse_box *places, struct fuse_hdf5_place *to,
                                     struct fuse_error *err) {
    struct fuse_chunk_grid grid;
    hsize_t at[FUSE_MAX_AXES], file_bytes;
    int64_t chunks = fuse_box_elems(places);
    fuse_chunk_grid_init(&grid, (int)facts->rank, facts->extent, facts->chunk);
    int64_t chunk_bytes = fuse_sat_mul(grid.chunk_elems, (int64_t)fuse_dtype_bytes((enum fuse_dtype)facts->dtype));
    if (H5Fget_filesize(look->file, &file_bytes) < 0)
        return fail_look(look, err);
    for (int64_t n = 0; n < chunks; n++) {
        struct fuse_chunk chunk = fuse_chunk_grid_nth(&grid, places, n);
        for (int a = 0; a < grid.rank; a++)
            at[a] = (hsize_t)(chunk.place[a] * grid.chunk[a]);
        FUSE_TRY(find_chunk(look, facts, chunk_bytes, at, &to[n], err));
        if (to[n].offset < 0 || (to[n].offset <= (int64_t)file_bytes && to[n].bytes >= 0 &&
                                 to[n].bytes <= (int64_t)file_bytes - to[n].offset))
            continue;
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: its elements reach beyond the end of the file", look->where);
        fuse_hint(err, "copy or write the file again");
        return FUSE_EINPUT;
    }
    return FUSE_OK;
}
