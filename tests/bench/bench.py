"""Training speed and memory of emitted trainers against eager PyTorch, interleaved in one run.

usage: bench.py --seerc SEERC --folder DIR [--out FILE.json] [--rounds N] [--steps N] [--threads N]... [CASE...]
       bench.py --table FILE.json
Method. The same network, pictures per step, crop sizes, loss and optimizer (SGD with momentum), f32, the same threads.
PyTorch runs eagerly in both memory formats, each in a process of its own (peer.py) that sleeps while others run; the
trainer runs `bench`. A round is: default format, channels_last, seer, in turn; every side warms up first. Per side the
figure is the median of its rounds' median steps, and the fastest step beside it; the ratio is seer over the better
PyTorch format. On a busy machine PyTorch's thread pool (GNU OpenMP) sometimes collapses by thirty times: its threads
spin for each other. GOMP_SPINCOUNT=10000 makes that rare and costs PyTorch nothing (fastest steps of regnet_y_400mf at
96 px: 0.271 s, by default 0.297 s, never spinning 0.301 s), so it is set. A round of any side
whose median is over 3 times that side's best round is left out, and counted under `discarded`.
Memory is the resident peak of the whole process (the trainer's before it measures what the machine can do); PyTorch's
libraries alone (`import_bytes`) are given beside it.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
COLLAPSE = 3
ROUND_SECONDS = 40  # a collapsed round ends after these
LAYOUTS = ("default", "channels_last")


def case(name, model, crops, batch, classes=0, prototypes=0, head=(), group_rule="nearest"):
    return {"name": name, "model": model, "crops": crops, "batch": batch, "classes": classes, "prototypes": prototypes,
            "head": head, "group_rule": group_rule}


CASES = [
    case("y400_96", "regnet_y_400mf", [(1, 96)], 32, classes=1000),
    case("y400_160", "regnet_y_400mf", [(1, 160)], 32, classes=1000),
    case("x400_160", "regnet_x_400mf", [(1, 160)], 32, classes=1000, group_rule="torchvision"),
    case("swav_y400", "regnet_y_400mf", [(2, 160), (4, 96)], 8, prototypes=3000, head=(2048, 128)),
]


def spec_text(c):
    crops = ", ".join(f"crop(count = {count}, size = {size}px)" for count, size in c["crops"])
    if c["classes"]:
        task = f"supervised {{ classes = {c['classes']} }}"
    else:
        head = ", ".join(map(str, c["head"]))
        task = f"swav {{ prototypes = {c['prototypes']}  head = [{head}]  freeze_prototypes = 0 }}"
    return f"""use "models/{c['model'].replace('_', '', 1)}"
model {{ group_rule = {c['group_rule']} }}
{task}
views {{ crops = [{crops}] }}
data {{ pictures = "pictures/" }}
train {{ batch = {c['batch']}  steps = 1000 }}
optimizer {{ name = sgd  weight_decay = 5e-5 }}
evaluate {{ size = {c['crops'][-1][1]}px  resize = {c['crops'][-1][1]}px  batch = {c['batch']} }}
"""


class Peer:
    """One PyTorch process."""

    def __init__(self, c, threads, layout):
        arguments = json.dumps({**c, "threads": threads, "layout": layout})
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "10000"}
        self.process = subprocess.Popen([sys.executable, HERE / "peer.py", arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment)

    def run(self, steps):
        self.process.stdin.write(f"{steps} {ROUND_SECONDS}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("bench: the PyTorch process ended; its message is above")
        told = json.loads(line)
        return {"median": statistics.median(told["seconds"]), "fastest": min(told["seconds"]),
                "peak_bytes": told["peak_bytes"], "import_bytes": told["import_bytes"]}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Seer:
    """One trainer; each round is a process of its own."""

    def __init__(self, trainer, threads):
        self.trainer, self.threads = trainer, threads

    def run(self, steps):
        command = [self.trainer, "bench", "--steps", str(steps), "--threads", str(self.threads), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"bench: '{' '.join(map(str, command))}' ended with exit code {done.returncode}")
        told = json.loads(done.stdout)
        return {"median": told["step_seconds_median"], "fastest": told["step_seconds_min"],
                "peak_bytes": told["resident_bytes"]}

    def close(self):
        pass


def summarize(batch, rounds):
    medians = [r["median"] for r in rounds]
    kept = [r for r in rounds if r["median"] <= COLLAPSE * min(medians)]
    median, fastest = statistics.median(r["median"] for r in kept), min(r["fastest"] for r in kept)
    summary = {"median_seconds": median, "fastest_seconds": fastest, "images_per_second": batch / median,
               "best_images_per_second": batch / fastest, "peak_bytes": max(r["peak_bytes"] for r in rounds),
               "round_medians": medians, "discarded": len(rounds) - len(kept)}
    if "import_bytes" in rounds[0]:
        summary["import_bytes"] = rounds[0]["import_bytes"]
    return summary


def measure(c, trainer, threads, options):
    sides = {layout: Peer(c, threads, layout) for layout in LAYOUTS}
    sides["seer"] = Seer(trainer, threads)
    rounds = {name: [] for name in sides}
    for layout in LAYOUTS:
        sides[layout].run(2)
    for _ in range(options.rounds):
        for name, side in sides.items():
            time.sleep(0.3)
            rounds[name].append(side.run(options.steps))
    for side in sides.values():
        side.close()
    result = {name: summarize(c["batch"], r) for name, r in rounds.items()}
    best = max(LAYOUTS, key=lambda layout: result[layout]["images_per_second"])
    fastest = max(result[layout]["best_images_per_second"] for layout in LAYOUTS)
    return {"name": c["name"], "model": c["model"], "crops": c["crops"], "batch": c["batch"], "threads": threads,
            "task": "supervised" if c["classes"] else "swav", **result, "better_layout": best,
            "ratio": result["seer"]["images_per_second"] / result[best]["images_per_second"],
            "best_ratio": result["seer"]["best_images_per_second"] / fastest,
            "memory_ratio": result["seer"]["peak_bytes"] / min(result[layout]["peak_bytes"] for layout in LAYOUTS)}


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def describe_machine():
    import torch
    import torchvision
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory, "system": platform.platform(),
            "torch": torch.__version__, "torchvision": torchvision.__version__,
            "compiler": first_line(["cc", "--version"]),
            "seer": first_line(["git", "-C", str(HERE), "describe", "--always", "--dirty"])}


def build(c, options):
    folder = pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    spec, trainer = folder / f"{c['name']}.seer", folder / c["name"]
    spec.write_text(spec_text(c))
    subprocess.run([options.seerc, "build", spec, "-o", trainer], check=True, stdout=sys.stderr)
    return trainer.resolve()


def print_table(results):
    machine = results["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores; PyTorch {machine['torch']} eager, the better of its two memory "
          f"formats; f32; {results['date'][:10]}. Medians; in brackets the fastest step.\n")
    print("| network | views | batch | threads | PyTorch images/s | seer images/s | ratio | memory PyTorch / seer |")
    print("|---|---|---|---|---|---|---|---|")
    for r in results["cases"]:
        views = " + ".join(f"{count} x {size} px" for count, size in r["crops"])
        peer, own = r[r["better_layout"]], r["seer"]
        peer_memory = min(r[layout]["peak_bytes"] for layout in LAYOUTS)
        speeds = [f"{side['images_per_second']:.1f} ({side['best_images_per_second']:.1f})" for side in (peer, own)]
        print(f"| {r['model']} {r['task']} | {views} | {r['batch']} | {r['threads']} | {speeds[0]} | {speeds[1]} "
              f"| **{r['ratio']:.2f}** ({r['best_ratio']:.2f}) "
              f"| {peer_memory / 2**20:.0f} / {own['peak_bytes'] / 2**20:.0f} MiB |")
    discarded = sum(r[side]["discarded"] for r in results["cases"] for side in (*LAYOUTS, "seer"))
    if discarded:
        print(f"\n{discarded} rounds in which a side collapsed to under a third of its best speed are left out.")


def find_python():
    """Goes on under a python that has the peer: this one, `python3`, or the system's."""
    try:
        import torchvision  # noqa: F401
        return
    except ImportError:
        pass
    for python in ("python3", "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import torchvision"], capture_output=True).returncode == 0:
            os.execvp(python, [python, *sys.argv])
    sys.exit("bench: no python3 here has torch and torchvision; Debian: apt install python3-torchvision")


def main():
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", metavar="FILE", help="print the table of these results and do nothing else")
    parser.add_argument("--seerc")
    parser.add_argument("--folder", help="where specs and trainers are built")
    parser.add_argument("--out", help="results file (default: results/HOST-DATE.json beside this script)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="per round")
    parser.add_argument("--threads", type=int, action="append", help=f"default: {cores} and 1")
    parser.add_argument("cases", nargs="*", choices=[[], *(c["name"] for c in CASES)])
    options = parser.parse_args()
    if options.table:
        print_table(json.loads(pathlib.Path(options.table).read_text()))
        return
    if not options.seerc or not options.folder:
        parser.error("--seerc and --folder are needed")
    find_python()
    now = datetime.datetime.now(datetime.timezone.utc)
    results = {"date": now.isoformat(timespec="seconds"), "machine": describe_machine(), "rounds": options.rounds,
               "steps_per_round": options.steps, "cases": []}
    out = pathlib.Path(options.out or HERE / "results" / f"{platform.node()}-{now:%Y-%m-%d}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    for c in CASES:
        if options.cases and c["name"] not in options.cases:
            continue
        trainer = build(c, options)
        for threads in options.threads or sorted({cores, 1}, reverse=True):
            results["cases"].append(measure(c, trainer, threads, options))
            out.write_text(json.dumps(results, indent=1) + "\n")
            last = results["cases"][-1]
            print(f"{c['name']}, {threads} threads: {last['seer']['images_per_second']:.1f} images/s, "
                  f"{last['ratio']:.2f} of PyTorch ({last['best_ratio']:.2f} fastest step)", file=sys.stderr)
    print_table(results)


if __name__ == "__main__":
    main()
