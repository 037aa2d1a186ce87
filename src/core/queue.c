#include "core/queue.h"

const char *fuse_memkind_name(enum fuse_memkind kind) {
    static const char *const names[FUSE_MEM_KINDS] = {
        [FUSE_MEM_HOST] = "host",
        [FUSE_MEM_NODE] = "node",
        [FUSE_MEM_PINNED] = "pinned",
        [FUSE_MEM_DEVICE] = "device",
    };
    return (unsigned)kind < FUSE_MEM_KINDS ? names[kind] : "unknown";
}
