"""`seerc plan --vary` as a user meets it: every row is the plan of that variant, what is said of all of them follows
from the rows, whatever does not fit or is wrong is a row with its reason.

usage: vary_test.py SEERC FOLDER
"""
import html.parser
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest
import xml.dom.minidom

SEERC, FOLDER = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
SPEC = '''model { depths = [1, 3, 2]  widths = [64, 160, 400]  group_widths = [16] }
data { pictures = "photos/"  count = 1000000 }
train { batch = 512  precision = fp16  epochs = 1 }
cluster { machine = "a100-40g"  nodes = 2  ranks_per_node = 8  memory = 1200MiB }
cluster { decode_rate = 1e6  read_bandwidth = 1e15 }
shard { parameters = full  unit = block  reduce = fp16 }
'''
WORK = ["--vary", "cluster.nodes=1,2,4,16", "--vary", "train.batch=512,2048"]


def seerc(*words, code=0):
    done = subprocess.run([SEERC, *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise AssertionError(f"{words} gave {done.returncode}, not {code}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def varied(*words, code=0):
    return json.loads(seerc("plan", "spec.seer", "--json", *words, code=code).stdout)


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.found = varied(*WORK)
        cls.planned = [v for v in cls.found["variants"] if v["outcome"] == "planned"]

    def test_every_combination_in_order(self):
        names = [v["name"] for v in self.found["variants"]]
        self.assertEqual(names, [f"nodes={n} batch={b}" for n in (1, 2, 4, 16) for b in (512, 2048)])

    def test_a_row_is_the_plan(self):
        for variant in self.found["variants"]:
            defines = [f"-D{key}={value}" for key, value in variant["values"].items()]
            if variant["outcome"] == "too_large":
                told = seerc("plan", "spec.seer", "--json", *defines, code=1).stderr
                self.assertIn(f"the smallest budget that would do is {variant['minimum_budget_bytes']} bytes", told)
                self.assertIn("does not fit", variant["reason"])
                continue
            plan = json.loads(seerc("plan", "spec.seer", "--json", *defines).stdout)
            self.assertEqual(variant["peak_bytes"], plan["memory"]["peak_bytes"])
            self.assertEqual(variant["simulation"], plan["simulation"])
            self.assertEqual(variant["images_per_second"], plan["simulation"]["images_per_second"])
        self.assertTrue(0 < len(self.planned) < len(self.found["variants"]), self.found)

    def test_costs(self):
        # The same epoch for all: money of the whole run, from the machine's price of an hour.
        self.assertEqual(self.found["cost"], {"kind": "money", "of": "run"})
        rates = [v["cost"] / (v["ranks"] * v["run_seconds"]) for v in self.planned]
        for rate in rates:
            self.assertAlmostEqual(rate, rates[0], delta=1e-9 * rates[0])
        price = re.search(r"price = ([0-9.]+)", (pathlib.Path(SEERC).parent.parent / "specs/machines/a100-40g.seer")
                          .read_text()).group(1)
        self.assertAlmostEqual(rates[0] * 3600, float(price), places=6)

    def test_choices(self):
        fastest = min(self.planned, key=lambda v: v["run_seconds"])
        cheapest = min(self.planned, key=lambda v: v["cost"])
        self.assertEqual((self.found["fastest"], self.found["cheapest"]), (fastest["name"], cheapest["name"]))
        for variant in self.planned:
            beaten = any(o["run_seconds"] <= variant["run_seconds"] and o["cost"] <= variant["cost"]
                         and (o["run_seconds"], o["cost"]) != (variant["run_seconds"], variant["cost"])
                         for o in self.planned)
            self.assertEqual(variant["pareto"], not beaten, variant["name"])

    def test_efficiency(self):
        first = self.planned[0]
        for variant in self.planned:
            wanted = (variant["images_per_second"] / variant["ranks"]) / (first["images_per_second"] / first["ranks"])
            self.assertAlmostEqual(variant["efficiency"], wanted, places=12)

    def test_where_communication_takes_over(self):
        for batch in ("512", "2048"):
            line = [v for v in self.planned if v["values"]["train.batch"] == batch]
            ratio = [v["exposed_communication_seconds"] / v["compute_seconds"] for v in line]
            said = [f for f in self.found["findings"] if f.startswith(f"batch={batch}: communication")]
            self.assertEqual(len(said), 1, self.found["findings"])
            crossings = [i for i in range(len(line) - 1) if (ratio[i] > 1) != (ratio[i + 1] > 1)]
            self.assertTrue(crossings, "the example no longer crosses")
            i = crossings[0]
            share = math.log(ratio[i]) / math.log(ratio[i] / ratio[i + 1])
            low, high = (float(line[k]["values"]["cluster.nodes"]) for k in (i, i + 1))
            self.assertIn(f"at about nodes={low * (high / low) ** share:.3g}", said[0])

    def test_scaling_is_named(self):
        self.assertTrue(any(f.startswith("batch=512: strong scaling, 512 pictures a step")
                            for f in self.found["findings"]))
        weak = varied("--vary", "cluster.nodes=1,2,4", "-D",
                      "train.batch=16*cluster.nodes*cluster.ranks_per_node")
        self.assertEqual([v["images_per_step"] for v in weak["variants"]], [128, 256, 512])
        self.assertTrue(any(f.startswith("weak scaling, 16 pictures on each rank: 32 ranks") for f in weak["findings"]))

    def test_late_pictures_are_told(self):
        self.assertFalse(any("waits for its pictures" in f for f in self.found["findings"]))
        slow = varied(*WORK, "-Dcluster.decode_rate=300")
        planned = [v for v in slow["variants"] if v["outcome"] == "planned"]
        late = [v for v in planned if v["simulation"]["step"]["data_seconds"] > 0]
        self.assertTrue(any(f.startswith(f"in {len(late)} of {len(planned)} the step waits for its pictures")
                            for f in slow["findings"]), slow["findings"])

    def test_side_by_side_changes_nothing(self):
        one, four = (seerc("plan", "spec.seer", "--json", *WORK, "--jobs", n).stdout for n in ("1", "4"))
        self.assertEqual(one, four)


class Values(unittest.TestCase):
    def test_commas_inside_of_values(self):
        crops = "[crop(count = 2, size = 64px), crop(count = 2, size = 32px)]"
        found = varied("--vary", f"views.crops={crops}, [crop(count = 2, size = 48px)]", "--vary",
                       'data.pictures="a,b/","c/"')
        values = [v["values"] for v in found["variants"]]
        self.assertEqual([v["views.crops"] for v in values], [crops] * 2 + ["[crop(count = 2, size = 48px)]"] * 2)
        self.assertEqual([v["data.pictures"] for v in values], ['"a,b/"', '"c/"'] * 2)

    def test_constants_and_full_names(self):
        views = "views { crops = [crop(count = 2, size = side)] }\n"
        (FOLDER / "let.seer").write_text("let side = 64px\n" + SPEC + views)
        found = json.loads(seerc("plan", "let.seer", "--json", "--vary", "side=32px,48px").stdout)
        speeds = [v["images_per_second"] for v in found["variants"]]
        self.assertGreater(speeds[0], speeds[1])
        found = varied("--vary", "save.every=10steps,20steps", "--vary", "log.every=1steps,2steps")
        self.assertEqual(found["variants"][1]["name"], "save.every=10steps log.every=2steps")


class Wrong(unittest.TestCase):
    def test_a_wrong_variant_is_a_row(self):
        done = seerc("plan", "spec.seer", "--json", "--vary", "cluster.nodes=2,3,4", code=1)
        found = json.loads(done.stdout)
        self.assertEqual([v["outcome"] for v in found["variants"]], ["planned", "wrong", "planned"])
        self.assertIn("seerc: note: of the variant 'nodes=3'", done.stderr)
        self.assertIn("512", found["variants"][1]["reason"])
        self.assertIn("--vary:1:", seerc("plan", "spec.seer", "--vary", "train.batch=512,fast", code=1).stderr)

    def test_one_message_for_all(self):
        (FOLDER / "bad.seer").write_text(SPEC + "train { batch = 512  bach = 3 }\n")
        done = seerc("plan", "bad.seer", "--vary", "cluster.nodes=1,2,4", code=1)
        self.assertEqual((done.stdout, done.stderr.count("error:")), ("", 1), done.stderr)
        self.assertNotIn("of the variant", done.stderr)

    def test_nothing_fits(self):
        found = varied("--vary", "cluster.nodes=1,2", "-Dcluster.memory=20MiB", code=1)
        self.assertEqual([v["outcome"] for v in found["variants"]], ["too_large"] * 2)
        self.assertIsNone(found["cheapest"])
        self.assertIn("2 of 2 do not fit", found["findings"][-1])
        for output in ("--html", "--svg"):
            seerc("plan", "spec.seer", "--vary", "cluster.nodes=1,2", "-Dcluster.memory=20MiB", output, code=1)

    def test_names_that_there_are_not(self):
        for key, note in (("cluster.nods", "did you mean 'nodes'?"), ("clutser.nodes", "did you mean 'cluster'?")):
            done = seerc("plan", "spec.seer", "--vary", f"{key}=1,2", code=1)
            self.assertIn(note, done.stderr)
            self.assertEqual((done.stdout, done.stderr.count("error:")), ("", 1), done.stderr)
        self.assertIn("[syntax]", seerc("plan", "spec.seer", "--vary", "cluster.nodes=1,[2", code=1).stderr)

    def test_usage(self):
        cases = [(["--vary", "cluster.nodes"], "takes SECTION.KEY=V1,V2"), (["--vary", "=1"], "names no key"),
                 (["--vary", "cluster.nodes="], "has an empty value"),
                 (["--vary", "cluster.nodes=1,,2"], "has an empty value"),
                 (["--vary", "cluster.nodes=1, 1"], "has the value '1' twice"),
                 (["--vary", "cluster.nodes=1", "--vary", "cluster.nodes=2"], "is given twice"),
                 (["-Dcluster.nodes=2", "--vary", "cluster.nodes=1"], "is set by '-D cluster.nodes=2' and varied"),
                 (["--vary", "train.seed=" + ",".join(map(str, range(40))), "--vary",
                   "data.count=" + ",".join(map(str, range(1, 41)))], "makes more than 1000 variants"),
                 (["--jobs", "0", "--vary", "cluster.nodes=1"], "'--jobs' takes a number"),
                 (["--jobs", "1x", "--vary", "cluster.nodes=1"], "'--jobs' takes a number"),
                 (["--json", "--html", "--vary", "cluster.nodes=1"], "exclude each other")]
        cases += [([f"--{one}", "--vary", "cluster.nodes=1"], f"'--{one}' tells of one plan")
                  for one in ("sweep", "compare", "trace", "chain")]
        cases.append((["--why", "stem", "--vary", "cluster.nodes=1"], "'--why' tells of one plan"))
        for words, message in cases:
            done = seerc("plan", "spec.seer", *words, code=2)
            self.assertEqual(done.stdout, "")
            self.assertIn(message, done.stderr)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.words, self.links, self.depth = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        self.words.append(data)


class Outputs(unittest.TestCase):
    def test_table(self):
        text = seerc("plan", "spec.seer", *WORK).stdout
        rows = text.split("\n\n")[0].splitlines()
        self.assertEqual(len(rows), 1 + 8)
        self.assertEqual(rows[0].split()[:5], ["nodes", "batch", "ranks", "pictures", "step"])
        self.assertEqual(sum("fastest" in row for row in rows), 1)
        for finding in varied(*WORK)["findings"]:
            self.assertIn("- " + finding, text)

    def test_picture(self):
        for words, plots in ((WORK, 4), (["--vary", "shard.parameters=full,none"], 2)):
            root = xml.dom.minidom.parseString(seerc("plan", "spec.seer", *words, "--svg").stdout).documentElement
            self.assertEqual(len(root.getElementsByTagName("svg")), plots)
            width, height = (float(root.getAttribute(name)) for name in ("width", "height"))
            for plot in root.getElementsByTagName("svg"):
                self.assertLessEqual(float(plot.getAttribute("x")) + float(plot.getAttribute("width")), width)
                self.assertLessEqual(float(plot.getAttribute("y")) + float(plot.getAttribute("height")), height)
                marks = plot.getElementsByTagName("circle")
                self.assertTrue(marks)
                for mark in marks:
                    self.assertTrue(0 < float(mark.getAttribute("cx")) < float(plot.getAttribute("width")))
                    self.assertTrue(0 < float(mark.getAttribute("cy")) < float(plot.getAttribute("height")))

    def test_page(self):
        found = varied(*WORK)
        seerc("plan", "spec.seer", *WORK, "--html", "-o", "page.html")
        page = Page((FOLDER / "page.html").read_text())
        self.assertEqual(page.links, [])
        for finding in found["findings"]:
            self.assertIn(finding, page.words)


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "spec.seer").write_text(SPEC)
    unittest.main(argv=sys.argv[:1])
