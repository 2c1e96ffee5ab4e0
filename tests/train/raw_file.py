"""Named arrays in one file; the format is described in raw_file.h."""
import struct

import numpy as np

MAGIC = b"SEERRAW1"
TYPES = [np.dtype("<f4"), np.dtype("<f8"), np.dtype("u1"), np.dtype("<i4")]


def write(path, arrays):
    with open(path, "wb") as out:
        out.write(MAGIC)
        for name, array in arrays.items():
            array = np.ascontiguousarray(array)
            encoded = name.encode()
            out.write(struct.pack("<III", len(encoded), TYPES.index(array.dtype), array.ndim))
            out.write(struct.pack(f"<{array.ndim}q", *array.shape) + encoded + array.tobytes())


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != MAGIC:
        raise ValueError(f"{path} is no test file")
    arrays, at = {}, 8
    while at < len(data):
        name_bytes, kind, rank = struct.unpack_from("<III", data, at)
        at += 12
        shape = struct.unpack_from(f"<{rank}q", data, at)
        at += 8 * rank
        name = data[at:at + name_bytes].decode()
        at += name_bytes
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, TYPES[kind], count, at).reshape(shape)
        at += count * TYPES[kind].itemsize
    return arrays
