#!/usr/bin/env python3
"""Activations that wait in the host's memory: a trainer whose plan offloads makes the bits of one that keeps all.

usage: offload_test.py SEERC LIBSIMULATED_CUDA

Two trainers of one small network on the simulated GPU, whose copies land as late as they may: under several drawn
orders, as graphs and launch by launch, stopped and resumed. What they take of both memories is what the plan says.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

from trainers import DRIVER, SEERC, build_spec, common, expect, failures, losses, state

# A link that is fast beside so small a step, so that offloading pays where memory is short.
SPEC = """use "recipes/swav"
model { family = regnety depths = [3, 2] widths = [16, 24] group_widths = [8, 12] stem_width = 16 }
data { pictures = "pictures" }
views { crops = [crop(count = 3, size = 32px)] }
swav { head = [32, 16] prototypes = 20 freeze_prototypes = 0 queue = 16 queue_start = 0 }
train { batch = 8 accumulate = 2 steps = 4 precision = bf16 }
save { every = 2 }
evaluate { batch = 8 size = 32 resize = 36 }
cluster { machine = "h100" host_bandwidth = 1e15 }
"""
BUDGET = "800000B"
TARGET = "--target=cuda:simulated"


def seerc(folder, command, *words):
    return subprocess.run([SEERC, command, "offloading.seer", *words], cwd=folder, capture_output=True, text=True)


def run(trainer, command, *words, expected=0, **environment):
    environment = {"SEER_LIBCUDA": DRIVER, "SEER_SIMULATED_STRICT": "1", **environment}
    return common.run(trainer, command, *words, cwd=trainer.parent, env=environment, expect=expected, timeout=600)


def train(trainer, out, *words, **options):
    return run(trainer, "train", "--out", out, "--no-report", *words, **options)


def outcome(out):
    return losses(out), {name: tensor.tobytes() for name, tensor in state(out, 4).items()}


def check_plan(folder, plan):
    """It does offload several tensors, and what the host has to hold is told."""
    blocks = [block["name"] for block in plan["checkpoint"]["blocks"] if block["offload"]]
    steps = [step["kind"] for step in plan["schedule"]]
    expect(f"offloaded: {', '.join(blocks)}; {plan['memory']['host_bytes']} bytes on the host",
           len(blocks) >= 2 and plan["memory"]["host_bytes"] > 0)
    expect("every block's copy goes and comes back",
           steps.count("offload") == len(blocks) and steps.count("fetch") == len(blocks))
    text = seerc(folder, "plan", TARGET, "-D", f"checkpoint.budget={BUDGET}").stdout
    expect("the summary has it, too", f"{plan['memory']['host_bytes']}" in text and ", offloaded" in text)


def check_orders(folder, trainer, plan, wanted):
    """Whatever runs late and in whatever order: the same bits, in exactly the memory that the plan says."""
    memory = plan["memory"]
    for seed, schedule in ((1, "first_first"), (2, "random"), (3, "last_first")):
        out, used = folder / f"order-{seed}", folder / f"used-{seed}"
        train(trainer, out, SEER_SIMULATED_SEED=str(seed), SEER_SIMULATED_SCHEDULE=schedule,
              SEER_SIMULATED_USED=str(used), SEER_SIMULATED_HOST=str(memory["host_bytes"]))
        expect(f"order {seed}: the bits of a trainer that keeps all", outcome(out) == wanted)
        taken = [int(number) for number in used.read_text().split()]
        expect(f"order {seed}: takes {taken} bytes", taken == [memory["peak_bytes"], memory["host_bytes"]])


def check_resume(folder, trainer, wanted):
    out = folder / "stopped"
    train(trainer, out, "--stop-after", 2, expected=75)
    run(trainer, "--resume", out, "--no-report")
    expect("a run that was stopped ends as one that was not", outcome(out) == wanted)


def check_by_launch(folder, keeping, offloading, state_bytes):
    """`bench` profiles: all but its first step are sent launch by launch."""
    states = []
    for trainer, seed in ((keeping, 0), (offloading, 4), (offloading, 5)):
        last = folder / f"bench-{trainer.name}-{seed}"
        run(trainer, "bench", "--no-ops", "--steps", 1, SEER_SIMULATED_SEED=str(seed), SEER_SIMULATED_LAST=str(last))
        states.append(last.read_bytes()[:state_bytes])
    expect("launch by launch: the same bits", len(states[0]) == state_bytes and len(set(states)) == 1)


def check_refusals(folder, trainer, host_bytes):
    done = train(trainer, folder / "short", expected=None, SEER_SIMULATED_HOST=str(host_bytes - 1))
    words = ("'Simulated GPU'", f"{host_bytes / 1048576:.1f} MiB", "page-locked", "offloaded activations", "available")
    expect(f"too little of the host's memory: exit {done.returncode}: {done.stderr.strip().splitlines()[:1]}",
           done.returncode == 3 and all(word in done.stderr for word in words))
    done = seerc(folder, "build", "-D", "train.precision=fp32", "-D", "checkpoint.budget=1800000B", "-o", "never")
    expect(f"target c: exit {done.returncode}: {done.stderr.strip().splitlines()[:1]}",
           done.returncode == 1 and "target c cannot offload" in done.stderr and not (folder / "never").exists())


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        common.pictures_make(str(folder / "pictures"))
        keeping = build_spec(folder, "keeping", SPEC, TARGET, "-D", "checkpoint.offload=no")
        offloading = build_spec(folder, "offloading", SPEC, TARGET, "-D", f"checkpoint.budget={BUDGET}")
        plan = json.loads(common.run(offloading, "plan", "--json").stdout)
        check_plan(folder, plan)
        train(keeping, folder / "kept")
        wanted = outcome(folder / "kept")
        check_orders(folder, offloading, plan, wanted)
        check_resume(folder, offloading, wanted)
        check_by_launch(folder, keeping, offloading, plan["memory"]["state_bytes"])
        check_refusals(folder, offloading, plan["memory"]["host_bytes"])
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
