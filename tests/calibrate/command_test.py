#!/usr/bin/env python3
"""seerc calibrate as a user runs it: command_test.py SEERC FOLDER

The description is one that plans take, in fp32 at least; it knows every kind of kernel; the times that it gives are of
the order of a step that is run here; every number tells where it comes from. Wrong values are refused before any work,
a folder that cannot be written is named, and a machine's file of one's own lies beside the spec.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

SPEC = """use "models/regnety_200mf"
supervised { classes = 10 }
views { crops = [crop(count = 1, size = 64px)] }
optimizer { name = sgd }
data { pictures = "none"  labels = "none" }
train { batch = 16  steps = 100 }
evaluate { size = 64px  resize = 64px  batch = 16 }
"""
# A loaded machine is slower than its best by far; a description that is wrong by an order of magnitude is caught.
SLOWER, FASTER = 8, 0.5


def run(*command, code=0):
    told = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert told.returncode == code, (command, told.returncode, told.stdout, told.stderr)
    return told


def refusals(seerc, folder):
    assert "--minutes" in run(seerc, "calibrate", "--minutes=-1", code=2).stderr
    assert "--threads" in run(seerc, "calibrate", "--threads=none", code=2).stderr
    assert "pdp11" in run(seerc, "calibrate", "--cpu=pdp11", code=2).stderr
    told = subprocess.run([str(seerc), "calibrate", "-o", str(folder / "x.seer")], capture_output=True, text=True,
                          env=dict(os.environ, TMPDIR=str(folder / "nowhere")))
    assert told.returncode == 3 and "TMPDIR" in told.stderr, told


def main():
    seerc, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    refusals(seerc, folder)
    machine, spec, trainer = folder / "here.seer", folder / "spec.seer", folder / "trainer"
    run(seerc, "calibrate", "--minutes=0.1", "-o", machine)
    text = machine.read_text()
    kinds = {line.split("kernel = ")[1].split(",")[0] for line in text.splitlines() if "kernel = " in line}
    assert len(kinds) == 27, sorted(kinds)
    assert "measured, seerc calibrate on" in text
    run(seerc, "check", machine)
    spec.write_text(SPEC)
    plan = json.loads(run(seerc, "plan", spec, "--json", "-D", 'cluster.machine="here.seer"').stdout)
    usual = json.loads(run(seerc, "plan", spec, "--json").stdout)
    assert plan["step"]["time_seconds"] != usual["step"]["time_seconds"]
    assert plan["memory"]["arena_bytes"] == usual["memory"]["arena_bytes"]
    run(seerc, "build", spec, "-o", trainer)
    bench = json.loads(run(trainer, "bench", "--json", "--steps=5").stdout)
    ratio = bench["step_seconds_min"] / plan["step"]["time_seconds"]
    assert FASTER < ratio < SLOWER, (bench["step_seconds_min"], plan["step"]["time_seconds"])
    print(f"a step takes {ratio:.2f} of what the plan says")


if __name__ == "__main__":
    main()
