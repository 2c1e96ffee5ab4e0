# What the trainer tests share: a small set of labelled pictures, a way to run a trainer, and readers of its files that
# share no code with the runtime (safetensors, TensorBoard events).
import json
import os
import struct
import subprocess
import tempfile

import numpy

LABELS = ["blue", "red & <b>green</b>", "striped"]


def root_make(name):
    """A temporary folder in memory where there is one: kills and failing calls need no real disk, only real calls."""
    memory = "/dev/shm"
    return tempfile.mkdtemp(prefix=name, dir=memory if os.access(memory, os.W_OK) else None)


def pictures_make(folder, per_label=12, seed=3):
    from PIL import Image
    random = numpy.random.default_rng(seed)
    for index, label in enumerate(LABELS):
        os.makedirs(os.path.join(folder, label), exist_ok=True)
        for number in range(per_label):
            pixels = random.integers(0, 90, (26, 22, 3))
            if index == 0:
                pixels[..., 2] += 150
            elif index == 1:
                pixels[..., 0] += 150
            else:
                pixels[::4] += 150
            name = "%02d.%s" % (number, "png" if number % 2 else "jpg")
            Image.fromarray(pixels.astype("uint8")).save(os.path.join(folder, label, name))
    return folder


def run(trainer, *words, cwd=None, env=None, expect=0, preexec=None, timeout=120):
    environment = dict(os.environ, **(env or {}))
    done = subprocess.run([trainer, *map(str, words)], cwd=cwd, env=environment, preexec_fn=preexec, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if expect is not None and done.returncode != expect:
        raise AssertionError("%s %s: exit %d, expected %d\n%s%s" % (trainer, words, done.returncode, expect,
                                                                    done.stdout, done.stderr))
    return done


def safetensors_read(path):
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    kinds = {"F32": "<f4", "I32": "<i4", "I64": "<i8", "U8": "u1"}
    tensors, reached = {}, 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin == reached, "hole before " + name
        reached = end
        body = data[8 + length + begin:8 + length + end]
        tensors[name] = numpy.frombuffer(body, kinds[entry["dtype"]]).reshape(entry["shape"])
    assert 8 + length + reached == len(data)
    return tensors, metadata


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def fields(message):
    at, found = 0, []

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        wire = key & 7
        if wire == 0:
            value = varint()
        elif wire == 1:
            value = struct.unpack("<d", message[at:at + 8])[0]
            at += 8
        elif wire == 5:
            value = struct.unpack("<f", message[at:at + 4])[0]
            at += 4
        else:
            assert wire == 2
            length = varint()
            value = message[at:at + length]
            at += length
        found.append((key >> 3, value))
    return found


def events_read(path):
    """[(step, {tag: value})], the versions and the session starts; every checksum verified."""
    data, at, scalars, versions, starts = open(path, "rb").read(), 0, [], [], []
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at:at + 8])
        assert struct.unpack("<I", data[at + 8:at + 12])[0] == masked(data[at:at + 8])
        body = data[at + 12:at + 12 + length]
        assert struct.unpack("<I", data[at + 12 + length:at + 16 + length])[0] == masked(body)
        at += 16 + length
        event = dict(fields(body))
        assert event[1] > 1.5e9
        if 3 in event:
            versions.append(event[3].decode())
        elif 7 in event:
            assert dict(fields(event[7])) == {1: 1}
            starts.append(event[2])
        else:
            values = [dict(fields(value)) for field, value in fields(event[5]) if field == 1]
            scalars.append((event[2], {value[1].decode(): value[2] for value in values}))
    return scalars, versions, starts


def metrics_read(run_folder):
    with open(os.path.join(run_folder, "metrics.jsonl")) as lines:
        return [json.loads(line) for line in lines]


def snapshot_bytes(run_folder, step):
    folder = os.path.join(run_folder, "snapshots", "step-%d" % step)
    return b"".join(open(os.path.join(folder, name), "rb").read() for name in ("model.safetensors", "manifest.json"))


def snapshot_steps(run_folder):
    folder = os.path.join(run_folder, "snapshots")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(int(name[5:]) for name in names if name.startswith("step-") and name[5:].isdigit())


assert crc32c(b"123456789") == 0xE3069283
