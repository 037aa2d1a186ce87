/* Arenas: memory with a named lifetime. An object allocated from an arena is freed with it, never alone.
 *
 * For metadata only (syntax trees, IR, plans); tensor data live in the planned arenas of backend/backend.h.
 * Running out of metadata memory calls the handler given at open, which must not return; without one, abort(). */
#ifndef FUSE_CORE_ARENA_H
#define FUSE_CORE_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_arena;
struct fuse_arena_mark {
    void *block;
    size_t used;
};

/* Owns everything allocated from it. NULL when even the first block cannot be had. */
struct fuse_arena *fuse_arena_open(void (*out_of_memory)(size_t bytes));
void fuse_arena_close(struct fuse_arena *arena);

/* Zeroed, 16-byte aligned. bytes == 0 gives a valid pointer. */
void *fuse_arena_alloc(struct fuse_arena *arena, size_t bytes);
/* count * size with overflow treated as out of memory. */
void *fuse_arena_array(struct fuse_arena *arena, size_t count, size_t size);
/* A larger copy of an arena array; the old one stays until the arena ends. */
void *fuse_arena_grow(struct fuse_arena *arena, const void *old, size_t old_count, size_t new_count, size_t size);
char *fuse_arena_strndup(struct fuse_arena *arena, const char *text, size_t bytes);
char *fuse_arena_printf(struct fuse_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Scratch use: everything allocated after the mark is freed by the rewind. */
struct fuse_arena_mark fuse_arena_mark(struct fuse_arena *arena);
void fuse_arena_rewind(struct fuse_arena *arena, struct fuse_arena_mark mark);
/* Held from the system now. */
size_t fuse_arena_bytes(const struct fuse_arena *arena);

#define FUSE_NEW(arena, type) ((type *)fuse_arena_alloc((arena), sizeof(type)))
#define FUSE_NEW_ARRAY(arena, type, count) ((type *)fuse_arena_array((arena), (size_t)(count), sizeof(type)))

/* Growable array in an arena: `FUSE_VEC(int) v = {0}; fuse_vec_push(arena, &v, 3);` elements are v.at[0 .. v.n). */
#define FUSE_VEC(type) \
    struct {           \
        type *at;      \
        int n, cap;    \
    }
#define fuse_vec_push(arena, vec, value)                                                                         \
    do {                                                                                                         \
        if ((vec)->n == (vec)->cap) {                                                                            \
            int fuse_vec_cap_ = (vec)->cap ? 2 * (vec)->cap : sizeof *(vec)->at > 256 ? 1 : 8;                   \
            (vec)->at =                                                                                          \
                fuse_arena_grow((arena), (vec)->at, (size_t)(vec)->n, (size_t)fuse_vec_cap_, sizeof *(vec)->at); \
            (vec)->cap = fuse_vec_cap_;                                                                          \
        }                                                                                                        \
        (vec)->at[(vec)->n++] = (value);                                                                         \
    } while (0)

#endif
