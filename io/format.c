#include "io/format.h"

#include "io/output_file.h"

#include <string.h>
#include <strings.h>

/* The one table. A format is a file of this folder and a row here. */
static const struct fuse_format *const formats[] = {&fuse_format_npy,  &fuse_format_npz,  &fuse_format_safetensors,
                                                    &fuse_format_hdf5, &fuse_format_json, &fuse_format_jsonl,
                                                    &fuse_format_tsv,  &fuse_format_coo,  &fuse_format_words};

const struct fuse_format *fuse_format_find(const char *path) {
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        for (const char *const *suffix = formats[i]->suffixes; *suffix; suffix++) {
            size_t bytes = strlen(*suffix);
            if (length >= bytes && strcasecmp(path + length - bytes, *suffix) == 0)
                return formats[i];
        }
    }
    return NULL;
}

bool fuse_format_is_relation(const char *part) {
    size_t bytes = part ? strlen(part) : 0;
    return bytes > 0 && (strcmp(part, "coo") == 0 || (bytes > 4 && strcmp(part + bytes - 4, ":coo") == 0));
}

const struct fuse_format *fuse_format_of(const char *path, const char *part) {
    const struct fuse_format *format = fuse_format_find(path);
    return format == &fuse_format_hdf5 && fuse_format_is_relation(part) ? &fuse_format_hdf5_coo : format;
}

const struct fuse_format *fuse_format_at(int i) {
    return i >= 0 && (size_t)i < sizeof formats / sizeof *formats ? formats[i] : NULL;
}

enum fuse_status fuse_sink_commit(const struct fuse_format *format, struct fuse_sink *sink, struct fuse_error *err) {
    return fuse_output_file_commit(format->sink_release(sink), err);
}

void fuse_sink_discard(const struct fuse_format *format, struct fuse_sink *sink) {
    fuse_output_file_discard(format->sink_release(sink));
}
