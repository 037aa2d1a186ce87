#include "api/fuse_dist.h"
#include "core/dtype.h"
#include "core/error.h"

#include <cblas.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

const char *fuse_dist_version(void) {
    return FUSE_DIST_VERSION;
}

const char *fuse_dist_status_text(int status) {
    return fuse_status_text((enum fuse_status)status);
}

/* A buffer that is filled from the left and stays NUL-terminated. */
struct line {
    char *at;
    size_t bytes, used;
};

static void add(struct line *line, const char *text) {
    for (; *text && line->used + 1 < line->bytes; text++)
        line->at[line->used++] = *text;
    line->at[line->used] = '\0';
}

/* Of a library's answer: control characters become blanks, the end is trimmed. */
static void add_string(struct line *line, const char *text) {
    size_t n = strlen(text);
    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        n--;
    add(line, "\"");
    for (size_t i = 0; i < n; i++) {
        char one[3] = {text[i], '\0', '\0'};
        if (text[i] == '"' || text[i] == '\\') {
            one[0] = '\\';
            one[1] = text[i];
        } else if ((unsigned char)text[i] < ' ') {
            one[0] = ' ';
        }
        add(line, one);
    }
    add(line, "\"");
}

static void add_pair(struct line *line, const char *key, const char *value) {
    add(line, ",\"");
    add(line, key);
    add(line, "\":");
    add_string(line, value);
}

const char *fuse_dist_version_json(void) {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING + 2048];
    struct line line = {.at = text, .bytes = sizeof text};
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING + 1] = "", number[64];
    int length = 0, version = 0, subversion = 0;
    MPI_Get_library_version(mpi, &length);
    MPI_Get_version(&version, &subversion);

    add(&line, "{\"version\":");
    add_string(&line, FUSE_DIST_VERSION);
    add_pair(&line, "compiler", __VERSION__);
    snprintf(number, sizeof number, "%d.%d", version, subversion);
    add_pair(&line, "mpi", number);
    add_pair(&line, "mpi_library", mpi);
    add_pair(&line, "blas", openblas_get_config());
    add_pair(&line, "blas_core", openblas_get_corename());
#ifdef _OPENMP
    snprintf(number, sizeof number, "%d", _OPENMP);
    add_pair(&line, "openmp", number);
#endif
#ifdef FUSE_FAULTS
    add(&line, ",\"fault_points\":true");
#else
    add(&line, ",\"fault_points\":false");
#endif
    add(&line, ",\"dtypes\":[");
    for (int d = 0; d < FUSE_DTYPES; d++) {
        if (fuse_dtype_resident((enum fuse_dtype)d) != (enum fuse_dtype)d)
            continue; /* in files only */
        add(&line, d ? "," : "");
        add_string(&line, fuse_dtype_name((enum fuse_dtype)d));
    }
    add(&line, "]}\n");
    return text;
}
