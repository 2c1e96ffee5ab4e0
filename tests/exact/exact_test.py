"""The plan is exact: what `seerc plan` says a step takes is what the trainer allocates and touches, byte for byte, at
ten budgets between the smallest that is feasible and none at all; below the smallest the compiler says so, at it the
trainer runs. What lies outside the plan's memory stays below the bound that the plan states.

usage: exact_test.py --seerc SEERC --library SPECS --cache DIR CASE   CASE: trained | trained_others | planned |
between | resident. trained: trainers of every third small model, run with a poisoned arena; trained_others: of the
rest. planned: every eighth shipped spec, its plans alone, in all the memory there is and in the least; between: all,
and in a budget between the two.
resident: a trainer that decodes the largest pictures it may.
"""
import argparse
import json
import pathlib
import random
import sys
import tempfile

import models
from trainers import Trainers, run

BUDGETS = 10
PADDING = 64  # items are rounded up to this many bytes: so much of the last one may stay untouched
BETWEEN = 0.1  # share of the way from the smallest to the largest budget of a shipped spec
LARGE = ("regnety_256gf",)  # of a cluster; RG-10B is an example
SHARDED = """cluster { machine = "a100-40g"  nodes = 62  ranks_per_node = 8 }
shard { parameters = full  reduce = fp16 }
"""


def bytes_between(least, most, share):
    return least + int((most - least) * share)


class Exact:
    def __init__(self, options, folder):
        self.seerc, self.library, self.folder = options.seerc.resolve(), options.library.resolve(), folder
        self.trainers = Trainers(self.seerc, folder, options.cache.resolve())
        self.pictures = folder / "pictures"
        self.failed, self.checked, self.notes = [], 0, {}
        self.plans, self.proven, self.gaps = 0, 0, 0
        models.make_pictures(self.pictures)

    def require(self, what, holds, *facts):
        self.checked += 1
        if not holds:
            self.failed.append(f"{what}: {' '.join(map(str, facts))}")
            print("FAILED", self.failed[-1], flush=True)

    def note(self, name, value):
        low, high = self.notes.get(name, (value, value))
        self.notes[name] = (min(low, value), max(high, value))

    def plan(self, spec, *options):
        return json.loads(run(self.seerc, "plan", "--json", "-I", self.library, spec, *options).stdout)

    def refusal(self, spec, plan, *options):
        """One byte less than the smallest budget: an error with that number and the block that sets it."""
        least, block = plan["memory"]["minimum_budget_bytes"], plan["memory"]["minimum_set_by"]
        said = run(self.seerc, "plan", "-I", self.library, spec, *options, "-D", f"checkpoint.budget={least - 1}",
                   code=None)
        self.require(f"{spec.name} below its smallest budget", said.returncode == 1 and f"{least} bytes" in said.stderr
                     and f"'{block}'" in said.stderr and "[budget]" in said.stderr, said.returncode, said.stderr)

    def account(self, what, plan):
        """The plan's own figures agree with each other; the arena is the largest sum of what is live, or tells the gap:
        at some budgets between placing leaves one, of a few in ten thousand, of 2 % beside RG-10B's pieces."""
        memory, predicted = plan["memory"], plan["checkpoint"]["predicted_peak_bytes"]
        kinds, live = memory["by_kind"], memory["live_peak_bytes"]
        arena = memory["arena_bytes"] - kinds.get("evaluation", 0)  # which may need more than training
        self.require(f"{what}: peak within the budget", memory["peak_bytes"] <= memory["budget_bytes"],
                     memory["peak_bytes"], memory["budget_bytes"])
        self.require(f"{what}: kinds add up to the peak", sum(kinds.values()) == memory["peak_bytes"], kinds,
                     memory["peak_bytes"])
        # In pieces a few buffers are half of all, and fit side by side less well.
        pieces = any("." in unit["name"] for unit in plan["shard"]["units"])
        gap, most = arena - live, arena // (40 if pieces else 500)
        self.require(f"{what}: arena is the largest live sum", gap == kinds.get("gaps", 0) and gap <= most, arena, live,
                     kinds)
        self.gaps += gap > 0
        self.require(f"{what}: the chain's account covers the arena", predicted >= live, predicted, live)
        self.note("predicted peak over live peak", predicted - live)
        self.plans += 1
        self.proven += plan["checkpoint"]["optimal_in_class"]

    def poisoned(self, what, trainer, plan):
        """Allocated, touched and resident, of a trainer whose arena was filled with patterns."""
        memory = plan["memory"]
        found = json.loads(run(trainer, "bench", "--poison", "--json").stdout)
        allocated = sum(found[block + "_bytes"] for block in ("state", "arena", "ring", "snapshot"))
        outside = sum(item["bytes"] for item in memory["outside"])
        self.require(f"{what}: allocates the plan's peak", allocated == memory["peak_bytes"] == found["peak_bytes"],
                     allocated, memory["peak_bytes"])
        self.require(f"{what}: allocates the plan's arena", found["arena_bytes"] == memory["arena_bytes"],
                     found["arena_bytes"], memory["arena_bytes"])
        untouched = found["arena_bytes"] - found["touched_bytes"]
        self.require(f"{what}: touches its arena to the end", 0 <= untouched < PADDING, untouched)
        self.require(f"{what}: resident within the bound", found["resident_bytes"] <= memory["peak_bytes"] + outside,
                     found["resident_bytes"], memory["peak_bytes"], outside)
        self.note("arena bytes untouched", untouched)
        self.note("resident beyond the peak, MiB", (found["resident_bytes"] - memory["peak_bytes"]) >> 20)

    def model(self, name):
        """Ten budgets; trainers of budgets that give the same plan are the same and built once."""
        spec = models.spec_write(self.folder, name, self.pictures)
        plan = self.plan(spec)
        least, most = plan["memory"]["minimum_budget_bytes"], plan["memory"]["peak_bytes"]
        self.refusal(spec, plan)
        arenas = []
        for step in range(BUDGETS):
            budget = bytes_between(least, most, step / (BUDGETS - 1))
            limit = ["-D", f"checkpoint.budget={budget}"] if step + 1 < BUDGETS else []
            what = f"{name} in {budget} bytes"
            trainer = self.trainers.build(f"{name}-{step}", spec, "-I", self.library, *limit)
            plan = json.loads(run(trainer, "plan", "--json").stdout)
            self.account(what, plan)
            self.poisoned(what, trainer, plan)
            arenas.append(plan["memory"]["arena_bytes"])
        print(f"{name}: {least} to {most} bytes, arena {' '.join(map(str, arenas))}", flush=True)

    def shipped(self, spec, share):
        plan = self.plan(spec)
        least, most = plan["memory"]["minimum_budget_bytes"], plan["memory"]["peak_bytes"]
        if share == 0:
            self.account(spec.name, plan)
            self.refusal(spec, plan)
        budget = bytes_between(least, most, share)
        what, limit = f"{spec.name} in {budget} bytes of {least} to {most}", f"checkpoint.budget={budget}"
        said = run(self.seerc, "plan", "--json", "-I", self.library, spec, "-D", limit, code=None)
        self.require(f"{what}: a plan", said.returncode == 0, said.stderr)
        if said.returncode == 0:
            self.account(what, json.loads(said.stdout))


def trained(exact):
    for name in models.EXACT[::3]:
        exact.model(name)


def trained_others(exact):
    for name in models.EXACT[1::3] + models.EXACT[2::3]:
        exact.model(name)


def planned(exact, share=0, every=8):
    """Every eighth shipped network as a run of this machine, or all, and those that were published so on a cluster."""
    for network in sorted((exact.library / "models").glob("*.seer"))[::every]:
        for recipe, rest in (("swav", "train { batch = 8 }\n"), ("seer_10b", SHARDED)):
            if recipe == "seer_10b" and (share == 0 or network.stem not in LARGE):  # a minute each
                continue
            spec = exact.folder / f"{network.stem}-{recipe}.seer"
            spec.write_text(f'use "models/{network.stem}"\nuse "recipes/{recipe}"\n{rest}'
                            'data { pictures = "nowhere" }\ncheckpoint { budget = 1e15 }\n')
            exact.shipped(spec, share)
    for example in sorted((exact.library.parent / "examples").glob("*/*.seer")):
        exact.shipped(example, share)


def between(exact):
    planned(exact, every=1)
    planned(exact, BETWEEN, every=1)


def make_large_pictures(folder, side):
    """The dearest pictures to decode: noise with alpha, progressive JPEG at full resolution; all to be turned."""
    from PIL import Image, ImageFile  # Debian: python3-pil
    ImageFile.MAXBLOCK = 1 << 27
    turned = Image.Exif()
    turned[0x0112] = 6
    noise = Image.frombytes("RGBA", (side, side), random.Random(1).randbytes(side * side * 4))
    soft = noise.resize((side // 8, side // 8)).resize((side, side), Image.BICUBIC)
    for label in ("lossless", "lossy"):
        (folder / label).mkdir(parents=True)
    for number in range(4):
        noise.save(folder / f"lossless/{number}.png", compress_level=1, exif=turned)
        soft.convert("CMYK" if number % 2 else "RGB").save(
            folder / f"lossy/{number}.jpg", quality=95, subsampling=0, progressive=True, exif=turned.tobytes())
    noise.save(folder / "lossless/0.webp", lossless=True, method=0, exif=turned.tobytes())


def resident(exact):
    """Decoding the largest pictures there may be, the process stays within the plan's memory and its bound."""
    side, decoders = 2000, 2
    pictures = exact.folder / "large"
    make_large_pictures(pictures, side)
    spec = models.spec_write(exact.folder, "y_supervised", pictures)
    trainer = exact.trainers.build("resident", spec, "-D", f"data.max_pixels={side * side}", "-D",
                                   f"data.decode_threads={decoders}")
    memory = json.loads(run(trainer, "plan", "--json").stdout)["memory"]
    outside = sum(item["bytes"] for item in memory["outside"])
    run(trainer, "train", "--out", exact.folder / "run", "--quiet", "--threads", 2)
    for line in (exact.folder / "run/metrics.jsonl").read_text().splitlines():
        step = json.loads(line)
        exact.require("resident within the bound", step["resident_bytes"] <= memory["peak_bytes"] + outside,
                      step["resident_bytes"], memory["peak_bytes"], outside)
        exact.require("no picture refused", step["quarantined"] == 0, step)
        exact.note("resident beyond the peak, bytes a pixel of each decoder",
                   (step["resident_bytes"] - memory["peak_bytes"]) // (side * side * decoders))


def main():
    cases = {case.__name__: case for case in (trained, trained_others, planned, between, resident)}
    parser = argparse.ArgumentParser()
    parser.add_argument("--seerc", type=pathlib.Path, required=True)
    parser.add_argument("--library", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("case", choices=cases)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seer-exact-") as folder:
        exact = Exact(options, pathlib.Path(folder))
        cases[options.case](exact)
    for name, (low, high) in sorted(exact.notes.items()):
        print(f"{name}: {low} to {high}")
    print(f"{exact.plans} plans, {exact.proven} proven optimal in their class, {exact.gaps} with gaps")
    print(f"{exact.checked} checks, {len(exact.failed)} failures")
    return 1 if exact.failed else 0


if __name__ == "__main__":
    sys.exit(main())
