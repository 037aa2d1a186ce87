#include "io/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_inside(const char *path, const char *root) {
    size_t n = strlen(root);
    if (n == 1)
        return true; /* "/" */
    return strncmp(path, root, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* part: of the path as it was written, for the reason. at: the same below the root. */
static bool leads_outside(char *reason, size_t reason_bytes, const char *real_root, const char *at, int part_bytes,
                          const char *part) {
    struct stat info;
    char target[PATH_MAX];
    if (lstat(at, &info) != 0)
        return false;
    bool is_link = S_ISLNK(info.st_mode);
    ssize_t n = is_link ? readlink(at, target, sizeof target - 1) : 0;
    target[n > 0 ? n : 0] = '\0';
    char *real = realpath(at, NULL);
    if (real && is_inside(real, real_root)) {
        free(real);
        return false;
    }
    if (is_link && !real)
        snprintf(reason, reason_bytes, "'%.*s' is a link to '%s', which cannot be followed: %s", part_bytes, part,
                 target, strerror(errno));
    else if (is_link)
        snprintf(reason, reason_bytes, "'%.*s' is a link to '%s'", part_bytes, part, target);
    else
        snprintf(reason, reason_bytes, "'%.*s' is above it", part_bytes, part);
    free(real);
    return true;
}

bool fuse_path_escapes(char *reason, size_t reason_bytes, const char *root, const char *path, bool follow_last) {
    bool escapes = false;
    if (path[0] == '/') {
        snprintf(reason, reason_bytes, "it is an absolute path");
        return true;
    }
    char *real_root = realpath(*root ? root : ".", NULL);
    size_t root_bytes = strlen(root);
    char *at = malloc(root_bytes + strlen(path) + 3);
    if (real_root && at) {
        memcpy(at, root, root_bytes);
        at[root_bytes] = '/';
        if (!*root) /* the current folder */
            at[0] = '.', at[1] = '/', root_bytes = 1;
        /* Each folder on the way, from the first. */
        for (const char *end = path; *end && !escapes;) {
            end += strspn(end, "/");
            end += strcspn(end, "/");
            bool is_last = end[strspn(end, "/")] == '\0';
            if (is_last && !follow_last)
                break;
            memcpy(at + root_bytes + 1, path, (size_t)(end - path));
            at[root_bytes + 1 + (size_t)(end - path)] = '\0';
            escapes = leads_outside(reason, reason_bytes, real_root, at, (int)(end - path), path);
        }
    } else if (!at) {
        snprintf(reason, reason_bytes, "there is no memory to look");
        escapes = true;
    }
    free(at);
    free(real_root);
    return escapes;
}
