#!/usr/bin/env python3
"""Spikes of the loss: twelve pictures in a row with wrong labels make one. The run goes back, passes over them, and
says so; a run that is interrupted anywhere ends in the same bits; a rate that is far too high is given up.

Usage: spike_test.py SEERC SANITIZE
"""
import json
import os
import random
import re
import shutil
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ranks_common as common
from ranks_common import Run

SEERC, SANITIZE = sys.argv[1], sys.argv[2] == "1"
del sys.argv[1:3]
BATCH, STEPS, PICTURES, BAD_STEP = 12, 44, 720, 40
REWIND, SKIP, SAMPLE = 10, 15, 100
TEXT = f"""
train {{ batch = {BATCH}  steps = {STEPS} }}
views {{ jitter = 0  grey = 0  blur = 0 }}
schedule {{ base = 0.1  shape = constant }}
save {{ every = 5steps  keep = 5 }}
monitor {{ columns = label  sample = {SAMPLE} }}
on_spike {{ rewind = {REWIND}  skip = {SKIP}  window = 10  factor = 1.8 }}
"""


class Spikes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = common.scratch("seer-spikes-")
        cls.trainers = common.Trainers(SEERC, cls.folder, SANITIZE)
        kinds = [random.Random(number).randrange(4) for number in range(PICTURES)]
        pictures, labels = common.pictures_make(cls.folder / "bad-images-idx3-ubyte", kinds)
        wrong = bytearray(labels.read_bytes())
        for position in range((BAD_STEP - 1) * BATCH, BAD_STEP * BATCH):
            picture = common.picture_at(position, PICTURES)
            wrong[8 + picture] = (wrong[8 + picture] + 2) % 4
        labels.write_bytes(wrong)
        cls.data = pictures, labels

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def start(self, ranks, name, *options, text=TEXT):
        return Run(self.trainers.get(ranks, text, self.data), ranks, "Open MPI", *options, "--out", self.folder / name)

    def spikes_of(self, name):
        return json.loads((self.folder / name / "spikes.json").read_text())

    def same(self, one, other):
        files = [common.snapshot_files(self.folder / name, STEPS) for name in (one, other)]
        self.assertTrue(files[0] == files[1], f"{one} and {other} end in other bits")
        keys = ("step", "loss", "epoch", "rewound_from", "skipped_pictures", "monitor")
        lines = [[[line.get(key) for key in keys] for line in common.metrics_of(self.folder / name)]
                 for name in (one, other)]
        self.assertEqual(*lines)

    said = {}

    def whole(self, ranks):
        name = f"whole-{ranks}"
        if not (self.folder / name).exists():
            code, said = self.start(ranks, name).wait()
            self.assertEqual(code, 0, said)
            self.said[name] = said
        return name

    def test_the_run_goes_back_and_passes_over(self):
        for ranks in (1, 2):
            name = self.whole(ranks)
            told = (rf"warning: the loss of step {BAD_STEP} is .*, above 1.8 times the median .*: back to step "
                    rf"{BAD_STEP - REWIND}, without the {SKIP * BATCH} pictures")
            self.assertEqual(len(re.findall(told, self.said[name])), 1, self.said)
            spike, = self.spikes_of(name)["spikes"]
            self.assertEqual((spike["step"], spike["to"], spike["skipped_pictures"]),
                             (BAD_STEP, BAD_STEP - REWIND, SKIP * BATCH))
            lines = common.metrics_of(self.folder / name)
            self.assertEqual([line["step"] for line in lines], list(range(1, STEPS + 1)))
            told = [line for line in lines if "rewound_from" in line]
            self.assertEqual([(line["step"], line["rewound_from"]) for line in told],
                             [(BAD_STEP - REWIND + 1, BAD_STEP)])
            self.assertLess(max(line["loss"] for line in lines[BAD_STEP - REWIND:]), spike["loss"])

    def test_what_was_passed_over_is_not_counted(self):
        back = (BAD_STEP - REWIND) * BATCH
        positions = [*range(back), *range(back + SKIP * BATCH, (STEPS + SKIP) * BATCH)]
        labels = self.data[1].read_bytes()[8:]
        level, sample = common.sample_of(positions, SAMPLE)
        wanted = {}
        for position in sample:
            label = str(labels[common.picture_at(position % PICTURES, PICTURES, position // PICTURES)])
            wanted[label] = wanted.get(label, 0) + 1
        for ranks in (1, 2):
            kept = common.monitor_of(self.folder / self.whole(ranks), STEPS)
            self.assertEqual((kept["level"], kept["seen"]), (level, STEPS * BATCH))
            self.assertEqual({texts[0]: count for texts, count in common.combinations_of(kept).items()}, wanted)

    def test_a_run_that_is_killed_goes_the_same_way(self):
        for ranks in (1, 2):
            whole, name = self.whole(ranks), f"killed-{ranks}"
            out = self.folder / name
            for _ in range(20):  # a busy machine may see the spike's record only when the run is over
                run = self.start(ranks, name)
                common.wait_until(lambda: (out / "spikes.json").exists(), run)
                if not run.is_over():
                    os.killpg(run.process.pid, signal.SIGKILL)
                if run.wait()[0]:
                    break
                shutil.rmtree(out)
            else:
                self.fail("no run was caught between its spike and its end")
            # The launcher is gone at once, its ranks a little later.
            deadline = time.monotonic() + 60
            code, said = self.start(ranks, name, "--resume").wait()
            while code and "in use by another run" in said and time.monotonic() < deadline:
                time.sleep(0.5)
                code, said = self.start(ranks, name, "--resume").wait()
            self.assertEqual(code, 0, said)
            self.same(whole, name)

    def test_a_run_that_was_killed_while_it_went_back(self):
        """As the disk is when it has noted the spike and removed nothing yet."""
        whole = self.whole(2)
        for stop in (BAD_STEP - 1, BAD_STEP - 6):
            name = f"torn-{stop}"
            self.start(2, name, "--stop-after", stop).wait()
            noted = self.spikes_of(whole) | {"settled": False}
            (self.folder / name / "spikes.json").write_text(json.dumps(noted))
            code, said = self.start(2, name, "--resume").wait()
            self.assertEqual(code, 0, said)
            self.same(whole, name)
            self.assertTrue(self.spikes_of(name)["settled"])

    def test_resumed_without_the_rule_it_keeps_what_was_skipped(self):
        whole, name = self.whole(1), "without"
        shutil.copytree(self.folder / whole, self.folder / name)
        shutil.rmtree(self.folder / name / "snapshots" / f"step-{STEPS}")
        plain = TEXT[:TEXT.index("on_spike")]
        code, said = self.start(1, name, "--resume", text=plain).wait()
        self.assertEqual(code, 0, said)
        self.same(whole, name)

    def test_a_rate_that_is_too_high_is_given_up(self):
        hot = TEXT.replace("base = 0.1 ", "peak = 10000 ")
        code, said = self.start(2, "hot", text=hot).wait()
        self.assertNotEqual(code, 0)
        self.assertEqual(len(re.findall(r"warning: the loss of step \d+ is .*: back to step 0", said)), 3, said)
        self.assertEqual(len(re.findall(r": error: the loss spikes again in step \d+: going back .* has not helped "
                                        r"3 times", said)), 1, said)
        self.assertIn("schedule.peak", said)

    def test_a_damaged_list_is_refused(self):
        whole, name = self.whole(1), "damaged"
        shutil.copytree(self.folder / whole, self.folder / name)
        (self.folder / name / "spikes.json").write_text('{"format": 1}')
        code, said = self.start(1, name, "--resume").wait()
        self.assertEqual(code, 1, said)
        self.assertIn("spikes.json' is damaged", said)


if __name__ == "__main__":
    unittest.main()
