/* Element types, their sizes and conversions. Local. */
#ifndef FUSE_CORE_DTYPE_H
#define FUSE_CORE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fuse_dtype {
#define FUSE_DTYPE(NAME, text, bytes, cls, compute, npy) FUSE_##NAME,
#include "core/dtype.def"
#undef FUSE_DTYPE
    FUSE_DTYPES
};

enum fuse_dtype_class { FUSE_CLASS_BOOL, FUSE_CLASS_INT, FUSE_CLASS_UINT, FUSE_CLASS_REAL };

size_t fuse_dtype_bytes(enum fuse_dtype dtype);
const char *fuse_dtype_name(enum fuse_dtype dtype);
enum fuse_dtype_class fuse_dtype_class(enum fuse_dtype dtype);
/* The type in which kernels calculate with elements of `dtype`: FUSE_BOOL, FUSE_I64, FUSE_F32 or FUSE_F64. */
enum fuse_dtype fuse_dtype_compute(enum fuse_dtype dtype);
/* true and *out set when the printed name is known. */
bool fuse_dtype_parse(enum fuse_dtype *out, const char *name);
/* How a source of this file type is kept in memory (U16 -> I32, U32 -> I64, U64 -> I64, else itself). */
enum fuse_dtype fuse_dtype_resident(enum fuse_dtype file);

/* Rounding to nearest even; NaN stays NaN, overflow gives infinity. */
uint16_t fuse_f16_from_f32(float value);
float fuse_f16_to_f32(uint16_t bits);
uint16_t fuse_bf16_from_f32(float value);
float fuse_bf16_to_f32(uint16_t bits);

/* Converts `count` densely packed elements, at any byte alignment; from and to do not overlap. Every conversion rounds
 * once, to nearest even. Reals to integers truncate towards zero and saturate (NaN gives 0); integers to narrower ones
 * saturate; anything to bool is "not zero". Returns false when a U64 value does not fit in I64 (the element is then
 * INT64_MAX). */
bool fuse_dtype_convert(void *to, enum fuse_dtype to_dtype, const void *from, enum fuse_dtype from_dtype, size_t count);

#endif
