#!/usr/bin/env python3
"""The doctor under both MPIs: one table of all ranks, and an exit code that says whether they would train together.

Usage: doctor_test.py SEERC. Needs mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin, mpich).
"""
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

from common import LAUNCHERS, pictures_make, run, trainer_build

SEERC = sys.argv.pop(1)
# Rank 1 is started differently from the others.
ODD = '[ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 1 ] && { ODD; }; exec "$@"'


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-doctor-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        pictures_make(cls.folder)
        cls.trainer = trainer_build(SEERC, cls.folder, "photos")
        few = cls.folder / "few"
        few.mkdir()
        pictures_make(few, 300)

    def ask(self, mpi, *words, ranks=2, code=0, odd=":"):
        """`odd`: what the shell of rank 1 does first."""
        shell = ["sh", "-c", ODD.replace("ODD", odd), "sh"]
        return run([*LAUNCHERS[mpi], ranks, *shell, "./photos", "doctor", "--threads", 1, *words], code=code,
                   folder=self.folder)

    def test_all_is_well(self):
        for mpi in LAUNCHERS:
            said = self.ask(mpi)
            self.assertIn(f"2 on 1 host, {mpi}", said.stdout)
            self.assertEqual(said.stdout.count(", 500 pictures"), 2)
            self.assertIn("clocks", said.stdout)
            self.assertIn("these machines can run this trainer", said.stdout)
            facts = json.loads(self.ask(mpi, "--json").stdout)
            self.assertTrue(facts["ok"])
            self.assertEqual(facts["ranks_built"], 2)
            self.assertEqual(len({rank["program"] for rank in facts["ranks"]}), 1)
            self.assertTrue(all(rank["folder_ok"] and abs(rank["clock_seconds"]) < 1 for rank in facts["ranks"]))
            self.assertFalse(list(self.folder.glob(".seer-doctor*")))

    def fails(self, code, text, *words, row="", **options):
        for mpi in LAUNCHERS:
            said = self.ask(mpi, *words, code=None, **options)
            self.assertEqual(said.returncode, code, (mpi, said.stderr))
            self.assertEqual(said.stderr.count(text), 1, (mpi, said.stderr))
            self.assertIn(row, said.stdout)
            self.assertNotIn("can run this trainer", said.stdout)

    def test_another_number_of_ranks(self):
        self.fails(1, "and 3 were started", ranks=3, row="not built for so many: they would not train")

    def test_other_pictures(self):
        # Its folder is another one, too, and the first of the two is told.
        elsewhere = f"cd {self.folder}/few; set -- {self.folder}/photos doctor --threads 1"
        self.fails(3, "does not see what rank 0 writes", odd=elsewhere, row="300 pictures, no common folder")
        self.fails(1, "sees 300 pictures, rank 0 sees 500", odd='set -- "$@" --data few/train-images-idx3-ubyte',
                   row=", 300 pictures")
        self.fails(1, "nowhere': No such file or directory", "--data", "nowhere")

    def test_another_trainer(self):
        copy = self.folder / "copy"
        copy.write_bytes(self.trainer.read_bytes() + b"\0")
        copy.chmod(0o755)
        self.fails(1, "another trainer than rank 0's", odd="shift; set -- ./copy \"$@\"", row="another trainer")

    def test_a_folder_that_cannot_be_written(self):
        self.fails(3, "error: rank 0 on host", "--out", "/proc/runs")

    def test_too_many_threads(self):
        self.assertIn("give --threads 1", self.ask("MPICH", "--threads", 64).stderr)

    def test_the_words_for_srun(self):
        self.assertEqual(run([self.trainer, "doctor", "--mpi"]).stdout, "pmix\npmi2\n")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("libmpi.so.40", "libmpich.so.12", "libmpi.so.12"):
                (pathlib.Path(folder) / name).write_text("no library")
            none = run([self.trainer, "doctor", "--mpi"], LD_LIBRARY_PATH=folder)
            self.assertEqual((none.stdout, none.stderr), ("", ""))


if __name__ == "__main__":
    unittest.main()
