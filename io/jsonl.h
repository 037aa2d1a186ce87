/* What the JSON lines format is put together from: sources are in jsonl.c, sinks in jsonl_sink.c. */
#ifndef FUSE_IO_JSONL_H
#define FUSE_IO_JSONL_H

#include "io/json.h"

/* The beginnings of lines, byte for byte: sources are read only as sinks write them. */
#define FUSE_JSONL_TENSOR_HEAD "{\"schema\":\"fuse.tensor\",\"version\":1,\"shape\":["
#define FUSE_JSONL_TOPK_HEAD "{\"schema\":\"fuse.topk\",\"version\":1}\n"
#define FUSE_JSONL_VALUE "{\"value\":"

/* As in struct fuse_format; the other functions of sinks are those of text_sink.h. */
enum fuse_status fuse_jsonl_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                      struct fuse_error *err) FUSE_CHECKED;

#endif
