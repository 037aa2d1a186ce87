#include "io/hdf5_reason.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static herr_t note_reason(unsigned n, const H5E_error2_t *entry, void *context) {
    struct fuse_hdf5_reason *reason = context;
    const char *code = entry->desc ? strstr(entry->desc, "errno = ") : NULL;
    if (code)
        reason->code = atoi(code + strlen("errno = "));
    if (n == 0 && entry->desc)
        snprintf(reason->text, sizeof reason->text, "%.*s", (int)strcspn(entry->desc, ":\n"), entry->desc);
    return 0;
}

char *fuse_hdf5_printable(char *text) {
    for (char *at = text; *at; at++)
        *at = (unsigned char)*at < ' ' || (unsigned char)*at >= 127 ? '?' : *at;
    return text;
}

struct fuse_hdf5_reason fuse_hdf5_last_reason(void) {
    struct fuse_hdf5_reason reason = {.text = ""};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_reason, &reason);
    if (reason.code)
        snprintf(reason.text, sizeof reason.text, "%s", strerror(reason.code));
    if (!reason.text[0])
        strcpy(reason.text, "no reason given");
    fuse_hdf5_printable(reason.text);
    return reason;
}
