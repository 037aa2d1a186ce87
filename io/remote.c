#include "io/remote.h"

#include "core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool fuse_remote_is_url(const char *text) {
    return starts_with(text, "https://") || starts_with(text, "http://") || starts_with(text, "s3://");
}

/* Up to and with the last slash, without query. */
static int folder_bytes(const char *url) {
    int end = (int)strcspn(url, "?#");
    while (end > 0 && url[end - 1] != '/')
        end--;
    return end;
}

const char *fuse_remote_folder(struct fuse_arena *arena, const struct fuse_remote *remote, const char *url) {
    uint64_t digest = fuse_hash_bytes(FUSE_HASH_SEED, url, (size_t)folder_bytes(url));
    return fuse_arena_printf(arena, "%s/%016" PRIx64, remote->cache, digest);
}

#ifndef FUSE_HAS_CURL

enum fuse_status fuse_remote_fetch(const struct fuse_remote *remote, struct fuse_arena *arena, const char *url,
                                   const char *name, struct fuse_error *err) {
    (void)remote;
    (void)arena;
    (void)name;
    fuse_fail(err, FUSE_EFAILED, "%s: this build cannot fetch files: it was made without libcurl", url);
    fuse_hint(err, "fetch them by other means, or install libcurl4-openssl-dev and build again");
    return FUSE_EFAILED;
}

#else

#include <curl/curl.h>
#include <dirent.h>
#include <pthread.h>

enum { MOST_REDIRECTIONS = 5, CONNECT_SECONDS = 30, ETAG_BYTES = 512 };

/* ---- the cache ---- */

/* Makes the folders of a path. */
static enum fuse_status make_folders(struct fuse_arena *arena, const char *path, struct fuse_error *err) {
    char *folder = fuse_arena_strndup(arena, path, strlen(path));
    for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            return fuse_fail(err, FUSE_EOUTPUT, "cannot make the folder %s for fetched weights: %s", folder,
                             strerror(errno));
        *at = '/';
    }
    return FUSE_OK;
}

static void read_etag(char etag[ETAG_BYTES], const char *path) {
    FILE *file = fopen(path, "re");
    etag[0] = '\0';
    if (!file)
        return;
    if (!fgets(etag, ETAG_BYTES, file))
        etag[0] = '\0';
    fclose(file);
}

static bool write_etag(const char *etag, const char *path) {
    if (!etag[0])
        return unlink(path) == 0 || errno == ENOENT;
    FILE *file = fopen(path, "we");
    bool good = file && fputs(etag, file) >= 0;
    return file && fclose(file) == 0 && good;
}

struct aged {
    char *path;
    int64_t bytes, used_ns;
};

struct cached {
    struct fuse_arena *arena;
    FUSE_VEC(struct aged) list;
    int64_t bytes;
};

static void list_cached(struct cached *cached, const char *folder, int depth) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char *path = fuse_arena_printf(cached->arena, "%s/%s", folder, entry->d_name);
        struct stat status;
        if (entry->d_name[0] == '.' || lstat(path, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode) && depth < 32)
            list_cached(cached, path, depth + 1);
        if (!S_ISREG(status.st_mode))
            continue;
        struct aged aged = {.path = path,
                            .bytes = status.st_size,
                            .used_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec};
        cached->bytes += aged.bytes;
        fuse_vec_push(cached->arena, &cached->list, aged);
    }
    if (dir)
        closedir(dir);
}

/* Removes the files that were used longest ago until the rest is small enough. What this start has used stays: false when
 * that alone is too much. */
static bool make_room(const struct fuse_remote *remote, struct fuse_arena *arena) {
    struct cached cached = {.arena = arena};
    list_cached(&cached, remote->cache, 0);
    while (cached.bytes > remote->most_bytes) {
        int oldest = 0;
        for (int k = 1; k < cached.list.n; k++)
            if (cached.list.at[k].used_ns < cached.list.at[oldest].used_ns)
                oldest = k;
        if (cached.list.n == 0 || cached.list.at[oldest].used_ns >= remote->begun_ns)
            return false;
        (void)unlink(cached.list.at[oldest].path);
        cached.bytes -= cached.list.at[oldest].bytes;
        cached.list.at[oldest] = cached.list.at[--cached.list.n];
    }
    return true;
}

/* ---- a request ---- */

struct transfer {
    FILE *file;
    int64_t bytes, most;
    bool is_too_large;
    char etag[ETAG_BYTES];
};

static size_t take_bytes(char *at, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    transfer->bytes += (int64_t)(size * count);
    transfer->is_too_large = transfer->bytes > transfer->most;
    return transfer->is_too_large ? 0 : fwrite(at, size, count, transfer->file);
}

static size_t take_header(char *at, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    size_t bytes = size * count, begin = strlen("etag:"), end = bytes;
    if (bytes > 5 && strncasecmp(at, "HTTP/", 5) == 0)
        transfer->etag[0] = '\0'; /* of a redirection */
    if (bytes <= begin || strncasecmp(at, "etag:", begin) != 0)
        return bytes;
    while (begin < end && (at[begin] == ' ' || at[begin] == '\t'))
        begin++;
    while (end > begin && (unsigned char)at[end - 1] <= ' ')
        end--;
    if (end - begin < ETAG_BYTES) {
        memcpy(transfer->etag, at + begin, end - begin);
        transfer->etag[end - begin] = '\0';
    }
    return bytes;
}

static bool is_this_host(const char *url) {
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = url + strlen("http://");
    for (size_t k = 0; k < sizeof hosts / sizeof *hosts; k++)
        if (starts_with(host, hosts[k]) && strchr(":/", host[strlen(hosts[k])]))
            return true;
    return false;
}

/* s3://bucket/key as https://bucket.s3.region.amazonaws.com/key, or at another endpoint as endpoint/bucket/key. */
static const char *address(struct fuse_arena *arena, const struct fuse_remote *remote, const char *url) {
    if (!starts_with(url, "s3://"))
        return url;
    const char *bucket = url + strlen("s3://"), *key = bucket + strcspn(bucket, "/");
    if (remote->s3_endpoint)
        return fuse_arena_printf(arena, "%s/%s", remote->s3_endpoint, bucket);
    return fuse_arena_printf(arena, "https://%.*s.s3.%s.amazonaws.com%s", (int)(key - bucket), bucket,
                             remote->s3_region ? remote->s3_region : "us-east-1", key);
}

static void sign(CURL *curl, struct curl_slist **headers, const struct fuse_remote *remote, struct fuse_arena *arena) {
    const char *region = remote->s3_region ? remote->s3_region : "us-east-1";
    if (!remote->s3_key || !remote->s3_secret)
        return;
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, fuse_arena_printf(arena, "aws:amz:%s:s3", region));
    curl_easy_setopt(curl, CURLOPT_USERPWD, fuse_arena_printf(arena, "%s:%s", remote->s3_key, remote->s3_secret));
    if (remote->s3_token)
        *headers = curl_slist_append(*headers, fuse_arena_printf(arena, "x-amz-security-token: %s", remote->s3_token));
}

static enum fuse_status explain(const struct transfer *transfer, CURLcode code, long status, const char *detail,
                                const char *url, int64_t most, struct fuse_error *err) {
    if (transfer->is_too_large || code == CURLE_FILESIZE_EXCEEDED)
        fuse_fail(err, FUSE_EINPUT,
                  "%s: with it, weights need more than the cache for them may hold, %" PRId64 " bytes", url, most);
    else if (code == CURLE_WRITE_ERROR)
        return fuse_fail(err, FUSE_EOUTPUT, "%s: cannot be written to the cache of weights: %s", url, strerror(errno));
    else if (code != CURLE_OK)
        fuse_fail(err, FUSE_EINPUT, "%s: cannot be fetched: %s", url, detail[0] ? detail : curl_easy_strerror(code));
    else
        fuse_fail(err, FUSE_EINPUT, "%s: cannot be fetched: the server answered with status %ld", url, status);
    fuse_hint(err, transfer->is_too_large || code == CURLE_FILESIZE_EXCEEDED
                       ? "--weights-cache-size says how large it may be"
                       : "the address has to be right, and the server reachable from the first rank of every node");
    return FUSE_EINPUT;
}

/* *fresh: new bytes are in the temporary file; false: the ones that are there are still right. */
static enum fuse_status request(bool *fresh, struct transfer *transfer, const struct fuse_remote *remote,
                                struct fuse_arena *arena, const char *url, const char *etag, struct fuse_error *err) {
    char detail[CURL_ERROR_SIZE] = "";
    const char *at = address(arena, remote, url);
    if (starts_with(at, "http://") && !is_this_host(at)) {
        fuse_fail(err, FUSE_EINPUT, "%s: http:// would let anybody on the way change weights", url);
        fuse_hint(err, "use https://; http:// is for servers on this host");
        return FUSE_EINPUT;
    }
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    if (!curl)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to fetch %s", url);
    if (etag[0])
        headers = curl_slist_append(headers, fuse_arena_printf(arena, "If-None-Match: %s", etag));
    if (starts_with(url, "s3://"))
        sign(curl, &headers, remote, arena);
    curl_easy_setopt(curl, CURLOPT_URL, at);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTIONS);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, starts_with(at, "https:") ? "https" : "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, starts_with(at, "https:") ? "https" : "http,https");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT,
                     (long)(remote->stall_seconds < CONNECT_SECONDS ? remote->stall_seconds : CONNECT_SECONDS));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)remote->stall_seconds);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)remote->most_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    long status = 0;
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    *fresh = status == 200;
    if (code == CURLE_OK && (status == 200 || (status == 304 && etag[0])))
        return FUSE_OK;
    return explain(transfer, code, status, detail, url, remote->most_bytes, err);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin_curl(void) {
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* The ETag goes before the bytes change and comes after them: at no time does it stand beside other ones. */
static enum fuse_status keep(struct transfer *transfer, const char *temporary, const char *path, const char *etag_path,
                             struct fuse_error *err) {
    FILE *file = transfer->file;
    transfer->file = NULL;
    if (fclose(file) != 0 || !write_etag("", etag_path) || rename(temporary, path) != 0 ||
        !write_etag(transfer->etag, etag_path))
        return fuse_fail(err, FUSE_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
    return FUSE_OK;
}

enum fuse_status fuse_remote_fetch(const struct fuse_remote *remote, struct fuse_arena *arena, const char *url,
                                   const char *name, struct fuse_error *err) {
    const char *folder = fuse_remote_folder(arena, remote, url);
    const char *path = fuse_arena_printf(arena, "%s/%s", folder, name);
    const char *etag_path = fuse_arena_printf(arena, "%s.etag", path);
    char *temporary = fuse_arena_printf(arena, "%s.XXXXXX", path);
    const char *from = fuse_arena_printf(arena, "%.*s%s", folder_bytes(url), url, name);
    struct transfer transfer = {.most = remote->most_bytes};
    char etag[ETAG_BYTES] = "";
    bool fresh = false;
    pthread_once(&once, begin_curl);
    FUSE_TRY(make_folders(arena, path, err));
    if (access(path, R_OK) == 0)
        read_etag(etag, etag_path);
    int fd = mkstemp(temporary);
    transfer.file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!transfer.file)
        return fuse_fail(err, FUSE_EOUTPUT, "%s: cannot be written: %s", temporary, strerror(errno));
    enum fuse_status st = request(&fresh, &transfer, remote, arena, from, etag, err);
    if (st == FUSE_OK && fresh) {
        transfer.is_too_large = fflush(transfer.file) == 0 && !make_room(remote, arena);
        st = transfer.is_too_large ? explain(&transfer, CURLE_OK, 0, "", from, remote->most_bytes, err)
                                   : keep(&transfer, temporary, path, etag_path, err);
    } else if (st == FUSE_OK) {
        (void)utimensat(AT_FDCWD, path, NULL, 0); /* used again */
    }
    if (transfer.file)
        fclose(transfer.file);
    if (st != FUSE_OK || !fresh)
        (void)unlink(temporary);
    return st;
}

#endif
