#!/usr/bin/env python3
"""What `train.reproducible` costs: the same training with and without it, interleaved in pairs.

usage: reproducible.py --seerc SEERC --folder DIR [--out FILE.json] [--rounds N] [--steps N] [--batches 16,64]
       [--mpi COMMAND]
Method. One network (regnety_400mf, SwAV on two views of 64 px, LARC), f32, 8 slices; on one rank of two threads, and on
two ranks of one thread. A slice of 64 pictures has two views of 8, which fill the 16 lanes of AVX-512; of 16 pictures,
two views of 2, which leave three lanes of four idle. A round runs each pair once, with and without, in turns which goes
first. Time: the median of a run's steps without the first two; told are the median over rounds of the ratio within a
pair, and of the seconds. Processor time of one rank (user and system, the difference of a long and a short run, so that
starting and ending drop out): what a busy machine touches least. Memory: peak of a rank by the plan, which is what it
allocates.
"""
import datetime
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys

import ranks_common as common

SPEC = """use "models/regnety_400mf"
swav {{ prototypes = 128  head = [256, 64] }}
views {{ crops = [crop(count = 2, size = 64px, scale = 0.14..1.0)] }}
data {{ pictures = "{pictures}" }}
train {{ batch = {batch}  steps = 100000  reproducible = {reproducible} }}
optimizer {{ name = larc }}
cluster {{ nodes = 1  ranks_per_node = 1  worlds = [1, 2] }}
evaluate {{ size = 64px  resize = 64px  batch = 4 }}
save {{ every = 1000000 }}
log {{ every = 1 }}
"""
WAYS = ("no", "yes")
WORLDS = ((1, 2), (2, 1))  # ranks, threads of each
SHORT = 3  # steps


def build(options, batch, way, pictures):
    spec, trainer = options.folder / f"{batch}-{way}.seer", options.folder / f"trainer-{batch}-{way}"
    spec.write_text(SPEC.format(pictures=pictures, batch=batch, reproducible=way))
    subprocess.run([options.seerc, "build", spec, "-o", trainer], check=True, stderr=subprocess.DEVNULL)
    return trainer


def run(options, trainer, ranks, threads, steps):
    """Seconds of a step, and processor seconds of all processes."""
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
    seconds = statistics.median(1 / line["images_per_second"] for line in lines[2:])
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median_ratio(numbers):
    return statistics.median(b / a for a, b in zip(numbers["no"], numbers["yes"]))


def compare(options, batch, trainers):
    rows = []
    for ranks, threads in WORLDS:
        seconds, processor = {way: [] for way in WAYS}, {way: [] for way in WAYS}
        for turn in range(options.rounds):
            for way in WAYS[::-1] if turn % 2 else WAYS:
                a_picture, long = run(options, trainers[way], ranks, threads, SHORT + options.steps)
                seconds[way].append(batch * a_picture)
                if ranks == 1:
                    _, short = run(options, trainers[way], ranks, threads, SHORT)
                    processor[way].append((long - short) / options.steps)
        bytes_of = {way: common.plan_of(trainers[way], ranks)["memory"]["peak_bytes"] for way in WAYS}
        rows.append({"batch": batch, "ranks": ranks, "threads": threads,
                     "time_ratio": median_ratio(seconds),
                     **({"processor_ratio": median_ratio(processor)} if ranks == 1 else {}),
                     "memory_ratio": bytes_of["yes"] / bytes_of["no"],
                     "seconds_a_step": {way: statistics.median(seconds[way]) for way in WAYS},
                     "planned_peak_bytes": bytes_of, "rounds": {"seconds": seconds, "processor_seconds": processor}})
        print({key: value for key, value in rows[-1].items() if key != "rounds"}, flush=True)
    return rows


def main():
    parser = common.parser_make(__doc__, steps=8)
    parser.add_argument("--batches", default="16,64", type=lambda text: [int(word) for word in text.split(",")])
    options = parser.parse_args()
    pictures = common.pictures_prepare(options.folder)
    trainers = {batch: {way: build(options, batch, way, pictures) for way in WAYS} for batch in options.batches}
    found = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
             "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()[0]},
             "cases": [row for batch in options.batches for row in compare(options, batch, trainers[batch])]}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
