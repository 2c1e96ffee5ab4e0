"""What snapshots cost a run: none, written beside the training, written while it waits; interleaved in one run.

usage: snapshots.py --seerc SEERC --folder DIR [--out FILE.json] [--rounds N] [--steps N] [--every N] [--ranks N]
Method. One network (regnety_1_6gf, SGD with momentum: parameters, velocities and statistics make the snapshot), f32,
small pictures, so that steps are short beside snapshots. A round runs each way once, in turn, from the start, in a
folder of its own. Of each run: processor seconds of all its processes (user and system, threads included), and wall
seconds from the first logged step to its end, the last snapshot waited for. A snapshot's cost is the difference to
the run without, over the number of snapshots; the median over rounds is told, and the overhead is that cost, once a
minute: its share of 60 s of wall time, or of the processors that the run uses. `stall` is what a training step waits
for: the copy into staging, timed by the wall seconds that a step with a snapshot took beyond the median of those
without (metrics of the steps are of the step alone, so it is read off the times at which lines appear).
Disk and page cache are the machine's: --folder says where.
"""
import argparse
import datetime
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
import time

WAYS = ("none", "beside", "waiting")
SPEC = """use "models/regnety_1_6gf"
supervised {{ classes = 10 }}
views {{ crops = [crop(count = 1, size = 32px)] }}
data {{ pictures = "{pictures}"  labels = "{labels}" }}
train {{ batch = {batch}  steps = 100000 }}
optimizer {{ name = sgd }}
cluster {{ nodes = 1  ranks_per_node = {ranks} }}
evaluate {{ size = 32px  resize = 32px  batch = 4 }}
save {{ asynchronous = {asynchronous} }}
log {{ every = 1 }}
"""


def labels_of(pictures):
    return pictures.with_name(pictures.name.replace("images-idx3", "labels-idx1"))


def pictures_make(path, count=256):
    draw = random.Random(1)
    path.write_bytes(bytes.fromhex("00000803") + count.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2 +
                     bytes(draw.randrange(256) for _ in range(count * 28 * 28)))
    labels = bytes(i % 10 for i in range(count))
    labels_of(path).write_bytes(bytes.fromhex("00000801") + count.to_bytes(4, "big") + labels)


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(trainer, ranks, way, options, folder):
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    every = options.steps * 10 if way == "none" else options.every
    launcher = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    # No snapshot at all: the run is stopped by force.
    command = [*launcher, trainer, "train", "--out", out, "--save-every", every, "--keep", 2, "--no-report", "--quiet",
               "--threads", max(1, 2 // ranks), "--steps", options.steps]
    before, metrics, times = processor_seconds(), out / "metrics.jsonl", []
    process = subprocess.Popen([str(word) for word in command])
    while process.poll() is None:
        lines = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
        times += [time.monotonic()] * (lines - len(times))
        time.sleep(0.002)
    if process.returncode:
        sys.exit(f"{command}: exit {process.returncode}")
    end = time.monotonic()
    gaps = [b - a for a, b in zip(times, times[1:])]
    return {"processor_seconds": processor_seconds() - before, "wall_seconds": end - times[0], "gaps": gaps,
            "snapshot_bytes": sum(path.stat().st_size for path in (out / "snapshots").glob("*/model*")) //
            max(1, len(list((out / "snapshots").iterdir())))}


def stalls(gaps, every):
    """Of steps in which a snapshot began, in seconds beyond the usual; the gap before line k is step k + 1's."""
    usual = statistics.median(gap for i, gap in enumerate(gaps) if (i + 1) % every)
    return [gap - usual for i, gap in enumerate(gaps) if (i + 1) % every == 0]


def measure(options):
    folder = pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = folder / "train-images-idx3-ubyte"
    pictures_make(pictures)
    trainers = {}
    for asynchronous in ("yes", "no"):
        path, trainers[asynchronous] = folder / f"snapshots_{asynchronous}.seer", folder / f"trainer_{asynchronous}"
        path.write_text(SPEC.format(pictures=pictures, labels=labels_of(pictures), batch=8, ranks=options.ranks,
                                    asynchronous=asynchronous))
        subprocess.run([options.seerc, "build", path, "-o", trainers[asynchronous]], check=True)
    found = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            found[way].append(run(trainers["no" if way == "waiting" else "yes"], options.ranks, way, options, folder))
    snapshots = options.steps // options.every - 1  # the last step's is in the run without, too
    result = {"ranks": options.ranks, "steps": options.steps, "every": options.every, "rounds": options.rounds,
              "snapshot_bytes": found["beside"][0]["snapshot_bytes"]}
    for way in WAYS:
        result[way] = {key: [round(one[key], 3) for one in found[way]] for key in ("processor_seconds", "wall_seconds")}
    for way in WAYS[1:]:
        cost = {key: statistics.median((one[key] - none[key]) / snapshots
                                       for one, none in zip(found[way], found["none"], strict=True))
                for key in ("processor_seconds", "wall_seconds")}
        waits = [stall for one in found[way] for stall in stalls(one["gaps"], options.every)]
        result[way] |= {"processor_seconds_a_snapshot": round(cost["processor_seconds"], 4),
                        "wall_seconds_a_snapshot": round(cost["wall_seconds"], 4),
                        "stall_seconds_median": round(statistics.median(waits), 4),
                        "overhead_of_processors": round(cost["processor_seconds"] / (60 * 2), 5),
                        "overhead_of_wall_time": round(cost["wall_seconds"] / 60, 5)}
    return result


def main():
    parser = argparse.ArgumentParser()
    for name, default in (("rounds", 5), ("steps", 40), ("every", 10), ("ranks", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seerc", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--out")
    options = parser.parse_args()
    told = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": {"cores": os.cpu_count(), "system": platform.platform()}, "case": measure(options)}
    text = json.dumps(told, indent=1) + "\n"
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text)


if __name__ == "__main__":
    main()
