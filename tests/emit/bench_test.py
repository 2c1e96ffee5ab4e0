"""`seerc bench` and `TRAINER bench` as a user meets them: one object of figures that agree with each other and with the
plan, a comparison, a picture, and what is said of wrong files and options.

usage: bench_test.py SEERC FOLDER
"""
import json
import os
import pathlib
import shutil
import sys
import unittest
import xml.etree.ElementTree

from commands import run_in

SEERC, FOLDER = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])
SPEC = '''model { depths = [1, 1]  widths = [16, 24]  group_widths = [8]  strides = [2, 2] }
swav { prototypes = 12  head = [24, 16] }
views { crops = [crop(count = 2, size = 32px), crop(count = 2, size = 16px, scale = 0.05..0.14)] }
data { pictures = "nowhere/" }
train { batch = 8  steps = 6 }
evaluate { size = 32px  resize = 32px  batch = 4  neighbours = 3 }
'''
# Kept for users of --json: tests/bench/bench.py reads them.
OLD_KEYS = ("images_per_second", "step_seconds_median", "step_seconds_min", "peak_bytes", "resident_bytes", "batch",
            "steps", "threads")


def run(*command, code=0, **options):
    return run_in(FOLDER, *command, code=code, **options)


def build(name, *options):
    run(SEERC, "build", "tiny.seer", "-o", name, *options)
    return FOLDER / name


class Bench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        (FOLDER / "tiny.seer").write_text(SPEC)
        cls.trainer = build("tiny")

    def check(self, bench, plan):
        for key in OLD_KEYS:
            self.assertGreater(bench[key], 0, key)
        interval, profile = bench["step_seconds_interval"], bench["profile"]
        self.assertLessEqual(bench["step_seconds_min"], interval["low"])
        self.assertLessEqual(interval["low"], bench["step_seconds_median"])
        self.assertLessEqual(bench["step_seconds_median"], interval["high"])
        self.assertEqual((bench["flops"], bench["recompute_flops"]), (plan["flops"], plan["recompute_flops"]))
        done = (bench["flops"] - bench["recompute_flops"]) / bench["step_seconds_median"]
        self.assertAlmostEqual(bench["flops_per_second"] / done, 1, 6)
        self.assertAlmostEqual(bench["share_of_peak"], done / bench["peak"]["flops_per_second"], 6)
        self.assertAlmostEqual(profile["ops_seconds"] + profile["rest_seconds"], profile["step_seconds"], 9)
        # Medians of the parts are at most little more than the median of the whole, on a busy machine less.
        self.assertLessEqual(profile["step_seconds"], 1.2 * profile["step_seconds_median"])
        self.assertGreater(profile["rest_seconds"], 0)
        for rows in ("ops", "kinds", "blocks"):
            for key, whole in (("seconds", profile["ops_seconds"]), ("flops", bench["flops"])):
                self.assertAlmostEqual(sum(row[key] for row in bench[rows]) / whole, 1, 6, (rows, key))
        again = sum(op["flops"] for op in bench["ops"] if op["again"])
        self.assertEqual(again, bench["recompute_flops"])
        for op in bench["ops"]:
            self.assertTrue(op["name"] and op["block"] and op["kind"] and op["location"], op)
            self.assertIn(op["pass"], ("forward", "reforward", "backward", "update"))
            self.assertGreater(op["seconds"], 0)
            self.assertGreater(op["bytes"], 0)

    def test_figures_agree_with_each_other_and_the_plan(self):
        bench = json.loads(run(self.trainer, "bench", "--json", "--steps", 7).stdout)
        self.check(bench, json.loads(run(self.trainer, "plan", "--json").stdout)["step"])
        self.assertEqual(bench["steps"], 7)
        self.assertEqual({op["pass"] for op in bench["ops"]}, {"forward", "backward", "update"})
        self.assertEqual({op.get("size_group") for op in bench["ops"] if op["kind"] == "conv2d_statistics"}, {0, 1})

    def test_what_is_made_again_is_told_apart(self):
        options = ("-D", "checkpoint.placement=every", "-D", "train.accumulate=2")
        again = build("again", *options)
        bench = json.loads(run(again, "bench", "--json", "--steps", 3).stdout)
        self.check(bench, json.loads(run(again, "plan", "--json").stdout)["step"])
        self.assertGreater(bench["recompute_flops"], 0)
        self.assertGreater(sum(block["recompute"] for block in bench["blocks"]), 0)
        self.assertEqual({op["calls"] for op in bench["ops"] if op["pass"] == "forward"}, {2})

    def test_slices_are_counted(self):
        slices = build("slices", "-D", "train.reproducible=yes", "-D", "train.slices=4")
        bench = json.loads(run(slices, "bench", "--json", "--steps", 3).stdout)
        self.check(bench, json.loads(run(slices, "plan", "--json").stdout)["step"])

    def test_against_an_older_one(self):
        old = FOLDER / "old.json"
        old.write_text(run(self.trainer, "bench", "--json", "--steps", 5).stdout)
        said = run(self.trainer, "bench", "--steps", 5, "--against", "old.json")
        for words in ("by kind of op", "by block", "against the older bench", "outside of launches"):
            self.assertIn(words, said.stdout)
        self.assertEqual(said.stderr, "")
        both = run(self.trainer, "bench", "--json", "--steps", 5, "--threads", 1, "--against", "old.json")
        against = json.loads(both.stdout)["against"]
        # Differences of printed numbers, whose last digits are no order.
        changes = [round(abs(kind["new_seconds"] - kind["old_seconds"]), 12) for kind in against["kinds"]]
        self.assertEqual(changes, sorted(changes, reverse=True))
        threads = json.loads(old.read_text())["threads"]
        if threads != 1:
            self.assertIn(f"not comparable: threads was '{threads}' and is '1'", both.stderr)
        (FOLDER / "bad.json").write_text("{")
        (FOLDER / "other.json").write_text('{"step_seconds_median": 1}')
        for name, words in (("bad.json", "is no JSON"), ("other.json", "is no result of a bench"),
                            ("none.json", "cannot read 'none.json'")):
            self.assertIn(words, run(self.trainer, "bench", "--against", name, code=1).stderr)

    def test_the_compiler_builds_and_runs_it(self):
        temporary = FOLDER / "temporary"
        temporary.mkdir()
        bench = json.loads(run(SEERC, "bench", "tiny.seer", "--json", "--steps=3", "--threads=1", "--svg=ops.svg",
                               "-Dtrain.batch=4", env={**os.environ, "TMPDIR": str(temporary)}).stdout)
        self.assertEqual((bench["steps"], bench["threads"], bench["batch"]), (3, 1, 4))
        self.assertEqual(os.listdir(temporary), [])
        picture = xml.etree.ElementTree.parse(FOLDER / "ops.svg").getroot()
        names = {"s": "http://www.w3.org/2000/svg"}
        dots = picture.findall(".//s:circle", names)
        self.assertEqual(len(dots), len(bench["ops"]))
        for dot in dots:
            self.assertRegex(dot.find("s:title", names).text, r"\((tiny.seer:\d+|built in)\)")
        self.assertEqual(picture.findall(".//s:script", names), [])
        self.assertNotIn("nan", (FOLDER / "ops.svg").read_text())

    def test_mistakes_are_said(self):
        for code, words, options in (
                (2, "did you mean '--against'", ["--agianst=x"]), (2, "whole number of at least 1", ["--steps=0"]),
                (2, "whole number of at least 1", ["--threads=many"]),
                (1, "cannot read 'none.json'", ["--against=none.json"]),
                (2, "'--cpu' takes", ["--cpu=z80"]), (1, "has no key", ["-Dtrain.bacth=1"])):
            said = run(SEERC, "bench", "tiny.seer", *options, code=code)
            self.assertIn(words, said.stderr)
            self.assertEqual(said.stdout, "")
        run(SEERC, "bench", code=2)
        run(self.trainer, "bench", "--agianst", "x", code=2)
        self.assertIn("--svg", run(self.trainer, "bench", "--help").stdout)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1])
