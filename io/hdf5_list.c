#include "io/hdf5_list.h"

#include "io/child_process.h"
#include "io/hdf5_reason.h"
#include "io/rawfile.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WALL_SECONDS = 120,
    CPU_SECONDS = 20,
    FREE_BYTES = 256 << 20,
    MOST_PARTS = 20000,
    MOST_ATTRIBUTES = 100, /* of one dataset */
    NAME_BYTES = 1024,
    TEXT_BYTES = 400,
};

/* What the child writes to the shared memory: a record for the file, then one for each dataset, each before its attributes. */
struct part_record {
    struct fuse_hdf5_facts facts;
    enum fuse_status status;
    int64_t stored_bytes, attributes;
    char name[NAME_BYTES], storage[TEXT_BYTES], refused[TEXT_BYTES];
};

struct attribute_record {
    char name[NAME_BYTES], text[TEXT_BYTES];
};

struct outcome {
    enum fuse_status status;
    struct fuse_error error;
    int64_t parts;
};

/* ---- the child's side ---- */

struct names {
    char (*at)[NAME_BYTES];
    int64_t n, room;
};

static herr_t keep_name(hid_t object, const char *name, const H5O_info_t *info, void *context) {
    struct names *names = context;
    (void)object;
    if (info->type != H5O_TYPE_DATASET || strlen(name) + 2 > NAME_BYTES)
        return 0;
    if (names->n == names->room) {
        names->room = 2 * names->room + 16;
        void *larger = realloc(names->at, (size_t)names->room * NAME_BYTES);
        if (!larger)
            return -1;
        names->at = larger;
    }
    snprintf(names->at[names->n++], NAME_BYTES, "%s", name);
    return names->n < MOST_PARTS ? 0 : 1;
}

/* Strings, one behind the other; false for what is no text. */
static bool attribute_text(char text[TEXT_BYTES], hid_t attribute) {
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    size_t bytes = type >= 0 ? H5Tget_size(type) : 0, used = 0;
    bool is_varied = type >= 0 && H5Tis_variable_str(type) > 0;
    if (type < 0 || H5Tget_class(type) != H5T_STRING || count < 1 || count > TEXT_BYTES || bytes > (1 << 16))
        return false;
    char *data = calloc((size_t)count, bytes + 1);
    if (!data || H5Aread(attribute, type, data) < 0)
        return false;
    for (hssize_t i = 0; i < count && used < TEXT_BYTES - 1; i++) {
        const char *at = is_varied ? ((char **)(void *)data)[i] : data + (size_t)i * bytes;
        int most = is_varied ? TEXT_BYTES : (int)bytes;
        int put = snprintf(text + used, TEXT_BYTES - used, "%s%.*s", i ? ", " : "", most, at ? at : "");
        used += put > 0 ? (size_t)put : 0;
    }
    return true;
}

struct attributes {
    struct attribute_record at[MOST_ATTRIBUTES];
    int n;
};

static herr_t keep_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context) {
    struct attributes *attributes = context;
    struct attribute_record *record = &attributes->at[attributes->n];
    (void)info;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    memset(record, 0, sizeof *record);
    snprintf(record->name, sizeof record->name, "%s", name);
    if (attribute >= 0 && attribute_text(record->text, attribute))
        attributes->n++;
    return attributes->n < MOST_ATTRIBUTES ? 0 : 1;
}

static void describe_storage(struct part_record *record, hid_t set) {
    hid_t list = H5Dget_create_plist(set);
    size_t used = 0;
    record->stored_bytes = (int64_t)H5Dget_storage_size(set);
    if (list < 0 || H5Pget_layout(list) != H5D_CHUNKED)
        return;
    for (int64_t a = 0; a < record->facts.rank && used < TEXT_BYTES; a++)
        used += (size_t)snprintf(record->storage + used, TEXT_BYTES - used, "%s%lld", a ? ", " : "chunks [",
                                 (long long)record->facts.chunk[a]);
    if (used < TEXT_BYTES)
        used += (size_t)snprintf(record->storage + used, TEXT_BYTES - used, "]");
    for (unsigned i = 0; i < (unsigned)record->facts.steps && used < TEXT_BYTES; i++) {
        unsigned flags, value[1] = {0}, config;
        size_t values = 1;
        char name[32] = "";
        H5Z_filter_t filter = H5Pget_filter2(list, i, &flags, &values, value, sizeof name, name, &config);
        if (filter == H5Z_FILTER_DEFLATE)
            snprintf(name, sizeof name, "gzip %u", value[0]);
        used += (size_t)snprintf(record->storage + used, TEXT_BYTES - used, ", %s", fuse_hdf5_printable(name));
    }
}

static bool write_object(FILE *to, struct part_record *record, hid_t object, struct attributes *attributes) {
    attributes->n = 0;
    if (object >= 0)
        H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, keep_attribute, attributes);
    record->attributes = attributes->n;
    size_t n = (size_t)attributes->n;
    return fwrite(record, sizeof *record, 1, to) == 1 && fwrite(attributes->at, sizeof *attributes->at, n, to) == n;
}

static bool write_part(FILE *to, const char *path, const char *name, struct attributes *attributes) {
    struct part_record record = {.stored_bytes = -1};
    struct fuse_hdf5_look *look = NULL;
    struct fuse_error err = {0};
    snprintf(record.name, sizeof record.name, "%s", name);
    record.status = fuse_hdf5_look_open(&look, &record.facts, path, name, &err);
    if (record.status == FUSE_OK)
        describe_storage(&record, (hid_t)fuse_hdf5_look_handle(look));
    else
        snprintf(record.refused, sizeof record.refused, "%.*s", TEXT_BYTES - 1, err.message);
    return write_object(to, &record, look ? (hid_t)fuse_hdf5_look_handle(look) : -1, attributes);
}

static enum fuse_status list_file(FILE *to, const char *path, int64_t *parts, struct fuse_error *err) {
    struct fuse_hdf5_look *look;
    struct names names = {.n = 0};
    struct part_record record = {.status = FUSE_OK};
    struct attributes *attributes = calloc(1, sizeof *attributes);
    FUSE_TRY(fuse_hdf5_look_file(&look, path, err));
    hid_t file = (hid_t)fuse_hdf5_look_handle(look);
    if (H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, keep_name, &names, H5O_INFO_BASIC) < 0 || !attributes) {
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: %s", path, fuse_hdf5_last_reason().text);
        fuse_hint(err, "copy or write the file again");
        return FUSE_EINPUT;
    }
    bool is_fine = write_object(to, &record, H5Gopen2(file, "/", H5P_DEFAULT), attributes);
    for (int64_t i = 0; i < names.n && is_fine; i++)
        is_fine = write_part(to, path, names.at[i], attributes);
    *parts = names.n;
    return is_fine ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to list %s", path);
}

static void run_errand(int socket, int memory, void *path) {
    struct outcome outcome = {.status = FUSE_OK};
    fuse_child_allow_seconds(CPU_SECONDS);
    fuse_child_allow_memory(FREE_BYTES);
    FILE *to = fdopen(memory, "w");
    if (!to)
        return;
    outcome.status = list_file(to, path, &outcome.parts, &outcome.error);
    fclose(to);
    (void)fuse_child_send(socket, &outcome, sizeof outcome);
}

/* ---- this side ---- */

/* The next record; what the child says is not trusted to be whole. */
static enum fuse_status take(const struct fuse_child *child, void *to, size_t bytes, int64_t *offset, const char *path,
                             struct fuse_error *err) {
    FUSE_TRY(fuse_rawfile_read(child->memory, to, bytes, *offset, path, err));
    *offset += (int64_t)bytes;
    return FUSE_OK;
}

static const char *keep_text(struct fuse_arena *arena, const char *text, size_t most) {
    return fuse_arena_strndup(arena, text, strnlen(text, most));
}

static enum fuse_status take_part(const struct fuse_child *child, struct fuse_part *part, struct fuse_arena *arena,
                                  int64_t *offset, int64_t file_bytes, const char *path, struct fuse_error *err) {
    struct part_record *record = FUSE_NEW(arena, struct part_record);
    struct attribute_record attribute;
    FUSE_TRY(take(child, record, sizeof *record, offset, path, err));
    *part =
        (struct fuse_part){.name = keep_text(arena, record->name, NAME_BYTES), .stored_bytes = record->stored_bytes};
    if (record->storage[0])
        part->storage = keep_text(arena, record->storage, TEXT_BYTES);
    if (record->status == FUSE_OK)
        part->probe = fuse_hdf5_probe_of(&record->facts, file_bytes);
    else
        part->refused = keep_text(arena, record->refused, TEXT_BYTES);
    for (int64_t i = 0; i < record->attributes; i++) {
        FUSE_TRY(take(child, &attribute, sizeof attribute, offset, path, err));
        struct fuse_attribute kept = {.name = keep_text(arena, attribute.name, NAME_BYTES),
                                      .text = keep_text(arena, attribute.text, TEXT_BYTES)};
        fuse_vec_push(arena, &part->attributes, kept);
    }
    return FUSE_OK;
}

static enum fuse_status take_all(const struct fuse_child *child, struct fuse_contents *out, struct fuse_arena *arena,
                                 int64_t parts, int64_t file_bytes, const char *path, struct fuse_error *err) {
    int64_t offset = 0;
    struct fuse_part part;
    FUSE_TRY(take_part(child, &part, arena, &offset, file_bytes, path, err));
    for (int i = 0; i < part.attributes.n; i++)
        fuse_vec_push(arena, &out->attributes, part.attributes.at[i]);
    for (int64_t i = 0; i < parts; i++) {
        FUSE_TRY(take_part(child, &part, arena, &offset, file_bytes, path, err));
        fuse_vec_push(arena, &out->parts, part);
    }
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_list_parts(struct fuse_contents *out, struct fuse_arena *arena, const char *path,
                                      struct fuse_error *err) {
    struct fuse_child child;
    struct outcome outcome;
    char what[256];
    int file, number;
    int64_t file_bytes;
    FUSE_TRY(fuse_rawfile_open(&file, &file_bytes, path, err));
    close(file);
    snprintf(what, sizeof what, "look at %s", path);
    FUSE_TRY(fuse_child_start(&child, run_errand, (void *)path, what, err));
    enum fuse_status st;
    switch (fuse_child_receive(&child, &outcome, sizeof outcome, WALL_SECONDS, &number)) {
    case FUSE_CHILD_ANSWERED:
        st = outcome.status;
        if (st != FUSE_OK)
            *err = outcome.error;
        break;
    default:
        st = fuse_fail(err, FUSE_EINPUT, "%s is damaged: the HDF5 library did not get through it", path);
        fuse_hint(err, "copy or write the file again");
    }
    if (st == FUSE_OK)
        st = take_all(&child, out, arena, outcome.parts, file_bytes, path, err);
    fuse_child_end(&child);
    return st;
}
