# What the tests of heads share: files of features, and the runtime's random numbers written down once more (see
# runtime/random.h), so that another library can train on the same batches from the same start.
import json
import os
import struct
import sys

import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "trainer"))
from common import (metrics_read, pictures_make, root_make, run, safetensors_read,  # noqa: F401
                    snapshot_bytes)

KINDS = {"float32": "F32", "float64": "F64", "float16": "F16", "int32": "I32", "int64": "I64", "uint8": "U8"}
STREAM_ORDER, STREAM_HEAD = 0, 6


def safetensors_write(path, tensors, metadata=None):
    header, body = {"__metadata__": metadata or {}}, b""
    for name, values in tensors.items():
        data = numpy.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": KINDS[str(values.dtype)], "shape": list(values.shape),
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)
    return path


def features_write(path, features, labels, label_names, names=None, layers=None, **metadata):
    names = names or ["picture-%d" % i for i in range(len(features))]
    tensors = {"features": numpy.asarray(features, "float32")} if features is not None else {}
    tensors.update({"features." + name: numpy.asarray(values, "float32") for name, values in (layers or {}).items()})
    if labels is not None:
        tensors["labels"] = numpy.asarray(labels, "int32")
    tensors["names"] = numpy.frombuffer("".join(name + "\n" for name in names).encode(), "uint8")
    return safetensors_write(path, tensors, dict(metadata, label_names=json.dumps(label_names)))


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def key_of(seed):
    return seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF


def uniforms(seed, stream, count, epoch=0, position=0, lane=0):
    """The first numbers in [0, 1) of a sequence."""
    key, high = key_of(seed), position >> 32 | lane << 16 | stream << 24
    words = []
    for block in range((2 * count + 3) // 4):
        words += philox((block, epoch, position & 0xFFFFFFFF, high), key)
    return numpy.array([((words[2 * i] >> 5) << 26 | words[2 * i + 1] >> 6) * 2.0 ** -53 for i in range(count)])


def permutation(seed, epoch, count):
    bits = next(bits for bits in range(1, 32) if 1 << 2 * bits >= count)
    mask, key, order = (1 << bits) - 1, key_of(seed), []
    for value in range(count):
        while True:
            left, right = value >> bits, value & mask
            for turn in range(8):
                left, right = right, left ^ philox((right, epoch, turn, STREAM_ORDER << 24), key)[0] & mask
            value = left << bits | right
            if value < count:
                break
        order.append(value)
    return order
