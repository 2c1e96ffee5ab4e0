"""A plan changes no bit: losses, and every tensor of the last snapshot (parameters, velocities, running statistics,
queues), are those of the plan that computes nothing twice, for any plan and any number of threads. The plans are drawn
at random from the planner's class, and besides them the rules it knows and the best at tight budgets.

usage: neutral_test.py --seerc SEERC --cache DIR CASE      CASE: few | plain | many | sane | released
few: of one model. plain: many plans of two models, compiled quickly; many: of all. sane: a few under AddressSanitizer
and UndefinedBehaviorSanitizer. released: a few as `seerc build` compiles them, each whole, at its own level of
optimisation.
"""
import argparse
import collections
import hashlib
import json
import pathlib
import struct
import sys
import tempfile

import models
from trainers import Trainers, run

RANDOM_PLANS, SEEDS = 14, 64  # of each model: taken, and looked at
THREADS = (1, 3)


def tensors_read(path):
    """{name: hash of dtype, shape and bytes} of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        body = data[8 + length + begin:8 + length + end]
        found[name] = (entry["dtype"], entry["shape"], hashlib.sha256(body).hexdigest(), any(body))
    return found


class Run:
    """What training leaves: a loss a step, and the last snapshot's tensors."""

    def __init__(self, trainer, folder, threads, *options):
        run(trainer, "train", "--out", folder, "--quiet", "--no-report", "--threads", threads, *options)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        self.losses = [line["loss"] for line in lines]
        self.peak_bytes, self.resident_bytes = lines[-1]["peak_bytes"], lines[-1]["resident_bytes"]
        (snapshot,) = (folder / "snapshots").glob(f"step-{len(lines)}")
        self.tensors = tensors_read(snapshot / "model.safetensors")

    def differs_from(self, other):
        if self.losses != other.losses:
            return f"losses {self.losses} and not {other.losses}"
        if self.tensors.keys() != other.tensors.keys():
            return "other tensors"
        names = [name for name, tensor in self.tensors.items() if tensor != other.tensors[name]]
        return f"{len(names)} of {len(self.tensors)} tensors, '{names[0]}' among them" if names else None


class Features:
    """What the plans seen so far had in them."""

    def __init__(self):
        self.plans = collections.Counter()
        self.modes, self.offered = set(), set()

    def note(self, model, plan):
        operations = plan["operations"]
        variants = {step.get("variant") for step in plan["schedule"]}
        forwards = collections.Counter(op["block"] for op in operations if op["kind"] != "backward")
        self.plans.update({"all": 1, "nested": max(forwards.values()) > 2, "hole": holes(operations) > 0,
                           "again": "again" in variants})
        self.modes |= {(model, *mode) for mode in modes_of(plan)}
        for block in plan["checkpoint"]["blocks"]:
            self.offered |= {(model, block["name"], mode["name"]) for mode in block["modes"] if not mode["dominated"]}


def modes_of(plan):
    """(block, mode) of every forward that saves."""
    blocks = plan["checkpoint"]["blocks"]
    return {(blocks[op["block"]]["name"], op["mode"]) for op in plan["operations"] if op["kind"] == "save"}


def seeds_with_all(seerc, spec, count):
    """Seeds of `count` random plans, picked so that they use as many save modes as can be."""
    modes = [modes_of(json.loads(run(seerc, "plan", "--json", spec, *settings(placement="random", seed=seed)).stdout))
             for seed in range(SEEDS)]
    picked, seen = [], set()
    while len(picked) < count:
        best = max((seed for seed in range(SEEDS) if seed not in picked), key=lambda seed: len(modes[seed] - seen))
        picked.append(best)
        seen |= modes[best]
    return picked


def settings(**keys):
    return [word for key, value in keys.items() for word in ("-D", f"checkpoint.{key}={value}")]


def holes(operations):
    """Blocks saved while their input was dropped: it is made again between their saving forward and their backward."""
    count, saved = 0, {}
    for op in operations:
        block = op["block"]
        if op["kind"] == "backward":
            count += saved.pop(block) == "dropped"
            continue
        if op["kind"] == "save":
            saved[block] = "kept"
        if block + 1 in saved:
            saved[block + 1] = "dropped"
    return count


def plans_of(plan, seeds):
    """(name, options) of the plans of one model."""
    for seed in seeds:
        yield f"random-{seed}", settings(placement="random", seed=seed)
    for name in ("every", "square_root", "fairscale"):
        yield name, settings(placement=name)
    yield "cuts", settings(placement="cuts", cuts=f"[1, {len(plan['checkpoint']['blocks']) - 1}]")
    least, most = plan["memory"]["minimum_budget_bytes"], plan["memory"]["peak_bytes"]
    for share in (0, 0.1, 0.3, 0.6):
        yield f"optimal-{share}", settings(budget=int(least + share * (most - least)))


class Neutral:
    def __init__(self, trainers, folder):
        self.trainers, self.folder, self.failed = trainers, folder, []
        self.random, self.others = Features(), Features()
        self.pictures = folder / "pictures"
        models.make_pictures(self.pictures)

    def check(self, model, name, trainer, expected, threads=THREADS):
        features = self.random if name.startswith("random") else self.others
        plan = json.loads(run(trainer, "plan", "--json").stdout)
        features.note(model, plan)
        for count in threads:
            found = Run(trainer, self.folder / f"{model}-{name}-{count}", count)
            difference = found.differs_from(expected)
            peak, outside = plan["memory"]["peak_bytes"], sum(item["bytes"] for item in plan["memory"]["outside"])
            if found.peak_bytes != peak:
                difference = f"{found.peak_bytes} bytes and not {peak}"
            if found.resident_bytes > peak + outside and not self.trainers.sane:  # whose shadow memory is not ours
                difference = f"{found.resident_bytes} bytes resident, more than {peak} + {outside}"
            if difference:
                self.failed.append(f"{model}, plan {name}, {count} threads: {difference}")
                print("FAILED", self.failed[-1], flush=True)

    def model(self, model, random_plans, others=True, threads=THREADS, build=None):
        """Every plan of a model against the plan without recomputation on one thread."""
        build = build or self.trainers.build
        spec = models.spec_write(self.folder, model, self.pictures)
        trainer = build(f"{model}-none", spec, *settings(placement="none"))
        plan = json.loads(run(trainer, "plan", "--json").stdout)
        expected = Run(trainer, self.folder / f"{model}-none-run", 1)
        assert all(changed for name, (_, _, _, changed) in expected.tensors.items() if "running" in name), "statistics"
        assert plan["step"]["recompute_flops"] == 0 and len(set(expected.losses)) == len(expected.losses)
        self.check(model, "none", trainer, expected, THREADS[1:])
        for name, options in plans_of(plan, seeds_with_all(self.trainers.seerc, spec, random_plans)):
            if others or name.startswith("random"):
                self.check(model, name, build(f"{model}-{name}", spec, *options), expected, threads)

    def covers(self, plans):
        """The random plans alone had everything in them that a plan can have."""
        seen, missing = self.random.plans, sorted(self.random.offered - self.random.modes)
        print(f"{seen['all']} random plans: {seen['nested']} with nested recomputation, {seen['hole']} with holes, "
              f"{self.others.plans['all']} others; "
              f"{len(self.random.offered) - len(missing)} of the {len(self.random.offered)} save modes of all blocks")
        for feature in ("nested", "hole", "again"):
            if seen[feature] < 5:
                self.failed.append(f"only {seen[feature]} random plans with '{feature}'")
        unseen = {mode for *_, mode in self.random.offered} - {mode for *_, mode in self.random.modes}
        # A mode that one block alone was never saved in runs code that it was seen to run in another block.
        if seen["all"] < plans or unseen or len(missing) > len(self.random.offered) / 20:
            self.failed.append(f"{seen['all']} random plans; none saved in the modes {sorted(unseen)}, or {missing}")


def plain(neutral, names=("y_queue", "x_deep")):
    for model in names:
        neutral.model(model, RANDOM_PLANS)
    neutral.covers(RANDOM_PLANS * len(names))


def many(neutral):
    plain(neutral, list(models.SPECS))


def few(neutral):
    neutral.model("x_deep", 4, others=False)


def sane(neutral):
    neutral.model("y_supervised", 3, others=False, threads=(2,))
    neutral.model("x_deep", 2, others=False, threads=(2,))


def released(neutral):
    def build(name, spec, *options):
        trainer = neutral.folder / name
        run(neutral.trainers.seerc, "build", spec, "-o", trainer, *options)
        return trainer
    neutral.model("y_supervised", 2, others=False, threads=(2,), build=build)


def main():
    cases = {"few": few, "plain": plain, "many": many, "sane": sane, "released": released}
    parser = argparse.ArgumentParser()
    parser.add_argument("--seerc", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("case", choices=cases)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seer-neutral-") as folder:
        trainers = Trainers(options.seerc.resolve(), folder, options.cache.resolve(), sane=options.case == "sane")
        neutral = Neutral(trainers, pathlib.Path(folder))
        cases[options.case](neutral)
    print(f"{len(neutral.failed)} failures; {trainers.compiled} files of runtime and kernels compiled, "
          f"{trainers.seconds['emit']:.0f} s in seerc, {trainers.seconds['compile']:.0f} s in cc")
    for failure in neutral.failed:
        print(failure, file=sys.stderr)
    return 1 if neutral.failed else 0


if __name__ == "__main__":
    sys.exit(main())
