#include "api/program.h"

#ifdef FUSE_FAULTS

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum fuse_fault_kind kind;
} kinds[] = {
    {"open", FUSE_FAULT_OPEN}, {"kernel", FUSE_FAULT_KERNEL}, {"message", FUSE_FAULT_MESSAGE},
    {"read", FUSE_FAULT_READ}, {"write", FUSE_FAULT_WRITE},   {"progress", FUSE_FAULT_PROGRESS},
};

enum fuse_status fuse_api_parse_fault(struct fuse_fault *fault, bool *perturb, const char *text,
                                      struct fuse_error *err) {
    *fault = (struct fuse_fault){.kind = FUSE_FAULT_NONE};
    *perturb = strcmp(text, "plan") == 0;
    if (*perturb)
        return FUSE_OK;
    const char *colon = strchr(text, ':');
    for (size_t i = 0; colon && i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) != (size_t)(colon - text) || strncmp(kinds[i].name, text, (size_t)(colon - text)))
            continue;
        char *at, *end;
        long long n = strtoll(colon + 1, &at, 10);
        if (at == colon + 1 || n < 1 || *at != '@')
            break;
        long rank = strtol(at + 1, &end, 10);
        if (end == at + 1 || *end || rank < 0 || rank > INT_MAX)
            break;
        *fault = (struct fuse_fault){.kind = kinds[i].kind, .n = n, .rank = (int)rank};
        return FUSE_OK;
    }
    return fuse_fail(err, FUSE_EUSAGE,
                     "bad planted fault '%s': write plan, or (open|kernel|message|read|write|progress):n@rank", text);
}

#else

enum fuse_status fuse_api_parse_fault(struct fuse_fault *fault, bool *perturb, const char *text,
                                      struct fuse_error *err) {
    (void)fault;
    (void)perturb;
    return fuse_fail(err, FUSE_EUSAGE, "a fault '%s' is planted, but this build has no fault points", text);
}

#endif
