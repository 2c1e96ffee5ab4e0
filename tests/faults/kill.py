# Kills a trainer with SIGKILL at random moments while it saves after every step. After each kill the run folder must
# hold a snapshot that verifies, the run must resume, and at the end its bytes must be those of an undisturbed run.
# usage: kill.py FOLDER_OF_TRAINERS TRIALS
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "trainer"))
from common import metrics_read, pictures_make, root_make, run, snapshot_bytes, snapshot_steps

TINY = os.path.join(os.path.abspath(sys.argv[1]), "tiny")
TRIALS, ROUND = int(sys.argv[2]), 200  # a round has a run of its own, so that runs stay short
STEPS = 100000000
OPTIONS = ["--save-every", "1", "--keep", "3", "--no-report", "--quiet"]


def kill_round(trials):
    root = root_make("seer-kill-")
    data = pictures_make(os.path.join(root, "pictures"), per_label=6)
    out = os.path.join(root, "run")
    run(TINY, "--data", data, "--out", out, "--steps", STEPS, "--stop-after", 2, *OPTIONS, expect=75)
    began = time.time()
    run(TINY, "--resume", out, "--stop-after", 3, *OPTIONS, expect=75)
    usual, newest, advanced, torn = time.time() - began, 5, 0, 0
    for trial in range(trials):
        trainer = subprocess.Popen([TINY, "--resume", out, *OPTIONS], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(usual * random.uniform(0.2, 1.5))
        trainer.send_signal(signal.SIGKILL)
        _, errors = trainer.communicate()
        assert trainer.returncode == -signal.SIGKILL, (trial, trainer.returncode, errors)
        assert b"warning" not in errors, (trial, errors)
        steps = snapshot_steps(out)
        assert steps and steps[-1] >= newest, "trial %d went back from %d to %s" % (trial, newest, steps)
        advanced += steps[-1] > newest
        usual *= 0.9 if steps[-1] > newest else 1.15  # the machine's load changes: stay where saves happen
        newest = steps[-1]
        torn += any(name.startswith(".") for name in os.listdir(os.path.join(out, "snapshots")))
        run(TINY, "check", out)
    run(TINY, "--resume", out, "--stop-after", 1, *OPTIONS, expect=75)
    end = snapshot_steps(out)[-1]
    whole = os.path.join(root, "whole")
    run(TINY, "--data", data, "--out", whole, "--steps", STEPS, "--stop-after", end, "--save-every", STEPS,
        "--no-report", "--quiet", expect=75)
    assert snapshot_bytes(out, end) == snapshot_bytes(whole, end), "the killed run ended in other bytes"
    losses = [(line["step"], line["loss"]) for line in metrics_read(out)]
    assert losses == [(line["step"], line["loss"]) for line in metrics_read(whole)], "metrics differ"
    assert advanced > trials // 4, "the kills missed the saves: %d of %d advanced" % (advanced, trials)
    leftovers = [name for name in os.listdir(os.path.join(out, "snapshots")) if name.startswith(".")]
    assert not leftovers, "what kills left is still there: %s" % leftovers
    shutil.rmtree(root)
    return torn


def main():
    random.seed(7)
    torn = sum(kill_round(min(ROUND, TRIALS - done)) for done in range(0, TRIALS, ROUND))
    assert torn > 0, "no kill struck in the middle of a save"
    print("%d kills: 0 lost snapshots, %d in the middle of a save, same bytes at each end" % (TRIALS, torn))


main()
