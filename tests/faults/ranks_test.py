#!/usr/bin/env python3
"""Faults of one rank of a run under both MPIs: it ends in bounded time, and a message names the rank, the step and the
collective; the next start goes on, to the same bits.

Usage: ranks_test.py SEERC SHIM SANITIZE
"""
import errno
import os
import shutil
import signal
import statistics
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ranks_common as common
from ranks_common import LAUNCHERS, Run

SEERC, SHIM, SANITIZE = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
TOO_LARGE_TO_READ_AHEAD = 600 << 10  # whoever decodes reads it, so that no slow storage is hidden
del sys.argv[1:4]
LEAVING = (signal.SIGUSR2, signal.SIGPWR)  # see shim.c
PATIENCE, STEPS, FOREVER = 5, 12, 1000000
# A rank that is gone is noticed at once, one that is stopped after the patience; launchers take a second or two.
SOON, LATE = 15, PATIENCE + 15


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = common.scratch("seer-faults-")
        cls.trainers = common.Trainers(SEERC, cls.folder, SANITIZE)
        cls.trainer = cls.trainers.get(3)
        cls.preload = common.preload(cls.trainer, SHIM)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.out = self.folder / "run"

    def tearDown(self):
        shutil.rmtree(self.out, ignore_errors=True)

    def start(self, mpi, *options, **more):
        return Run(self.trainer, 3, mpi, "--patience", PATIENCE, "--save-every", "4", *options, **more)

    def shimmed(self, rank, settings):
        return rank, f"export LD_PRELOAD='{self.preload}' {settings}"

    def strike(self, mpi, rank, number, steps=5):
        """Starts a run, and sends a signal to a rank after some steps: (exit code, what was said, seconds it took)."""
        shutil.rmtree(self.out, ignore_errors=True)
        leaves = self.shimmed(rank, "SEER_FAULT_LEAVE=1") if number in LEAVING else None
        run = self.start(mpi, "--out", self.out, "--steps", FOREVER, lame=leaves)
        common.wait_until(lambda: common.steps_done(self.out) >= steps and common.record(self.out, rank) and
                          common.snapshot_steps(self.out), run)
        os.kill(common.record(self.out, rank)["process"], number)
        began = time.monotonic()
        code, said = run.wait()
        return code, said, time.monotonic() - began

    def goes_on(self, mpi, rank):
        """The next start says what happened, and ends well."""
        step = max(common.snapshot_steps(self.out))
        code, said = self.start(mpi, "--resume", self.out, "--stop-after", "3").wait()
        self.assertNotEqual(code, 0)
        self.assertIn(f"at step {step + 3} of", said)
        self.assertRegex(said, rf"the run in '.*' broke off: "
                               rf"(rank {rank} on '.*' .*step \d+|.* 3 ended without a word|its 3 ranks ended without)")
        self.assertFalse((self.out / "ranks").exists())
        return f"broke off: rank {rank} on" in said

    def test_a_rank_that_is_gone(self):
        for mpi in LAUNCHERS:
            for rank, number in ((1, signal.SIGKILL), (0, signal.SIGKILL), (2, signal.SIGSEGV), (0, signal.SIGABRT),
                                 (1, signal.SIGUSR2), (2, signal.SIGPWR)):
                with self.subTest(mpi=mpi, rank=rank, signal=number.name):
                    code, said, seconds = self.strike(mpi, rank, number)
                    if number != signal.SIGPWR or mpi != "MPICH":  # which takes such an end for a good one
                        self.assertNotEqual(code, 0, said)
                    self.assertLess(seconds, SOON, said)
                    named = self.goes_on(mpi, rank)
                    # MPICH's launcher may be quicker to kill all than any of them can speak.
                    if mpi != "MPICH" or number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGUSR2):
                        self.assertEqual(common.names_of(said), [rank], said)
                        self.assertTrue(named)
                        self.assertRegex(said, r": error: rank .* step \d+.*collective \d+")

    def test_a_rank_that_is_frozen(self):
        for mpi in LAUNCHERS:
            for rank in (1, 0):
                with self.subTest(mpi=mpi, rank=rank):
                    code, said, seconds = self.strike(mpi, rank, signal.SIGSTOP)
                    self.assertEqual(code, 3, said)
                    self.assertGreater(seconds, PATIENCE * 0.9)
                    self.assertLess(seconds, LATE)
                    self.assertEqual(common.names_of(said), [rank], said)
                    self.assertRegex(said, rf"rank {rank} on '.*' \(process \d+\) .*collective \d+\) in step \d+, "
                                           r"where 2 ranks waited for \d+ s: its process is stopped, "
                                           r"last heard of \d+ s ago")
                    self.assertTrue(self.goes_on(mpi, rank))

    def test_a_rank_that_is_frozen_while_parameters_travel(self):
        self.trainer = self.trainers.get(3, "train { batch = 12  steps = 100 }\nshard { parameters = full }")
        code, said, seconds = self.strike("Open MPI", 1, signal.SIGSTOP)
        self.assertEqual(code, 3, said)
        self.assertLess(seconds, LATE)
        self.assertEqual(common.names_of(said), [1], said)

    def test_a_rank_that_never_starts(self):
        for mpi in LAUNCHERS:
            began = time.monotonic()
            # A start has half a minute, whatever the patience.
            code, said = self.start(mpi, "--out", self.out, "--steps", FOREVER, lame=(1, "exec sleep 1000")).wait(90)
            self.assertNotEqual(code, 0, said)  # MPICH's launcher tells how it killed the others
            self.assertLess(time.monotonic() - began, 30 + LATE)
            self.assertIn("has waited for", said)
            self.assertIn("never started", said)

    def test_a_slow_rank_is_waited_for_and_shown(self):
        """Every picture takes it longer than the others take for a step."""
        data = common.folder_make(self.folder / "pictures", 60, TOO_LARGE_TO_READ_AHEAD)
        slow = self.shimmed(2, f"SEER_FAULT_PATH={data}/ SEER_FAULT_SLOW=400")  # four pictures a step
        code, said = self.start("Open MPI", "--out", self.out, "--steps", 10, "--data", data, lame=slow).wait(90)
        self.assertEqual(code, 0, said)
        lines = common.metrics_of(self.out)
        self.assertGreaterEqual([line["slowest_rank"] for line in lines].count(2), 7, lines)
        self.assertGreater(statistics.median(line["rank_wait"] for line in lines), 0.3, lines)

    def test_a_rank_that_is_busy_for_too_long(self):
        data = common.folder_make(self.folder / "heavy", 60, TOO_LARGE_TO_READ_AHEAD)
        slow = self.shimmed(1, f"SEER_FAULT_PATH={data}/ SEER_FAULT_SLOW={PATIENCE * 400}")
        code, said = self.start("Open MPI", "--out", self.out, "--steps", 2, "--data", data, lame=slow).wait()
        self.assertNotEqual(code, 0)
        self.assertRegex(said, r": error: rank 1 on '.*' \(process \d+\) never reached the .* in step 1, where 2 ranks "
                               r"waited for \d+ s: it is alive, last heard of \d s ago in step 1, busy with the step")

    def test_long_work_is_waited_for_longer(self):
        """Files whose names do not say what they are must be looked into, and nobody knows how many there are."""
        data = common.folder_make(self.folder / "unnamed", 60)
        for path in data.rglob("*.png"):
            path.rename(path.with_suffix(".bin"))
        slow = self.shimmed(1, f"SEER_FAULT_PATH={data}/ SEER_FAULT_SLOW={PATIENCE * 1000 // 20}")
        began = time.monotonic()
        code, said = self.start("Open MPI", "--out", self.out, "--steps", 2, "--data", data, lame=slow).wait(90)
        self.assertEqual(code, 0, said)
        self.assertGreater(time.monotonic() - began, 2 * PATIENCE)

    def test_one_rank_cannot_write(self):
        """The folder is closed for it: it cannot even leave its record."""
        closed = self.shimmed(1, f"SEER_FAULT_PATH={self.out}/ SEER_FAULT_ERRNO={errno.EACCES}")
        for mpi in LAUNCHERS:
            code, said = self.start(mpi, "--out", self.out, "--steps", STEPS, lame=closed).wait(LATE)
            self.assertNotEqual(code, 0)
            self.assertIn("rank 1: ", said)
            self.assertIn("Permission denied", said)
            shutil.rmtree(self.out)

    def test_the_disk_is_full_for_one_rank(self):
        whole = self.folder / "whole"
        code, said = self.start("Open MPI", "--out", whole, "--steps", STEPS).wait()
        self.assertEqual(code, 0, said)
        for mpi in LAUNCHERS:
            shutil.rmtree(self.out, ignore_errors=True)
            self.start(mpi, "--out", self.out, "--steps", STEPS, "--stop-after", 5).wait()
            full = self.shimmed(0, f"SEER_FAULT_PATH={self.out}/snapshots SEER_FAULT_ERRNO={errno.ENOSPC}")
            code, said = self.start(mpi, "--resume", self.out, lame=full).wait(LATE)
            self.assertNotEqual(code, 0)
            self.assertIn("rank 0: ", said)
            self.assertIn("No space left", said)
            self.assertEqual(max(common.snapshot_steps(self.out)), 5)
            code, said = self.start(mpi, "--resume", self.out).wait()
            self.assertEqual(code, 0, said)
            self.assertEqual(common.snapshot_files(self.out, STEPS), common.snapshot_files(whole, STEPS))

    def test_a_flipped_bit_of_a_snapshot(self):
        whole = self.folder / "whole-bits"
        self.start("Open MPI", "--out", whole, "--steps", STEPS).wait()
        for mpi in LAUNCHERS:
            shutil.rmtree(self.out, ignore_errors=True)
            self.start(mpi, "--out", self.out, "--steps", STEPS, "--stop-after", 9, "--keep", 3).wait()
            newest = max((self.out / "snapshots/step-9").iterdir(), key=lambda path: path.stat().st_size)
            data = bytearray(newest.read_bytes())
            data[len(data) * 2 // 3] ^= 4
            newest.write_bytes(data)
            code, said = self.start(mpi, "--resume", self.out).wait()
            self.assertEqual(code, 0, said)
            self.assertIn("damaged", said)
            self.assertEqual(common.snapshot_files(self.out, STEPS), common.snapshot_files(whole, STEPS))

    def test_the_word_of_a_run_that_was_killed_as_a_whole(self):
        run = self.start("Open MPI", "--out", self.out, "--steps", FOREVER)
        common.wait_until(lambda: common.steps_done(self.out) >= 5 and common.record(self.out, 2), run)
        ranks = [common.record(self.out, rank)["process"] for rank in range(3)]
        for process in ranks:  # nobody is left to speak
            os.kill(process, signal.SIGSTOP)
        for process in ranks:
            os.kill(process, signal.SIGKILL)
        run.wait()
        code, said = self.start("Open MPI", "--resume", self.out, "--stop-after", 1).wait()
        self.assertIn("broke off: its 3 ranks ended without a word in about step", said)


if __name__ == "__main__":
    unittest.main()
