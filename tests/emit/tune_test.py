"""`seerc tune` and the tunings that it writes, as a user meets them: the table of parameters, what is picked up, what
is refused, a search that is stopped, goes on and ends.

usage: tune_test.py SEERC FOLDER
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "train"))
import tunings  # noqa: E402
from commands import run_in  # noqa: E402

SEERC, FOLDER = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
SPEC = '''model { depths = [1]  widths = [8]  group_widths = [8]  strides = [2] }
supervised { classes = 4 }
views { crops = [crop(count = 1, size = 16px)] }
data { pictures = "nowhere/" }
train { batch = 8  steps = 6 }
evaluate { size = 16px  resize = 16px  batch = 4 }
'''
SEARCHED = ("conv_", "weight_", "sum_", "task_")  # matrix_ is not


def run(*command, code=0, **options):
    return run_in(FOLDER, *command, code=code, **options)


def measured(text):
    return re.findall(r"^measured (\w+) = (\d+) -> (\d+),", text, re.M)


class Tune(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        (FOLDER / "temporary").mkdir()
        (FOLDER / "tiny.seer").write_text(SPEC)
        (FOLDER / "other.seer").write_text(SPEC)
        cls.lanes = json.loads(run(SEERC, "plan", "tiny.seer", "--json").stdout)["step"]["vector_pictures"]

    def tearDown(self):
        (FOLDER / "tiny.tune").unlink(missing_ok=True)

    def head(self, lanes=None):
        lanes = lanes or self.lanes
        return f"cpu = {'x86-64-v4' if lanes == 16 else 'x86-64'}\nlanes = {lanes}\n"

    def test_the_table_keeps_its_own_bounds(self):
        rows = tunings.rows()
        self.assertEqual(len(rows), len(re.findall(r"^TUNING\(", tunings.TABLE.read_text(), re.M)))
        self.assertEqual(len({row[0] for row in rows}), len(rows))
        for name, *values, unit in rows:
            at_8, at_16, least, most = values
            self.assertLess(least, most, name)
            for value in values:
                self.assertTrue(least <= value <= most and value % unit == 0, (name, value))

    def test_a_file_beside_the_spec_is_picked_up(self):
        (FOLDER / "tiny.tune").write_text(self.head() + "# a comment\nconv_pixels = 24\n")
        plan = run(SEERC, "plan", "tiny.seer")
        self.assertIn("tuned by 'tiny.tune', 1 parameters differ", plan.stdout)
        self.assertEqual(plan.stderr, "")
        step = json.loads(run(SEERC, "plan", "tiny.seer", "--json").stdout)["step"]
        self.assertEqual((step["tuning"], step["tuning_changes"]), ("tiny.tune", 1))
        for options in (["--tuning", "none"], ["--cpu", "x86-64-v3" if self.lanes == 16 else "x86-64-v4"]):
            self.assertNotIn("tuning", json.loads(run(SEERC, "plan", "tiny.seer", "--json", *options).stdout)["step"])
        self.assertIn("tuned by 'tiny.tune'", run(SEERC, "show", "--at=plan", "tiny.seer").stderr)
        self.assertNotIn("tuned", run(SEERC, "plan", "other.seer").stdout)
        (FOLDER / "tiny.tune").rename(FOLDER / "named.tune")
        self.assertIn("tuned by 'named.tune'", run(SEERC, "plan", "other.seer", "--tuning", "named.tune").stdout)

    def test_a_wrong_file_is_refused_by_its_line(self):
        for text, place, words in (
                (self.head() + "conv_pixel = 24\n", ":3:1", "no parameter of the kernels is named 'conv_pixel'"),
                (self.head() + "conv_pixels = 0\n", ":3:1", "a whole number from 4 to 64, not 0"),
                (self.head() + "sum_floats = 65537\n", ":3:1", "a multiple of 64 from"),
                (self.head() + "conv_pixels = 1e3\n", ":3:1", "a whole number, not '1e3'"),
                (self.head() + "conv_pixels = 24\nconv_pixels = 24\n", ":4:1", "set twice"),
                (self.head() + "conv_pixels\n", ":3:1", "a line is 'NAME = VALUE'"),
                (self.head() + "measured conv_pixels = 48 -> 24, 0.9 (1.1 to 1.2), kept\n", ":3:1", "is written"),
                (self.head() + "measured conv_pixels = 48 -> 24, 0.9 (0.8 to 1.2), ke", ":3:1", "is written"),
                (self.head() + "threads = 0\n", ":3:1", "at least 1"),
                ("cpu = z80\nlanes = 8\n", ":1:1", "unknown processor 'z80'"),
                ("cpu = x86-64\nlanes = 16\n", ":1:1", "'x86-64' has 8 lanes, not 16"),
                ("", ":1:1", "'cpu' is missing"),
                (self.head(24 - self.lanes), ":1:1", "this tuning is for")):
            (FOLDER / "bad.tune").write_text(text)
            said = run(SEERC, "plan", "tiny.seer", "--tuning", "bad.tune", code=1).stderr
            self.assertIn(f"bad.tune{place}: error:", said, text)
            self.assertIn(words, said, text)
        self.assertIn("cannot read 'none.tune'", run(SEERC, "build", "tiny.seer", "--tuning=none.tune", code=1).stderr)

    def test_the_command_line_is_checked(self):
        for words in (["--minutes=0"], ["--minutes=soon"], ["--threads=0"], ["--cpu=z80"]):
            run(SEERC, "tune", "tiny.seer", *words, code=2)
        self.assertIn("'-o'", run(SEERC, "tune", "-", code=2, input=SPEC).stderr)
        said = run(SEERC, "tune", "tiny.seer", "-o", "nowhere/tiny.tune", code=3).stderr
        self.assertIn("cannot write 'nowhere/tiny.tune'", said)

    def test_a_search_ends_when_all_was_tried(self):
        lines = []
        for name, at_8, at_16, least, most, unit in tunings.rows():
            if not name.startswith(SEARCHED):
                continue
            value = at_16 if self.lanes == 16 else at_8
            for to in (2 * value, value // 2, value * 3 // 2, value * 3 // 4):
                to = min(max(to // unit * unit, least), most)
                if to != value:
                    lines.append(f"measured {name} = {value} -> {to}, 1.0 (0.9 to 1.1), not kept\n")
        (FOLDER / "tiny.tune").write_text(self.head() + "".join(lines))
        arguments = [SEERC, "tune", "tiny.seer", "--cpu=x86-64-v4" if self.lanes == 16 else "--cpu=x86-64"]
        began = time.monotonic()
        said = run(*arguments).stdout
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn(f"going on from {len(lines)} measurements", said)
        self.assertIn("tiny.tune: 0 parameters differ from the defaults\n", said)

    def test_a_search_is_stopped_and_goes_on(self):
        environment = {**os.environ, "TMPDIR": str(FOLDER / "temporary")}
        path = FOLDER / "tiny.tune"
        arguments = [SEERC, "tune", "tiny.seer", "--threads=1"]
        first = subprocess.Popen([*arguments, "--minutes=60"], stdout=subprocess.PIPE, text=True, cwd=FOLDER,
                                 env=environment)
        line = first.stdout.readline()
        self.assertRegex(line, r"^conv_pixels +48 -> 64 +\d\.\d+ \(.* to .*\) +(not )?kept +\d.* minutes left$")
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=120)
        self.assertEqual(first.returncode, -signal.SIGINT)
        self.assertEqual(os.listdir(FOLDER / "temporary"), [])
        stopped = path.read_text()
        count = len(measured(stopped))
        self.assertGreaterEqual(count, 1)
        again = run(*arguments, "--minutes=0.001", env=environment)
        self.assertIn(f"going on from {count} measurements", again.stdout)
        rows = measured(path.read_text())
        self.assertEqual(rows[:count], measured(stopped))
        self.assertEqual(len(rows), count + 1)
        self.assertEqual(len(set(rows)), len(rows))
        self.assertIn("the same command goes on", again.stdout)
        self.assertEqual(os.listdir(FOLDER / "temporary"), [])
        self.assertIn("tuned by 'tiny.tune'", run(SEERC, "plan", "tiny.seer").stdout)
        self.refused(arguments)
        self.built()

    def refused(self, arguments):
        for words, what in ((["-Dtrain.batch=4"], "step"), (["--threads=2"], "number of threads")):
            before = (FOLDER / "tiny.tune").read_text()
            said = run(*arguments, *words, code=1).stderr
            self.assertIn(f"'tiny.tune' was measured for another {what}", said)
            self.assertIn("'-o'", said)
            self.assertEqual((FOLDER / "tiny.tune").read_text(), before)
        (FOLDER / "tiny.tune").rename(FOLDER / "other.tune")
        self.assertIn("another spec: 'tiny', not 'other'", run(SEERC, "tune", "other.seer", code=1).stderr)
        (FOLDER / "other.tune").rename(FOLDER / "tiny.tune")

    def built(self):
        """What the file says is what the kernels are compiled with, and what the trainer says of itself."""
        text = (FOLDER / "tiny.tune").read_text().replace("sum_floats = 65536", "sum_floats = 32768")
        (FOLDER / "tiny.tune").write_text(text)
        said = run(SEERC, "build", "tiny.seer", "--keep", "sources")
        self.assertIn("tuned by 'tiny.tune'", said.stderr)
        self.assertIn("TUNED_sum_floats = 32768,", (FOLDER / "sources/kernels/tuned.h").read_text())
        bench = json.loads(run(FOLDER / "tiny", "bench", "--no-ops", "--json", "--steps=3").stdout)
        self.assertEqual((bench["tuning"], bench["steps"], bench["warmup_steps"]), ("tiny.tune", 3, 1))
        self.assertGreater(bench["step_seconds_quiet"], 0)
        self.assertLessEqual(bench["step_seconds_quiet"], bench["step_seconds_min"] * (1 + 1e-9))
        self.assertNotIn("ops", bench)
        self.assertIn("'--no-ops' leaves nothing for '--svg'",
                      run(FOLDER / "tiny", "bench", "--no-ops", "--svg=x.svg", code=2).stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
