"""The reader in docs/readers.md is built into a trainer, to which its pictures are what the same pixels are as PNGs.

Takes seerc and the folder of the documents.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

SEERC, DOCS = sys.argv[1:3]
RECORD = 1 + 3 * 32 * 32
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SPEC = """
model { depths = [1, 1]  widths = [16, 24]  group_widths = [8]  strides = [2, 2] }
swav { prototypes = 12  head = [24, 16] }
views { crops = [crop(count = 2, size = 32px)] }
data { pictures = "nowhere" }
train { batch = 16  steps = 4 }
evaluate { size = 32px  resize = 32px  batch = 16 }
"""


def run(*words, code=0, **environment):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, OPTIMIZE="-O1", **environment))
    if done.returncode != code:
        raise SystemExit(f"{words}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def require(what, holds, seen=None):
    if not holds:
        raise SystemExit(f"{what}: {seen}")


def batches_make(folder):
    """Two batches of CIFAR-10's form; the same pictures as PNGs."""
    rng = np.random.default_rng(5)
    os.makedirs(f"{folder}/batches")
    for batch in (1, 2):
        records = b""
        for i in range(30):
            label, smooth = int(rng.integers(10)), rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            pixels = np.asarray(Image.fromarray(smooth).resize((32, 32), Image.BICUBIC))
            records += bytes([label]) + pixels.transpose(2, 0, 1).tobytes()
            # Names in the order of the batches' pictures.
            os.makedirs(f"{folder}/pngs", exist_ok=True)
            Image.fromarray(pixels).save(f"{folder}/pngs/{batch}-{i:03}-{CLASSES[label]}.png")
        with open(f"{folder}/batches/data_batch_{batch}.bin", "wb") as file:
            file.write(records)
    with open(f"{folder}/batches/readme.html", "w") as file:
        file.write("<p>CIFAR</p>")


def features(trainer, weights, data, out):
    run(trainer, "features", "--weights", weights, "--data", data, "--out", out, "--quiet")
    with open(out, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header, body = json.loads(file.read(length)), file.read()
    names = body[slice(*header["names"]["data_offsets"])].decode().splitlines()
    rows = np.frombuffer(body[slice(*header["features"]["data_offsets"])], "<f4")
    labels = np.frombuffer(body[slice(*header["labels"]["data_offsets"])], "<i4")
    return names, rows.reshape(len(names), -1), labels, json.loads(header["__metadata__"]["label_names"])


def check(folder):
    text = open(f"{DOCS}/readers.md").read()
    with open(f"{folder}/cifar10.c", "w") as file:
        file.write(re.search(r"```c\n(.*?)```", text, re.S).group(1))
    with open(f"{folder}/small.seer", "w") as file:
        file.write(SPEC)
    batches_make(folder)
    trainer, data, out = f"{folder}/small", f"{folder}/batches", f"{folder}/run"
    run(SEERC, "build", f"{folder}/small.seer", "--reader", f"{folder}/cifar10.c", "-o", trainer,
        "-D", "data.sandbox=yes", CFLAGS="-Werror")
    run(trainer, "--data", data, "--out", out, "--no-report")
    require("four steps", len(open(f"{out}/metrics.jsonl").readlines()) == 4)
    names, rows, labels, classes = features(trainer, out, data, f"{folder}/own.safetensors")
    require("names", names == [f"{data}/data_batch_{b}.bin:{i}" for b in (1, 2) for i in range(30)], names)
    pngs, plain, _, _ = features(trainer, out, f"{folder}/pngs", f"{folder}/png.safetensors")
    require("the same features as of PNGs", (rows == plain).all())
    told = [os.path.splitext(name)[0].split("-")[-1] for name in pngs]
    require("labels", [classes[label] for label in labels] == told, (labels, told))
    # A record whose class is none is replaced and listed; a file that is cut off is named.
    path = f"{data}/data_batch_2.bin"
    whole = bytearray(open(path, "rb").read())
    whole[5 * RECORD] = 77
    open(path, "wb").write(whole)
    run(trainer, "--data", data, "--out", f"{folder}/bad", "--no-report", "--steps", 8)
    listed = [json.loads(line) for line in open(f"{folder}/bad/quarantine.jsonl")]
    require("the list", listed == [{"picture": f"{path}:5", "reason": "is no record of CIFAR-10"}], listed)
    open(path, "wb").write(whole[:-1])
    said = run(trainer, "--data", data, "--out", f"{folder}/cut", code=1)
    require("a file that is cut off", f"'{path}' is no batch of CIFAR-10" in said, said)


def check_errors(folder):
    said = run(SEERC, "build", f"{folder}/small.seer", "--reader", f"{folder}/none.c", "-o", f"{folder}/x", code=1)
    require("a reader that is not there", "none.c': No such file" in said and "docs/readers.md" in said, said)
    with open(f"{folder}/wrong.c", "w") as file:
        file.write("\nint seer_reader = oops;\n")
    said = run(SEERC, "build", f"{folder}/small.seer", "--reader", f"{folder}/wrong.c", "-o", f"{folder}/x", code=1)
    require("a reader that does not compile", "wrong.c:2:" in said and "--reader" in said, said)


with tempfile.TemporaryDirectory(prefix="seer-reader-") as root:
    check(root)
    check_errors(root)
print("reader: as the documentation says")
