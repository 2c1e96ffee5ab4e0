"""The runtime's learning rates against the formulas, for the published runs and every shape.

usage: schedule_test.py TOOL
"""
import subprocess
import sys
import unittest

from reference_step import schedule_rate

TOOL = None
RUNS = [
    dict(steps=126008, start=0.15, peak=9.3, end=0.0093, warmup_fraction=0.043648),
    dict(steps=126008, start=0.15, peak=9.3, end=0.0093, warmup_steps=5500),
    dict(steps=1000, start=0.3, peak=4.8, end=0.0048, warmup_steps=100, cosine_from_run=False),
    dict(steps=1000, start=0.3, peak=4.8, end=0.0048, warmup_fraction=0.25, cosine_from_run=False),
    dict(steps=50, start=0.1, peak=1, end=0, warmup_steps=0),
    dict(steps=90, start=0.1, peak=1, end=0.5, warmup_steps=7, shape="constant"),
    dict(steps=90, start=0.1, peak=1, end=0, warmup_steps=9, shape="step", milestones=(1 / 3, 2 / 3, 0.9), gamma=0.2),
    dict(steps=1, start=0.1, peak=1, end=0.2, warmup_steps=0),
]


class Schedule(unittest.TestCase):
    def test_rates(self):
        for run in RUNS:
            steps = run["steps"]
            asked = sorted({0, 1, steps // 2, steps - 1, 5498, 5499, 5500, 5501, *range(0, steps, max(1, steps // 97))})
            asked = [s for s in asked if 0 <= s < steps]
            milestones = [str(m) for m in run.get("milestones", ())]
            by_share = "warmup_fraction" in run
            command = [TOOL, str(steps), "-1" if by_share else str(run["warmup_steps"]),
                       str(run.get("warmup_fraction", 0)), str(run["start"]), str(run["peak"]), str(run["end"]),
                       run.get("shape", "cosine"), "01"[run.get("cosine_from_run", True)], str(run.get("gamma", 0.1))]
            done = subprocess.run(command + milestones, input="\n".join(map(str, asked)), capture_output=True,
                                  text=True, check=True)
            rates = [float(line) for line in done.stdout.split()]
            self.assertEqual(len(rates), len(asked))
            for step, rate in zip(asked, rates):
                expected = schedule_rate(step, **run)
                self.assertLess(abs(rate - expected), 1e-12 * abs(run["peak"]), f"{run} step {step}")


if __name__ == "__main__":
    TOOL = sys.argv.pop()
    unittest.main()
