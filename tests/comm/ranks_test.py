#!/usr/bin/env python3
"""Trainers for several ranks, under both MPIs, against one rank with the whole batch.

Usage: ranks_test.py SEERC SANITIZE. SANITIZE: 1 builds the trainers under AddressSanitizer, and fewer of them. Needs
mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin, mpich).
"""
import json
import math
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SEERC, SANITIZE = sys.argv[1], sys.argv[2] == "1"
del sys.argv[1:]
LAUNCHERS = {"Open MPI": ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"],
             "MPICH": ["mpirun.mpich", "-n"]}
STEPS = 8
MODEL = """
model { depths = [1, 2]  widths = [16, 32]  group_widths = [8]  stem_width = 8 }
cluster { nodes = 1  ranks_per_node = 1 }
evaluate { size = 32px  resize = 32px }
"""
SPECS = {
    "swav": MODEL + """
swav { prototypes = 32  head = [64, 16]  freeze_prototypes = 1steps }
views { crops = [crop(count = 2, size = 32px, scale = 0.14..1.0), crop(count = 2, size = 16px)] }
train { batch = 24  steps = 8 }
optimizer { name = larc }
""",
    "supervised": MODEL + """
supervised { classes = 10 }
views { crops = [crop(count = 1, size = 28px)] }
train { batch = 48  steps = 8  accumulate = 2 }
optimizer { name = sgd }
""",
}
# Sums over the batch are taken in another order. After two steps that is rounding, as a share of a tensor's largest
# number; later a ReLU's input that is as good as zero may fall on its other side, one of hundreds that a channel's
# gradient is the sum of: so large a share of a tensor's norm.
LOSS_LIMIT, EARLY, EARLY_LIMIT, STATE_LIMIT = 1e-5, 2, 1e-4, 5e-2
# A bias in front of a BatchNorm has no gradient but rounding, which LARC scales to the bias's own size.
ROUNDING = ("projection_head.0.bias",)


def run(command, code=0, **options):
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}  # MPI libraries leave memory behind
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, timeout=300,
                          check=False, **options)
    assert code is None or done.returncode == code, (command, done.returncode, done.stderr)
    return done


def files_of(folder, step):
    return sorted((folder / f"snapshots/step-{step}").glob("model*.safetensors"))


def state_of(folder, step=STEPS):
    """All tensors of a snapshot, by name: lists of floats. NAME[BEGIN:END] is a piece of NAME."""
    pieces = {}
    for path in files_of(folder, step):
        data = path.read_bytes()
        size, = struct.unpack_from("<Q", data)
        for name, tensor in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = tensor["data_offsets"]
                whole, _, piece = name.partition("[")
                floats = struct.unpack_from(f"<{(end - begin) // 4}f", data, 8 + size + begin)
                pieces.setdefault(whole, []).append((int(piece.partition(":")[0] or 0), floats))
    return {name: [number for _, floats in sorted(parts) for number in floats] for name, parts in pieces.items()}


def bits_of(folder, step=STEPS):
    return [path.read_bytes() for path in files_of(folder, step)]


def losses_of(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def pictures_make(path, count):
    """Blurred squares of ten kinds as an IDX file, and their labels beside it."""
    draw, pixels, labels = random.Random(count), bytearray(), bytearray()
    for _ in range(count):
        label = draw.randrange(10)
        left, top, side = draw.randrange(12), draw.randrange(12), 6 + label
        labels.append(label)
        bright = 19 * label
        pixels += bytes(draw.randrange(60) + bright * (left <= x < left + side and top <= y < top + side)
                        for y in range(28) for x in range(28))
    path.write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + pixels)
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    beside.write_bytes(struct.pack(">II", 0x801, count) + labels)


class Ranks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-ranks-"))
        cls.built = {}
        cls.data = cls.folder / "train-images-idx3-ubyte"
        pictures_make(cls.data, 500)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
        print(f"largest difference between worlds after {EARLY} steps: {cls.worst:.2g} of a tensor's largest number")

    def trainer(self, spec, ranks, *options):
        key = (spec, ranks, options)
        if key not in self.built:
            path = self.folder / f"{spec}.seer"
            labels = str(self.data).replace("images-idx3", "labels-idx1")
            path.write_text(f'{SPECS[spec]}log {{ every = 1 }}\n'
                            f'data {{ pictures = "{self.data}"  labels = "{labels}" }}\n')
            out = self.folder / f"{spec}-{ranks}-{len(self.built)}"
            # One world, where only that one is started: each costs its compilation.
            sets = [word for option in (f"cluster.ranks_per_node={ranks}", f"cluster.worlds=[{ranks}]", *options)
                    for word in ("-D", option)]
            run([SEERC, "build", path, *sets, "-o", out, *(["--sanitize"] if SANITIZE else [])])
            self.built[key] = out
        return self.built[key]

    worst = 0.0

    def train(self, trainer, ranks, name, *options, mpi="Open MPI", code=0):
        """The run's folder, and what was said."""
        out = self.folder / name
        launcher = [*LAUNCHERS[mpi], ranks] if ranks > 1 else []
        said = run([*launcher, trainer, "train", "--out", out, "--threads", 1, "--no-report", "--save-every", EARLY,
                    "--keep", STEPS, *options], code=code)
        return out, said

    def close(self, one, many, what, statistics=True):
        for a, b in zip(losses_of(one), losses_of(many), strict=True):
            self.assertLess(abs(a - b), LOSS_LIMIT * abs(a), what)
        for step in (EARLY, STEPS):
            first, second = state_of(one, step), state_of(many, step)
            self.assertEqual(first.keys(), second.keys())
            for name, values in first.items():
                if name.removesuffix(".velocity") in ROUNDING or (not statistics and ".running_" in name):
                    continue
                apart = [abs(a - b) for a, b in zip(values, second[name], strict=True)]
                if step == EARLY:
                    worst = max(apart) / (max(map(abs, values)) or 1)
                    Ranks.worst = max(worst, Ranks.worst)
                else:
                    worst = math.hypot(*apart) / (math.hypot(*values) or 1)
                self.assertLess(worst, EARLY_LIMIT if step == EARLY else STATE_LIMIT, f"{what}: {name}")

    def test_many_ranks_train_as_one(self):
        for spec, worlds in (("swav", (2,)),) if SANITIZE else (("swav", (2, 3, 8)), ("supervised", (2,))):
            one, _ = self.train(self.trainer(spec, 1), 1, f"{spec}-one")
            for ranks in worlds:
                trainer = self.trainer(spec, ranks)
                many, _ = self.train(trainer, ranks, f"{spec}-{ranks}-ranks")
                self.close(one, many, f"{spec} on {ranks} ranks")
                self.assertFalse(list(many.glob("quarantine*")))
                if ranks == 2:  # the same bits whatever the MPI, and however many threads
                    other, _ = self.train(trainer, ranks, f"{spec}-{ranks}-mpich", "--threads", 2, mpi="MPICH")
                    self.assertEqual(bits_of(many), bits_of(other))
                    self.assertEqual(losses_of(many), losses_of(other))

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_groups_of_ranks_normalise_apart(self):
        """As one of several micro-steps does. Their running statistics are those of all groups together."""
        for group in (2, 1):
            ranks, options = 2 * group, ("train.accumulate=1", f"train.batch_norm_ranks={group}")
            micro, _ = self.train(self.trainer("supervised", group), group, f"micro-{group}")
            groups, _ = self.train(self.trainer("supervised", ranks, *options), ranks, f"groups-{group}",
                                   mpi="MPICH" if group == 1 else "Open MPI")
            self.close(micro, groups, f"{ranks} ranks in groups of {group}", statistics=False)
        first = []
        for option in ("train.batch_norm_ranks=1", "train.batch_norm_ranks=all"):
            trainer = self.trainer("supervised", 2, "train.accumulate=1", option)
            first.append(self.train(trainer, 2, f"first-{option}", "--steps", 1)[0])
        losses = [losses_of(folder)[0] for folder in first]
        self.assertGreater(abs(losses[0] - losses[1]), 1e-3, "groups train as all")
        states = [state_of(folder, 1) for folder in first]
        stem = next(name for name in states[0] if name.endswith(".running_mean"))
        for a, b in zip(states[0][stem], states[1][stem], strict=True):
            self.assertLess(abs(a - b), 1e-6)

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_the_plan_changes_no_bit(self):
        whole, _ = self.train(self.trainer("swav", 2), 2, "plan-optimal")
        random_plan = self.trainer("swav", 2, "checkpoint.placement=random", "checkpoint.seed=3")
        again, _ = self.train(random_plan, 2, "plan-random")
        self.assertEqual(bits_of(whole), bits_of(again))

    @unittest.skipIf(SANITIZE, "takes more trainers")
    def test_a_run_goes_on_in_another_world(self):
        two, three = self.trainer("swav", 2), self.trainer("swav", 3)
        straight, _ = self.train(two, 2, "straight")
        stopped, said = self.train(two, 2, "stopped", "--stop-after", 3, code=None)
        self.assertIn("stopped on --stop-after at step 3 of 8", said.stderr)
        self.assertEqual(said.stderr.count("stopped on"), 1)
        resized = self.folder / "resized"
        shutil.copytree(stopped, resized)
        self.train(two, 2, "stopped", "--resume")
        self.assertEqual(bits_of(straight), bits_of(stopped))
        self.assertEqual(losses_of(straight), losses_of(stopped))
        _, said = self.train(three, 3, "resized", "--resume", "--stop-after", 2, mpi="MPICH", code=None)
        self.assertIn("at step 3, by 2 ranks, now by 3", said.stdout)
        _, said = self.train(self.trainer("swav", 1), 1, "resized", "--resume")
        self.assertIn("at step 5, by 3 ranks, now by 1", said.stdout)
        self.close(straight, resized, "from 2 ranks to 3 to 1")
        self.grown()

    def grown(self):
        """From one rank to two, with accumulation, whose sums are in no snapshot."""
        one, two = self.trainer("supervised", 1), self.trainer("supervised", 2)
        straight, _ = self.train(one, 1, "straight-one")
        self.train(one, 1, "grown", "--stop-after", 3, code=75)
        grown, said = self.train(two, 2, "grown", "--resume")
        self.assertIn("at step 3, by 1 rank, now by 2", said.stdout)
        self.close(straight, grown, "from 1 rank to 2")

    def test_one_rank_that_fails_ends_all(self):
        few = self.folder / "few"
        few.mkdir()
        out, said = self.train(self.trainer("swav", 2), 2, "few-pictures", "--data", few, code=None)
        self.assertNotEqual(said.returncode, 0)
        self.assertFalse((out / "snapshots").exists())
        self.assertEqual(said.stderr.count("no pictures in"), 2)  # each for itself

    def test_a_signal_stops_all_with_a_snapshot(self):
        trainer, out = self.trainer("swav", 2), self.folder / "signalled"
        # The process group is the launcher's own: the signal goes to it, and it passes it on.
        process = subprocess.Popen([*LAUNCHERS["Open MPI"], "2", trainer, "train", "--out", out, "--steps", "1000000",
                                    "--threads", "1", "--no-report"], stderr=subprocess.PIPE, text=True,
                                   env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"})
        metrics = out / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not (metrics.exists() and metrics.stat().st_size > 2000) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        self.assertEqual(said.count("stopped on SIGTERM"), 1, said)
        step = max(int(path.name[5:]) for path in (out / "snapshots").iterdir())
        self.assertEqual(len(losses_of(out)), step)


if __name__ == "__main__":
    unittest.main()
