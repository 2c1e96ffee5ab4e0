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
RANKS, STEPS = 3, 20


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
        cls.words = ["--steps", STEPS, "--threads", 1, "--save-every", 2, "--no-report"]
        run([*LAUNCHERS["Open MPI"], RANKS, "./photos", "--out", "straight", *cls.words], folder=cls.folder)
        cls.expected = bits_of(cls.folder / "straight", STEPS)

    def start(self, mpi, *words, cable=False):
        command = [*self.hosts.launcher(mpi, self.folder / "photos", RANKS, cable), self.folder / "photos", *words]
        return subprocess.Popen(self.hosts.on_first(command), cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def finish(self, process, seconds=400):
        try:
            out, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.fail(f"still running after {seconds} s: {self.clear(process)}")
        self.assertEqual(process.returncode, 0, said)
        return out

    def clear(self, process):
        """Ends what is left on the hosts."""
        for number in self.hosts.processes(1, 2, 3):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return None if process.stdout.closed else process.communicate(timeout=20)

    def ranks(self, *hosts):
        return [process for process in self.hosts.processes(*hosts) if self.is_rank(process)]

    def is_rank(self, process):
        try:
            command = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            return False
        return command[:2] == [str(self.folder / "photos").encode(), b"train"]

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
        for mpi, name in (("MPICH", "cut-mpich"), ("Open MPI", "cut-open")):
            with self.subTest(mpi):
                self.cut(mpi, name)

    def cut(self, mpi, name):
        process = self.start(mpi, "train", "--out", name, "--patience", 10, *self.words, cable=True)
        self.addCleanup(self.clear, process)
        deadline, ranks = time.monotonic() + 240, []
        while len(ranks) < RANKS or len(steps_of(self.folder / name)) < 4:
            if time.monotonic() > deadline or process.poll() is not None:
                self.fail(f"'{name}' does not train: {self.clear(process)}")
            time.sleep(0.005)
            ranks = ranks if len(ranks) == RANKS else self.ranks(1, 2, 3)
        # They stand still while the cable is drawn, or the run might be over.
        for rank in ranks:
            os.kill(rank, signal.SIGSTOP)
        self.assertLess(len(steps_of(self.folder / name)), STEPS, "the run was over before the host was cut off")
        self.hosts.link(3, "down")
        for rank in ranks:
            os.kill(rank, signal.SIGCONT)
        began, ended = time.monotonic(), True
        try:
            # Of itself the network keeps what it cannot deliver for a quarter of an hour: patience ends the run.
            said = "".join(process.communicate(timeout=45))
        except subprocess.TimeoutExpired:
            # The ranks have gone; mpirun still waits for its own process on the host that is lost.
            ranks = self.ranks(1, 2)
            ended, said = False, "".join(self.clear(process))
            self.assertEqual(ranks, [], said)
        finally:
            self.hosts.link(3, "up")
        seconds = time.monotonic() - began
        print(f"{mpi}: {'ended' if ended else 'mpirun was ended'} {seconds:.1f} s after host 3 was cut off")
        self.clear(process)
        self.assertNotEqual(process.returncode, 0)
        # Who seems late depends on how far each had come in the collective that the cut went through.
        self.assertRegex(said, "rank [0-2] on 'host[1-3]' .* never reached|the network between their hosts may be cut")
        self.finish(self.start(mpi, "train", "--resume", "--out", name, *self.words))
        self.whole(name)


if __name__ == "__main__":
    unittest.main()
