"""Files of the safetensors format by its published description, with NumPy: what tests compare ours with. BF16 is kept as
its bits in u2."""

import json
import struct

import numpy as np

CODES = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "BF16": "<u2", "U32": "<u4",
         "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8"}


def pack(header, data=b"", length=None, pad=True):
    """A file with this header, a dictionary or bytes, whatever it says."""
    if not isinstance(header, bytes):
        header = json.dumps(header, ensure_ascii=False).encode()
    if pad:
        header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def write(tensors, metadata=None):
    """{name: (dtype, array)} as a file, in this order."""
    header, data = {} if metadata is None else {"__metadata__": metadata}, b""
    for name, (dtype, array) in tensors.items():
        raw = np.ascontiguousarray(array).astype(CODES[dtype]).tobytes()
        header[name] = entry(dtype, np.shape(array), len(data), len(data) + len(raw))
        data += raw
    return pack(header, data)


def read(blob):
    """({name: (dtype, array)}, metadata) of a file, which must be exactly as the description asks."""
    length = struct.unpack("<Q", blob[:8])[0]
    header, data = json.loads(blob[8:8 + length]), blob[8 + length:]
    assert blob[8:9] == b"{" and length % 8 == 0 and 8 + length <= len(blob)
    metadata, tensors, at = header.pop("__metadata__", None), {}, 0
    assert metadata is None or all(isinstance(text, str) for text in metadata.values())
    for name, facts in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        assert set(facts) == {"dtype", "shape", "data_offsets"}, facts
        begin, end = facts["data_offsets"]
        code = np.dtype(CODES[facts["dtype"]])
        assert begin == at and end - begin == code.itemsize * int(np.prod(facts["shape"], dtype=object)), facts
        assert begin % code.itemsize == 0, facts
        tensors[name] = facts["dtype"], np.frombuffer(data[begin:end], code).reshape(facts["shape"])
        at = end
    assert at == len(data)
    return tensors, metadata
