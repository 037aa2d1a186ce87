/* Folders that a path must stay in. Local. */
#ifndef FUSE_IO_SANDBOX_H
#define FUSE_IO_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

/* true when a file of that path below `root` would lie outside of it: the path is absolute, or one of the folders on its way,
 * with links followed as the system follows them, is outside, or is a link that leads nowhere. *reason then says which part
 * ("'a/b' is a link to '/etc'"). The file itself is not followed: who writes it replaces a link by a file, who reads it
 * passes follow_last. Folders that do not exist end the search: nothing can be opened there. */
bool fuse_path_escapes(char *reason, size_t reason_bytes, const char *root, const char *path, bool follow_last);

#endif
