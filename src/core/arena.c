#include "core/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#endif

/* Under AddressSanitizer every byte that is not handed out is poisoned, and a red zone follows each object. */
#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#define RED_ZONE 16
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define RED_ZONE 0
#endif

#define ALIGNMENT 16
#define FIRST_BLOCK ((size_t)16 << 10)
#define LARGEST_BLOCK ((size_t)4 << 20)

/* block ─> older block ─> .. ─> first block; objects come from the newest one only, so a mark is (block, used). */
struct block {
    struct block *older;
    size_t capacity, used;
    size_t padding; /* keeps bytes[] 16-byte aligned */
    unsigned char bytes[];
};

struct fuse_arena {
    struct block *newest;
    size_t held;
    void (*out_of_memory)(size_t bytes);
};

static struct block *new_block(size_t capacity) {
    if (capacity > SIZE_MAX - sizeof(struct block))
        return NULL;
    struct block *block = malloc(sizeof *block + capacity);
    if (!block)
        return NULL;
    *block = (struct block){.capacity = capacity};
    ASAN_POISON_MEMORY_REGION(block->bytes, capacity);
    return block;
}

static void free_block(struct block *block) {
    ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->capacity);
    free(block);
}

static void fail_out_of_memory(const struct fuse_arena *arena, size_t bytes) {
    if (arena->out_of_memory)
        arena->out_of_memory(bytes);
    abort();
}

struct fuse_arena *fuse_arena_open(void (*out_of_memory)(size_t bytes)) {
    struct fuse_arena *arena = malloc(sizeof *arena);
    if (!arena)
        return NULL;
    struct block *first = new_block(FIRST_BLOCK);
    if (!first) {
        free(arena);
        return NULL;
    }
    *arena = (struct fuse_arena){.newest = first, .held = first->capacity, .out_of_memory = out_of_memory};
    return arena;
}

void fuse_arena_close(struct fuse_arena *arena) {
    if (!arena)
        return;
    for (struct block *block = arena->newest, *older; block; block = older) {
        older = block->older;
        free_block(block);
    }
    free(arena);
}

void *fuse_arena_alloc(struct fuse_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2)
        fail_out_of_memory(arena, bytes);
    /* An empty object takes a place too: no two live objects share an address. */
    size_t taken = ((bytes ? bytes : 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + RED_ZONE;
    struct block *block = arena->newest;
    if (block->capacity - block->used < taken) {
        size_t capacity = block->capacity < LARGEST_BLOCK ? 2 * block->capacity : LARGEST_BLOCK;
        if (capacity > LARGEST_BLOCK)
            capacity = LARGEST_BLOCK;
        if (capacity < taken)
            capacity = taken;
        block = new_block(capacity);
        if (!block)
            fail_out_of_memory(arena, bytes);
        block->older = arena->newest;
        arena->newest = block;
        arena->held += capacity;
    }
    unsigned char *at = block->bytes + block->used;
    block->used += taken;
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
    return memset(at, 0, bytes);
}

void *fuse_arena_array(struct fuse_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        fail_out_of_memory(arena, SIZE_MAX);
    return fuse_arena_alloc(arena, bytes);
}

void *fuse_arena_grow(struct fuse_arena *arena, const void *old, size_t old_count, size_t new_count, size_t size) {
    void *grown = fuse_arena_array(arena, new_count, size);
    size_t kept = old_count < new_count ? old_count : new_count;
    if (kept > 0 && size > 0)
        memcpy(grown, old, kept * size);
    return grown;
}

char *fuse_arena_strndup(struct fuse_arena *arena, const char *text, size_t bytes) {
    char *copy = fuse_arena_array(arena, bytes + 1, 1);
    if (bytes > 0)
        memcpy(copy, text, bytes);
    return copy;
}

char *fuse_arena_printf(struct fuse_arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *at = fuse_arena_alloc(arena, bytes < 0 ? 1 : (size_t)bytes + 1);
    if (bytes > 0)
        vsnprintf(at, (size_t)bytes + 1, format, again);
    va_end(again);
    return at;
}

struct fuse_arena_mark fuse_arena_mark(struct fuse_arena *arena) {
    return (struct fuse_arena_mark){.block = arena->newest, .used = arena->newest->used};
}

void fuse_arena_rewind(struct fuse_arena *arena, struct fuse_arena_mark mark) {
    while (arena->newest != mark.block) {
        struct block *block = arena->newest;
        arena->newest = block->older;
        arena->held -= block->capacity;
        free_block(block);
    }
    struct block *block = arena->newest;
    ASAN_POISON_MEMORY_REGION(block->bytes + mark.used, block->used - mark.used);
    block->used = mark.used;
}

size_t fuse_arena_bytes(const struct fuse_arena *arena) {
    return arena->held;
}
