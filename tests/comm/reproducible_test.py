#!/usr/bin/env python3
"""Reproducible runs: the same bits on 1, 2, 4 and 8 ranks, of any number of threads, under both MPIs, whatever the
plan, and of a run that went on in other worlds; in the memory that the plan says. A run without it differs.

Usage: reproducible_test.py SEERC SANITIZE. SANITIZE: 1 builds one trainer, under AddressSanitizer. Needs
mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin, mpich).
"""
import json
import os
import pathlib
import random
import re
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
WORLDS = (1, 2) if SANITIZE else (1, 2, 4, 8)
STEPS = 8
COMMON = """
model { depths = [1]  widths = [24]  group_widths = [8]  stem_width = 8 }
evaluate { size = 16px  resize = 16px  batch = 4 }
log { every = 1 }
train { steps = 8  reproducible = yes }
"""
SPECS = {
    # Three pictures a slice, prototypes that begin to move, tensors that no number of ranks divides.
    "swav": COMMON + """
swav { prototypes = 18  head = [20, 10]  freeze_prototypes = 1steps }
views { crops = [crop(count = 2, size = 16px, scale = 0.14..1.0), crop(count = 1, size = 8px)] }
train { batch = 24 }
optimizer { name = larc }
""",
    "supervised": COMMON + """
supervised { classes = 10 }
views { crops = [crop(count = 1, size = 28px)] }
train { batch = 32 }
optimizer { name = sgd }
""",
}


def run(command, code=0):
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "OMPI_MCA_mpi_yield_when_idle": "1"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, timeout=600,
                          check=False)
    assert code is None or done.returncode == code, (command, done.returncode, done.stderr)
    return done


def metrics_of(folder, *keys):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [[line[key] for key in keys if key in line] for line in lines]


def pictures_make(path, count):
    draw = random.Random(count)
    path.write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + draw.randbytes(count * 28 * 28))
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    beside.write_bytes(struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count)))


class Reproducible(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-reproducible-"))
        cls.data = cls.folder / "train-images-idx3-ubyte"
        pictures_make(cls.data, 300)
        cls.built = {}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def spec(self, name):
        path = self.folder / f"{name}.seer"
        labels = str(self.data).replace("images-idx3", "labels-idx1")
        path.write_text(f'{SPECS[name]}data {{ pictures = "{self.data}"  labels = "{labels}" }}\n')
        return path

    def seerc(self, command, name, *options, code=0):
        sets = [word for option in options if "=" in option for word in ("-D", option)]
        return run([SEERC, command, self.spec(name), *sets, *(word for word in options if "=" not in word)], code=code)

    def trainer(self, name, *options, worlds=WORLDS):
        if (name, options) not in self.built:
            out = self.folder / f"trainer-{len(self.built)}"
            self.seerc("build", name, *options, f"cluster.worlds={list(worlds)}", "-o", str(out),
                       *(["--sanitize"] if SANITIZE else []))
            self.built[name, options] = out
        return self.built[name, options]

    def train(self, trainer, ranks, name, *options, mpi="Open MPI", threads=1, code=0):
        out = self.folder / name
        launcher = [*LAUNCHERS[mpi], ranks] if ranks > 1 else []
        said = run([*launcher, trainer, "train", "--out", out, "--threads", threads, "--no-report", *options],
                   code=code)
        return out, said

    def outcome(self, trainer, run_folder):
        """All that a run learns, of every step and at its end."""
        out = run_folder.with_suffix(".safetensors")
        run([trainer, "export", run_folder, "--out", out, "--all"])
        return metrics_of(run_folder, "step", "loss", "prototype_entropy", "learning_rate"), out.read_bytes()

    def worlds_agree(self, name, *options):
        trainer = self.trainer(name, *options)
        outcomes, kinds = {}, 0
        for ranks in WORLDS:
            out, _ = self.train(trainer, ranks, f"{name}-{ranks}")
            outcomes[ranks] = self.outcome(trainer, out)
            self.assertEqual(len(outcomes[ranks][0]), STEPS)
            plan = json.loads(run([trainer, "plan", "--json", "--world", ranks]).stdout)
            self.assertEqual((plan["machine"]["ranks"], plan["step"]["slices"]), (ranks, 8 // ranks))
            for peak, in metrics_of(out, "peak_bytes"):
                self.assertEqual(peak, plan["memory"]["peak_bytes"])
            kinds += any(block["mode"] != "everything" for block in plan["checkpoint"]["blocks"])
        for ranks in WORLDS:
            self.assertEqual(outcomes[ranks], outcomes[1], f"{name} on {ranks} ranks")
        return trainer, outcomes[1], kinds

    def test_bits_of_swav(self):
        trainer, whole, _ = self.worlds_agree("swav")
        for ranks, mpi, threads in ((1, None, 2), (2, "MPICH", 2), *(() if SANITIZE else ((4, "MPICH", 1),))):
            out, _ = self.train(trainer, ranks, f"swav-{ranks}-{mpi}-{threads}", mpi=mpi, threads=threads)
            self.assertEqual(self.outcome(trainer, out), whole, (ranks, mpi, threads))
        # From two ranks to one to as many as there are.
        for ranks, more in ((2, 3), (1, 2), (WORLDS[-1], None)):
            stop = ["--stop-after", more] if more else []
            resume = ["--resume"] if ranks != 2 or not more else []
            out, said = self.train(trainer, ranks, "moved", *stop, *resume, code=None)
            self.assertEqual(bool(resume), "now by" in said.stdout, said.stdout + said.stderr)
        self.assertEqual(self.outcome(trainer, out), whole)
        self.arena_is_the_plans(trainer)
        self.bad_numbers_are_named(trainer, out)

    def arena_is_the_plans(self, trainer):
        """A step touches every slice's arena to its end, and no result depends on what lay there."""
        found = json.loads(run([trainer, "bench", "--poison", "--json"]).stdout)
        self.assertIn(found["arena_bytes"] - found["touched_bytes"], range(64))
        plan = json.loads(run([trainer, "plan", "--json", "--world", 1]).stdout)
        self.assertEqual(found["peak_bytes"], plan["memory"]["peak_bytes"])
        self.assertIn("8 slices", run([trainer, "plan", "--world", 1]).stdout)

    def bad_numbers_are_named(self, trainer, trained):
        """Weights that overflow: every world stops before the update, and names the same launch."""
        path, said = self.folder / "large.safetensors", set()
        run([trainer, "export", trained, "--out", path])
        data = bytearray(path.read_bytes())
        size, = struct.unpack_from("<Q", data)
        begin, end = json.loads(data[8:8 + size])["projection_head.0.weight"]["data_offsets"]
        data[8 + size + begin:8 + size + end] = struct.pack("<f", 3e38) * ((end - begin) // 4)
        path.write_bytes(data)
        for ranks in WORLDS[:2]:
            _, found = self.train(trainer, ranks, f"large-{ranks}", "--weights", path, code=None)
            self.assertNotEqual(found.returncode, 0)
            said |= set(re.findall(r"is not finite in step 1: first in '([^']*)'", found.stderr))
        self.assertEqual(len(said), 1, said)

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_bits_of_supervised_in_little_memory(self):
        """The budget is the least of one rank, which recomputes; several have room to keep everything."""
        plan = json.loads(self.seerc("plan", "supervised", "--json", "cluster.worlds=[1]").stdout)
        least = plan["memory"]["minimum_budget_bytes"]
        self.assertLess(least, plan["memory"]["peak_bytes"])
        _, _, recomputing = self.worlds_agree("supervised", f"checkpoint.budget={least}")
        self.assertIn(recomputing, range(1, len(WORLDS)))
        refused = self.seerc("plan", "supervised", f"checkpoint.budget={least - 1}", code=1)
        self.assertIn(f"the smallest budget that would do is {least} bytes", refused.stderr)

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_other_runs_differ(self):
        trainer = self.trainer("supervised", "train.reproducible=no", worlds=(1, 2))
        outcomes = [self.outcome(trainer, self.train(trainer, ranks, f"plain-{ranks}")[0]) for ranks in (1, 2)]
        self.assertNotEqual(outcomes[0], outcomes[1])

    def test_what_cannot_be_is_refused(self):
        for option in ("train.slices=6", "train.batch=20", "cluster.worlds=[3]", "cluster.ranks_per_node=12",
                       "train.accumulate=2", "swav.queue=48", "shard.parameters=full"):
            said = self.seerc("check", "swav", option, code=1).stderr
            self.assertTrue("[reproducible]" in said and "note:" in said, said)
        _, said = self.train(self.trainer("swav"), 3, "three", code=None)
        self.assertIn("3 were started\nnote: 3 ranks cannot share the 8 slices of a reproducible step evenly: the "
                      "nearest that do are 2 and 4", said.stderr)


if __name__ == "__main__":
    unittest.main()
