# Features that go to the disk in parts: the same bytes for parts of any size, from any number of ranks under both MPIs,
# and after kills at any time; a full disk costs nothing that was written; parts of other features are not mixed in.
# Needs mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin, mpich).
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from common import pictures_make, root_make, run, safetensors_read

TINY = os.path.join(os.path.abspath(sys.argv[1]), "tiny")
LAUNCHERS = (["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"], ["mpirun.mpich", "-n"])
# MPI libraries leave memory behind.
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
BATCH = 4
KILLS = 25


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Parts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = root_make("seer-feature-parts-")
        cls.data = pictures_make(os.path.join(cls.root, "pictures"), per_label=21)
        # Some do not decode: rows of the file and pictures are not the same numbers.
        for name in ("blue/03.png", "striped/20.jpg"):
            with open(os.path.join(cls.data, name), "wb") as file:
                file.write(b"\x89PNG no")
        cls.weights = os.path.join(cls.root, "run")
        run(TINY, "--data", cls.data, "--out", cls.weights, "--steps", 3, "--seed", 5, "--no-report", "--save-every", 1,
            "--keep", 9)
        cls.right = cls.whole("right")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    @classmethod
    def words(cls, out, *more, weights=None):
        return ["features", "--weights", weights or cls.weights, "--data", cls.data, "--out",
                os.path.join(cls.root, out), *map(str, more)]

    @classmethod
    def whole(cls, out, *more, **other):
        cls.done = run(TINY, *cls.words(out, *more, **other))
        return read(os.path.join(cls.root, out))

    def path(self, name):
        return os.path.join(self.root, name)

    def assert_right(self, name):
        self.assertEqual(read(self.path(name)), self.right)
        self.assertFalse(os.path.exists(self.path(name) + ".parts"))
        self.assertFalse(os.path.exists(self.path(name) + ".tmp"))
        os.remove(self.path(name))

    def test_ids_and_names(self):
        tensors, _ = safetensors_read(self.path("right"))
        names = bytes(tensors["names"]).decode().split("\n")[:-1]
        self.assertEqual(len(names), 61)
        files = sorted(os.path.join(folder, name) for folder, _, members in os.walk(self.data) for name in members)
        self.assertEqual([files[number] for number in tensors["ids"]], names)
        self.assertEqual(tensors["features"].shape, (61, 16))
        self.assertRegex(self.done.stdout, r"features of 61 pictures, 16 wide, in '.*'; 2 could not be decoded; "
                                           r"[\d.]+ images/s")

    def test_parts_of_any_size(self):
        for part in (1, BATCH, 3 * BATCH, 63, 1000000):
            self.whole("p", "--part", part)
            self.assert_right("p")
        limited = [self.whole("l", "--limit", 17, "--part", part) for part in (BATCH, 2048)]
        self.assertEqual(*limited)
        self.assertEqual(safetensors_read(self.path("l"))[0]["features"].shape[1], 16)

    def test_ranks(self):
        for launcher in LAUNCHERS:
            for ranks in (2, 3):
                done = subprocess.run([*launcher, str(ranks), TINY, *self.words("r", "--part", BATCH)], env=ENVIRONMENT,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(done.stdout.count("features of 61 pictures"), 1)
                self.assert_right("r")

    def test_a_rank_with_other_weights(self):
        """Ranks that do not see the same file are named; nothing is written."""
        script = self.path("rank.sh")
        with open(script, "w") as file:
            file.write('#!/bin/sh\nlast=$PMI_RANK$OMPI_COMM_WORLD_RANK\n'
                       f'cd {self.root}/side$last && exec {TINY} features --weights w --data {self.data} --out f\n')
        os.chmod(script, 0o755)
        for rank, step in ((0, 3), (1, 2)):
            os.makedirs(self.path(f"side{rank}"))
            os.symlink(os.path.join(self.weights, f"snapshots/step-{step}"), self.path(f"side{rank}/w"))
        done = subprocess.run([*LAUNCHERS[1], "2", script], env=ENVIRONMENT, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("rank 1 has other weights or other pictures than rank 0", done.stderr)
        self.assertFalse(os.path.exists(self.path("side0/f")))

    def test_kills(self):
        """Killed again and again, each time later, until it is done."""
        draw, killed, resumed = random.Random(3), 0, 0
        for _ in range(KILLS):
            started = subprocess.Popen([TINY, *self.words("k", "--part", BATCH, "--quiet", "--threads", 1)],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                started.wait(draw.uniform(0.005, 0.06))
            except subprocess.TimeoutExpired:
                started.send_signal(signal.SIGKILL)
                killed += 1
            started.communicate()
            folder = self.path("k") + ".parts"
            resumed += os.path.isdir(folder) and bool(os.listdir(folder))
            if os.path.exists(self.path("k")):
                self.assertEqual(read(self.path("k")), self.right)
                os.remove(self.path("k"))
        self.assertGreater(killed, KILLS // 5)
        self.whole("k", "--part", BATCH)
        self.assert_right("k")

    def stopped_half_way(self, out):
        """A command that could write no file larger than a few parts together: some parts are there."""
        done = subprocess.run([TINY, *self.words(out, "--part", BATCH, "--quiet")], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, preexec_fn=lambda: (
                                  signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                  resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("cannot write", done.stderr)
        self.assertFalse(os.path.exists(self.path(out)))
        return self.path(out) + ".parts"

    def test_what_is_there_is_not_made_again(self):
        """All parts are written, then the file is too large for the disk; afterwards only the file is made."""
        folder = self.stopped_half_way("d")
        parts = sorted(os.listdir(folder))
        self.assertEqual(len(parts), 16)
        times = {part: os.stat(os.path.join(folder, part)).st_mtime_ns for part in parts}
        os.remove(os.path.join(folder, parts[3]))
        open(os.path.join(folder, parts[7]), "wb").close()
        with open(os.path.join(folder, parts[9]), "r+b") as file:
            file.truncate(50)
        os.mkdir(self.path("d") + ".tmp")  # the file cannot be made: parts stay
        done = run(TINY, *self.words("d", "--part", BATCH), expect=3)
        self.assertIn("d.tmp", done.stderr)
        now = {part: os.stat(os.path.join(folder, part)).st_mtime_ns for part in sorted(os.listdir(folder))}
        self.assertEqual([part for part in parts if now[part] != times[part]], [parts[3], parts[7], parts[9]])
        os.rmdir(self.path("d") + ".tmp")
        self.whole("d", "--part", BATCH)
        self.assert_right("d")

    def test_parts_of_other_features(self):
        """Of other weights, other pictures, another size of part: none is taken."""
        for change in ({"weights": os.path.join(self.weights, "snapshots/step-2")}, {}):
            self.stopped_half_way("o")
            more = ["--part", BATCH] if change else ["--part", 2 * BATCH]
            found = self.whole("o", *more, **change)
            fresh = self.whole("fresh", **change)
            self.assertEqual(found, fresh)
            self.assertEqual(fresh == self.right, not change)
            os.remove(self.path("o"))

    def test_bad_options(self):
        self.assertIn("16 px, not 32", run(TINY, *self.words("x", "--size", 32), expect=1).stderr)
        self.whole("x", "--size", 16)
        self.assert_right("x")
        self.assertIn("--part", run(TINY, *self.words("x", "--part", 0), expect=2).stderr)
        self.assertEqual(self.whole("new/folder/x"), self.right)
        blocked = self.path("blocked")
        open(blocked, "w").close()
        self.assertEqual(run(TINY, *self.words("blocked/x"), expect=3).returncode, 3)

    def test_a_rank_that_is_killed_ends_the_others(self):
        done = subprocess.Popen([*LAUNCHERS[1], "2", TINY, *self.words("q", "--part", BATCH)], env=ENVIRONMENT,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        folder = self.path("q") + ".parts"
        while time.monotonic() < deadline and not (os.path.isdir(folder) and os.listdir(folder)):
            if done.poll() is not None:
                break
            time.sleep(0.001)
        children = subprocess.run(["ps", "-eo", "pid=,args="], stdout=subprocess.PIPE, text=True).stdout.splitlines()
        mine = [int(line.split()[0]) for line in children if self.path("q") in line and line.split()[1] == TINY]
        for process in mine[:1]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        done.communicate(timeout=60)
        self.whole("q", "--part", BATCH)
        self.assert_right("q")


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
