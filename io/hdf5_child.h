/* A process that looks at an HDF5 file for this one, with libhdf5: what a broken file does to it, a crash, a loop, too much
 * memory, is an INPUT error here. (child_process.h)
 *
 * Elements come through shared memory, two slots: while one answer is used the next can be under way. It is
 * cheapest before much memory was touched. Local. */
#ifndef FUSE_IO_HDF5_CHILD_H
#define FUSE_IO_HDF5_CHILD_H

#include "core/box.h"
#include "core/error.h"
#include "io/hdf5_look.h"

struct fuse_hdf5_child;

enum { FUSE_HDF5_SLOTS = 2 };

/* Starts it and waits for the facts. As fuse_hdf5_look_open; path and part are used during the call only. MEMORY when no
 * process can be started. */
enum fuse_status fuse_hdf5_child_open(struct fuse_hdf5_child **out, struct fuse_hdf5_facts *facts, const char *path,
                                      const char *part, struct fuse_error *err) FUSE_CHECKED;
/* Makes room for answers of so many bytes. No question may be open, and earlier answers are gone. */
enum fuse_status fuse_hdf5_child_reserve(struct fuse_hdf5_child *child, size_t bytes,
                                         struct fuse_error *err) FUSE_CHECKED;
/* Asks for the elements of a box, `bytes` in all; at most FUSE_HDF5_SLOTS questions are open. Its answer takes the place of
 * the last but one. */
void fuse_hdf5_child_ask(struct fuse_hdf5_child *child, const struct fuse_box *box, size_t bytes);
/* Waits for the oldest question's answer: packed, in C order. After a failure the child is of no more use. */
enum fuse_status fuse_hdf5_child_answer(struct fuse_hdf5_child *child, const void **elements,
                                        struct fuse_error *err) FUSE_CHECKED;
/* Asks where the chunks of a box of places are, and waits: as fuse_hdf5_look_find. *to is good until the next question. No
 * question may be open. */
enum fuse_status fuse_hdf5_child_find(struct fuse_hdf5_child *child, const struct fuse_box *places,
                                      const struct fuse_hdf5_place **to, struct fuse_error *err) FUSE_CHECKED;
/* Ends it. NULL is fine. */
void fuse_hdf5_child_close(struct fuse_hdf5_child *child);

#endif
