#!/usr/bin/env python3
"""Parameters, gradients and optimizer state in parts, against the same ranks with everything whole: the same bits.

Usage: shards_test.py SEERC SANITIZE. SANITIZE: 1 builds the trainers under AddressSanitizer, and for two ranks alone.
Needs mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin, mpich).
"""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

SEERC, SANITIZE = sys.argv[1], sys.argv[2] == "1"
del sys.argv[1:]
LAUNCHERS = {"Open MPI": ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"],
             "MPICH": ["mpirun.mpich", "-n"]}
WORLDS = (2,) if SANITIZE else (2, 3, 4, 8)
STEPS = 6
# A queue, prototypes that begin to move, tensors that no number of ranks divides.
SPEC = """
model {{ depths = [1]  widths = [24]  group_widths = [8]  stem_width = 8 }}
swav {{ prototypes = 18  head = [20, 10]  freeze_prototypes = 1steps  queue = 48 }}
views {{ crops = [crop(count = 2, size = 16px, scale = 0.14..1.0), crop(count = 1, size = 8px)] }}
train {{ batch = 24  steps = {steps} }}
evaluate {{ size = 16px  resize = 16px }}
optimizer {{ name = larc }}
data {{ pictures = "{data}" }}
"""
# What a trainer is built with, and for how many ranks; every world costs its compilation.
WAYS = {"whole": (WORLDS, "shard.parameters=none"),
        "full": (WORLDS, "shard.parameters=full"),
        "gradients": ((8,), "shard.parameters=gradients"),
        "hybrid": ((4, 8), "shard.parameters=hybrid(2)"),
        "recomputed in pieces": ((3,), "shard.parameters=full", "checkpoint.placement=random", "checkpoint.seed=2"),
        "narrow whole": ((2,), "shard.parameters=none", "shard.reduce=bf16"),
        "narrow full": ((2,), "shard.parameters=full", "shard.reduce=bf16"),
        "accumulated gradients": ((2,), "shard.parameters=gradients", "train.accumulate=2"),
        "accumulated full": ((2,), "shard.parameters=full", "train.accumulate=2", "checkpoint.placement=random",
                             "checkpoint.seed=5")}
PARTS = ("full",) if SANITIZE else ("full", "gradients", "hybrid", "recomputed in pieces")


def run(command, code=0):
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "OMPI_MCA_mpi_yield_when_idle": "1"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, timeout=600,
                          check=False)
    assert code is None or done.returncode == code, (command, done.returncode, done.stderr)
    return done


def metrics_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def pictures_make(path, count):
    draw = random.Random(count)
    path.write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + draw.randbytes(count * 28 * 28))


class Shards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-shards-"))
        data = cls.folder / "train-images-idx3-ubyte"
        pictures_make(data, 300)
        cls.spec = cls.folder / "shards.seer"
        cls.spec.write_text(SPEC.format(data=data, steps=STEPS))
        cls.built = {}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def trainer(self, way):
        if way not in self.built:
            out = self.folder / way.replace(" ", "-")
            worlds, *options = WAYS[way]
            sets = [word for option in (f"cluster.ranks_per_node={worlds[0]}", f"cluster.worlds={list(worlds)}",
                                        *options) for word in ("-D", option)]
            run([SEERC, "build", self.spec, *sets, "-o", out, *(["--sanitize"] if SANITIZE else [])])
            self.built[way] = out
        return self.built[way]

    def train(self, way, ranks, *options, name="run"):
        """The folder of a run, which is made once."""
        out = self.folder / f"{name}-{way}-{ranks}".replace(" ", "-")
        if out.exists() and "--resume" not in options:
            return out
        mpi = LAUNCHERS["MPICH" if ranks == 3 else "Open MPI"]
        run([*mpi, ranks, self.trainer(way), "train", "--out", out, "--threads", 1, "--no-report", *options],
            code=None if "--stop-after" in options else 0)
        return out

    def state(self, way, run_folder):
        """Every tensor of the newest snapshot, in one file."""
        out = run_folder.with_suffix(".safetensors")
        run([self.trainer(way), "export", run_folder, "--out", out, "--all"])
        return out.read_bytes()

    def plan(self, way, ranks):
        return json.loads(run([self.trainer(way), "plan", "--json", "--world", ranks]).stdout)

    def test_parts_change_no_bit(self):
        for way in PARTS:
            for ranks in WAYS[way][0]:
                whole, parts = self.train("whole", ranks), self.train(way, ranks)
                self.assertEqual([step["loss"] for step in metrics_of(whole)],
                                 [step["loss"] for step in metrics_of(parts)], (way, ranks))
                self.assertEqual(self.state("whole", whole), self.state(way, parts), (way, ranks))

    def test_what_is_sent_and_kept_is_what_the_plan_says(self):
        for way in PARTS:
            for ranks in WAYS[way][0]:
                plan, steps = self.plan(way, ranks), metrics_of(self.train(way, ranks))
                shard, memory = plan["shard"], plan["memory"]
                for step in steps:
                    self.assertEqual(step["sent_bytes"], shard["gather_bytes"] + shard["reduce_bytes"], (way, ranks))
                    self.assertEqual(step["peak_bytes"], memory["peak_bytes"], (way, ranks))
                # Each gradient once, each parameter as often as blocks are gathered; parts of at most 16 floats more
                # than a tensor's share, 64 bytes more than that where it lies, rows of 40 bytes whole.
                total, tensors = 4 * plan["model"]["parameters_total"], 80
                once = (ranks - 1) * total // ranks
                self.assertGreaterEqual(shard["reduce_bytes"], once)
                self.assertLess(shard["reduce_bytes"], once + (ranks - 1) * tensors * 64)
                self.assertGreaterEqual(shard["gather_bytes"], shard["reduce_bytes"])
                self.assertLessEqual(shard["gather_bytes"], 3 * shard["reduce_bytes"])
                group = {"gradients": 1, "hybrid": 2}.get(way, ranks)
                self.assertEqual(shard["group"], group)
                for kind, sharers in (("velocities", ranks), ("parameters", group)):
                    self.assertGreaterEqual(memory["by_kind"][kind], total // sharers)
                    padding = tensors * 128 * ranks // sharers
                    self.assertLess(memory["by_kind"][kind], total // sharers + padding, (way, ranks, kind))

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_convolutions_of_a_block_may_travel_one_by_one(self):
        units = {way: self.plan(way, 3)["shard"]["units"] for way in ("full", "recomputed in pieces")}
        names = {way: [unit["name"] for unit in units[way]] for way in units}
        self.assertEqual(names["full"], ["stem", "block1-0", "head"])
        self.assertEqual(names["recomputed in pieces"],
                         ["stem", "block1-0.proj", "block1-0.f.a", "block1-0.f.b", "block1-0.f.c", "head"])
        sums = [sum(unit["parameters"] for unit in units[way]) for way in units]
        self.assertEqual(*sums)

    @unittest.skipIf(SANITIZE, "the others are sanitized")
    def test_parts_are_clean_under_sanitizers(self):
        out = self.folder / "sanitized"
        run([SEERC, "build", self.spec, "-D", "cluster.ranks_per_node=4", "-D", "cluster.worlds=[4]", "-D",
             "shard.parameters=hybrid(2)", "-D", "checkpoint.placement=random", "-D", "checkpoint.seed=2", "-o", out,
             "--sanitize"])
        run([*LAUNCHERS["MPICH"], 4, out, "train", "--out", self.folder / "clean", "--threads", 1, "--no-report",
             "--steps", 2])

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_gradients_travel_in_what_was_asked_for(self):
        whole, narrow, wide = self.train("narrow whole", 2), self.train("narrow full", 2), self.train("full", 2)
        self.assertEqual(self.state("narrow whole", whole), self.state("narrow full", narrow))
        plans = [self.plan(way, 2)["shard"] for way in ("narrow full", "full")]
        self.assertEqual(2 * plans[0]["reduce_bytes"], plans[1]["reduce_bytes"])
        self.assertEqual(plans[0]["gather_bytes"], plans[1]["gather_bytes"])
        self.assertEqual(metrics_of(narrow)[-1]["sent_bytes"], plans[0]["gather_bytes"] + plans[0]["reduce_bytes"])
        losses = [[step["loss"] for step in metrics_of(folder)] for folder in (narrow, wide)]
        self.assertEqual(losses[0][0], losses[1][0])
        self.assertNotEqual(losses[0], losses[1])
        self.assertLess(max(abs(a - b) for a, b in zip(*losses, strict=True)), 1e-2)

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_accumulated_parts_are_the_same_whatever_the_plan(self):
        runs = [self.train(way, 2) for way in ("accumulated gradients", "accumulated full")]
        self.assertEqual([step["loss"] for step in metrics_of(runs[0])], [step["loss"] for step in metrics_of(runs[1])])
        self.assertEqual(self.state("accumulated gradients", runs[0]), self.state("accumulated full", runs[1]))

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_parts_go_on_in_another_world(self):
        straight = self.train("full", 2)
        self.train("full", 2, "--stop-after", 3, name="stopped")
        stopped = self.train("full", 2, "--resume", name="stopped")
        self.assertEqual(self.state("full", straight), self.state("full", stopped))
        # From two ranks to four to three, and whole again.
        moved = self.folder / "moved"
        out = self.train("full", 2, "--stop-after", 2, name="moving")
        shutil.copytree(out, moved)
        for way, ranks, steps in (("hybrid", 4, 2), ("whole", 3, None)):
            trainer = self.trainer(way)
            stop = ["--stop-after", steps] if steps else []
            said = run([*LAUNCHERS["Open MPI"], ranks, trainer, "train", "--out", moved, "--threads", 1, "--no-report",
                        "--resume", *stop], code=None)
            self.assertIn(f"now by {ranks}", said.stdout)
        ends = [metrics_of(folder)[-1]["loss"] for folder in (straight, moved)]
        self.assertLess(abs(ends[0] - ends[1]), 1e-4 * ends[0])


if __name__ == "__main__":
    unittest.main()
