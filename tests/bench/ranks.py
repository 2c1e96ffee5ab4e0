#!/usr/bin/env python3
"""What ranks cost: the same training by one process and by several, everything whole and in parts; interleaved.

usage: ranks.py --seerc SEERC --folder DIR [--out FILE.json] [--rounds N] [--steps N] [--worlds 1,2,4,8] [--mpi COMMAND]
Method. One network (regnety_400mf, SwAV on two views of 64 px, LARC), f32, a batch of 16 for all ranks together.
Two questions. Scaling: two ranks of one thread against one rank of two threads, in pictures a second (the median of a
run's steps without the first two, then the median over rounds; goal: 0.95). Cost: worlds of 1, 2, 4 and 8 ranks of one
thread, on however few cores there are, with parameters whole and in parts: processor seconds of all processes a step
(user and system, the difference of a long and a short run, so that starting and ending drop out), bytes that a rank
sends, by plan and by metrics, and memory of a rank, by plan, by metrics, and resident. A round runs each way once, in
turn. Ranks that wait for each other turn without work: under more ranks than cores processor seconds count that, too.
"""
import argparse
import json
import os
import pathlib
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys

SPEC = """use "models/regnety_400mf"
swav {{ prototypes = 128  head = [256, 64] }}
views {{ crops = [crop(count = 2, size = 64px, scale = 0.14..1.0)] }}
data {{ pictures = "{pictures}" }}
train {{ batch = 16  steps = 100000 }}
optimizer {{ name = larc }}
cluster {{ nodes = 1  ranks_per_node = {ranks}  worlds = {worlds} }}
shard {{ parameters = {kind} }}
evaluate {{ size = 64px  resize = 64px  batch = 4 }}
save {{ every = 1000000 }}
log {{ every = 1 }}
"""
KINDS = ("none", "gradients", "full")


def pictures_make(path, count=512):
    draw = random.Random(1)
    path.write_bytes(bytes.fromhex("00000803") + count.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2 +
                     draw.randbytes(count * 28 * 28))


def build(options, kind, pictures):
    worlds = options.worlds if kind == "none" else [world for world in options.worlds if world > 1]
    spec, trainer = options.folder / f"{kind}.seer", options.folder / f"trainer-{kind}"
    spec.write_text(SPEC.format(pictures=pictures, ranks=worlds[0], worlds=worlds, kind=kind))
    subprocess.run([options.seerc, "build", spec, "-o", trainer], check=True, stderr=subprocess.DEVNULL)
    return trainer


def run(options, trainer, ranks, threads, steps):
    """Lines of metrics, and processor seconds of all processes."""
    out = options.folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    launcher = [*options.mpi.split(), str(ranks)] if ranks > 1 else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*launcher, trainer, "train", "--out", out, "--threads", str(threads), "--no-report", "--quiet",
                    "--stop-after", str(steps)], check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    if len(lines) != steps:
        sys.exit(f"a run of {ranks} ranks made {len(lines)} of {steps} steps")
    return lines, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pictures_a_second(lines):
    return statistics.median(line["images_per_second"] for line in lines[2:])


def plan_of(trainer, ranks):
    command = [trainer, "plan", "--json", "--world", str(ranks)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def scaling(options, trainer):
    rates = {"one rank, two threads": [], "two ranks, one thread": []}
    for _ in range(options.rounds):
        for way, (ranks, threads) in zip(rates, ((1, 2), (2, 1))):
            lines, _ = run(options, trainer, ranks, threads, options.steps)
            rates[way].append(pictures_a_second(lines))
    medians = {way: statistics.median(values) for way, values in rates.items()}
    ratio = medians["two ranks, one thread"] / medians["one rank, two threads"]
    print(f"scaling: {medians}, ratio {ratio:.3f}")
    return {"pictures_per_second": medians, "rounds": rates, "ratio": ratio}


def cost(options, trainers):
    ways = [(kind, ranks) for kind in KINDS for ranks in options.worlds if ranks > 1 or kind == "none"]
    seconds, facts = {way: [] for way in ways}, {}
    for _ in range(options.rounds):
        for kind, ranks in ways:
            _, short = run(options, trainers[kind], ranks, 1, 3)
            lines, long = run(options, trainers[kind], ranks, 1, 3 + options.steps)
            seconds[kind, ranks].append((long - short) / options.steps)
            facts[kind, ranks] = lines[-1]
    rows = []
    for kind, ranks in ways:
        plan, line = plan_of(trainers[kind], ranks), facts[kind, ranks]
        rows.append({"parameters": kind, "ranks": ranks,
                     "processor_seconds_a_step": statistics.median(seconds[kind, ranks]),
                     "planned_sent_bytes": plan["shard"]["gather_bytes"] + plan["shard"]["reduce_bytes"],
                     "sent_bytes": line.get("sent_bytes", 0), "planned_peak_bytes": plan["memory"]["peak_bytes"],
                     "peak_bytes": line["peak_bytes"], "resident_bytes": line["resident_bytes"],
                     "parameter_bytes": plan["memory"]["by_kind"]["parameters"],
                     "velocity_bytes": plan["memory"]["by_kind"]["velocities"]})
        print(rows[-1])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seerc", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--worlds", default="1,2,4,8", type=lambda text: [int(word) for word in text.split(",")])
    parser.add_argument("--mpi", default="mpirun.openmpi --allow-run-as-root --oversubscribe -n")
    options = parser.parse_args()
    os.environ["OMPI_MCA_mpi_yield_when_idle"] = "1"
    options.folder.mkdir(parents=True, exist_ok=True)
    pictures = options.folder / "train-images-idx3-ubyte"
    pictures_make(pictures)
    trainers = {kind: build(options, kind, pictures) for kind in KINDS}
    found = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
             "load": os.getloadavg()[0], "scaling": scaling(options, trainers["none"]),
             "cost": cost(options, trainers)}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
