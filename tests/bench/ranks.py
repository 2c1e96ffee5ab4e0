#!/usr/bin/env python3
"""What ranks cost: the same training by one process and by several, everything whole and in parts; interleaved.

usage: ranks.py --seerc SEERC --folder DIR [--out FILE.json] [--rounds N] [--steps N] [--cpu LEVEL]
                [--parts cost,scaling] [--worlds 1,2,4,8] [--mpi COMMAND]
Method. One network (regnety_400mf, SwAV on two views of 64 px, LARC), f32. Two questions. Scaling: two ranks of one
thread, with parameters whole and with gradients in parts, against one rank of two threads, in pictures a second (a
batch of 64 for all ranks together; the median of a run's steps without the first two, then the median over rounds, each
of which runs all in turn; goal: 0.95). Cost: a batch of 16, worlds of 1, 2, 4 and 8 ranks of one thread, on however few
cores there are, with parameters whole and in parts: instructions that all ranks execute in a step, counted by
valgrind's callgrind in the trainer's own code and the C library (MPI's are left out: ranks that wait turn without
work), bytes that a rank sends, by plan and by metrics, and memory of a rank, by plan, by metrics, and resident.
"""
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys

import ranks_common as common

SPEC = """use "models/regnety_400mf"
swav {{ prototypes = 128  head = [256, 64] }}
views {{ crops = [crop(count = 2, size = 64px, scale = 0.14..1.0)] }}
data {{ pictures = "{pictures}" }}
train {{ batch = {batch}  steps = 100000 }}
optimizer {{ name = larc }}
cluster {{ nodes = 1  ranks_per_node = {ranks}  worlds = {worlds} }}
shard {{ parameters = {kind} }}
evaluate {{ size = 64px  resize = 64px  batch = 4 }}
save {{ every = 1000000 }}
log {{ every = 1 }}
"""
KINDS = ("none", "gradients", "full")


def build(options, kind, pictures, batch, worlds):
    spec, trainer = options.folder / f"{kind}-{batch}.seer", options.folder / f"trainer-{kind}-{batch}"
    spec.write_text(SPEC.format(pictures=pictures, ranks=worlds[0], worlds=worlds, kind=kind, batch=batch))
    subprocess.run([options.seerc, "build", spec, "-o", trainer, "--cpu", options.cpu], check=True,
                   stderr=subprocess.DEVNULL)
    return trainer


def run(options, trainer, ranks, threads, steps, under=()):
    """Lines of metrics."""
    out = options.folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    launcher = [*options.mpi.split(), str(ranks)] if ranks > 1 else []
    done = subprocess.run([*launcher, *under, trainer, "train", "--out", out, "--threads", str(threads), "--no-report",
                           "--quiet", "--stop-after", str(steps)], check=False, capture_output=True, text=True)
    metrics = out / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    if len(lines) != steps:
        sys.exit(f"a run of {ranks} ranks made {len(lines)} of {steps} steps: {done.stderr}")
    return lines


def own_instructions(file, trainer):
    """Of a callgrind file: what the trainer itself and the C library executed, without what they called."""
    names, counted, calls, total = {}, False, False, 0
    for line in file.read_text().splitlines():
        found = re.match(r"(c?)ob=\((\d+)\)(?: (.*))?$", line)
        if found:
            called, number, path = found.groups()
            names.setdefault(number, path)
            if not called:
                counted = pathlib.Path(names[number]).name.startswith((trainer.name, "libc.so", "libm.so"))
        elif line.startswith("calls="):
            calls = True
        elif re.match(r"[+*\d-]", line):
            total += int(line.split()[1]) if counted and not calls else 0
            calls = False
    return total


def instructions(options, trainer, ranks):
    """In a step, of all ranks."""
    steps, files = 2, options.folder / "callgrind"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    lines = run(options, trainer, ranks, 1, steps,
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={files}/%p", "--toggle-collect=step_*train",
                 "--toggle-collect=step_*update"])
    counts = [own_instructions(path, trainer) for path in files.iterdir()]
    if sum(count > 0 for count in counts) != ranks:
        sys.exit(f"{ranks} ranks left {len(counts)} counts: {counts}")
    return sum(counts) // steps, lines[-1]


def pictures_a_second(lines):
    return statistics.median(line["images_per_second"] for line in lines[2:])


def scaling(options, pictures):
    whole = build(options, "none", pictures, 64, [1, 2])
    ways = {"one rank, two threads": (whole, 1, 2), "two ranks, one thread": (whole, 2, 1),
            "two ranks, one thread, gradients in parts": (build(options, "gradients", pictures, 64, [2]), 2, 1)}
    rates = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, (trainer, ranks, threads) in ways.items():
            rates[way].append(pictures_a_second(run(options, trainer, ranks, threads, options.steps)))
    medians = {way: statistics.median(values) for way, values in rates.items()}
    one = medians["one rank, two threads"]
    ratios = {way: median / one for way, median in medians.items()}
    print(f"scaling: {medians}, ratios {ratios}")
    return {"pictures_per_second": medians, "rounds": rates, "ratios": ratios}


def cost(options, trainers):
    ways = [(kind, ranks) for kind in KINDS for ranks in options.worlds if ranks > 1 or kind == "none"]
    rows = []
    for kind, ranks in ways:
        plan = common.plan_of(trainers[kind], ranks)
        count, line = instructions(options, trainers[kind], ranks)
        rows.append({"parameters": kind, "ranks": ranks,
                     "instructions": count,
                     "planned_sent_bytes": plan["shard"]["gather_bytes"] + plan["shard"]["reduce_bytes"],
                     "sent_bytes": line.get("sent_bytes", 0), "planned_peak_bytes": plan["memory"]["peak_bytes"],
                     "peak_bytes": line["peak_bytes"], "resident_bytes": line["resident_bytes"],
                     "parameter_bytes": plan["memory"]["by_kind"]["parameters"],
                     "velocity_bytes": plan["memory"]["by_kind"]["velocities"]})
        print(rows[-1])
    return rows


def main():
    parser = common.parser_make(__doc__, steps=10)
    parser.add_argument("--cpu", default="x86-64-v3", help="a level that valgrind knows")
    parser.add_argument("--worlds", default="1,2,4,8", type=lambda text: [int(word) for word in text.split(",")])
    parser.add_argument("--parts", default="cost,scaling", type=lambda text: text.split(","))
    options = parser.parse_args()
    pictures = common.pictures_prepare(options.folder)
    found = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    if "cost" in options.parts:
        trainers = {kind: build(options, kind, pictures, 16, [world for world in options.worlds
                                                              if world > 1 or kind == "none"]) for kind in KINDS}
        found["cost"] = cost(options, trainers)
    if "scaling" in options.parts:
        found |= {"load": os.getloadavg()[0], "scaling": scaling(options, pictures)}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
