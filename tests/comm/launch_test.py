#!/usr/bin/env python3
"""One trainer under both MPIs, and under launchers that do not belong to any: it joins the world that was started, or
says why it cannot, and never runs as N copies of rank 0.

Usage: launch_test.py TRAINER. Needs mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin, mpich).
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TRAINER = sys.argv.pop(1)
LAUNCHERS = {"Open MPI": ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n"],
             "MPICH": ["mpirun.mpich", "-n"]}
TRACES = ("OMPI_", "PMI_", "PMIX_", "SLURM_")


def run(command, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(TRACES)}
    environment |= {"ASAN_OPTIONS": "detect_leaks=0", **variables}  # MPI libraries leave memory behind
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, timeout=120)


class Launch(unittest.TestCase):
    def test_alone_no_mpi_is_looked_for(self):
        for variables in ({}, {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
                          {"SLURM_STEP_NUM_TASKS": "x", "SLURM_PROCID": "0"}):
            found = run([TRAINER, "doctor", "--json"], LD_DEBUG="libs", **variables)
            self.assertEqual(found.returncode, 0, found.stderr)
            facts = json.loads(found.stdout)
            self.assertEqual((len(facts["ranks"]), facts["mpi"]), (1, "none"))
            self.assertNotIn("libmpi", found.stderr)

    def test_the_world_that_was_started_is_joined(self):
        for name, launcher in LAUNCHERS.items():
            for size in (1, 2, 3, 8):
                found = run([*launcher, size, TRAINER, "doctor", "--json", "--threads", 3])
                self.assertEqual(found.returncode, int(size > 1), found.stderr)  # built for one
                facts = json.loads(found.stdout)  # one rank speaks for all
                self.assertEqual([rank["threads"] for rank in facts["ranks"]], [3] * size)
                self.assertTrue(facts["mpi"] == "none" if size == 1 else facts["mpi"].startswith(name), facts["mpi"])

    def test_the_doctor_says_who_shares_a_host(self):
        for name, launcher in LAUNCHERS.items():
            found = run([*launcher, 3, TRAINER, "doctor", "--threads", 64])
            self.assertEqual(found.returncode, 1, found.stderr)
            self.assertIn(f"3 on 1 host, {name}", found.stdout)
            self.assertIn("3 ranks there: 192 threads on", found.stdout)
            self.assertEqual(found.stdout.count("not built for so many: they would not train"), 1)
            self.assertIn("3 ranks share", found.stderr)
            self.assertEqual(found.stderr.count("error: this trainer was built for 1 rank, and 3 were started"), 1)

    def test_a_plan_for_one_rank_refuses_several(self):
        for launcher in LAUNCHERS.values():
            with tempfile.TemporaryDirectory() as folder:
                out = pathlib.Path(folder) / "run"
                found = run([*launcher, 2, TRAINER, "train", "--data", folder, "--out", out])
                self.assertEqual(found.returncode, 1, found.stderr)
                self.assertEqual(found.stderr.count("built for 1 rank, and 2 were started"), 1)
                self.assertFalse(out.exists())
            self.assertEqual(run([*launcher, 2, TRAINER, "plan"]).returncode, 0)

    def test_an_odd_rank_is_named(self):
        """Another trainer, or other options, on one rank: who it is, what differs, both values, one code for all."""
        other = TRAINER + "_wide"
        for launcher in LAUNCHERS.values():
            with tempfile.TemporaryDirectory() as folder:
                out = pathlib.Path(folder) / "run"
                start = ["train", "--data", folder, "--out", out]
                found = run([*launcher, 2, TRAINER, *start, ":", "-n", 1, other, *start])
                self.assertEqual(found.returncode, 1, found.stderr)
                self.assertIn("ranks differ in the trainer's name: rank 2 has 'tiny_wide', 2 of the 3 ranks have "
                              "'tiny'\nnote: start the same trainer", found.stderr)
                self.assertEqual(found.stderr.count("error:"), 1, found.stderr)
                found = run([*launcher, 1, TRAINER, *start, "--seed", 4, ":", "-n", 1, TRAINER, *start, "--seed=5"])
                self.assertEqual(found.returncode, 1, found.stderr)
                self.assertIn("ranks differ in --seed: rank 1 has '5', rank 0 has '4'", found.stderr)
                self.assertEqual(found.stderr.count("error:"), 1, found.stderr)
                self.assertFalse(out.exists())

    def test_long_values_differ_by_their_end(self):
        long = "/" + "x" * 300
        for ends, told in ((("a", "b"), True), (("a", "a"), False)):
            starts = [[TRAINER, "train", "--data", long + end] for end in ends]
            found = run([*LAUNCHERS["Open MPI"], 1, *starts[0], ":", "-n", 1, *starts[1]])
            self.assertEqual(found.returncode, 1, found.stderr)
            self.assertEqual("ranks differ in --data: rank 1 has '/xxx" in found.stderr, told, found.stderr)
            values = re.findall(r"'/x+\.\.\. ([0-9a-f]{16})'", found.stderr)
            self.assertEqual(len(set(values)), 2 if told else 0, found.stderr)

    def test_threads_may_differ(self):
        for launcher in LAUNCHERS.values():
            start = ["train", "--data", "/nowhere", "--threads"]
            found = run([*launcher, 1, TRAINER, *start, 1, ":", "-n", 1, TRAINER, *start, 2, "--quiet"])
            self.assertIn("built for 1 rank", found.stderr)

    def test_copies_of_rank_0_are_told(self):
        for variables, launcher in (({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}, "srun"),
                                    ({"PMI_SIZE": "3", "PMI_RANK": "0"}, "mpiexec of MPICH"),
                                    ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, "mpirun of Open MPI")):
            for command in ("bench", "doctor"):
                found = run([TRAINER, command], **variables)
                self.assertEqual(found.returncode, 3, found.stderr)
                self.assertIn(f"processes were started by {launcher}, and each of them is alone", found.stderr)
                self.assertIn("--mpi=pmix", found.stderr)

    def test_a_missing_library_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            # A file of that name that is no library stands in front of the real one.
            (pathlib.Path(folder) / "libmpi.so.40").write_text("no library")
            found = run([TRAINER, "doctor"], LD_LIBRARY_PATH=folder, OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="0")
            self.assertEqual(found.returncode, 3, found.stderr)
            self.assertIn("Open MPI cannot be opened", found.stderr)
            self.assertIn("openmpi-bin", found.stderr)


if __name__ == "__main__":
    unittest.main()
