#!/usr/bin/env python3
"""What a run counts of its data is what it was trained on: the same numbers, worked out anew from the order of its
pictures, on one, two and four ranks, and after stops, kills and changes of their number. Damage is found; what the data
lack is said at the start; the page shows what was counted.

Usage: monitor_test.py SEERC SANITIZE
"""
import collections
import csv
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "page"))
import ranks_common as common
from parsed import Page
from ranks_common import Run

SEERC, SANITIZE = sys.argv[1], sys.argv[2] == "1"
del sys.argv[1:3]
BATCH, STEPS, PICTURES, SAMPLE, EVERY = 12, 60, 600, 150, 4
COLUMNS = ["country", "gender", "age", "label"]
TEXT = f"""
train {{ batch = {BATCH}  steps = {STEPS} }}
schedule {{ base = 0.01 }}
save {{ every = 7steps  keep = 3 }}
log {{ every = {EVERY} }}
cluster {{ worlds = [1, 2, 4] }}
monitor {{ columns = [country, gender, age, label]  sample = {SAMPLE}  reference = ["population.csv", "g.tsv"] }}
"""
HOSTILE = "<script>alert('&')</script>\"x\""


class Monitor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = common.scratch("seer-monitor-")
        pictures = common.folder_make(cls.folder / "data", PICTURES)
        draw = random.Random(3)
        # Unknown values, names of one country in several ways, and what is none.
        countries = ["FR"] * 5 + ["fra", "DE", "us", "USA", "BR", "XX", HOSTILE, ""]
        cls.rows = [(draw.choice(countries), draw.choice(["female", "male", "male", ""]),
                     draw.choice(["", "20", "30.5", "-0"]), str(number % 4)) for number in range(PICTURES)]
        with open(pictures / "m.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["path", *COLUMNS])
            table.writerows([f"{number % 4}/{number}.png", *row] for number, row in enumerate(cls.rows))
        subprocess.run([SEERC, "data", "index", pictures / "m.csv", "-o", pictures / "m.index"], check=True,
                       stdout=subprocess.DEVNULL)
        listed = subprocess.run([SEERC, "data", "list", "--json", pictures / "m.index"], check=True,
                                stdout=subprocess.PIPE, text=True).stdout.splitlines()
        one = {"fra": "FR", "us": "US", "USA": "US", "": None}
        ages = {"": None, "20": 20, "30.5": 30.5, "-0": 0}
        numbers = [int(re.search(r"(\d+)\.png", line).group(1)) for line in listed]
        cls.values = [(one.get(row[0], row[0]), row[1] or None, ages[row[2]], row[3])
                      for row in (cls.rows[number] for number in numbers)]
        spec = cls.folder / "trainer.seer"
        (cls.folder / "population.csv").write_text("country,share\nFR,0.1\nDE,0.2\nUS,0.5\nCN,0.2\n")
        (cls.folder / "g.tsv").write_text("gender\tcount\nfemale\t51\nmale\t49\n")
        spec.write_text(common.SPEC.replace("cluster {", "cluster { patience = 60  ") + TEXT +
                        f'data {{ pictures = "{pictures}/m.index" }}\n')
        cls.trainer = cls.folder / "trainer"
        subprocess.run([SEERC, "build", spec, "-D", "cluster.ranks_per_node=4", "-o", cls.trainer,
                        *(["--sanitize"] if SANITIZE else [])], check=True, stdout=subprocess.DEVNULL)
        cls.start(1, "whole").wait()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def start(cls, ranks, name, *options):
        return Run(cls.trainer, ranks, "Open MPI", *options, "--out", cls.folder / name)

    def done(self, ranks, name, *options):
        code, said = self.start(ranks, name, *options).wait()
        self.assertEqual(code, 0, said)
        return said

    def value_at(self, position):
        return self.values[common.picture_at(position % PICTURES, PICTURES, position // PICTURES)]

    def same(self, name):
        """As the whole run: what was counted to the byte, and every line of metrics."""
        kept = [(self.folder / out / "snapshots" / f"step-{STEPS}" / "monitor.json").read_bytes()
                for out in ("whole", name)]
        self.assertEqual(*kept)
        lines = [[(line["step"], line["monitor"]) for line in common.metrics_of(self.folder / out)]
                 for out in ("whole", name)]
        self.assertEqual(*lines)

    def test_counts_are_those_of_the_order(self):
        for step in (56, STEPS):
            kept = common.monitor_of(self.folder / "whole", step)
            level, sample = common.sample_of(range(step * BATCH), SAMPLE)
            self.assertGreater(level, 0)
            self.assertEqual((kept["columns"], kept["sample"], kept["level"], kept["seen"], kept["since"]),
                             (COLUMNS, SAMPLE, level, step * BATCH, 0))
            self.assertEqual(common.combinations_of(kept), collections.Counter(map(self.value_at, sample)))

    def test_lines_tell_of_sample_and_window(self):
        lines = common.metrics_of(self.folder / "whole")
        self.assertEqual([line["step"] for line in lines], list(range(EVERY, STEPS + 1, EVERY)))
        text = lambda value: value if value is None or isinstance(value, str) else f"{value:g}"
        for line in lines:
            level, sample = common.sample_of(range(line["step"] * BATCH), SAMPLE)
            window = [place for place in sample if place >= (line["step"] - EVERY) * BATCH]
            told = line["monitor"]
            self.assertEqual((told["level"], told["sample"], told["window"]), (level, len(sample), len(window)))
            for number, column in enumerate(COLUMNS):
                whole = collections.Counter(text(self.value_at(place)[number]) for place in sample)
                now = collections.Counter(text(self.value_at(place)[number]) for place in window)
                shares = told["columns"][column]["shares"]
                self.assertEqual(told["columns"][column]["values"], len(whole))
                self.assertEqual({value: share for value, share, _ in shares},
                                 {value: float(f"{count / len(sample):.6g}") for value, count in whole.items()})
                self.assertEqual([share for _, share, _ in shares], sorted((s for _, s, _ in shares), reverse=True))
                for value, _, share in shares:
                    self.assertAlmostEqual(share, now[value] / len(window) if window else 0, 5)
                distance = sum(abs(whole[value] / len(sample) - now[value] / max(len(window), 1)) for value in whole)
                self.assertEqual("distance" in told["columns"][column], bool(window))
                self.assertAlmostEqual(told["columns"][column].get("distance", distance / 2), distance / 2, 5)

    def test_ranks_agree(self):
        for ranks in (2, 4):
            self.done(ranks, f"ranks-{ranks}")
            self.same(f"ranks-{ranks}")

    def test_stopped_and_resumed_on_other_ranks(self):
        """Between two lines of metrics, too, where a part of a window lies in the snapshot."""
        self.start(4, "moved", "--stop-after", 9).wait()
        self.start(1, "moved", "--resume", "--stop-after", 14).wait()
        self.start(2, "moved", "--resume", "--stop-after", 1).wait()
        self.done(4, "moved", "--resume")
        self.same("moved")

    def test_killed(self):
        out = self.folder / "killed"
        for turn in range(3):
            run = self.start(2, "killed", *(["--resume"] if turn else []))
            common.wait_until(lambda: common.steps_done(out) > 2 + 3 * turn, run)
            if not run.is_over():
                os.killpg(run.process.pid, signal.SIGKILL)
            run.wait()
        for _ in range(100):  # the ranks of a launcher that was killed go a little later
            code, said = self.start(1, "killed", "--resume").wait()
            if "in use by another run" not in said:
                break
        self.assertEqual(code, 0, said)
        if "is complete" not in said:
            self.same("killed")

    def test_damage_is_found(self):
        name = "damaged"
        shutil.copytree(self.folder / "whole", self.folder / name)
        path = self.folder / name / "snapshots" / f"step-{STEPS}" / "monitor.json"
        whole = path.read_bytes()
        for bytes_now in (whole.replace(b'"level"', b'"Level"'), whole[:-9], None):
            if bytes_now is None:
                path.unlink()
            else:
                path.write_bytes(bytes_now)
            checked = subprocess.run([self.trainer, "check", self.folder / name], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
            self.assertEqual(checked.returncode, 1)
            self.assertRegex(checked.stdout, rf"step {STEPS} +damaged: .*monitor\.json")
            path.write_bytes(whole)
        path.write_bytes(whole[:-9] + b" " * 9)
        said = self.done(2, name, "--resume")
        self.assertRegex(said, r"warning: .*monitor\.json' is damaged: its content does not match its checksum")
        self.assertTrue((self.folder / name / "snapshots" / f"step-{STEPS}.damaged").is_dir())
        self.same(name)

    def test_a_snapshot_that_counted_nothing(self):
        """As of a run that began without the monitor, and of one of other columns."""
        name = "later"
        self.start(1, name, "--stop-after", 20).wait()
        folder = self.folder / name / "snapshots" / "step-20"
        manifest = json.loads((folder / "manifest.json").read_text())
        del manifest["monitor"]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "monitor.json").unlink()
        run = subprocess.run([self.trainer, "--out", self.folder / name, "--resume", "--no-report", "--threads", "1"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("the sample begins with step 21", run.stdout)
        kept = common.monitor_of(self.folder / name, STEPS)
        level, sample = common.sample_of(range(20 * BATCH, STEPS * BATCH), SAMPLE)
        self.assertEqual((kept["level"], kept["since"], kept["seen"]), (level, 20 * BATCH, (STEPS - 20) * BATCH))
        self.assertEqual(common.combinations_of(kept), collections.Counter(map(self.value_at, sample)))

    def test_what_the_data_lack(self):
        pictures = self.folder / "data"
        with open(pictures / "few.csv", "w", encoding="utf-8") as file:
            file.write("path,country,sex\n" + "".join(f"{n % 4}/{n}.png,FR,m\n" for n in range(40)))
        subprocess.run([SEERC, "data", "index", pictures / "few.csv", "-o", pictures / "few.index"], check=True,
                       stdout=subprocess.DEVNULL)
        for ranks, data, what in ((1, "few.index", "there is no column 'gender'\n.*there are country, sex, label"),
                                  (2, "few.index", "there is no column 'gender'"),
                                  (1, "0", "there is no column 'country'.*labels alone\n.*seerc data index")):
            code, said = self.start(ranks, f"lack-{ranks}-{data}", "--data", pictures / data).wait()
            self.assertEqual(code, 1, said)
            self.assertRegex(said, "(?s)monitor.columns: " + what)

    def shows(self, page, text):
        self.assertTrue(text in page.text, f"the page does not show '{text}'")

    def test_the_page_shows_what_was_counted(self):
        run = subprocess.run([self.trainer, "report", self.folder / "whole", "--limit", "8", "--quiet", "--threads",
                              "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        text = (self.folder / "whole" / "report.html").read_text(encoding="utf-8")
        page = Page(text)
        self.assertFalse("<script" in text)
        self.shows(page, HOSTILE)
        counted = common.combinations_of(common.monitor_of(self.folder / "whole", STEPS))
        total = sum(counted.values())
        self.shows(page, f"a uniform sample of {total}, at most {SAMPLE}, of the {STEPS * BATCH} pictures")
        names = {"FR": "France (FR)", "DE": "Germany (DE)", "US": "United States (US)", "BR": "Brazil (BR)"}
        for number in range(2):
            wanted = collections.Counter()
            for values, count in counted.items():
                wanted[names.get(values[number], values[number] or "unknown")] += count
            rows = [table for table in page.tables if table[0][:2] == ["value", "pictures"]][number][1:]
            self.assertEqual({row[0]: int(row[1]) for row in rows}, {"unknown": 0} | wanted)
            for row in rows:
                low, high = map(float, re.match(r"(.*) to (.*) %", row[3]).groups())
                share, z = int(row[1]) / total, 1.959963984540054
                middle = (share + z * z / (2 * total)) / (1 + z * z / total)
                half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
                self.assertAlmostEqual(low, 100 * (middle - half), 1)
                self.assertAlmostEqual(high, 100 * (middle + half), 1)
        self.shows(page, "Compared with population.csv")
        self.shows(page, "Compared with g.tsv")
        self.shows(page, "Absent from the data: 1 value, 20.0 % of the reference. China (CN)")
        known = {values: count for values, count in counted.items() if None not in values}
        possible = math.prod(len({values[c] for values in counted if values[c] is not None}) for c in range(4))
        self.shows(page, f"{possible - len(known)} of {possible} combinations of values that occur have no picture")
        self.shows(page, "over the run")
        self.shows(page, "by chance alone")

    def test_references_are_read_when_it_is_built(self):
        spec = self.folder / "trainer.seer"
        for name, content, what in (("none.csv", None, "cannot read"), ("a.csv", "age,share\nx,1\ny,z\n", "line 3"),
                                    ("b.csv", "value,share\nx,1\n", "names no column of values")):
            if content:
                (self.folder / name).write_text(content)
            run = subprocess.run([SEERC, "build", spec, "-D", f'monitor.reference = "{name}"', "-o", "/dev/null/x"],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(run.returncode, 1, run.stdout)
            self.assertRegex(run.stdout, rf"error: .*{what}.* \[reference\]")
        (self.folder / "c.csv").write_text("Country,count\nx,1\n")
        run = subprocess.run([SEERC, "build", spec, "-D", 'monitor.reference = ["population.csv", "c.csv"]', "-o",
                              "/dev/null/x"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertIn("'c.csv' is the second table for column 'country' [reference]", run.stdout)


if __name__ == "__main__":
    unittest.main()
