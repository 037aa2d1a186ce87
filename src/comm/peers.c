/* A memfd has no name in any file system and counts against no limit of one; /proc leads to it as long as its owner runs. Which
 * process and which descriptor are numbers that mean something else in another name space, so the random name of the file decides. */
#include "comm/comm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE ((size_t)2 << 20) /* of the largest kind that a mapping may get */
#define NAME_BYTES 96

/* What a rank tells those of its node. */
struct offer {
    int rank, process, file; /* file -1: nothing, because of `why` */
    size_t bytes;
    char name[NAME_BYTES], why[FUSE_COMM_WHY];
};

/* The name of an open file that is in no file system. */
static bool read_name(char name[NAME_BYTES], const char *link) {
    const ssize_t length = readlink(link, name, NAME_BYTES - 1);
    name[length > 0 ? length : 0] = 0;
    return strncmp(name, "/memfd:", 7) == 0;
}

static void refuse(struct offer *offer, const char *why) {
    offer->file = -1;
    snprintf(offer->why, sizeof offer->why, "%s", why);
}

static struct offer make_offer(const struct fuse_comm *comm, int file, size_t bytes, const char *why) {
    struct offer offer = {.rank = comm->rank, .process = (int)getpid(), .file = file, .bytes = bytes};
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (file < 0)
        refuse(&offer, why);
    else if (!read_name(offer.name, link))
        refuse(&offer, "there is no /proc");
    return offer;
}

/* The file that is meant, or -1. Nothing else is opened: to open a pipe or a device may do something. */
static int open_offer(const struct offer *offer) {
    char link[64], name[NAME_BYTES];
    struct stat status;
    snprintf(link, sizeof link, "/proc/%d/fd/%d", offer->process, offer->file);
    if (!read_name(name, link) || strcmp(name, offer->name) != 0)
        return -1;
    const int file = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (!read_name(name, link) || strcmp(name, offer->name) != 0 || fstat(file, &status) != 0 || status.st_size < 0 ||
        (size_t)status.st_size < offer->bytes) {
        close(file);
        return -1;
    }
    return file;
}

static size_t mapped_bytes(size_t bytes) {
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* At a multiple of the page, so that large ones can be mapped; to be read only. */
static const char *map_file(int file, size_t bytes) {
    const size_t rounded = mapped_bytes(bytes);
    char *map = mmap(NULL, rounded + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    const size_t head = (PAGE - (uintptr_t)map % PAGE) % PAGE;
    char *start = map + head;
    if (head > 0)
        munmap(map, head);
    munmap(start + rounded, PAGE - head);
    if (mmap(start, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED)
        return start;
    munmap(start, rounded);
    return NULL;
}

static bool map_offer(struct fuse_comm_peer *peer, const struct offer *offer) {
    const int file = open_offer(offer);
    if (file < 0)
        return false;
    *peer = (struct fuse_comm_peer){.rank = offer->rank, .bytes = offer->bytes, .at = map_file(file, offer->bytes)};
    close(file);
    return peer->at != NULL;
}

/* The first of a node that offers nothing speaks for it. */
static const char *first_refusal(const struct offer *offer, int n) {
    for (int i = 0; i < n; i++)
        if (offer[i].file < 0)
            return offer[i].why;
    return NULL;
}

/* Collective over the node: the same outcome on its ranks. `offer` has room for all of them. */
static enum fuse_status map_node(struct fuse_comm_peers *out, struct fuse_comm *comm, struct offer mine,
                                 struct offer *offer, int n, struct fuse_error *err) {
    FUSE_TRY(comm->ops->gather_node(comm, &mine, offer, sizeof mine, err));
    if (first_refusal(offer, n) == NULL) {
        for (int i = 0; i < n && mine.file >= 0; i++)
            if (offer[i].rank != comm->rank && !map_offer(&out->peer[out->peers++], &offer[i]))
                refuse(&mine, "a rank cannot map the memory of another one on its host");
        /* A file can be found as long as its owner has not closed it, so everybody answers before anybody goes on. */
        FUSE_TRY(comm->ops->gather_node(comm, &mine, offer, sizeof mine, err));
    }
    const char *why = first_refusal(offer, n);
    if (why)
        snprintf(out->why, sizeof out->why, "%s", why);
    return FUSE_OK;
}

/* Collective: the lowest rank that has a reason tells it to all. */
static enum fuse_status share_reason(struct fuse_comm_peers *out, struct fuse_comm *comm, struct fuse_error *err) {
    int64_t lowest = out->why[0] ? comm->rank : comm->size;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &lowest, 1, err));
    if (lowest < comm->size)
        FUSE_TRY(comm->ops->broadcast(comm, out->why, sizeof out->why, (int)lowest, err));
    return FUSE_OK;
}

enum fuse_status fuse_comm_lend(struct fuse_comm_peers *out, struct fuse_comm *comm, int file, size_t bytes,
                                const char *why, struct fuse_error *err) {
    int place, n;
    *out = (struct fuse_comm_peers){0};
    FUSE_TRY(fuse_comm_node(comm, &place, &n, err));
    struct offer *offer = calloc((size_t)n, sizeof *offer);
    out->peer = calloc((size_t)n, sizeof *out->peer);
    enum fuse_status st = offer && out->peer ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for peers");
    FUSE_TRY_GOTO(st, fuse_agree(comm, st, err), free_offers);
    FUSE_TRY_GOTO(st, map_node(out, comm, make_offer(comm, file, bytes, why), offer, n, err), free_offers);
    if (out->why[0])
        fuse_comm_return(out);
    st = share_reason(out, comm, err);
free_offers:
    free(offer);
    if (st != FUSE_OK)
        fuse_comm_return(out);
    return st;
}

void fuse_comm_return(struct fuse_comm_peers *peers) {
    for (int i = 0; i < peers->peers; i++)
        if (peers->peer[i].at)
            munmap((void *)(uintptr_t)peers->peer[i].at, mapped_bytes(peers->peer[i].bytes));
    free(peers->peer);
    peers->peer = NULL;
    peers->peers = 0;
}

const char *fuse_comm_lender(const struct fuse_comm_peers *peers, int rank) {
    int low = 0, high = peers->peers;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (peers->peer[middle].rank < rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low < peers->peers && peers->peer[low].rank == rank ? peers->peer[low].at : NULL;
}

void fuse_comm_let_go(const char *at, size_t bytes) {
    const uintptr_t begin = (uintptr_t)at / PAGE * PAGE, end = ((uintptr_t)at + bytes + PAGE - 1) / PAGE * PAGE;
    madvise((void *)begin, end - begin, MADV_DONTNEED);
}
