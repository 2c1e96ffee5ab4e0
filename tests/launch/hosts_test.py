#!/usr/bin/env python3
"""`mpirun` of both MPIs with the host files of `seerc build --emit=hostfile`, over three hosts with addresses of their
own, one of which is cut off while it trains.

Usage: hosts_test.py SEERC. Needs iproute2, util-linux, openmpi-bin, mpich, and the right to make network namespaces;
where that is missing the test fails, unless SEER_NO_NAMESPACES=1 says that it is known.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from common import LAUNCHERS, bits_of, pictures_make, run, steps_of, trainer_build
from hosts import Hosts

SEERC = sys.argv.pop(1)
RANKS, STEPS = 3, 40


@unittest.skipIf(os.environ.get("SEER_NO_NAMESPACES") == "1", "SEER_NO_NAMESPACES=1")
class SeveralHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-hosts-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.hosts = Hosts(RANKS, cls.folder)
        cls.addClassCleanup(cls.hosts.remove)
        pictures_make(cls.folder)
        names = "[" + ", ".join(f'"{address}"' for address in cls.hosts.addresses) + "]"
        trainer_build(SEERC, cls.folder, "photos", "-D", f"cluster.hosts={names}", "--emit=hostfile", ranks=1,
                      nodes=RANKS)
        cls.words = ["--steps", STEPS, "--threads", 1, "--save-every", 5, "--no-report"]
        # The watchdog's limit, where the trainer has one.
        cls.watched = "--patience" in run(["./photos", "train", "--help"], folder=cls.folder).stdout
        cls.words += ["--patience", "5s"] if cls.watched else []
        run([*LAUNCHERS["Open MPI"], RANKS, "./photos", "--out", "straight", *cls.words], folder=cls.folder)
        cls.expected = bits_of(cls.folder / "straight", STEPS)

    def start(self, mpi, *words):
        command = [*self.hosts.launcher(mpi, self.folder / "photos", RANKS), self.folder / "photos", *words]
        return subprocess.Popen(self.hosts.on_first(command), cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def finish(self, process, seconds=240):
        try:
            out, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.fail(f"still running after {seconds} s: {self.clear(process)}")
        self.assertEqual(process.returncode, 0, said)
        return out

    def clear(self, process):
        """Ends what is left on the hosts."""
        for number in self.hosts.processes():
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return process.communicate(timeout=20)

    def whole(self, name):
        self.assertEqual(steps_of(self.folder / name), list(range(1, STEPS + 1)))
        self.assertEqual(bits_of(self.folder / name, STEPS), self.expected)

    def test_the_doctor_counts_hosts(self):
        for mpi in LAUNCHERS:
            out = self.finish(self.start(mpi, "doctor"))
            self.assertIn(f"3 on 3 hosts, {mpi}", out)
            for number in (1, 2, 3):
                self.assertIn(f"host{number}, 1 ranks there", out)
            self.assertIn("these machines can run this trainer", out)

    def test_a_run_over_hosts(self):
        for mpi, name in (("Open MPI", "open"), ("MPICH", "mpich")):
            self.finish(self.start(mpi, "train", "--out", name, *self.words))
            self.whole(name)

    def test_a_host_is_cut_off(self):
        for mpi, name in (("Open MPI", "cut-open"), ("MPICH", "cut-mpich")):
            with self.subTest(mpi):
                self.cut(mpi, name)

    def cut(self, mpi, name):
        process = self.start(mpi, "train", "--out", name, *self.words)
        self.addCleanup(self.clear, process)
        deadline = time.monotonic() + 60
        while len(steps_of(self.folder / name)) < 12:
            self.assertLess(time.monotonic(), deadline, f"'{name}' does not train")
            time.sleep(0.02)
        self.hosts.link(3, "down")
        began, said = time.monotonic(), ""
        try:
            # Without a watchdog nobody notices: the network keeps what it cannot deliver for a quarter of an hour.
            _, said = process.communicate(timeout=60 if self.watched else 5)
        except subprocess.TimeoutExpired:
            self.clear(process)
            self.assertFalse(self.watched, "the watchdog did not end the run")
        finally:
            self.hosts.link(3, "up")
        print(f"{mpi}: {'ended by itself' if process.returncode > 0 else 'ended by the test'} "
              f"{time.monotonic() - began:.1f} s after host 3 was cut off")
        self.assertNotEqual(process.returncode, 0)
        self.assertLess(len(steps_of(self.folder / name)), STEPS, "the run was over before the host was cut off")
        if self.watched:
            self.assertIn("rank 2", said)
        self.finish(self.start(mpi, "train", "--resume", "--out", name, *self.words))
        self.whole(name)


if __name__ == "__main__":
    unittest.main()
