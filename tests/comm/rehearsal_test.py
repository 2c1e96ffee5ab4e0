#!/usr/bin/env python3
"""Rehearsals: a few ranks at a fraction of the widths run the step of the whole cluster, and compute what the narrow
network computes under any other plan.

Usage: rehearsal_test.py SEERC SANITIZE [large]. SANITIZE: 1 builds trainers
under AddressSanitizer. `large`: RG-10B on 496 ranks is rehearsed by eight. Needs mpirun.openmpi (Debian: openmpi-bin).
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

SEERC, SANITIZE, LARGE = sys.argv[1], sys.argv[2] == "1", sys.argv[3:] == ["large"]
del sys.argv[1:]
MPIRUN = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"]
# Four machines of four ranks; the budget is so tight that blocks are computed again.
COMMON = """
optimizer { name = larc }
views { crops = [crop(count = 2, size = 32px, scale = 0.14..1.0), crop(count = 1, size = 16px)] }
evaluate { size = 32px  resize = 32px  batch = 4 }
log { every = 1  tensorboard = no }
"""
FULL = COMMON + """
model { depths = [1, 2, 2]  widths = [64, 128, 256]  group_widths = [32]  stem_width = 16 }
swav { prototypes = 64  head = [128, 32]  freeze_prototypes = 1steps }
train { batch = 64  steps = 3 }
cluster { machine = "h100"  nodes = 4  ranks_per_node = 4 }
"""
# The same by hand: a quarter of the widths, a quarter of the batch.
NARROW = COMMON + """
model { depths = [1, 2, 2]  widths = [16, 32, 64]  group_widths = [8]  stem_width = 4 }
swav { prototypes = 16  head = [32, 8]  freeze_prototypes = 1steps }
train { batch = 16  steps = 3 }
cluster { machine = "h100"  ranks_per_node = 4 }
"""
RG10B = """
use "models/regnety_10b"
use "recipes/seer_10b"
train { precision = fp32 }
shard { reduce = fp32 }
cluster { machine = "a100-40g"  nodes = 62  ranks_per_node = 8 }
checkpoint { offload = no }
log { every = 1 }
"""


def run(command, code=0):
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "OMPI_MCA_mpi_yield_when_idle": "1"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, check=False,
                          timeout=3000)
    assert code is None or done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done


def defines(words):
    return [word for text in words for word in ("-D", text)]


def pictures_make(path):
    pixels = bytearray((37 * i + 5 * x + 11 * y * (i % 7)) % 256
                       for i in range(160) for y in range(28) for x in range(28))
    path.write_bytes(struct.pack(">IIII", 0x803, 160, 28, 28) + pixels)
    return path


def steps_of(plan):
    """What happens when, without how long it takes and how much it moves."""
    kept = ("kind", "op", "name", "block", "phase", "variant", "residency")
    return [{key: step[key] for key in kept if key in step} for step in plan["schedule"]]


def tensors_of(path):
    """Of a safetensors file: its header without the trainer's name, and the bytes."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    del header["__metadata__"]
    return header, data[8 + size:]


class Rehearsal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.pictures = pictures_make(cls.folder / "train-images-idx3-ubyte")
        for name, text in ("full", FULL), ("narrow", NARROW), ("rg10b", RG10B):
            (cls.folder / f"{name}.seer").write_text(text)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def plan(self, name, *words):
        return json.loads(run([SEERC, "plan", self.folder / f"{name}.seer", "--json", *defines(words)]).stdout)

    def tight(self, *words):
        """The definitions, and a budget of little more than the least."""
        least = self.plan("full", *words)["memory"]["minimum_budget_bytes"]
        return [*words, f"checkpoint.budget={int(least * 1.08)}"]

    def build(self, name, *words):
        sanitize = ["--sanitize"] if SANITIZE else []
        path = self.folder / f"trainer-{name}"
        run([SEERC, "build", self.folder / f"{name}.seer", *defines(words), *sanitize, "-o", path])
        return path

    def train(self, trainer, ranks, steps, *words):
        out = self.folder / f"run-{trainer.name}"
        run([*MPIRUN, str(ranks), trainer, "--data", self.pictures, "--out", out, "--steps", steps, "--threads", 1,
             "--quiet", *words])
        return out, [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]

    def test_steps_are_those_of_the_whole_cluster(self):
        for shard in "gradients", "full", "hybrid(4)":
            with self.subTest(shard=shard):
                words = self.tight(f"shard.parameters={shard}", "train.batch_norm_ranks=8")
                full, narrow = self.plan("full", *words), self.plan("full", *words, "model.shrink=4")
                self.assertTrue(any(block["recomputed"] or block["mode"] != "everything"
                                    for block in full["checkpoint"]["blocks"]))
                self.assertEqual(steps_of(narrow), steps_of(full))
                self.assertEqual(narrow["rehearsal"]["ranks"], 16)
                self.assertEqual(narrow["rehearsal"]["peak_bytes"], full["memory"]["peak_bytes"])
                self.assertLess(narrow["memory"]["peak_bytes"], full["memory"]["peak_bytes"] / 2)
                self.assertEqual(narrow["model"]["widths"], [16, 32, 64])
                self.assertEqual(narrow["shard"]["world"], 8 if shard == "hybrid(4)" else 4)
                self.assertEqual(narrow["step"]["images"] / narrow["shard"]["world"], 4)
                self.assertIsNone(full["rehearsal"])

    def test_computes_what_the_narrow_network_does(self):
        words = self.tight("shard.parameters=full")
        rehearsal = self.build("full", *words, "model.shrink=4")
        own = json.loads(run([rehearsal, "plan", "--json"]).stdout)
        self.assertEqual(steps_of(own), steps_of(self.plan("full", *words)))
        folder, metrics = self.train(rehearsal, 4, 3)
        other, expected = self.train(self.build("narrow"), 4, 3)
        for key in "loss", "learning_rate":
            self.assertEqual([line[key] for line in metrics], [line[key] for line in expected])
        self.assertEqual(metrics[-1]["peak_bytes"], own["memory"]["peak_bytes"])
        snapshots = [sorted(run_folder.glob("snapshots/step-3/*.safetensors")) for run_folder in (folder, other)]
        self.assertTrue(snapshots[0])
        whole = [folder / "rehearsed.safetensors", other / "by-hand.safetensors"]
        run([rehearsal, "export", folder, "-o", whole[0]])
        run([self.folder / "trainer-narrow", "export", other, "-o", whole[1]])
        self.assertEqual(tensors_of(whole[0]), tensors_of(whole[1]))
        # Its own spec builds the same trainer again.
        self.assertIn("shrink = 4", (folder / "spec.seer").read_text())

    def test_refusals(self):
        for words, text in ((["model.shrink=3"], "'shrink' 3 is no power of two"),
                            (["model.shrink=4", "cluster.rehearsal_ranks=1"], "1 rank cannot rehearse the step of 16"),
                            (["model.shrink=4", "shard.parameters=hybrid(4)", "cluster.rehearsal_ranks=4"],
                             "4 ranks cannot rehearse the step of 16"),
                            (["model.shrink=4", "checkpoint.budget=1MiB"], "the plan needs"),
                            (["model.shrink=128", "model.group_widths=[32, 64, 128]", "model.strides=[2, 1, 1]"],
                             "the network has other ops")):
            with self.subTest(words=words):
                done = run([SEERC, "plan", self.folder / "full.seer", *defines(words)], code=1)
                self.assertIn(text, done.stderr)

    @unittest.skipUnless(LARGE, "takes minutes")
    def test_ten_billion(self):
        trainer = self.build("rg10b", "model.shrink=16")
        full, own = self.plan("rg10b"), json.loads(run([trainer, "plan", "--json"]).stdout)
        self.assertEqual(full["shard"]["world"], 496)
        self.assertEqual(steps_of(own), steps_of(full))
        _, metrics = self.train(trainer, 8, 2)
        self.assertEqual(len(metrics), 2)
        self.assertEqual(metrics[-1]["peak_bytes"], own["memory"]["peak_bytes"])
        self.assertLess(metrics[-1]["loss"], 12)


if __name__ == "__main__":
    unittest.main()
