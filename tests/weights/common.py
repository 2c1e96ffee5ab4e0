"""What the tests of weights share: safetensors written and read without the runtime's code, a small RegNet in every
format's names, a way to run programs.
"""
import json
import struct
import subprocess

import numpy as np

KINDS = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "BF16": "<u2"}


def run(*command, code=0, **options):
    """The finished process; another exit code than `code` fails the test with what the program said."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300, **options)
    if done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}, not {code}\n{done.stdout}"
                             f"{done.stderr}")
    return done


def to_bf16(values):
    """Rounded to the nearest, half to even."""
    bits = np.ascontiguousarray(values, "<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype("<u2")


def from_bf16(values):
    return (values.astype("<u4") << 16).view("<f4")


def kind_of(array):
    return next(kind for kind, code in KINDS.items() if np.dtype(code) == array.dtype)


def header(entries, metadata=None):
    """`entries`: name -> (kind, shape, bytes). The file's start, padded."""
    at, table = 0, {"__metadata__": metadata} if metadata else {}
    for name, (kind, shape, size) in entries.items():
        table[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, at


def write(path, tensors, metadata=None):
    """`tensors`: name -> array; of u2 the bits of bf16."""
    start, _ = header({name: (kind_of(t), t.shape, t.nbytes) for name, t in tensors.items()}, metadata)
    with open(path, "wb") as file:
        file.write(start)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes())
    return path


def write_outline(path, shapes):
    """A file of zeros that takes no room on the disk, however large the network."""
    sizes = {}
    for name, shape in shapes.items():
        kind = "I64" if name.endswith("num_batches_tracked") else "F32"
        size = 8 if kind == "I64" else 4
        for side in shape:
            size *= side
        sizes[name] = (kind, shape, size)
    start, size = header(sizes)
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(len(start) + size)
    return path


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    length, = struct.unpack("<Q", data[:8])
    table = json.loads(data[8:8 + length])
    metadata = table.pop("__metadata__", {})
    tensors = {}
    for name, entry in table.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + length + begin:8 + length + end],
                                      KINDS[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def golden(path):
    """A list of names and shapes."""
    shapes = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                name, shape = line.split()
                shapes[name] = () if shape == "scalar" else tuple(map(int, shape.split("x")))
    return shapes


def same(a, b):
    """The same names and bits; what differs, as text."""
    names = sorted(set(a) ^ set(b))
    return names + [name for name in a if name in b and (a[name].dtype != b[name].dtype or
                                                        a[name].shape != b[name].shape or
                                                        a[name].tobytes() != b[name].tobytes())]


# A network that no other has: squeeze widths that round half to even, a stage of one width without projection.
DEPTHS, WIDTHS, GROUPS, STEM = (2, 1, 3), (24, 40, 40), (8, 8, 20), 16


def norm(width):
    return {"weight": (width,), "bias": (width,), "running_mean": (width,), "running_var": (width,)}


def blocks():
    """(stage from 0, block, width in, width, group width, has a projection)."""
    before = STEM
    for stage, (depth, width, group) in enumerate(zip(DEPTHS, WIDTHS, GROUPS)):
        for block in range(depth):
            yield stage, block, before, width, group, block == 0 and stage != 2
            before = width


def small_shapes(names, squeezes=True, head=None):
    """Shapes by name; `names(part, stage, block)` gives what stands before the leaf, None: nothing is there."""
    shapes = {}

    def add(part, leaves, *place):
        for leaf, shape in leaves.items():
            shapes[f"{names(part, *place)}.{leaf}"] = shape

    add("stem_conv", {"weight": (STEM, 3, 3, 3)}, 0, 0)
    add("stem_norm", norm(STEM), 0, 0)
    for stage, block, before, width, group, projects in blocks():
        if projects:
            add("proj_conv", {"weight": (width, before, 1, 1)}, stage, block)
            add("proj_norm", norm(width), stage, block)
        add("a_conv", {"weight": (width, before, 1, 1)}, stage, block)
        add("a_norm", norm(width), stage, block)
        add("b_conv", {"weight": (width, group, 3, 3)}, stage, block)
        add("b_norm", norm(width), stage, block)
        if squeezes:
            inside = round(before / 4)
            add("squeeze", {"weight": (inside, width, 1, 1), "bias": (inside,)}, stage, block)
            add("excite", {"weight": (width, inside, 1, 1), "bias": (width,)}, stage, block)
        add("c_conv", {"weight": (width, width, 1, 1)}, stage, block)
        add("c_norm", norm(width), stage, block)
    shapes.update(head or {})
    return shapes


def vissl_names(parts=None, infix=""):
    """`parts`: ends of each stage's parts; None: names have none."""
    table = {"proj_conv": "proj", "proj_norm": "bn", "a_conv": "f.a.0", "a_norm": "f.a.1", "b_conv": "f.b.0",
             "b_norm": "f.b.1", "squeeze": "f.se.excitation.0", "excite": "f.se.excitation.2", "c_conv": "f.c",
             "c_norm": "f.final_bn"}

    def name(part, stage, block):
        if part.startswith("stem"):
            return f"trunk.{infix}_feature_blocks.conv1.stem.{int(part == 'stem_norm')}"
        group = ""
        if parts:
            group = f"block{stage + 1}-part{sum(end <= block for end in parts[stage])}.{infix}"
        return f"trunk.{infix}_feature_blocks.res{stage + 2}.{group}block{stage + 1}-{block}.{infix}{table[part]}"
    return name


def torchvision_names(part, stage, block):
    table = {"proj_conv": "proj.0", "proj_norm": "proj.1", "a_conv": "f.a.0", "a_norm": "f.a.1", "b_conv": "f.b.0",
             "b_norm": "f.b.1", "squeeze": "f.se.fc1", "excite": "f.se.fc2", "c_conv": "f.c.0", "c_norm": "f.c.1"}
    if part.startswith("stem"):
        return f"stem.{int(part == 'stem_norm')}"
    return f"trunk_output.block{stage + 1}.block{stage + 1}-{block}.{table[part]}"


def pycls_names(part, stage, block):
    table = {"proj_conv": "proj", "proj_norm": "bn", "a_conv": "f.a", "a_norm": "f.a_bn", "b_conv": "f.b",
             "b_norm": "f.b_bn", "squeeze": "f.se.f_ex.0", "excite": "f.se.f_ex.2", "c_conv": "f.c", "c_norm": "f.c_bn"}
    if part.startswith("stem"):
        return "stem." + ("bn" if part == "stem_norm" else "conv")
    return f"s{stage + 1}.b{block + 1}.{table[part]}"


def random_tensors(shapes, seed=1):
    """Normal, but variances are not below zero."""
    random = np.random.default_rng(seed)
    tensors = {name: np.asarray(random.standard_normal(shape), "<f4") for name, shape in shapes.items()}
    return {name: np.abs(values) if name.endswith("running_var") else values for name, values in tensors.items()}
