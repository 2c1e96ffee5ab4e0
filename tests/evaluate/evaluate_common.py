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
from draws import key_of, philox, picture_at  # noqa: E402

KINDS = {"float32": "F32", "float64": "F64", "float16": "F16", "int32": "I32", "int64": "I64", "uint8": "U8"}
STREAM_HEAD = 6


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


def uniforms(seed, stream, count, epoch=0, position=0, lane=0):
    """The first numbers in [0, 1) of a sequence."""
    key, high = key_of(seed), position >> 32 | lane << 16 | stream << 24
    words = []
    for block in range((2 * count + 3) // 4):
        words += philox((block, epoch, position & 0xFFFFFFFF, high), key)
    return numpy.array([((words[2 * i] >> 5) << 26 | words[2 * i + 1] >> 6) * 2.0 ** -53 for i in range(count)])


def permutation(seed, epoch, count):
    return [picture_at(position, count, epoch, seed) for position in range(count)]
