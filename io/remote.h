/* Files behind a URL, kept in a local folder: weight manifests and their files. Local: the caller lets one rank of a node
 * fetch, and the others wait.
 *
 *   https://host/models/weights.json -> CACHE/<digest of https://host/models/>/weights.json, and beside it
 *                                       weights.json.etag, the server's name for these bytes
 *
 * A file that is there is asked for with If-None-Match: what has not changed does not travel again. Bytes arrive under a
 * temporary name and are renamed when they are complete, so that no partial file is ever used. */
#ifndef FUSE_IO_REMOTE_H
#define FUSE_IO_REMOTE_H

#include "core/arena.h"
#include "core/error.h"

#include <stdbool.h>
#include <stdint.h>

struct fuse_remote {
    const char *cache;     /* folder; made if it is not there */
    int64_t most_bytes;    /* of the cache; a larger file is refused, the files used longest ago make room */
    int64_t begun_ns;      /* real time: what is used since then is needed together */
    int64_t stall_seconds; /* a server that sends nothing for so long has failed */
    /* s3://: NULL without. Requests are signed when there is a key. */
    const char *s3_key, *s3_secret, *s3_token, *s3_region, *s3_endpoint;
};

/* true for https://, http:// and s3://. */
bool fuse_remote_is_url(const char *text);
/* The folder of the cache for files of the URL's folder. In the arena. */
const char *fuse_remote_folder(struct fuse_arena *arena, const struct fuse_remote *remote, const char *url);
/* Makes CACHE/<digest>/name the present state of the file `name`, relative to the URL's folder. INPUT with the URL and what
 * the server said: a status other than 200 and 304, too many redirections, fewer bytes than announced, more than the cache
 * may hold, silence; http:// to another host than this one. OUTPUT when the cache cannot be written. FAILED in a build
 * without libcurl. */
enum fuse_status fuse_remote_fetch(const struct fuse_remote *remote, struct fuse_arena *arena, const char *url,
                                   const char *name, struct fuse_error *err) FUSE_CHECKED;

#endif
