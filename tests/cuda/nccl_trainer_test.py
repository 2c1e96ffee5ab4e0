#!/usr/bin/env python3
"""Trainers whose ranks exchange by NCCL, simulated, with a simulated GPU each: four ranks under mpirun.

usage: nccl_trainer_test.py SEERC LIBSIMULATED_CUDA LIBSIMULATED_NCCL [--all]

The bits are those of ranks that exchange by way of the host, with whole parameters and with parts; what is sent and
taken is what the plan says; the start tells which way it is and why; what NCCL cannot do is refused by name; a failure
of NCCL and a rank that is killed end all ranks, and the last snapshot goes on to the same end. --all: a lost GPU,
hybrid parts and narrow gradients with accumulation, too.
"""
import json
import os
import pathlib
import signal
import sys
import tempfile

from rank_trainers import ONE_FAILS, RANKS, STEPS, build, pictures_make, snapshots, start, train, whole_state
from trainers import common, expect, failures, losses, metrics

NCCL = sys.argv[3]
ALONE = {"SEER_LIBNCCL": NCCL, "SEER_SIMULATED_DEVICES": str(RANKS), "SEER_SIMULATED_STRICT": "1"}
SMALL = ("model.depths=[1]", "model.widths=[24]", "model.group_widths=[8]")
SHARED = {"SEER_LIBNCCL": NCCL, "SEER_SIMULATED_DEVICES": "2"}


def told(done):
    return [line for line in done.stdout.splitlines() if line.startswith("ranks exchange")]


def check_bits(folder, trainer, *words, **host):
    """`host`: the environment of the run whose ranks exchange by way of the host."""
    outs = [folder / f"{trainer.name}-{way}" for way in ("host", "nccl")]
    lines = told(train(trainer, outs[0], *words, **host)), told(train(trainer, outs[1], **ALONE))
    why = "as '--exchange host' asks" if words else "ranks 0 and 2 share GPU 0 'Simulated GPU 0' (GPU-"
    expect(f"{trainer.name}: {lines[0]}", len(lines[0]) == 1 and "host and MPI: " + why in lines[0][0])
    expect(f"{trainer.name}: {lines[1]}", len(lines[1]) == 1 and "NCCL 2.28.9 (" in lines[1][0] and NCCL in lines[1][0])
    states = [whole_state(trainer, out)[0] for out in outs]
    expect(f"{trainer.name}: the bits of both ways after {STEPS} steps; losses {losses(outs[1])}",
           losses(outs[0]) == losses(outs[1]) and len(losses(outs[1])) == STEPS and states[0] == states[1])
    plan = json.loads(common.run(trainer, "plan", "--json", "--world", RANKS).stdout)
    counts = [[(line.get("sent_bytes"), line["peak_bytes"]) for line in metrics(out)] for out in outs]
    expect(f"{trainer.name}: sends and takes {counts[1][0]} bytes, as by way of the host and as planned",
           counts[0] == counts[1] and counts[1][0][1] == plan["memory"]["peak_bytes"])
    return states[1]


def check_refusals(folder, trainer):
    for what, environment, words in (
            ("two ranks of one GPU", SHARED, ("ranks 0 and 2 share GPU 0 'Simulated GPU 0' (GPU-00010203-",)),
            ("no library", {**ALONE, "SEER_LIBNCCL": "/nowhere/libnccl.so"}, ("SEER_LIBNCCL", "/nowhere/libnccl.so")),
            ("another library", {**ALONE, "SEER_LIBNCCL": "libm.so.6"}, ("'libm.so.6' is no NCCL",)),
            ("an old library", {**ALONE, "SEER_SIMULATED_NCCL_VERSION": "22105"}, ("2.21.5", "2.26.0"))):
        out = folder / what.replace(" ", "-")
        done = train(trainer, out, "--exchange", "nccl", code=None, **environment)
        expect(f"NCCL asked for, and {what}: exit {done.returncode}: {done.stderr.strip().splitlines()[:1]}",
               done.returncode == 3 and all(word in done.stderr for word in words)
               and "'--exchange nccl' cannot be" in done.stderr and not list((out / "snapshots").glob("step-*")))
    done = train(trainer, folder / "other-way", "--exchange", "tcp", code=None, **ALONE)
    expect(f"another way: exit {done.returncode}: {done.stderr.strip().splitlines()[:1]}",
           done.returncode == 2 and "'nccl' or 'host', not 'tcp'" in done.stderr)


def check_failure(folder, trainer, name, words, shell=(), **environment):
    """In the third step."""
    out = folder / name
    done = train(trainer, out, code=None, shell=shell, **ALONE, **environment)
    said = [line for line in done.stderr.splitlines() if line.startswith(trainer.name)]
    expect(f"{name}: exit {done.returncode}: {said}",
           done.returncode in (3, 128 + signal.SIGKILL) and len(said) == 1 and all(word in said[0] for word in words))
    kept = snapshots(out)
    expect(f"{name}: snapshots from before are whole: {kept}", kept and STEPS not in kept)


def check_resume(trainer, out, wanted):
    start(trainer, out, "--resume", out, **ALONE)
    expect(f"{out.name}: goes on to the same end", whole_state(trainer, out)[0] == wanted)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        os.environ["SEER_SIMULATED_NCCL_FOLDER"] = temporary
        pictures_make(folder)
        check_bits(folder, build(folder, "whole", *SMALL, "shard.parameters=none"), "--exchange", "host", **ALONE)
        full = build(folder, "full", *SMALL, "shard.parameters=full")
        wanted = check_bits(folder, full, **SHARED)
        check_refusals(folder, full)
        check_failure(folder, full, "failed", ("rank 2: GPU 2 'Simulated GPU 2': ", "NCCL: remote process"),
                      SEER_SIMULATED_NCCL_FAIL="operation:95:6:2")
        check_resume(full, folder / "failed", wanted)
        check_failure(folder, full, "killed", ("rank 3 ", "is gone: killed"),
                      SEER_SIMULATED_NCCL_FAIL=f"operation:95:{-signal.SIGKILL}:3")
        if "--all" in sys.argv:
            check_failure(folder, full, "lost", ("rank 1: GPU 1 'Simulated GPU 1': cuGraphLaunch", "(719)"),
                          shell=("sh", "-c", ONE_FAILS, "cuGraphLaunch:6:719"))
            check_resume(full, folder / "lost", wanted)
            check_resume(full, folder / "killed", wanted)
            narrow = ("shard.reduce=bf16", "train.accumulate=2")
            for kind in ("none", "hybrid(2)", "gradients"):
                check_bits(folder, build(folder, "narrow-" + kind[:4], f"shard.parameters={kind}", *narrow),
                           "--exchange", "host", **ALONE)
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
