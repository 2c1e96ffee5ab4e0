#!/usr/bin/env python3
"""Judges one output of `seerc plan`: `plan_output.py KIND FILE [ARGUMENT...]`.

KIND is json (the placement as argument, optimal unless told), html (the file with its JSON), curve (a page; seerc and
the spec), why, sweep, svg, compare, trace (the streams that must have work), chain, or no-chain (the smallest budget).
"""
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as tree

# The object that design section 8 promises: a list stands for what each element holds.
PROMISED = {
    "model": {"family": 0, "parameters_trunk": 0, "parameters_total": 0, "depths": 0, "widths": 0, "group_widths": 0,
              "macs_by_size": 0},
    "step": {"images": 0, "time_seconds": 0, "images_per_second": 0, "flops": 0, "recompute_flops": 0,
             "exposed_communication_seconds": 0},
    "memory": {"budget_bytes": 0, "peak_bytes": 0, "arena_bytes": 0, "live_peak_bytes": 0, "minimum_budget_bytes": 0,
               "by_kind": {}},
    "checkpoint": {"blocks": [{"name": 0, "mode": 0, "saved_bytes": 0, "recomputed": 0, "residency": 0}],
                   "cost_seconds": 0, "lower_bound_seconds": 0, "gap": 0, "proof": 0},
    "shard": {"world": 0, "units": [{"name": 0, "parameters": 0, "bytes": 0}], "gather_bytes": 0, "reduce_bytes": 0},
    "schedule": [{}],
}


def expect_keys(found, promised, where):
    if isinstance(promised, list):
        assert found, f"{where} is empty"
        for element in found:
            expect_keys(element, promised[0], where)
    elif isinstance(promised, dict):
        for key, inner in promised.items():
            assert key in found, f"{where} has no '{key}'"
            expect_keys(found[key], inner, f"{where}.{key}")


def judge_json(text, placement="optimal"):
    plan = json.loads(text)
    expect_keys(plan, PROMISED, "plan")
    memory, checkpoint = plan["memory"], plan["checkpoint"]
    assert memory["minimum_budget_bytes"] <= memory["peak_bytes"] <= memory["budget_bytes"], memory
    assert memory["live_peak_bytes"] <= memory["arena_bytes"], memory
    assert checkpoint["placement"] == placement, checkpoint["placement"]
    assert 0 < checkpoint["lower_bound_seconds"] <= checkpoint["class_bound_seconds"] <= checkpoint["cost_seconds"]
    assert checkpoint["gap"] >= 0 and checkpoint["optimal_in_class"] == (placement == "optimal")
    names = [block["name"] for block in checkpoint["blocks"]]
    assert names == [unit["name"] for unit in plan["shard"]["units"]] and len(set(names)) == len(names), names
    assert sum(unit["parameters"] for unit in plan["shard"]["units"]) == plan["model"]["parameters_total"]
    assert (plan["shard"]["gather_bytes"] > 0) == (plan["shard"]["parameters"] == "full"), plan["shard"]
    ends = [step["start_ns"] + step["time_ns"] for step in plan["schedule"]]
    assert max(ends) * 1e-9 <= plan["step"]["time_seconds"] + 1e-9, "a step ends after the last"


def judge_html(page, path):
    """The page holds the plan that --json prints, with the curve of budgets, and asks nobody for anything else."""
    assert page.startswith("<!doctype html>") and page.count('{"model":') == 1, page[:200]
    outside = re.search(r"""\bsrc\s*=|href\s*=\s*["'](?!#)|@import|\burl\(|\bfetch\(""", page)
    assert not outside, f"the page refers to something outside: {page[outside.start():][:80]}"
    plan, _ = json.JSONDecoder().raw_decode(page, page.index('{"model":'))
    with open(path, encoding="utf-8") as file:
        printed = json.load(file)
    curve = plan["checkpoint"].pop("curve")
    printed["checkpoint"].pop("curve")
    assert plan == printed, "the page's plan is not that of --json"
    assert len(curve) > 3 and curve[0]["budget_bytes"] == plan["memory"]["minimum_budget_bytes"], curve


def judge_curve(page, seerc, spec):
    """Each point is what `plan` says at that budget; between the points, more memory never makes the step longer."""
    plan, _ = json.JSONDecoder().raw_decode(page, page.index('{"model":'))
    curve = plan["checkpoint"]["curve"]

    def ask(budget):
        answer = subprocess.run([seerc, "plan", "--json", spec, "-D", f"checkpoint.budget={budget}B",
                                 "-D", "cluster.memory=4GiB"],
                                capture_output=True, check=True)
        return json.loads(answer.stdout)

    for point in curve:
        asked = ask(point["budget_bytes"])
        assert asked["memory"]["peak_bytes"] == point["peak_bytes"], (point, asked["memory"])
        assert abs(asked["step"]["time_seconds"] - point["time_seconds"]) < 1e-12, (point, asked["step"])
    least, most = curve[0]["budget_bytes"], curve[-1]["budget_bytes"]
    steps = [ask(least + (most - least) * i // 40)["step"]["time_seconds"] for i in range(41)]
    assert steps == sorted(steps, reverse=True), steps


def judge_why(text):
    rows = [line for line in text.splitlines()[3:] if line.strip()]
    chosen = [row for row in rows if row.startswith("* ")]
    assert len(rows) > 1 and len(chosen) == 1, text
    name = re.search(r"saved as '(.*)', its forward", text).group(1)
    assert chosen[0][2:].startswith(name + " ") and "+0.000 ns a step" in chosen[0], chosen
    for row in rows:  # the plan is optimal: no other mode makes the step shorter
        assert re.search(r"  (\+[0-9.]+ (ns|us|ms|s) a step( \(.*\))?|does not fit)$", row), row


def judge_sweep(text):
    rows = [re.match(r" *[0-9.]+ \w+ +(\d+) +(\d+)  ([0-9.]+) (ns|us|ms|s) +([0-9.]+) %", line)
            for line in text.splitlines()[1:]]
    assert len(rows) > 3 and all(rows), text
    budgets, peaks = ([int(row.group(column)) for row in rows] for column in (1, 2))
    above = [float(row.group(5)) for row in rows]
    assert budgets == sorted(set(budgets)) and all(peak <= budget for peak, budget in zip(peaks, budgets)), text
    assert above == sorted(above, reverse=True) and above[-1] == 0, text


def judge_svg(text):
    root = tree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == space + "svg", root.tag
    width, height = float(root.get("width")), float(root.get("height"))
    points = [(float(point.get("cx")), float(point.get("cy"))) for point in root.iter(space + "circle")]
    assert len(points) > 3 and all(0 < x < width and 0 < y < height for x, y in points), points
    # More memory to the right, more time at the top.
    assert points == sorted(points, key=lambda point: (point[0], point[1])), points
    assert [y for _, y in points] == sorted(y for _, y in points), points


def judge_compare(text):
    units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}
    seconds, over = {}, set()
    for line in text.splitlines()[2:]:
        row = re.match(r"  (.{34}) *(?:[0-9.]+ \w+ +(\d+) +([0-9.]+) % +([0-9.]+) (ns|us|ms|s)  (.*)|does not fit)$",
                       line)
        assert row, line
        name = row.group(1).strip()
        seconds[name] = float(row.group(4)) * units[row.group(5)] if row.group(2) else float("inf")
        if row.group(6) == "over the budget":
            over.add(name)
    for name in ("no checkpoints", "every block", "square root (Chen et al.)", "FairScale's rule", "rotor, persistent"):
        assert name in seconds, f"no row '{name}'"
    # Its class holds those of the others, so nothing within the budget is faster; three digits are printed.
    assert "seer" not in over, text
    assert all(seconds["seer"] <= seconds[name] * 1.001 for name in seconds if name not in over), seconds


def judge_trace(text, *streams):
    trace = json.loads(text)
    events = trace["traceEvents"]
    assert trace["displayTimeUnit"] in ("ms", "ns")
    names = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert len(set(names.values())) == len(names) == 5, names
    ends, busy = {}, set()
    for event in events:
        assert event["ph"] in "MXC" and event["pid"] == 1 and event["name"], event
        if event["ph"] == "C":
            assert event["args"]["bytes"] >= 0 and event["ts"] >= 0, event
        if event["ph"] != "X":
            continue
        stream = names[event["tid"]]
        assert event["ts"] >= 0 and event["dur"] >= 0, event
        # A stream does one thing after the other; times are printed to the nanosecond.
        assert event["ts"] >= ends.get(stream, 0) - 0.0015, f"{stream}: {event} begins before {ends[stream]}"
        ends[stream] = event["ts"] + event["dur"]
        busy.add(stream)
    assert busy == set(streams), busy


def judge_chain(text):
    answer = json.loads(text)
    assert answer["feasible"] is True and answer["optimal_in_class"] is True, answer
    assert answer["minimum_budget_bytes"] <= answer["peak_bytes"] <= answer["budget_bytes"], answer
    assert answer["lower_bound_ns"] <= answer["class_bound_ns"] == answer["cost_ns"], answer
    assert answer["cost_ns"] == sum(op["cost_ns"] for op in answer["schedule"])
    assert answer["peak_bytes"] == max(op["memory_bytes"] for op in answer["schedule"])
    assert [op["block"] for op in answer["schedule"] if op["op"] == "backward"] == ["b2", "b1"], answer["schedule"]
    assert answer["minimum_set_by"]["op"] in ("forward", "save", "backward"), answer
    assert answer["boundary_ns"] == 10 and answer["gap"] >= 0, answer


def judge_no_chain(text, least):
    answer = json.loads(text)
    assert answer["feasible"] is False and answer["minimum_budget_bytes"] == int(least), answer
    assert answer["minimum_set_by"]["block"] in ("b1", "b2") and "schedule" not in answer, answer


def main():
    kind, path, *arguments = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    {name[6:].replace("_", "-"): judge for name, judge in globals().items() if name.startswith("judge_")}[kind](
        text, *arguments)


main()
