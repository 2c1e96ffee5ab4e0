#!/usr/bin/env python3
"""Runs that change their number of ranks, are killed, and whose snapshots are damaged: tiny trainers that share out
parameters and velocities, for 1, 2, 3, 4 and 6 ranks.

Usage: elastic_test.py FOLDER_OF_TRAINERS SHIM SANITIZE. Needs mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin,
mpich) and python3-numpy.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "trainer"))
import numpy
from common import metrics_read, pictures_make, root_make, safetensors_read, snapshot_steps

TRAINERS, SHIM, SANITIZE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3] == "1"
del sys.argv[1:4]
LAUNCHERS = {"Open MPI": ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"],
             "MPICH": ["mpirun.mpich", "-n"]}
WORLDS = (1, 2, 3, 4, 6)
BATCH, STEPS = 24, 24
ENVIRONMENT = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}  # MPI libraries leave memory behind
SCHEDULES = 4 if SANITIZE else 24


def command_of(ranks, *words, mpi="MPICH"):
    launcher = [*LAUNCHERS[mpi], str(ranks)] if ranks > 1 else []
    return [*launcher, *map(str, words)]


def trainer(ranks):
    return os.path.join(TRAINERS, f"tiny_on_{ranks}")


def snapshot_read(folder):
    """Every tensor of a snapshot, put together from its files by their names, with no help of the runtime."""
    parts, shapes = {}, {}
    for name in sorted(json.load(open(os.path.join(folder, "manifest.json")))["files"]):
        tensors, metadata = safetensors_read(os.path.join(folder, name))
        for stored, values in tensors.items():
            piece = re.fullmatch(r"(.*)\[(\d+):(\d+)\]", stored)
            whole = piece.group(1) if piece else stored
            shapes[whole] = tuple(json.loads(metadata[whole])) if piece else values.shape
            parts.setdefault(whole, []).append((int(piece.group(2)) if piece else 0, values.reshape(-1)))
    result = {}
    for name, pieces in parts.items():
        reached = 0
        for begin, values in sorted(pieces, key=lambda piece: piece[0]):
            assert begin == reached, (folder, name, begin, reached)
            reached += len(values)
        result[name] = numpy.concatenate([values for _, values in sorted(pieces, key=lambda piece: piece[0])])
        result[name] = result[name].reshape(shapes[name])
    return result


def pictures_take(run_folder, ranks):
    """What each rank saw, by step, and forgets it: {step: [pictures in the order of ranks]}."""
    seen = {}
    for rank in range(ranks):
        path = os.path.join(run_folder, f"pictures-rank{rank}.jsonl" if rank else "pictures.jsonl")
        for line in open(path).read().splitlines() if os.path.exists(path) else []:
            try:
                entry = json.loads(line)
            except ValueError:  # killed in the middle of a line
                continue
            seen.setdefault(entry["step"], []).append((rank, entry["pictures"]))
        if os.path.exists(path):
            os.remove(path)
    return {step: [picture for _, some in sorted(parts) for picture in some] for step, parts in seen.items()}


class Elastic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = root_make("seer-elastic-")
        cls.data = pictures_make(os.path.join(cls.root, "pictures"), per_label=33)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def folder(self, name):
        return os.path.join(self.root, name)

    def train(self, ranks, out, *words, mpi="MPICH", code=0, env=None, program=None):
        resumed = os.path.exists(os.path.join(out, "run.json"))
        where = ("--resume", out) if resumed else ("--data", self.data, "--out", out)
        command = command_of(ranks, program or trainer(ranks), *where, "--steps", STEPS, "--no-report", "--threads", 1,
                             "--decode-threads", 1, "--list-pictures", *words, mpi=mpi)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                              env=ENVIRONMENT | (env or {}))
        if code is not None:
            self.assertEqual(done.returncode, code, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        return done

    def killed(self, ranks, out, draw, *words, mpi):
        """Starts a run and ends it by force at a random moment: rank 0 by SIGKILL, or the launcher by SIGTERM."""
        resumed = os.path.exists(os.path.join(out, "run.json"))
        where = ("--resume", out) if resumed else ("--data", self.data, "--out", out)
        command = command_of(ranks, trainer(ranks), *where, "--steps", STEPS, "--no-report", "--threads", 1, "--quiet",
                             "--decode-threads", 1, "--list-pictures", *words, mpi=mpi)
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=ENVIRONMENT)
        metrics = os.path.join(out, "metrics.jsonl")
        before = os.path.getsize(metrics) if os.path.exists(metrics) else 0
        deadline = time.monotonic() + 60
        while started.poll() is None and time.monotonic() < deadline and (
                not os.path.exists(metrics) or os.path.getsize(metrics) <= before):
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.05))
        if draw.random() < 0.7 and started.poll() is None:
            with open(os.path.join(out, "lock")) as lock:
                pid = int(lock.read().split()[1])
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # done already
        elif started.poll() is None:
            started.send_signal(signal.SIGTERM)
        _, errors = started.communicate(timeout=60)
        self.assertNotIn("Sanitizer", errors)
        return started.returncode

    def schedule(self, number):
        """One run in pieces; the pictures of each step, and how it went."""
        draw, out = random.Random(number), self.folder(f"schedule-{number}")
        saves, seen, story = draw.choice((1, 3, 5)), {}, []
        while True:
            ranks, mpi = draw.choice(WORLDS), draw.choice(list(LAUNCHERS))
            options = ("--save-every", saves, "--keep", 2)
            if len(story) < 3 and draw.random() < 0.6:
                code = self.killed(ranks, out, draw, *options, mpi=mpi)
            elif len(story) < 4:
                code = self.train(ranks, out, *options, "--stop-after", draw.randint(1, 8), mpi=mpi,
                                  code=None).returncode
            else:
                code = self.train(ranks, out, *options, mpi=mpi).returncode
            taken = pictures_take(out, ranks)
            if taken:  # what was done after the snapshot that this segment began from is done again
                begin = min(taken) - 1
                seen = {step: pictures for step, pictures in seen.items() if step <= begin}
                self.assertEqual(set(seen), set(range(1, begin + 1)), story)
                seen |= taken
            story.append((ranks, mpi, code, min(taken, default=0), max(taken, default=0)))
            self.assertLess(len(story), 12, story)
            if snapshot_steps(out)[-1:] == [STEPS]:
                break
        self.assertFalse([name for name in os.listdir(os.path.join(out, "snapshots")) if name.startswith(".")])
        self.assertEqual([line["step"] for line in metrics_read(out)], list(range(1, STEPS + 1)))
        shutil.rmtree(out)
        return seen, story

    def test_every_sample_once_whatever_happens(self):
        straight = self.folder("straight")
        self.train(1, straight)
        expected = pictures_take(straight, 1)
        epoch = (99 // BATCH) * BATCH
        flat = [picture for step in sorted(expected) for picture in expected[step]]
        for begin in range(0, len(flat) - epoch + 1, epoch):
            self.assertEqual(len(set(flat[begin:begin + epoch])), epoch)
        segments = kills = resizes = 0
        for number in range(SCHEDULES):
            seen, story = self.schedule(number)
            self.assertEqual(seen, expected, story)
            segments += len(story)
            kills += sum(code not in (0, 75) for _, _, code, _, _ in story)
            resizes += sum(a[0] != b[0] for a, b in zip(story, story[1:]))
        print(f"{SCHEDULES} schedules: {segments} segments, {kills} killed, {resizes} resizes, each sample once")
        self.assertGreater(resizes, SCHEDULES)
        self.assertGreater(kills, SCHEDULES // 4)

    def test_kills_change_no_bit(self):
        whole, broken, draw = self.folder("whole"), self.folder("broken"), random.Random(5)
        self.train(3, whole)
        for _ in range(4):
            self.killed(3, broken, draw, "--save-every", 2, mpi="Open MPI")
        self.train(3, broken)
        self.assertEqual(self.bits(whole), self.bits(broken))
        waiting = self.folder("waiting")  # a snapshot that training waits for holds the same
        self.train(1, self.folder("one"), program=os.path.join(TRAINERS, "tiny"))
        self.train(1, waiting, program=os.path.join(TRAINERS, "tiny_waiting"))
        self.assertEqual(self.bits(self.folder("one")), self.bits(waiting))

    def bits(self, out, step=STEPS):
        folder = os.path.join(out, "snapshots", f"step-{step}")
        return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}

    def test_export_is_what_the_ranks_wrote(self):
        for ranks in WORLDS:
            out, whole, bare = (self.folder(f"{name}-{ranks}") for name in ("exported", "all", "bare"))
            self.train(ranks, out, "--stop-after", 5, code=75)
            written = snapshot_read(os.path.join(out, "snapshots/step-5"))
            for other in (1, ranks):
                subprocess.run([trainer(other), "export", out, "--out", whole, "--all", "--quiet"], check=True)
                read, metadata = safetensors_read(whole)
                self.assertEqual(metadata["step"], "5")
                self.assertEqual(read.keys(), written.keys())
                for name, values in written.items():
                    self.assertEqual(values.tobytes(), read[name].tobytes(), name)
                    self.assertEqual(values.shape, read[name].shape, name)
            self.assertGreater(abs(read["embed.weight.velocity"]).max(), 0)
            subprocess.run([trainer(1), "export", os.path.join(out, "snapshots/step-5"), "--out", bare, "--quiet"],
                           check=True)
            kept = {"embed.weight", "prototypes.weight", "input.running_mean"}
            self.assertEqual(set(safetensors_read(bare)[0]), kept)
            manifest = json.load(open(os.path.join(out, "snapshots/step-5/manifest.json")))
            self.assertEqual((manifest["ranks"], manifest["position"]), (ranks, 5 * BATCH))
            features = [self.folder(f"features-{ranks}-{i}") for i in range(2)]
            for path, weights in zip(features, (out, whole)):
                subprocess.run([trainer(1), "features", "--weights", weights, "--data", self.data, "--out", path,
                                "--quiet"], check=True)
            self.assertEqual(open(features[0], "rb").read(), open(features[1], "rb").read())
            os.remove(whole)

    def test_resumed_by_others(self):
        """The first step after a resize starts from the state that was written."""
        for a, b in ((2, 3), (3, 1), (1, 2), (6, 4)):
            out = self.folder(f"from-{a}-to-{b}")
            self.train(a, out, "--stop-after", 6, code=75)
            state = snapshot_read(os.path.join(out, "snapshots/step-6"))
            done = self.train(b, out, "--stop-after", 1, code=75)
            words = f"resuming '{out}' at step 6, by {a} rank{'s' if a > 1 else ''}, now by {b}"
            self.assertEqual(done.stdout.count(words), 1, done.stdout)
            after = snapshot_read(os.path.join(out, "snapshots/step-7"))
            # The optimizer's step, undone: momentum is 0.9.
            rate = metrics_read(out)[-1]["learning_rate"]
            before = after["embed.weight"] + rate * after["embed.weight.velocity"]
            self.assertLess(abs(before - state["embed.weight"]).max(), 1e-6)
            self.assertGreater(abs(after["embed.weight"] - state["embed.weight"]).max(), 1e-6)

    def harmed(self, name, harm, reason):
        """Rank 1's file of the newest of two snapshots comes to harm; the run goes on from the older one."""
        out = self.folder(name)
        self.train(3, out, "--save-every", 4, "--stop-after", 8, code=75)
        harm(os.path.join(out, "snapshots/step-8/model-00002-of-00003.safetensors"))
        checked = subprocess.run([trainer(1), "check", out], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 1)
        self.assertIn("step-8/model-00002-of-00003.safetensors' of rank 1", checked.stdout)
        done = self.train(2, out)
        self.assertEqual(done.stderr.count("warning: "), 1, done.stderr)
        self.assertIn("step-8/model-00002-of-00003.safetensors' of rank 1", done.stderr)
        self.assertIn(reason, done.stderr)
        self.assertIn("at step 4, by 3 ranks, now by 2", done.stdout)
        self.assertTrue(os.path.isdir(os.path.join(out, "snapshots/step-8.damaged")))
        subprocess.run([trainer(1), "check", out], check=True, stdout=subprocess.DEVNULL)

    def test_one_damaged_file_of_many(self):
        def flip(path):
            data = bytearray(open(path, "rb").read())
            data[len(data) // 2] ^= 16
            open(path, "wb").write(data)

        self.harmed("flipped", flip, "content does not match its checksum")
        self.harmed("cut", lambda path: os.truncate(path, os.path.getsize(path) - 5), "bytes")
        self.harmed("lost", os.remove, "No such file")

    @unittest.skipIf(SANITIZE, "the shim goes before the sanitizer")
    def test_a_full_disk_on_one_rank(self):
        out = self.folder("full")
        self.train(3, out, "--save-every", 4, "--stop-after", 8, code=75)
        for mpi in LAUNCHERS:
            fault = {"LD_PRELOAD": SHIM, "SEER_FAULT_NAME": "model-00002-of-00003", "SEER_FAULT_AT": "2",
                     "SEER_FAULT_ERRNO": "28"}
            words = command_of(3, "env", *(f"{key}={value}" for key, value in fault.items()), trainer(3), "--resume",
                               out, "--no-report", "--save-every", 4, mpi=mpi)
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("rank 1: snapshot of step 12: cannot write '", done.stderr)
            self.assertIn("model-00002-of-00003.safetensors': No space left on device", done.stderr)
            self.assertIn("snapshots written before are intact", done.stderr)
            self.assertEqual(snapshot_steps(out), [4, 8])
            self.assertFalse([name for name in os.listdir(os.path.join(out, "snapshots")) if name.startswith(".")])
        self.train(3, out)
        self.assertEqual(snapshot_steps(out)[-1], STEPS)

    def test_a_folder_in_use_is_refused(self):
        out = self.folder("used")
        first = subprocess.Popen(command_of(2, trainer(2), "--data", self.data, "--out", out, "--steps", 100000000,
                                            "--quiet", "--no-report"), stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        try:
            while not os.path.exists(os.path.join(out, "metrics.jsonl")):
                time.sleep(0.01)
            holder = open(os.path.join(out, "lock")).read().strip()
            self.assertRegex(holder, r"^process \d+ on \S+$")
            for ranks, mpi in ((3, "Open MPI"), (2, "MPICH"), (1, "")):
                done = self.train(ranks, out, mpi=mpi or "MPICH", code=None)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(done.stderr.count(f"is in use by another run ({holder})"), 1, done.stderr)
        finally:
            first.send_signal(signal.SIGTERM)
            first.wait(timeout=60)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
