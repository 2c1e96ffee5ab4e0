"""Training speed and memory of emitted trainers against PyTorch, interleaved in one run.

usage: bench.py --seerc SEERC --folder DIR [--python PYTHON]... [--compiled] [--precision fp32|bf16] [--lost-core]
                [--out FILE.json] [--rounds N] [--steps N] [--threads N]... [CASE...]
       bench.py --table FILE.json
Method. The same network, pictures per step, crop sizes, loss and optimizer (SGD with momentum), f32 (--precision bf16:
seer's bf16 against PyTorch's bf16 autocast), the same threads.
Every PYTHON that is named is a PyTorch to beat (default: one that has torch and torchvision), each in both memory
formats, eagerly and, with --compiled, by torch.compile, where its version has it; each in a process of its own
(peer.py) that sleeps while others run; the trainer runs `bench`. A round is: every peer, then seer, in turn; every side
warms up first. The better peer is the one with the shortest median over all rounds; the ratio is the median over rounds
of its median step by seer's in the same round, so that both saw the same machine, with the smallest and the largest of
those beside it; and, as a second opinion, that of the fastest steps. On a busy machine PyTorch's thread pool (GNU
OpenMP) sometimes collapses by thirty times: its threads spin for each other. GOMP_SPINCOUNT=10000 makes that rare and
costs PyTorch nothing (fastest steps of regnet_y_400mf at 96 px: 0.271 s, by default 0.297 s, never spinning 0.301 s),
so it is set. A round in which seer or the better peer takes over 3 times its best round is left out, and counted under
`discarded`. Memory is the resident peak of the whole process; PyTorch's libraries alone (`import_bytes`) are given
beside it. A compiled peer's first step, which compiles, is given as `first_step_seconds`, and `build_seconds` is what
`seerc build` took. --lost-core then takes one of the cores away by a process that only counts, and gives, for seer and
for the better peer, the median over rounds of the step's time then by that just before.
"""
import argparse
import datetime
import json
import multiprocessing
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
    case("y1_6_96", "regnet_y_1_6gf", [(1, 96)], 32, classes=1000),
    case("y1_6_160", "regnet_y_1_6gf", [(1, 160)], 32, classes=1000),
    case("x400_160", "regnet_x_400mf", [(1, 160)], 32, classes=1000, group_rule="torchvision"),
    case("swav_y400", "regnet_y_400mf", [(2, 160), (4, 96)], 8, prototypes=3000, head=(2048, 128)),
]


def spec_text(c, precision):
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
train {{ batch = {c['batch']}  steps = 1000  precision = {precision} }}
optimizer {{ name = sgd  weight_decay = 5e-5 }}
evaluate {{ size = {c['crops'][-1][1]}px  resize = {c['crops'][-1][1]}px  batch = {c['batch']} }}
"""


class Peer:
    """One PyTorch process."""

    def __init__(self, c, threads, python, layout, compiled, precision):
        arguments = json.dumps({**c, "threads": threads, "layout": layout, "compiled": compiled,
                                "precision": precision})
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "10000"}
        self.process = subprocess.Popen([python, HERE / "peer.py", arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment)
        self.first = self.run(1, 600)["median"]

    def run(self, steps, limit=ROUND_SECONDS):
        self.process.stdin.write(f"{steps} {limit}\n")
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
                "peak_bytes": told["resident_bytes"], "share_of_peak": told.get("share_of_peak")}

    def close(self):
        pass


def peers_of(c, threads, options):
    """By name: each PyTorch in both layouts, eager and compiled."""
    peers = {}
    for python, version in options.pythons.items():
        for compile_it in (False, True) if options.compiled and int(version.split(".")[0]) > 1 else (False,):
            for layout in LAYOUTS:
                name = f"torch {version.split('+')[0]} {layout}{' compiled' if compile_it else ''}"
                peers[name] = Peer(c, threads, python, layout, compile_it, options.precision)
                print(f"{c['name']}: {name}: first step {peers[name].first:.1f} s", file=sys.stderr)
    return peers


def summarize(batch, rounds):
    medians = [r["median"] for r in rounds]
    median, fastest = statistics.median(medians), min(r["fastest"] for r in rounds)
    summary = {"median_seconds": median, "fastest_seconds": fastest, "images_per_second": batch / median,
               "best_images_per_second": batch / fastest, "peak_bytes": max(r["peak_bytes"] for r in rounds),
               "round_medians": medians}
    if "import_bytes" in rounds[0]:
        summary["import_bytes"] = rounds[0]["import_bytes"]
    if rounds[0].get("share_of_peak"):
        summary["share_of_peak"] = statistics.median(r["share_of_peak"] for r in rounds)
    return summary


def count_for_ever():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    while True:
        pass


def lost_core(side, options):
    """What a step takes while another process has one of the cores, by what it took just before."""
    ratios = []
    for _ in range(options.rounds):
        alone = side.run(options.steps)["median"]
        thief = multiprocessing.Process(target=count_for_ever, daemon=True)
        thief.start()
        time.sleep(0.3)
        ratios.append(side.run(options.steps)["median"] / alone)
        thief.kill()
        thief.join()
    return statistics.median(ratios)


def measure(c, trainer, threads, options):
    peers = peers_of(c, threads, options)
    sides = {**peers, "seer": Seer(trainer, threads)}
    rounds = {name: [] for name in sides}
    for peer in peers.values():
        peer.run(2)
    for _ in range(options.rounds):
        for name, side in sides.items():
            time.sleep(0.3)
            rounds[name].append(side.run(options.steps))
    result = {name: summarize(c["batch"], r) for name, r in rounds.items()}
    for name, peer in peers.items():
        result[name]["first_step_seconds"] = peer.first
    best = min(peers, key=lambda name: result[name]["median_seconds"])
    if options.lost_core:
        for name in (best, "seer"):
            result[name]["lost_core_slowdown"] = lost_core(sides[name], options)
    for side in sides.values():
        side.close()
    pairs = list(zip(result[best]["round_medians"], result["seer"]["round_medians"]))
    limits = [COLLAPSE * min(side) for side in zip(*pairs)]
    ratios = [peer / own for peer, own in pairs if peer <= limits[0] and own <= limits[1]]
    fastest = min(result[name]["fastest_seconds"] for name in peers)
    return {"name": c["name"], "model": c["model"], "crops": c["crops"], "batch": c["batch"], "threads": threads,
            "precision": options.precision, "task": "supervised" if c["classes"] else "swav", "sides": result,
            "better_peer": best,
            "ratio": statistics.median(ratios), "ratio_least": min(ratios), "ratio_most": max(ratios),
            "discarded": len(pairs) - len(ratios), "best_ratio": fastest / result["seer"]["fastest_seconds"],
            "memory_ratio": result["seer"]["peak_bytes"] / min(result[name]["peak_bytes"] for name in peers)}


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def describe_machine(pythons):
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory, "system": platform.platform(),
            "torch": sorted(pythons.values()), "compiler": first_line(["cc", "--version"]),
            "seer": first_line(["git", "-C", str(HERE), "describe", "--always", "--dirty"])}


def build(c, options):
    folder = pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    spec, trainer = folder / f"{c['name']}.seer", folder / c["name"]
    spec.write_text(spec_text(c, options.precision))
    began = time.perf_counter()
    subprocess.run([options.seerc, "build", spec, "-o", trainer], check=True, stdout=sys.stderr)
    return trainer.resolve(), time.perf_counter() - began


def print_table(results):
    machine = results["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores; PyTorch {', '.join(machine['torch'])}; "
          f"{results['date'][:10]}. Ratios: median over rounds, from least to most; of the fastest steps.\n")
    print("| network | views | batch | threads | best PyTorch | images/s | seer images/s | ratio | memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in results["cases"]:
        views = " + ".join(f"{count} x {size} px" for count, size in r["crops"])
        peer, own = r["sides"][r["better_peer"]], r["sides"]["seer"]
        what = f"{r['model']} {r['task']} {r.get('precision', 'fp32')}"
        print(f"| {what} | {views} | {r['batch']} | {r['threads']} | {r['better_peer']} "
              f"| {peer['images_per_second']:.1f} | {own['images_per_second']:.1f} "
              f"| **{r['ratio']:.2f}** ({r['ratio_least']:.2f} to {r['ratio_most']:.2f}); {r['best_ratio']:.2f} "
              f"| {r['memory_ratio']:.2f} ({own['peak_bytes'] / 2**20:.0f} MiB) |")
    for r in results["cases"]:
        own, peer = r["sides"]["seer"], r["sides"][r["better_peer"]]
        if "lost_core_slowdown" in own:
            print(f"\n{r['name']} with one core lost: seer {own['lost_core_slowdown']:.2f} times as long, "
                  f"{r['better_peer']} {peer['lost_core_slowdown']:.2f} times.")
    discarded = sum(r["discarded"] for r in results["cases"])
    if discarded:
        print(f"\n{discarded} rounds in which a side took over three times its best are left out.")


def find_pythons(named):
    """The pythons that have the peer, with its version: those named, or the first of the usual ones."""
    pythons = {}
    for python in named or (sys.executable, "python3", "/usr/bin/python3"):
        told = subprocess.run([python, "-c", "import torch, torchvision; print(torch.__version__)"],
                              capture_output=True, text=True)
        if told.returncode == 0:
            pythons[python] = told.stdout.strip()
            if not named:
                break
        elif named:
            sys.exit(f"bench: '{python}' has no torch and torchvision")
    if not pythons:
        sys.exit("bench: no python3 here has torch and torchvision; Debian: apt install python3-torchvision")
    return pythons


def main():
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", metavar="FILE", help="print the table of these results and do nothing else")
    parser.add_argument("--seerc")
    parser.add_argument("--folder", help="where specs and trainers are built")
    parser.add_argument("--python", action="append", help="that has torch and torchvision; repeatable")
    parser.add_argument("--compiled", action="store_true", help="torch.compile as well")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--lost-core", action="store_true", help="then take one of the cores away")
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
    options.pythons = find_pythons(options.python)
    now = datetime.datetime.now(datetime.timezone.utc)
    results = {"date": now.isoformat(timespec="seconds"), "machine": describe_machine(options.pythons),
               "rounds": options.rounds, "steps_per_round": options.steps, "cases": []}
    out = pathlib.Path(options.out or HERE / "results" / f"{platform.node()}-{now:%Y-%m-%d}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    for c in CASES:
        if options.cases and c["name"] not in options.cases:
            continue
        trainer, seconds = build(c, options)
        for threads in options.threads or sorted({cores, 1}, reverse=True):
            results["cases"].append({**measure(c, trainer, threads, options), "build_seconds": seconds})
            out.write_text(json.dumps(results, indent=1) + "\n")
            last = results["cases"][-1]
            print(f"{c['name']}, {threads} threads: {last['sides']['seer']['images_per_second']:.1f} images/s, "
                  f"{last['ratio']:.2f} of PyTorch ({last['best_ratio']:.2f} fastest step)", file=sys.stderr)
    print_table(results)


if __name__ == "__main__":
    main()
