#!/usr/bin/env python3
"""Simulated step times and memory against measured ones, on the machine at hand.

usage: validate.py --seerc SEERC --folder DIR [--machine FILE.seer] [--parts calibrate,build,measure,replan]
                   [--threads N] [--rounds N] [--steps N] [--minutes M] [--out FILE.json] [--table FILE.md]
Method. `seerc calibrate` writes the machine's description from networks of its own, none of which is among the
combinations below. Each combination is planned with that description, built, and benched: all of them in turn, a few
rounds; the figure of a round is the median of its steps, that of a combination the least of its rounds, which is what
calibrate keeps of its runs, too: whoever else used the machine is not in it. Steps take made-up pictures, so that no
loader is in them. One rank has --threads threads, of two, started by mpirun, each has one. The error is simulated over
measured, less one. Memory: what the plan says a rank keeps (state and arena), less what the trainer
says it has allocated. Parts are separate, so that building, which takes a minute or two, is no part of what has to be
quiet. The part replan simulates --out's combinations again, with the description that it holds: after a change to the
plan, the measured times stay. With --table the page's table is printed from --out's file.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess

SUPERVISED = """use "models/{model}"
supervised {{ classes = 1000 }}
views {{ crops = [crop(count = 1, size = {size}px)] }}
optimizer {{ name = sgd }}
"""
SWAV = """use "models/{model}"
use "recipes/swav"
swav {{ prototypes = 500  head = [512, 128] }}
views {{ crops = [crop(count = 2, size = {size}px, scale = 0.14..1.0),
                  crop(count = 4, size = {small}px, scale = 0.05..0.14)] }}
"""
REST = """data {{ pictures = "none"  labels = "none" }}
train {{ batch = {batch}  steps = 1000  precision = {precision} }}
evaluate {{ size = 64px  resize = 64px  batch = 16 }}
cluster {{ ranks_per_node = {ranks} }}
shard {{ parameters = {shard} }}
"""
# model, pixels, pictures a step; fit: as much memory as there is, tight: a tenth above the least.
COMBINATIONS = [
    dict(model="regnety_400mf", size=96, batch=32),
    dict(model="regnety_400mf", size=160, batch=16),
    dict(model="regnety_200mf", size=128, batch=16),
    dict(model="regnety_200mf", size=64, batch=64),
    dict(model="regnety_600mf", size=128, batch=16),
    dict(model="regnety_1_6gf", size=96, batch=16),
    dict(model="regnetx_400mf", size=128, batch=32),
    dict(model="regnety_400mf", size=96, batch=32, budget="tight"),
    dict(model="regnety_1_6gf", size=96, batch=16, budget="tight"),
    dict(model="regnety_400mf", size=160, small=96, batch=8, task="swav"),
    dict(model="regnety_200mf", size=96, small=64, batch=16, task="swav"),
    dict(model="regnety_400mf", size=96, batch=32, precision="bf16"),
    dict(model="regnety_600mf", size=160, batch=16, precision="bf16"),
    dict(model="regnety_200mf", size=96, batch=32, ranks=2),
    dict(model="regnety_400mf", size=96, batch=32, ranks=2),
    dict(model="regnety_200mf", size=96, batch=32, ranks=2, shard="full"),
    dict(model="regnety_200mf", size=96, small=64, batch=16, task="swav", ranks=2),
]
USUAL = dict(task="supervised", small=0, precision="fp32", budget="fit", ranks=1, shard="none")
MACHINE = "machine.seer"


def combinations():
    return [USUAL | combination for combination in COMBINATIONS]


def name_of(c):
    return "-".join(str(c[key]) for key in ("task", "model", "size", "batch", "precision", "budget", "ranks", "shard"))


def run(command, **options):
    told = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if told.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{told.stderr}")
    return told.stdout


def spec_write(folder, c):
    text = (SWAV if c["task"] == "swav" else SUPERVISED) + REST
    path = folder / f"{name_of(c)}.seer"
    path.write_text(text.format(**c))
    return path


def words_of(c, machine, threads, budget):
    """What plan and build are told besides the spec."""
    words = []
    if machine:
        words += ["-D", f'cluster.machine="{machine}"']
    if machine and threads and c["ranks"] == 1:
        words += ["-D", f"cluster.cores={threads}"]
    if budget:
        words += ["-D", f"checkpoint.budget={budget}B"]
    return words


def plan(seerc, folder, c, machine, threads, budget=None, level=None):
    words = [seerc, "plan", spec_write(folder, c), "--json"] + words_of(c, machine, threads, budget)
    if level:
        words += ["--cpu", level]
    return json.loads(run(words))


def budget_of(seerc, folder, c):
    """Bytes, or None: all there is. The same for the plan and the trainer."""
    if c["budget"] == "fit":
        return None
    return int(1.1 * plan(seerc, folder, c, None, None)["memory"]["minimum_budget_bytes"])


def described(options):
    """The description beside the specs, where plans look for it."""
    if not (options.folder / MACHINE).exists():
        raise SystemExit(f"no {options.folder / MACHINE}: calibrate first, or give --machine")
    return MACHINE


def build(options):
    """What is tight needs the description, whose times decide what is computed again; the rest is built once."""
    for c in combinations():
        if c["budget"] == "fit" and (options.folder / name_of(c)).exists():
            continue
        if c["budget"] == "tight" and not (options.folder / MACHINE).exists():
            continue
        budget = budget_of(options.seerc, options.folder, c)
        words = [options.seerc, "build", spec_write(options.folder, c), "-o", options.folder / name_of(c)]
        run(words + (words_of(c, described(options), options.threads, budget) if budget else []))
        print(f"built {name_of(c)}", flush=True)


def calibrate(options):
    words = ["--threads", options.threads] if options.threads else []
    run([options.seerc, "calibrate", "--minutes", options.minutes, "-o", options.folder / MACHINE] + words)


def bench(options, c):
    words = [options.folder / name_of(c), "bench", "--json", "--steps", options.steps]
    environment = dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                       OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    if c["ranks"] > 1:
        words = ["mpirun", "-n", c["ranks"]] + words + ["--threads", "1"]
    elif options.threads:
        words += ["--threads", options.threads]
    return json.loads(run(words, env=environment))


def measure(options):
    machine = described(options)
    told = [[] for _ in combinations()]
    for _ in range(options.rounds):
        for benches, c in zip(told, combinations()):
            benches.append(bench(options, c))
    rows = []
    for benches, c in zip(told, combinations()):
        budget = budget_of(options.seerc, options.folder, c)
        planned = plan(options.seerc, options.folder, c, machine, options.threads, budget)
        seconds = [b["step_seconds_median"] for b in benches]
        measured, simulated = min(seconds), planned["step"]["time_seconds"]
        memory = planned["memory"]
        predicted = memory["arena_bytes"] + memory["state_bytes"]
        rows.append(c | {"budget_bytes": budget, "threads": 1 if c["ranks"] > 1 else benches[0]["threads"],
                         "measured_seconds": measured, "rounds_seconds": seconds,
                         "level": benches[0]["machine"]["level"],
                         "fastest_seconds": min(b["step_seconds_min"] for b in benches),
                         "simulated_seconds": simulated, "error": simulated / measured - 1,
                         "predicted_bytes": predicted, "allocated_bytes": benches[0]["peak_bytes"]})
        print(f"{name_of(c)}: measured {1e3 * measured:.1f} ms, simulated {1e3 * simulated:.1f} ms, "
              f"{100 * rows[-1]['error']:+.1f} %; memory {predicted - benches[0]['peak_bytes']} B", flush=True)
    return rows


def mean_error(rows):
    return statistics.mean(abs(row["error"]) for row in rows)


def simulate_again(seerc, folder, found):
    """The rows, as the plan now has them."""
    (folder / MACHINE).write_text(found["machine"])
    rows = []
    for row in found["rows"]:
        planned = plan(seerc, folder, row, MACHINE, found["threads"], row["budget_bytes"], row["level"])
        simulated, memory = planned["step"]["time_seconds"], planned["memory"]
        rows.append(row | {"simulated_seconds": simulated, "error": simulated / row["measured_seconds"] - 1,
                           "predicted_bytes": memory["arena_bytes"] + memory["state_bytes"]})
    return rows


def table(found):
    lines = ["| network | task, pictures a step | precision | memory | ranks x threads | measured | simulated | "
             "error | bytes off |", "|---|---|---|---|---|---|---|---|---|"]
    for row in found["rows"]:
        sizes = f"2 x {row['size']} + 4 x {row['small']} px" if row["task"] == "swav" else f"{row['size']} px"
        ranks = f"{row['ranks']} x {row['threads']}" + (", sharded" if row["shard"] != "none" else "")
        lines.append(
            f"| {row['model']} | {row['task']}, {row['batch']} of {sizes} | {row['precision']} | {row['budget']} | "
            f"{ranks} | {1e3 * row['measured_seconds']:.1f} ms | {1e3 * row['simulated_seconds']:.1f} ms | "
            f"{100 * row['error']:+.1f} % | {row['predicted_bytes'] - row['allocated_bytes']} |")
    lines.append(f"| mean of {len(found['rows'])} | | | | | | | {100 * mean_error(found['rows']):.1f} % | 0 |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seerc", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--machine", type=pathlib.Path, help="a description that is there, instead of calibrating")
    parser.add_argument("--parts", default="calibrate,build,measure", type=lambda text: text.split(","))
    parser.add_argument("--threads", type=int, help="of one rank, and of calibrate; else all cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--table", type=pathlib.Path)
    options = parser.parse_args()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    if options.machine:
        (options.folder / MACHINE).write_text(options.machine.read_text())
    if "calibrate" in options.parts and not options.machine:
        calibrate(options)
    if "build" in options.parts:
        build(options)
    if "measure" in options.parts:
        processor = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
        found = {"date": datetime.date.today().isoformat(), "processor": processor, "cores": os.cpu_count(),
                 "threads": options.threads,
                 "command": f"tests/bench/validate.py --threads {options.threads or 'all'} "
                            f"--minutes {options.minutes:g} --rounds {options.rounds} --steps {options.steps}",
                 "machine": (options.folder / MACHINE).read_text(), "rows": measure(options)}
        print(f"mean error {100 * mean_error(found['rows']):.1f} %")
        if options.out:
            options.out.write_text(json.dumps(found, indent=1) + "\n")
    if "replan" in options.parts:
        found = json.loads(options.out.read_text())
        found["rows"] = simulate_again(options.seerc, options.folder, found)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
        print(f"mean error {100 * mean_error(found['rows']):.1f} %")
    if options.table and options.out:
        options.table.write_text(table(json.loads(options.out.read_text())))


if __name__ == "__main__":
    main()
