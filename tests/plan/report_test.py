#!/usr/bin/env python3
"""What `seerc plan` says, against itself: keys, sums, modes, the curve, and every operation's account.

Usage: report_test.py SEERC SPECS small|large. Plans a few shipped networks, or RG-10B on 496 ranks; demands what is
promised.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

SEERC, SPECS, SIZE = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
CLUSTER = """
cluster { machine = "a100-40g" nodes = 62 ranks_per_node = 8 }
shard { parameters = full reduce = fp16 }
"""
KEYS = {
    "model": "name family parameters_trunk parameters_total depths widths group_widths macs_by_size",
    "step": "images time_seconds images_per_second flops recompute_flops exposed_communication_seconds",
    "memory": "budget_bytes peak_bytes arena_bytes live_peak_bytes minimum_budget_bytes by_kind outside",
    "checkpoint": "blocks cost_seconds lower_bound_seconds gap proof optimal_in_class curve",
    "shard": "world units gather_bytes reduce_bytes",
}
WANTED_MODES = {"everything", "input only", "keeps f.b"}
WRITTEN_MODES = {"convolutions", "convolutions, masks"}  # where what is normalised is written, too
faults = []


def expect(what, holds):
    if not holds:
        faults.append(what)


def spec(folder, model, recipe, more):
    path = pathlib.Path(folder) / f"{model}.seer"
    path.write_text(f'use "models/{model}"\nuse "recipes/{recipe}"\ndata {{ pictures = "x/" }}\n{more}\n')
    return path


def plan(path, *options):
    command = [SEERC, "plan", "--library", SPECS, "--json", path, *options]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{path}: {result.stderr}")
    return json.loads(result.stdout)


def check_keys(name, found):
    for section, keys in KEYS.items():
        for key in keys.split():
            expect(f"{name}: no {section}.{key}", key in found.get(section, {}))
    expect(f"{name}: no schedule", len(found.get("schedule", [])) > 0)


def check_modes(name, found):
    for block in found["checkpoint"]["blocks"]:
        if not block["name"].startswith("block") or "." in block["name"]:  # pieces have few layers each
            continue
        names = {mode["name"] for mode in block["modes"]}
        expect(f"{name}: {block['name']} has {len(names)} modes", len(names) >= 6)
        projected = any("proj" in mode for mode in names)
        wanted = WANTED_MODES | (WRITTEN_MODES if name == "RG-10B" else set())
        expect(f"{name}: {block['name']} lacks a wanted mode", projected or wanted <= names)
        sizes = {mode["name"]: mode["saved_bytes"] for mode in block["modes"]}
        expect(f"{name}: saving less takes more", sizes["input only"] < sizes["everything"])
        if name != "RG-10B":
            expect(f"{name}: readers normalise, yet {block['name']} keeps what they make", not WRITTEN_MODES & names)
            continue
        expect(f"{name}: saving less takes more", sizes["input only"] < sizes["convolutions"] < sizes["everything"])
        expect(f"{name}: masks are not small",
               sizes["convolutions"] < sizes["convolutions, masks"] < 1.1 * sizes["convolutions"])


def check_sums(name, found):
    memory, checkpoint, slices = found["memory"], found["checkpoint"], found["step"]["slices"]
    expect(f"{name}: the plan is above its budget", memory["peak_bytes"] <= memory["budget_bytes"])
    expect(f"{name}: the least budget is above the peak", memory["minimum_budget_bytes"] <= memory["peak_bytes"])
    # What a piece hands on is counted in each checkpoint that has it.
    pieces = any("." in block["name"] for block in checkpoint["blocks"])
    counted = checkpoint["predicted_peak_bytes"] / memory["live_peak_bytes"]
    expect(f"{name}: the chain's peak is {counted} of the plan's", 1 <= counted <= (1.02 if pieces else 1))
    live = max(step["live_bytes"] for step in found["schedule"])
    expect(f"{name}: no step has the largest live sum", live == memory["live_peak_bytes"])
    kinds = memory["by_kind"]
    arena = sum(kinds[kind] for kind in ("activations", "gradients", "gathered", "update", "workspace"))
    expect(f"{name}: the kinds do not sum up", arena == slices * memory["live_peak_bytes"])
    state = kinds["parameters"] + kinds["velocities"] + kinds["statistics"]
    expect(f"{name}: the state does not sum up", state == memory["state_bytes"])
    expect(f"{name}: the bound is above the cost", checkpoint["lower_bound_seconds"] <= checkpoint["cost_seconds"])
    for buffer in found["buffers"]:
        if slices * (buffer["offset"] + buffer["bytes"]) > memory["arena_bytes"] or buffer["begin"] > buffer["end"]:
            expect(f"{name}: a buffer lies outside the arena", False)
            break


def check_streams(name, found):
    """Compute never runs two things at once, and the step is as long as its last part."""
    clock = 0
    for step in found["schedule"]:
        if step["kind"] != "run":
            continue
        expect(f"{name}: step {step['step']} begins before the one before it ends", step["start_ns"] >= clock)
        clock = step["start_ns"] + step["time_ns"]
    total = found["step"]["time_seconds"] * 1e9
    expect(f"{name}: the schedule ends at {clock}, the step at {total}",
           found["step"]["micro_steps"] > 1 or abs(clock - total) <= 0.02 * total)


def check_budgets(name, path, found):
    """Ten budgets: the time never rises with memory, the plan never outgrows its budget, and is proven the best of
    its class."""
    least, most = found["memory"]["minimum_budget_bytes"], found["memory"]["peak_bytes"]
    last = None
    for i in range(10):
        budget = least + (most - least) * i // 9
        at = plan(path, "-D", f"checkpoint.budget={budget}")
        check_sums(f"{name} at {budget}", at)
        cost = at["checkpoint"]["cost_seconds"]
        expect(f"{name}: more memory is slower at {budget}", last is None or cost <= last)
        expect(f"{name}: not proven at {budget}", at["checkpoint"]["optimal_in_class"])
        last = cost


def check_slices(path):
    """A rank's slices take turns: arenas and times of all of them, one update; of more ranks, fewer on each."""
    plain = plan(path)
    found = {ranks: plan(path, "-D", "train.reproducible=yes", "-D", f"cluster.ranks_per_node={ranks}")
             for ranks in (1, 2, 8)}
    for ranks, at in found.items():
        name = f"{path.name} in slices on {ranks} ranks"
        check_sums(name, at)
        memory, step, slices = at["memory"], at["step"], 8 // ranks
        fixed = memory["peak_bytes"] - memory["arena_bytes"]
        expect(f"{name}: {step['slices']} slices", step["slices"] == slices)
        expect(f"{name}: an arena that slices do not share out", memory["arena_bytes"] % (64 * slices) == 0)
        one = sum(part["time_ns"] for part in at["schedule"] if part["phase"] != "update") * 1e-9
        waits = step["exposed_communication_seconds"]
        expect(f"{name}: {step['time_seconds']} s for {slices} times {one} s",
               abs(slices * one + step["update_seconds"] + waits - step["time_seconds"]) < 1e-6)
        for budget in (memory["minimum_budget_bytes"], (memory["minimum_budget_bytes"] + memory["peak_bytes"]) // 2):
            again = plan(path, "-D", "train.reproducible=yes", "-D", f"cluster.ranks_per_node={ranks}", "-D",
                         f"checkpoint.budget={budget}")
            check_sums(f"{name} in {budget} bytes", again)
        expect(f"{name}: {fixed} bytes besides the arena", fixed > memory["state_bytes"])
    expect(f"{path.name}: slices hold less than the whole batch",
           found[1]["memory"]["arena_bytes"] >= plain["memory"]["live_peak_bytes"] * 0.9)
    flops = {ranks: at["step"]["flops"] * ranks for ranks, at in found.items()}
    expect(f"{path.name}: {flops} of work", len({*flops.values(), plain["step"]["flops"]}) == 1)


def check_smallest(path):
    """Where the smallest budget's cheapest step leaves gaps between buffers, a dearer one without is found and told."""
    least = plan(path)["memory"]["minimum_budget_bytes"]
    at = plan(path, "-D", f"checkpoint.budget={least}")
    memory, checkpoint = at["memory"], at["checkpoint"]
    expect(f"{path.name}: {memory} at the smallest budget",
           memory["peak_bytes"] <= least and memory["arena_bytes"] == memory["live_peak_bytes"])
    cost, bound = checkpoint["cost_seconds"], checkpoint["class_bound_seconds"]
    expect(f"{path.name}: a cost of {cost}, a bound of {bound}",
           cost == bound if checkpoint["optimal_in_class"] else bound < cost < 1.05 * bound)


def check_vectors(path):
    """A batch that does not fill its vectors says so: 24 pictures take two vectors of 16, or three of 8."""
    for cpu, batch, pictures, fill in (("x86-64-v4", 24, 16, 0.75), ("x86-64-v3", 24, 8, 1), ("x86-64", 5, 8, 0.625)):
        step = plan(path, "--cpu", cpu, "-D", f"train.batch={batch}")["step"]
        expect(f"{path.name}: {batch} pictures on {cpu}: {step['vector_pictures']}, {step['vector_fill']}",
               step["vector_pictures"] == pictures and step["vector_fill"] == fill)


def check_small(folder):
    for model, recipe, more in (("regnety_400mf", "swav", "train { batch = 16 precision = fp32 }"),
                                ("regnetx_3_2gf", "supervised",
                                 "supervised { classes = 1000 } train { batch = 32 accumulate = 2 }")):
        path = spec(folder, model, recipe, more)
        found = plan(path)
        for check in (check_keys, check_modes, check_sums, check_streams):
            check(model, found)
        check_budgets(model, path, found)
    check_vectors(spec(folder, "regnetx_400mf", "supervised", "supervised { classes = 1000 } views { crops = "
                       "[crop(count = 1, size = 64px)] }"))
    check_slices(spec(folder, "regnetx_200mf", "swav",
                      "train { batch = 64 precision = fp32 } evaluate { batch = 1 }"))
    check_smallest(spec(folder, "regnety_64gf", "swav", "train { batch = 8 }"))


def check_large(folder):
    path = spec(folder, "regnety_10b", "seer_10b", CLUSTER)
    large = plan(path)
    for check in (check_keys, check_modes, check_sums, check_streams):
        check("RG-10B", large)
    checkpoint = large["checkpoint"]
    expect("RG-10B: not proven", checkpoint["optimal_in_class"])
    expect(f"RG-10B: the gap is {checkpoint['gap']}", checkpoint["gap"] <= 0.02)
    # Its last block is a fifth of all parameters: its convolutions travel one by one, and nothing else does.
    layers = ("proj", "f.a", "f.b", "f.c")
    expect("RG-10B: the last block is whole, or others are not",
           [unit["name"] for unit in large["shard"]["units"] if "." in unit["name"]] ==
           [f"block4-0.{layer}" for layer in layers])
    released = plan(path, "-D", "checkpoint.placement=cuts", "-D", "checkpoint.cuts=[1, 3, 10, 19, 27]")
    whole = max(unit["bytes"] for unit in released["shard"]["units"])
    expect("RG-10B: pieces save nothing", large["memory"]["minimum_budget_bytes"] < 2 * whole)
    ratio = large["step"]["time_seconds"] / released["step"]["time_seconds"]
    # README.md's 2.55 of 3.38 s: with collectives by their algorithms, less is left to be hidden than with one latency.
    expect(f"RG-10B: {ratio} of the released plan's time", ratio <= 0.76)
    tight = plan(path, "-D", f"checkpoint.budget={released['memory']['peak_bytes']}")
    expect("RG-10B: slower in the released plan's memory",
           tight["step"]["time_seconds"] < released["step"]["time_seconds"])


def main():
    with tempfile.TemporaryDirectory() as folder:
        {"small": check_small, "large": check_large}[SIZE](folder)
    for fault in faults:
        print(fault)
    print(f"{'failed' if faults else 'passed'}: {len(faults)} faults")
    return bool(faults)


sys.exit(main())
