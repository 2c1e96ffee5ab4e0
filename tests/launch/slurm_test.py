#!/usr/bin/env python3
"""The batch script of `seerc build --emit=sbatch` under a real Slurm of one node, which the test starts itself.

Usage: slurm_test.py SEERC. Needs Debian's slurmctld, slurmd, slurm-client, munge, openmpi-bin, libpmix-dev and mpich. A
Slurm that does not start is a failure with its logs, never a test that is passed over.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import unittest

from common import LAUNCHERS, bits_of, pictures_make, run, steps_of, trainer_build
from slurm import CORES, Slurm

SEERC = sys.argv.pop(1)
STEPS, STEPS_TO_STAND = 60, 6


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-slurm-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        pictures_make(cls.folder)
        trainer_build(SEERC, cls.folder, "photos", "--emit=sbatch,hostfile")
        cls.expected = cls.straight("straight")
        cls.slurm = Slurm(cls.folder / "slurm")
        cls.addClassCleanup(cls.slurm.stop)

    @classmethod
    def straight(cls, name, *words):
        """Bits of a run that mpirun started and nobody disturbed."""
        run([*LAUNCHERS["Open MPI"], 2, "./photos", "--out", name, "--steps", STEPS, "--threads", 1, "--no-report",
             *words], folder=cls.folder)
        return bits_of(cls.folder / name, STEPS)

    @classmethod
    def job(cls, *words, run, trainer=(), **variables):
        return cls.slurm.submit("--partition=low", *words, "photos.sbatch", "--steps", STEPS, "--no-report", *trainer,
                                folder=cls.folder, SEER_RUN=run, **variables)

    def log(self, job):
        return (self.folder / f"photos-{job}.log").read_text()

    def hold(self, job, name):
        """Waits until a run has gone on for some steps, and stops its ranks where they are: their process numbers."""
        deadline, ranks = time.monotonic() + 180, {}
        while len(ranks) < 2 or len(steps_of(self.folder / name)) < STEPS_TO_STAND:
            self.assertLess(time.monotonic(), deadline, f"'{name}' does not train")
            time.sleep(0.005)
            ranks = ranks if len(ranks) == 2 else self.slurm.rank_processes(job)
        self.send(ranks, signal.SIGSTOP)
        self.assertLess(len(steps_of(self.folder / name)), STEPS, "the run was over before it was held")
        return ranks

    @staticmethod
    def send(ranks, number):
        for process in ranks.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def whole(self, name, expected=None):
        """The run is as long as it should be, no step is there twice, and the bits are the undisturbed run's."""
        self.assertEqual(steps_of(self.folder / name), list(range(1, STEPS + 1)))
        self.assertEqual(bits_of(self.folder / name, STEPS), expected or self.expected)

    def ended(self, job, code, log):
        """The job failed for good: neither requeued nor waiting."""
        facts = self.slurm.wait(job, "FAILED")
        self.assertEqual((facts["ExitCode"], facts["Restarts"]), (f"{code}:0", "0"))
        self.assertIn(log, self.log(job))

    def test_both_mpis(self):
        jobs = {"pmix": self.job(run="plain"), "pmi2": self.job(run="mpich", SEER_MPI="pmi2")}
        facts = self.slurm.facts(jobs["pmix"])
        self.assertEqual((facts["NumTasks"], facts["Requeue"]), ("2", "1"))
        for job, name in zip(jobs.values(), ("plain", "mpich")):
            self.slurm.wait(job, "COMPLETED")
            self.whole(name)
        # Nobody named an MPI: the one that is found is Open MPI's.
        self.assertIn("on 1 host, Open MPI", self.doctor("pmix"))
        self.assertIn("on 1 host, MPICH", self.doctor("pmi2"))

    def doctor(self, mpi):
        return self.slurm.ask("srun", "-p", "high", "-n2", f"--chdir={self.folder}", f"--mpi={mpi}", "./photos",
                              "doctor")

    def test_copies_of_rank_0(self):
        job = self.job(run="copies", SEER_MPI="none")
        self.ended(job, 3, "2 processes were started by srun, and each of them is alone")
        self.assertIn("--mpi=pmix", self.log(job))
        self.assertFalse((self.folder / "copies").exists())

    def test_time_limit(self):
        job = self.job("--time=3", "--signal=USR1@90", run="limited")
        ranks = self.hold(job, "limited")
        self.resume_when_asked(ranks, signal.SIGUSR1)
        facts = self.slurm.wait(job, "COMPLETED")
        self.assertEqual(facts["Restarts"], "1")
        self.assertIn("stopped on SIGUSR1", self.log(job))
        self.assertIn("resuming 'limited' at step", self.log(job))
        self.whole("limited")

    def resume_when_asked(self, ranks, number):
        """Lets the ranks go on once Slurm has sent each of them the signal, where it does not wake them itself. It
        looks at time limits twice a minute."""
        deadline = time.monotonic() + 120
        while not all(self.signal_waits(process, number) for process in ranks.values()):
            self.assertLess(time.monotonic(), deadline, "no signal from Slurm")
            time.sleep(0.05)
        self.send(ranks, signal.SIGCONT)

    @staticmethod
    def signal_waits(process, number):
        try:
            status = pathlib.Path(f"/proc/{process}/status").read_text()
        except FileNotFoundError:
            return True  # it was woken, and has gone
        pending = next(line for line in status.splitlines() if line.startswith("ShdPnd"))
        return int(pending.split()[1], 16) >> (number - 1) & 1

    def preempt(self, partition):
        job = self.job(f"--partition={partition}", run=partition)
        ranks = self.hold(job, partition)
        hog = self.slurm.submit("--partition=high", f"--ntasks={CORES}", "--mem=100", "--wrap=sleep 1",
                                "--output=/dev/null", folder=self.folder)
        # Slurm wakes whom it asks to end.
        self.slurm.wait(hog, "COMPLETED")
        facts = self.slurm.wait(job, "COMPLETED")
        self.assertEqual(facts["Restarts"], "1")
        self.assertIn("stopped on SIGTERM", self.log(job))
        self.whole(partition)
        return self.log(job)

    def test_preemption_with_grace(self):
        self.assertIn("requeueing", self.preempt("low"))  # by the script: Slurm would take the job for done

    def test_preemption_at_once(self):
        self.assertNotIn("requeueing", self.preempt("abrupt"))  # by Slurm

    def test_cancelled_and_submitted_again(self):
        job = self.job(run="cancelled")
        self.hold(job, "cancelled")
        self.slurm.ask("scancel", job)
        self.slurm.wait(job, "CANCELLED")
        self.assertNotIn("requeueing", self.log(job))
        while self.slurm.rank_processes(job):  # they may still be at their snapshot
            time.sleep(0.1)
        self.assertTrue(list((self.folder / "cancelled" / "snapshots").iterdir()))
        again = self.job(run="cancelled")
        self.slurm.wait(again, "COMPLETED")
        self.assertIn("resuming 'cancelled' at step", self.log(again))
        self.whole("cancelled")
        # A run that is complete is left alone.
        once_more = self.job(run="cancelled")
        self.slurm.wait(once_more, "COMPLETED")
        self.assertIn("is complete", self.log(once_more))

    def test_array(self):
        job = self.job("--array=1-3", "--output=photos-%A_%a.log", run="array")
        while self.slurm.facts(f"{job}_2")["JobState"] == "PENDING":
            time.sleep(0.2)
        ranks = self.hold(self.slurm.facts(f"{job}_2")["JobId"], "array-2")
        self.slurm.ask("scancel", "--signal=USR1", f"{job}_2")
        self.resume_when_asked(ranks, signal.SIGUSR1)
        for task in (1, 2, 3):
            facts = self.slurm.wait(f"{job}_{task}", "COMPLETED")
            self.assertEqual(facts["Restarts"], "1" if task == 2 else "0")
            self.assertEqual(steps_of(self.folder / f"array-{task}"), list(range(1, STEPS + 1)))
        bits = {bits_of(self.folder / f"array-{task}", STEPS) for task in (1, 2, 3)}
        self.assertEqual(len(bits), 3)  # seeds differ
        self.whole("array-2", self.straight("seed-2", "--seed", 2))

    def test_a_sweep(self):
        """Variants are tasks of an array; one is stopped, and goes on in the queue."""
        words = ["-D", "cluster.ranks_per_node=2", "-D", "cluster.worlds=[2]", "--steps", STEPS]
        run([SEERC, "sweep", "small.seer", "--over", "schedule.peak=0.1,0.3", "--over", "train.seed=1,2", *words,
             "--emit=sbatch"], folder=self.folder)
        variants = self.collected()
        job = self.slurm.submit("--partition=low", "small.sweep/sweep.sbatch", folder=self.folder)
        while self.slurm.facts(f"{job}_1")["JobState"] == "PENDING":
            time.sleep(0.2)
        ranks = self.hold(self.slurm.facts(f"{job}_1")["JobId"], f"small.sweep/{variants[1]['folder']}/run")
        self.assertEqual(self.collected()[1]["state"], "begun")
        self.slurm.ask("scancel", "--signal=USR1", f"{job}_1")
        self.resume_when_asked(ranks, signal.SIGUSR1)
        for task in range(4):
            facts = self.slurm.wait(f"{job}_{task}", "COMPLETED")
            self.assertEqual(facts["Restarts"], "1" if task == 1 else "0")
        variants = self.collected()
        self.assertEqual([(variant["state"], variant["step"]) for variant in variants], [("done", STEPS)] * 4)
        self.assertEqual(len({variant["loss"] for variant in variants}), 4)
        for variant in variants:
            self.assertEqual(steps_of(self.folder / "small.sweep" / variant["folder"] / "run"),
                             list(range(1, STEPS + 1)))

    def collected(self):
        return json.loads(run([SEERC, "sweep", "--collect", "small.sweep", "--json"], folder=self.folder).stdout)[
            "variants"]

    def kill(self, job, rank, name):
        ranks = self.hold(job, name)
        os.kill(ranks[rank], signal.SIGKILL)
        self.send({other: process for other, process in ranks.items() if other != rank}, signal.SIGCONT)

    def test_a_killed_rank(self):
        job = self.job(run="killed", trainer=["--save-every", 3])
        self.kill(job, 1, "killed")
        facts = self.slurm.wait(job, "COMPLETED")
        self.assertEqual(facts["Restarts"], "0")
        self.assertIn("starting again from the last snapshot, 1 of 2", self.log(job))
        self.assertIn("resuming 'killed' at step", self.log(job))
        self.whole("killed")

    def test_crashes_come_to_an_end(self):
        job = self.job(run="crashing", SEER_RETRIES="1")
        self.kill(job, 0, "crashing")
        began = time.monotonic()
        while "1 of 1" not in self.log(job):
            self.assertLess(time.monotonic() - began, 30, "a killed rank did not end the step")
            time.sleep(0.1)
        began = time.monotonic()
        while len(steps_of(self.folder / "crashing")) >= STEPS_TO_STAND:  # it starts over: there is no snapshot
            self.assertLess(time.monotonic() - began, 120, "it does not start again")
            time.sleep(0.005)
        self.kill(job, 0, "crashing")
        facts = self.slurm.wait(job, "FAILED")
        self.assertIn("2 times in this job: not started again", self.log(job))
        self.assertEqual(facts["Restarts"], "0")

    def test_requeue_limit(self):
        job = self.job(run="sliced", trainer=["--stop-after", 3], SEER_REQUEUES="1")
        facts = self.slurm.wait(job, "FAILED")
        self.assertEqual((facts["ExitCode"], facts["Restarts"]), ("75:0", "1"))
        self.assertIn("requeued 1 times already: not again", self.log(job))
        self.assertEqual(steps_of(self.folder / "sliced"), list(range(1, 7)))

    def test_wrong_input_is_not_tried_again(self):
        missing = self.job(run="missing", trainer=["--data", "nowhere"])
        strange = self.job(run="strange", trainer=["--stpes", 3])
        world = self.job("--ntasks=3", "--ntasks-per-node=3", run="world")
        lost = self.job(run="lost", SEER_TRAINER="elsewhere/photos")
        self.ended(missing, 1, "nowhere': No such file or directory")
        self.assertIn("not started again", self.log(missing))
        self.ended(strange, 2, "did you mean '--steps'?")
        self.ended(world, 1, "built for 2 ranks, and 3 were started")
        self.ended(lost, 3, "no trainer 'elsewhere/photos'")

    def test_what_the_node_does_not_have(self):
        for words, reason in ((["--cpus-per-task=64"], "More processors requested than permitted"),
                              (["--mem=900000"], "Memory specification can not be satisfied")):
            said = self.slurm.submit("--partition=low", *words, "photos.sbatch", folder=self.folder, code=1)
            self.assertIn(reason, said)

    def test_a_run_folder_in_use(self):
        first = self.job(run="shared")
        self.hold(first, "shared")
        second = self.job(run="shared")
        self.ended(second, 1, "in use by another run")
        self.slurm.ask("scancel", first)


if __name__ == "__main__":
    unittest.main()
