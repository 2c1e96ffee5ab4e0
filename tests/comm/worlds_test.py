#!/usr/bin/env python3
"""One trainer for several numbers of ranks: each has its plan and its step, evaluation is there whatever was asked for,
other numbers are refused with what would do, and ranks that see different pictures are told apart.

Usage: worlds_test.py SEERC SANITIZE. SANITIZE: 1 builds the trainers under AddressSanitizer. Needs mpirun.openmpi and
mpirun.mpich (Debian: openmpi-bin, mpich).
"""
import json
import os
import pathlib
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
STEPS = 4
SPEC = """
model { depths = [1, 1]  widths = [16, 24]  group_widths = [8]  stem_width = 8  strides = [2, 2] }
swav { prototypes = 16  head = [24, 16]  freeze_prototypes = 1steps }
views { crops = [crop(count = 2, size = 32px, scale = 0.14..1.0), crop(count = 1, size = 16px)] }
train { batch = 24  steps = 4 }
evaluate { size = 32px  resize = 32px  batch = 4  neighbours = 3 }
log { every = 1 }
"""
# Sums over the batch are taken in another order.
LOSS_LIMIT = 1e-5


def run(command, code=0, **options):
    # MPI libraries leave memory behind; emitted sources compile without a warning.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "CFLAGS": "-Werror"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, check=False,
                          timeout=1800, **options)
    assert code is None or done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done


def pictures_make(path, seed):
    """Squares of four kinds as an IDX file, labels beside it."""
    pixels, labels = bytearray(), bytearray()
    for i in range(96):
        label = i % 4
        labels.append(label)
        pixels += bytes((40 * label + seed + (7 * i + x * (label + 1) + y) % 61) % 256
                        for y in range(28) for x in range(28))
    path.write_bytes(struct.pack(">IIII", 0x803, 96, 28, 28) + pixels)
    path.with_name("train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 96) + labels)


def losses_of(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def bits_of(folder, step=STEPS):
    return [path.read_bytes() for path in sorted((folder / f"snapshots/step-{step}").glob("*.safetensors"))]


class Worlds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-worlds-"))
        cls.here = cls.folder / "here"
        cls.here.mkdir()
        cls.data = cls.here / "train-images-idx3-ubyte"
        pictures_make(cls.data, 0)
        cls.spec = cls.folder / "worlds.seer"
        labels = cls.here / "train-labels-idx1-ubyte"
        cls.spec.write_text(f'{SPEC}data {{ pictures = "{cls.data}"  labels = "{labels}" }}\n')
        cls.several = cls.build("several", "cluster.ranks_per_node=2", "cluster.worlds=[1, 3]")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def sets(cls, *options):
        return [word for option in options for word in ("-D", option)]

    @classmethod
    def build(cls, name, *options):
        out = cls.folder / name
        run([SEERC, "build", cls.spec, *cls.sets(*options), "-o", out, *(["--sanitize"] if SANITIZE else [])])
        return out

    def train(self, trainer, ranks, name, *options, mpi="Open MPI", code=0, **how):
        out = self.folder / name
        launcher = [*LAUNCHERS[mpi], ranks] if ranks > 1 else []
        return out, run([*launcher, trainer, "train", "--out", out, "--threads", 1, *options], code=code, **how)

    def close(self, one, many):
        for a, b in zip(losses_of(one), losses_of(many), strict=True):
            self.assertLess(abs(a - b), LOSS_LIMIT * abs(a))

    def test_one_trainer_trains_in_every_world(self):
        one, _ = self.train(self.several, 1, "one")
        for ranks, mpi in ((2, "Open MPI"), (3, "MPICH")):
            many, said = self.train(self.several, ranks, f"with-{ranks}", mpi=mpi)
            self.close(one, many)
            # The page at the end is the one-rank program's work: with neighbours, without a warning.
            self.assertIn("report.html", said.stdout + said.stderr)
            self.assertNotIn("warning", said.stderr)
            self.assertIn("neighbour", (many / "report.html").read_text())
            plan = json.loads((many / "plan.json").read_text())
            self.assertEqual(plan["machine"]["ranks"], ranks)
            # What is planned for this world is what its ranks allocate.
            peaks = {json.loads(line)["peak_bytes"] for line in (many / "metrics.jsonl").read_text().splitlines()}
            self.assertEqual(peaks, {plan["memory"]["peak_bytes"]})

    def test_several_ranks_look_at_neighbours_in_their_snapshots(self):
        plain, _ = self.train(self.several, 2, "plain", "--no-report", "--save-every", 2, "--keep", 9)
        looked, said = self.train(self.several, 2, "looked", "--no-report", "--save-every", 2, "--keep", 9,
                                  "--knn-every", 2, mpi="MPICH")
        self.assertNotIn("warning", said.stderr)
        for step in (2, STEPS):
            self.assertEqual(bits_of(plain, step), bits_of(looked, step))
        lines = [json.loads(line) for line in (looked / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines], list(range(1, STEPS + 1)))
        for line in lines[1::2]:
            knn = run([self.several, "knn", "--weights", looked / f"snapshots/step-{line['step']}", "--json"])
            self.assertAlmostEqual(json.loads(knn.stdout)["trained"], line["knn_accuracy"], 5)
        self.assertFalse(any("knn" in line for line in lines[::2]))
        _, said = self.train(self.several, 2, "refused", "--knn-every", 3, "--save-every", 2, code=1)
        self.assertIn("is no multiple of save.every (2)", said.stderr)

    def test_a_run_goes_on_in_another_world_of_the_same_trainer(self):
        straight, _ = self.train(self.several, 1, "straight", "--no-report")
        resized, _ = self.train(self.several, 3, "resized", "--stop-after", 1, "--no-report", code=None)
        self.train(self.several, 1, "resized", "--resume", "--stop-after", 1, "--no-report", code=75)
        self.train(self.several, 2, "resized", "--resume", "--no-report", mpi="MPICH")
        self.close(straight, resized)

    def test_a_world_is_the_trainer_built_for_it(self):
        """The same bits as a trainer whose declared number of ranks this is."""
        alone = self.build("declared", "cluster.ranks_per_node=3", "cluster.worlds=[3]")
        here, _ = self.train(self.several, 3, "as-one-of-several", "--no-report")
        there, _ = self.train(alone, 3, "as-declared", "--no-report")
        self.assertEqual(bits_of(here), bits_of(there))
        # One rank was not asked for: it evaluates and does not train.
        _, said = self.train(alone, 1, "never", code=1)
        self.assertIn("built for 3 ranks, and 1 was started", said.stderr)
        self.assertIn("-D 'cluster.worlds=[3, 1]'", said.stderr)
        found = json.loads(run([alone, "knn", "--weights", there, "--json"]).stdout)
        self.assertEqual(found["pictures"], 96)
        same = json.loads(run([self.several, "knn", "--weights", there, "--json"]).stdout)
        self.assertEqual(found, same)
        run([alone, "report", there])
        run([alone, "bench"], code=1)

    def test_another_number_of_ranks_is_refused(self):
        for ranks, says in ((4, ["built for 1, 2 and 3 ranks, and 4 were started",
                                 "seerc build worlds.seer -D 'cluster.worlds=[1, 2, 3, 4]'"]),
                            (5, ["built for 1, 2 and 3 ranks", "5 ranks cannot share the 24 pictures",
                                 "the nearest that do are 4 and 6"])):
            for mpi in LAUNCHERS:
                out, said = self.train(self.several, ranks, "refused", mpi=mpi, code=1)
                for text in says:
                    self.assertIn(text, said.stderr)
                self.assertEqual(said.stderr.count("error:"), 1)
                self.assertFalse(out.exists())

    def test_every_world_has_its_plan(self):
        planned = json.loads(run([SEERC, "plan", "--json", self.spec, *self.sets(
            "cluster.ranks_per_node=2", "cluster.worlds=[1, 3]")]).stdout)
        worlds = {world["ranks"]: world for world in planned["worlds"]}
        self.assertEqual(sorted(worlds), [1, 2, 3])
        carried = {}
        for ranks in (0, 1, 2, 3):
            words = ["--world", ranks] if ranks else []
            plan = carried[ranks] = json.loads(run([self.several, "plan", "--json", *words]).stdout)
            ranks = ranks or 2
            self.assertEqual(plan["machine"]["ranks"], ranks)
            self.assertEqual(plan["worlds"], planned["worlds"])
            self.assertEqual(worlds[ranks]["peak_bytes"], plan["memory"]["peak_bytes"])
            self.assertEqual(worlds[ranks]["time_seconds"], plan["step"]["time_seconds"])
            self.assertIn("<script", run([self.several, "plan", "--html", *words]).stdout)
        self.assertEqual(carried[0], carried[2])
        said = run([self.several, "plan", "--world", 8], code=1).stderr
        self.assertIn("built for 1, 2 and 3 ranks", said)
        text = run([SEERC, "plan", self.spec, *self.sets("cluster.ranks_per_node=2")]).stdout
        self.assertRegex(text, r"(?s)ranks that can be started.*\n  2 .* \n?.*\n  1 ")
        self.assertNotIn("ranks that can be started", run([SEERC, "plan", self.spec]).stdout)

    def test_one_rank_that_does_not_fit_evaluates(self):
        least = {ranks: json.loads(run([SEERC, "plan", "--json", self.spec, "-D", f"cluster.ranks_per_node={ranks}"]
                                       ).stdout)["memory"]["minimum_budget_bytes"] for ranks in (1, 6)}
        self.assertLess(least[6], least[1])
        tight = ["cluster.ranks_per_node=6", f"checkpoint.budget={least[1] - 1}B"]
        trainer = self.build("tight", *tight)
        _, said = self.train(trainer, 1, "alone", code=1)
        self.assertIn("built for 6 ranks: training on one takes at least", said.stderr)
        self.assertIn(f"checkpoint.budget={least[1]}B", said.stderr)
        out, said = self.train(trainer, 6, "together")
        self.assertIn("report.html", said.stdout + said.stderr)
        run([trainer, "knn", "--weights", out])
        # Asked for, it must fit.
        said = run([SEERC, "build", self.spec, *self.sets(*tight, "cluster.worlds=[1, 6]")], code=1).stderr
        self.assertIn("[budget]", said)
        self.assertIn("this is the plan of 1 rank", said)
        self.assertIn(f"{least[1]} bytes", said)

    def apart(self, change, ranks=2, odd=1):
        """What is said when the pictures of one rank, under the same relative name, are others."""
        there = self.folder / "there"
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        change(there)
        script = f'[ "$OMPI_COMM_WORLD_RANK" = {odd} ] && cd "{there}" || cd "{self.here}"; exec "$@"'
        out = self.folder / "apart"
        said = run([*LAUNCHERS["Open MPI"], ranks, "sh", "-c", script, "sh", self.several, "train", "--out", out,
                    "--data", "train-images-idx3-ubyte", "--no-report"], code=1).stderr
        self.assertFalse((out / "snapshots").exists())
        self.assertEqual(said.count("error:"), 1, said)
        shutil.rmtree(out, ignore_errors=True)
        return said

    def test_ranks_on_different_pictures_are_told(self):
        def fewer(there):
            blob = self.data.read_bytes()
            (there / self.data.name).write_bytes(struct.pack(">IIII", 0x803, 48, 28, 28) + blob[16:16 + 48 * 784])
        said = self.apart(fewer)
        self.assertIn("ranks differ in the number of pictures: rank 1 has '48', rank 0 has '96'", said)

    def test_as_many_pictures_of_another_kind_are_told(self):
        # The path is the same for all, so only what is in it can tell: one pixel, in the middle.
        blob = bytearray(self.data.read_bytes())
        blob[40000] ^= 1
        there = self.folder / "there-too"
        there.mkdir()
        (there / self.data.name).write_bytes(blob)
        out = self.folder / "apart-too"
        # In a mount namespace of its own, rank 2 has another file under the same name.
        script = ('if [ "$OMPI_COMM_WORLD_RANK" = 2 ]; then exec unshare -m sh -c '
                  f'\'mount --bind "{there}" "{self.here}"; exec "$@"\' sh "$@"; fi; exec "$@"')
        if run(["unshare", "-m", "true"], code=None).returncode:
            self.skipTest("no mount namespaces here")
        said = run([*LAUNCHERS["Open MPI"], 3, "sh", "-c", script, "sh", self.several, "train", "--out", out,
                    "--data", self.data, "--no-report"], code=1).stderr
        self.assertRegex(said, "ranks differ in the list of pictures .its hash.: rank 2 has '[0-9a-f]{16}', 2 of the 3 "
                               "ranks have '[0-9a-f]{16}'\nnote: give every host the same pictures")
        self.assertEqual(said.count("error:"), 1, said)


if __name__ == "__main__":
    unittest.main()
