#!/usr/bin/env python3
"""Whole trainers on several simulated GPUs: four ranks under mpirun.

usage: ranks_trainer_test.py SEERC LIBSIMULATED_CUDA [--all]

A small RegNetX with groups that need pads and tensors that no number of ranks divides, trained by SwAV with a queue,
its convolutions by products of warpgroups: parameters in parts give the bits of whole ones; what is sent and taken is
what the plan says; one step is as near to fp32 as that of four ranks on processors; a look at nearest neighbours
changes no bit, and one without room is refused; a rank that loses its GPU ends all.
--all: narrow gradients with accumulation, too, hybrid parts, and trainers that write all and nothing of what BatchNorm
makes.
"""
import json
import pathlib
import struct
import sys
import tempfile

import numpy

from rank_trainers import ONE_FAILS, RANKS, STEPS, build, pictures_make, snapshots, start, train, whole_state
from trainers import DRIVER, apart, common, expect, failures, losses, metrics

# How much further from fp32 than processors in bf16, at the median and at most: see trainer_test.py.
MEDIAN, MOST = 2.0, 2.5


def check_parts(folder, whole, parts, steps=STEPS, words=()):
    outs = [folder / f"run-{trainer.name}" for trainer in (whole, parts)]
    train(whole, outs[0])
    train(parts, outs[1], *words, SEER_SIMULATED_SEED="3", SEER_SIMULATED_SCHEDULE="random", SEER_SIMULATED_STRICT="1")
    expect(f"{parts.name}: the bits of {whole.name} after {steps} steps on {RANKS} ranks; losses {losses(outs[0])}",
           losses(outs[0]) == losses(outs[1]) and len(losses(outs[0])) == steps
           and whole_state(whole, outs[0])[0] == whole_state(parts, outs[1])[0])
    for trainer, out in zip((whole, parts), outs):
        plan = json.loads(common.run(trainer, "plan", "--json", "--world", RANKS).stdout)
        planned = plan["shard"]["gather_bytes"] + plan["shard"]["reduce_bytes"], plan["memory"]["peak_bytes"]
        # What is sent for whole parameters is no unit's, and not counted; a step that is passed over updates nothing.
        sent = [line["sent_bytes"] if trainer is parts else planned[0] for line in metrics(out)
                if not line.get("passed_over")]
        taken = [line["peak_bytes"] for line in metrics(out)]
        expect(f"{trainer.name}: sends {set(sent)} bytes and takes {taken[0]}, as planned: {planned}",
               set(sent) == {planned[0]} and set(taken) == {planned[1]})


def check_step(folder, gpu):
    narrow = build(folder, "narrow", target=None)
    wide = build(folder, "wide", "train.precision=fp32", target=None)
    states = []
    for trainer in (gpu, narrow, wide):
        out = folder / f"first-{trainer.name}"
        train(trainer, out, "--steps", 1)
        states.append(whole_state(trainer, out)[1])
    on_gpu, on_cpu = apart(states[0], states[2]), apart(states[1], states[2])
    ratio = numpy.median(list(on_gpu.values())) / numpy.median(list(on_cpu.values()))
    worst = max(on_gpu.values()) / max(on_cpu.values())
    expect(f"{len(on_gpu)} tensors: {ratio:.2f} times as far from fp32 as bf16 on processors, at most {worst:.2f}",
           ratio <= MEDIAN and worst <= MOST)


def check_views(folder, whole, bits):
    """BatchNorm's statistics go over all ranks; what it makes of them may be written or not."""
    for views in ("never", "always"):
        trainer, out = build(folder, views, words=(f"--normalize-on-read={views}",)), folder / f"run-{views}"
        train(trainer, out)
        expect(f"{views}: the bits of {whole.name}", whole_state(trainer, out)[0] == bits)


def looked_at(folder):
    """Words for a look at other pictures, with labels."""
    pictures_make(folder, "test", 16)
    (folder / "test-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 16) + bytes(i % 3 for i in range(16)))
    files = folder / "test-images-idx3-ubyte", folder / "test-labels-idx1-ubyte"
    return files, ("--knn-every", STEPS, "--eval-data", files[0], "--eval-labels", files[1])


def check_look(folder, trainer, out, files, words):
    """What a run saw is what its snapshot shows, and where only the step has room it is refused."""
    seen = metrics(out)[-1]["knn"][0]
    done = common.run(trainer, "knn", "--weights", out, "--data", files[0], "--labels", files[1], "--neighbours",
                      seen[0], "--temperature", seen[1], "--json", env={"SEER_LIBCUDA": DRIVER})
    expect(f"a look {seen} is that of `knn`",
           abs(json.loads(done.stdout)["trained"] - seen[2]) < 1e-6 and seen[0] == 15)
    peak = json.loads(common.run(trainer, "plan", "--json", "--world", RANKS).stdout)["memory"]["peak_bytes"]
    done = train(trainer, folder / "no-room", *words, code=3, SEER_SIMULATED_BYTES=str(-(-peak // 256) * 256 + 4096))
    expect(f"a look without room is refused: {done.stderr.strip().splitlines()[:1]}",
           "no room to look at nearest neighbours" in done.stderr and not (folder / "no-room/metrics.jsonl").exists())


def check_lost(folder, trainer, whole_run):
    """The GPU of one rank disappears in a later step: all end, and what was saved goes on to the same end."""
    out = folder / "lost"
    done = train(trainer, out, code=None, shell=("sh", "-c", ONE_FAILS, "cuLaunchKernel:1600:719"))
    said = [line for line in done.stderr.splitlines() if "GPU" in line]
    expect(f"a rank without its GPU ends all: exit {done.returncode}: {said[:1]}",
           done.returncode != 0 and any("Simulated GPU" in line and "719" in line for line in said))
    kept = snapshots(out)
    expect(f"snapshots from before are whole: {kept}", kept and STEPS not in kept)
    start(trainer, out, "--resume", out)
    expect("and go on to the same end", whole_state(trainer, out)[0] == whole_state(trainer, whole_run)[0])


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        pictures_make(folder)
        whole = build(folder, "whole", "shard.parameters=none")
        full = build(folder, "full", "shard.parameters=full")
        files, words = looked_at(folder)
        check_parts(folder, whole, full, words=words)
        check_look(folder, full, folder / "run-full", files, words)
        check_step(folder, full)
        check_lost(folder, full, folder / "run-full")
        if "--all" in sys.argv:
            check_views(folder, whole, whole_state(whole, folder / "run-whole")[0])
            narrow = ("shard.reduce=bf16", "train.accumulate=2")
            # What accumulates in parts is averaged in every micro-step, what is whole once: parts are as other parts.
            check_parts(folder, build(folder, "narrow-full", "shard.parameters=full", *narrow),
                        build(folder, "narrow-hybrid", "shard.parameters=hybrid(2)", *narrow))
            # Until the loss's scale is so small that steps are taken.
            half = ("shard.reduce=fp16", "train.precision=fp16", "train.steps=8")
            check_parts(folder, build(folder, "half-whole", "shard.parameters=none", *half),
                        build(folder, "half-gradients", "shard.parameters=gradients", *half), 8)
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
