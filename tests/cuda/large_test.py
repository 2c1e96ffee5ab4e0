#!/usr/bin/env python3
"""The kernels of large networks as machine code, from an empty cache: no register spills, convolutions multiply on the
tensor cores (the build refuses others), and what each takes is told in modules/table.txt.

usage: large_test.py SEERC MODEL...      prints what each file of kernels takes, at least and at most
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

SPEC = """use "models/{model}"
supervised {{ classes = 1000 }}
views {{ crops = [crop(count = 1, size = 224px)] }}
data {{ pictures = "pictures" }}
train {{ batch = {batch} steps = 1000 precision = bf16 }}
checkpoint {{ budget = 140e9 }}
evaluate {{ batch = 16 }}
"""
BATCHES = {"regnety_16gf": 256, "regnety_128gf": 128, "regnety_10b": 16}
ARCHITECTURES = ("sm_90a", "sm_80")
REGISTERS_MOST = 65536  # of a multiprocessor: a block must fit
SHARED_MOST = {"sm_90a": 227 * 1024, "sm_80": 163 * 1024}


def rows_read(path):
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def check(model, rows, modules):
    wrong = []
    names = {(row["kernel"], row["for"]) for row in rows}
    for architecture in ARCHITECTURES:
        missing = [name for name in modules if not any(kernel == name and of == architecture for kernel, of in names)]
        wrong += [f"{name} has no row for {architecture}" for name in missing if re.search(r"_\d+$", name)]
    for row in rows:
        threads, shared, registers, spilled, wgmma, mma = (int(row[key]) for key in (
            "threads", "shared", "registers", "spilled", "wgmma", "mma"))
        allocated = -(-registers // 8) * 8 * threads
        multiplies = re.fullmatch(r"conv2d_(forward|backward_input|backward_weight)_\d+", row["kernel"])
        good = (spilled == 0 and 0 < registers and allocated <= REGISTERS_MOST and shared <= SHARED_MOST[row["for"]]
                and (not multiplies or (wgmma if row["for"] == "sm_90a" else mma) > 0))
        if not good:
            wrong.append(f"{row}")
    return [f"{model}: {line}" for line in wrong]


def ranges(rows):
    """By file of kernels and architecture: least and most of each column."""
    found = {}
    for row in rows:
        found.setdefault((re.sub(r"_\d+$", "", row["kernel"]), row["for"]), []).append(row)
    for (kernel, architecture), group in sorted(found.items()):
        told = []
        for key in ("registers", "threads", "shared", "wgmma", "mma"):
            numbers = [int(row[key]) for row in group]
            told.append(f"{key} {min(numbers)}" + (f"..{max(numbers)}" if max(numbers) > min(numbers) else ""))
        yield f"  {kernel:32} {architecture:7} {len(group):3} made: {', '.join(told)}"


def main():
    wrong = []
    for model in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            spec = folder / f"{model}.seer"
            spec.write_text(SPEC.format(model=model, batch=BATCHES[model]))
            began = time.monotonic()
            done = subprocess.run([sys.argv[1], "build", spec, f"--target=cuda:{','.join(ARCHITECTURES)}", "--keep",
                                   folder / "kept", "-o", folder / model], capture_output=True, text=True, check=False,
                                  env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")})
            if done.returncode:
                wrong.append(f"{model}: exit {done.returncode}: {done.stderr.strip()}")
                continue
            rows = rows_read(folder / "kept/modules/table.txt")
            modules = [path.stem for path in (folder / "kept/modules").glob("*.cu")]
            print(f"{model}: {len(modules)} modules, {len(rows)} kernels, built in {time.monotonic() - began:.0f} s")
            print("\n".join(ranges(rows)), flush=True)
            wrong += check(model, rows, modules)
    print("\n".join(wrong) if wrong else "passed")
    return bool(wrong)


sys.exit(main())
