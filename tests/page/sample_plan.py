#!/usr/bin/env python3
"""Sample plans in the shape of `seerc plan --json`, for the page's test and for looking at the page.

`sample_plan.py small|rg10b` prints the JSON; with `--template PAGE.html` the page with that JSON in it.
Deterministic. Lifetimes, addresses and sums agree with each other: buffers that live together never overlap, live
bytes are the sum of what lives, the peak is the arena plus what is held all step. Sizes and times are a simple model
of a RegNetY with two sizes of views; checkpoints are nested ranges written by hand, not planned.
"""
import argparse
import json
import math

MARKER = "/*PLAN*/null"
ALIGNMENT = 64

# A part of a schedule: ("save", mode, blocks) keeps each block's inside; ("leaf", parts) runs the blocks forward only
# and runs the parts again, in full, when the backward reaches them.
RG10B = {
    "name": "regnety_10b", "depths": [2, 7, 17, 1], "widths": [2020, 4040, 11110, 28280], "group": 1010, "images": 16,
    "views": [(160, 2), (96, 4)], "element": 2, "ranks": 496, "nodes": 62, "machine": "a100-40g",
    "memory": 39 << 30, "budget": 17 << 30, "flops": 140e12, "bytes": 1.3e12, "link": 20e9, "host": 20e9,
    "prototypes": 16000, "trunk": 9323934872, "total": 9628923288, "macs": {"160": 951300000000, "96": 343200000000},
    "parts": [("leaf", [("leaf", [("save", "full", [0]), ("save", "convolutions", [1])]),
                        ("save", "convolutions", [2, 3]), ("save", "ends", [4, 5])]),
              ("leaf", [("save", "full", [6, 7, 8, 9])]),
              ("save", "ends", [10, 11, 12]),
              ("leaf", [("leaf", [("save", "convolutions", [13, 14, 15])]), ("save", "full", [16, 17, 18])]),
              ("save", "convolutions", [19, 20, 21, 22, 23, 24]),
              ("save", "full", [25, 26, 27, 28, 29])],
    "keep": {24, 25, 26}, "node_share": {19, 20, 21, 22, 23}, "offload": {10, 11, 12},
}
SMALL = {
    "name": "regnety_tiny", "depths": [1, 2], "widths": [48, 104], "group": 8, "images": 32, "views": [(96, 1)],
    "element": 4, "ranks": 1, "nodes": 1, "machine": "this", "memory": 192 << 20, "budget": 128 << 20,
    "flops": 1e11, "bytes": 1e10, "link": 0, "host": 0, "prototypes": 300, "trunk": 210336, "total": 262144,
    "macs": {"96": 31000000},
    "parts": [("save", "full", [0]), ("leaf", [("save", "full", [1, 2])]), ("save", "full", [3, 4, 5])],
    "keep": {0, 1, 2, 3, 4, 5}, "node_share": set(), "offload": set(),
}
CONVOLUTIONS = ("a", "b", "c", "proj")
MODES = {  # what stays for the backward, beside the output
    "full": ("a", "a.norm", "b", "b.norm", "se", "c", "proj"),
    "convolutions": CONVOLUTIONS,
    "ends": ("b", "proj"),
    "output": (),
}


class Block:
    """Tensors, times and parameters of one block, for one rank."""

    def __init__(self, net, name, stage, width_in, width, stride_in, stride):
        self.name, self.stage, self.kind = name, stage, "residual" if stage.isdigit() else stage
        self.net, self.width = net, width
        self.bytes = {}  # (tensor, view) -> bytes
        self.time = {}   # (tensor, view) -> ns forward
        group, element = net["group"], net["element"]
        squeeze = max(1, width_in // 4)
        weights = {"residual": {"a": width_in * width, "b": width * group * 9, "se": 2 * squeeze * width,
                                "c": width * width, "proj": width_in * width if width_in != width else 0},
                   "stem": {"out": 27 * width}, "head": {"out": width_in * width},
                   "loss": {"out": width * net["prototypes"]}}[self.kind]
        self.weights = {name: count for name, count in weights.items() if count}
        for px, views in net["views"]:
            pictures = net["images"] * views
            inner, outer = (max(1, px // s) ** 2 * pictures for s in (stride_in, stride))
            if self.kind == "residual":
                places = {"a": inner, "a.norm": inner, "b": outer, "b.norm": outer, "se": outer, "c": outer,
                          "out": outer}
                if width_in != width:
                    places["proj"] = outer
            else:
                places = {"out": outer if self.kind == "stem" else pictures}
            for tensor, count in places.items():
                channels = net["prototypes"] if self.kind == "loss" else width
                size = count * channels * element
                work = 2 * count * self.weights.get(tensor, 0)
                self.bytes[tensor, px] = size
                self.time[tensor, px] = int(1e9 * max(work / net["flops"], 2 * size / net["bytes"])) + 4000
        self.parameter_bytes = sum(self.weights.values()) * element

    def kept(self, mode):
        return [key for key in self.bytes if key[0] == "out" or key[0] in MODES[mode]]

    def mode_row(self, mode):
        saved = sum(self.bytes[key] for key in self.kept(mode))
        forward = sum(self.time.values())
        redone = sum(time for key, time in self.time.items() if key not in self.kept(mode))
        return {"name": mode, "saved_bytes": saved, "forward_seconds": forward / 1e9,
                "backward_seconds": (2 * forward + redone) / 1e9}


def blocks_make(net):
    blocks = [Block(net, "stem", "stem", 3, 32, 1, 2)]
    width_in, stride = 32, 2
    for stage, (depth, width) in enumerate(zip(net["depths"], net["widths"]), 1):
        for i in range(depth):
            inner, stride = stride, stride * 2 if i == 0 else stride
            blocks.append(Block(net, f"block{stage}-{i}", str(stage), width_in, width, inner, stride))
            width_in = width
    blocks.append(Block(net, "head", "head", width_in, 256, 1, 1))
    blocks.append(Block(net, "loss", "loss", 256, 256, 1, 1))
    return blocks


def operations_make(parts):
    """The order of block operations: (kind, block, mode)."""
    ops = []
    for part in parts:
        if part[0] == "save":
            ops += [("save", block, part[1]) for block in part[2]]
        else:
            ops += [("forward", block, None) for block in blocks_of(part)]
    for part in reversed(parts):
        if part[0] == "save":
            ops += [("backward", block, part[1]) for block in reversed(part[2])]
        else:
            ops += operations_make(part[1])
    return ops


def blocks_of(part):
    return part[2] if part[0] == "save" else [block for inner in part[1] for block in blocks_of(inner)]


class Simulation:
    """Runs the operations: writes steps and buffers, with compute, network and host as three clocks."""

    def __init__(self, net):
        self.net, self.blocks = net, blocks_make(net)
        self.ops = operations_make(net["parts"])
        self.steps, self.buffers, self.streams, self.operations = [], [], [], []
        self.now = {"compute": 0, "network": 0, "to_host": 0, "from_host": 0}
        self.current, self.gathered, self.arrival, self.seen = {}, {}, {}, set()

    def make(self, name, kind, block, size):
        step, size = len(self.steps), max(1, -(-size // ALIGNMENT)) * ALIGNMENT
        buffer = {"name": name, "kind": kind, "block": block, "bytes": size, "begin": step, "end": step}
        self.buffers.append(buffer)
        return buffer

    def use(self, buffer):
        if buffer:
            buffer["end"] = max(buffer["end"], len(self.steps))

    def step(self, kind, op, name, block, phase, time_ns, stream="compute", after=0):
        start = max(self.now[stream], self.now["compute"] if stream != "compute" else 0, after)
        self.now[stream] = start + time_ns
        self.steps.append({"step": len(self.steps), "kind": kind, "op": op, "name": name, "block": block,
                           "phase": phase, "start_ns": start, "time_ns": time_ns})
        if stream != "compute":
            self.streams.append({"stream": stream, "label": f"{op} {self.blocks[block].name}", "block": block,
                                 "start_ns": start, "time_ns": time_ns})
        return start + time_ns

    def gather(self, index, phase):
        block = self.blocks[index]
        if not self.net["link"] or index in self.gathered:
            return
        share = 0.25 if index in self.net["node_share"] and phase == "backward" else 1
        self.gathered[index] = self.make(f"{self.name(index)}.parameters", "gathered", index, block.parameter_bytes)
        time_ns = int(1e9 * share * block.parameter_bytes / self.net["link"])
        self.arrival[index] = self.step("gather", "all_gather", self.name(index), index, phase, time_ns, "network")

    def name(self, index):
        block = self.blocks[index]
        return f"trunk_output.block{block.stage}.{block.name}" if block.kind == "residual" else block.name

    def layer(self, index, tensor):
        return self.name(index) + (f".f.{tensor}" if self.blocks[index].kind == "residual" else "")

    def forward(self, index, mode, phase):
        block = self.blocks[index]
        inputs = {px: self.current.get((index - 1, "out", px)) for px, _ in self.net["views"]}
        for (tensor, px), size in block.bytes.items():
            self.use(inputs[px] if tensor in ("a", "proj", "out") else self.current.get((index, "a", px)))
            self.use(self.gathered.get(index))
            for other in block.bytes:
                if other[1] == px and (index, *other) in self.current and other[0] != "out":
                    if list(block.bytes).index(other) == list(block.bytes).index((tensor, px)) - 1:
                        self.use(self.current[(index, *other)])
            self.current[index, tensor, px] = self.make(f"{self.layer(index, tensor)}@{px}", "activation", index, size)
            op = "conv2d" if tensor in CONVOLUTIONS else "batch_norm_relu" if "norm" in tensor else "scale_relu"
            if tensor in CONVOLUTIONS:
                self.make(f"{self.layer(index, tensor)}@{px}.workspace", "workspace", index, size // 16)
                statistics = self.make(f"{self.layer(index, tensor)}@{px}.sums", "statistics", index, block.width * 8)
                self.current[index, tensor + ".sums", px] = statistics
            self.step("run", op, f"{self.layer(index, tensor)}@{px}", index, phase, block.time[tensor, px],
                      after=self.arrival.get(index, 0))
            if tensor in CONVOLUTIONS:
                self.use(statistics)
                self.step("run", "batch_norm_statistics", f"{self.layer(index, tensor)}@{px}", index, phase,
                          block.time[tensor, px] // 5 + 1500)

    def backward(self, index, mode):
        block = self.blocks[index]
        gradients = {}
        for (tensor, px) in reversed(list(block.bytes)):
            incoming = self.current.pop((index, "gradient", px), None) if tensor == "out" else gradients.get(px)
            saved = (tensor, px) in block.kept(mode)
            if not saved:
                self.current[index, tensor, px] = self.make(f"{self.layer(index, tensor)}@{px}.again", "activation",
                                                            index, block.bytes[tensor, px])
                self.step("run", "redo", f"{self.layer(index, tensor)}@{px}", index, "reforward",
                          block.time[tensor, px])
            for needed in (incoming, self.current.get((index, tensor, px)), self.gathered.get(index),
                           self.current.get((index, tensor + ".sums", px)), self.current.get((index - 1, "out", px))):
                self.use(needed)
            gradients[px] = self.make(f"{self.layer(index, tensor)}@{px}.gradient", "gradient", index,
                                      block.bytes[tensor, px])
            self.step("run", "conv2d_backward_input" if tensor in CONVOLUTIONS else "batch_norm_relu_backward",
                      f"{self.layer(index, tensor)}@{px}", index, "backward", block.time[tensor, px])
            if tensor in block.weights:
                for needed in (gradients[px], self.current.get((index, tensor, px))):
                    self.use(needed)
                key = (index, "weights", tensor)
                if key not in self.current:
                    self.current[key] = self.make(f"{self.layer(index, tensor)}.weight.gradient", "gradient", index,
                                                  block.weights[tensor] * self.net["element"])
                self.use(self.current[key])
                self.make(f"{self.layer(index, tensor)}@{px}.workspace", "workspace", index,
                          block.bytes[tensor, px] // 32)
                self.step("run", "conv2d_backward_weight", f"{self.layer(index, tensor)}@{px}", index, "backward",
                          block.time[tensor, px])
        for px, gradient in gradients.items():  # the block's input gradient takes over
            if index:
                self.use(gradient)
                before = self.make(f"{self.layer(index, 'input')}@{px}.gradient", "gradient", index,
                                   self.blocks[index - 1].bytes["out", px])
                self.current[index - 1, "gradient", px] = before
                self.step("run", "add", f"{self.layer(index, 'input')}@{px}", index, "backward",
                          block.time["out", px] // 4)
        self.gathered.pop(index, None)

    def reduce(self, index):
        gradients = [self.current[index, "weights", tensor] for tensor in self.blocks[index].weights]
        for gradient in gradients:
            self.use(gradient)
        if self.net["link"]:
            time_ns = int(1e9 * self.blocks[index].parameter_bytes / self.net["link"])
            self.step("reduce", "reduce_scatter", self.name(index), index, "backward", time_ns, "network")

    def copy(self, index, op):
        size = self.blocks[index].mode_row("ends")["saved_bytes"] // 2
        time_ns = int(1e9 * size / self.net["host"])
        self.step(op, op, self.name(index), index, "forward" if op == "offload" else "backward", time_ns,
                  "to_host" if op == "offload" else "from_host")

    def operation(self, position):
        kind, index, mode = self.ops[position]
        phase = "backward" if kind == "backward" else "reforward" if index in self.seen else "forward"
        self.seen.add(index)
        first = len(self.steps)
        self.gather(index, phase)
        if position + 1 < len(self.ops):
            self.gather(self.ops[position + 1][1], "backward" if self.ops[position + 1][0] == "backward" else phase)
        if position and self.ops[position - 1][0] == "backward":
            self.reduce(self.ops[position - 1][1])
        if position and self.ops[position - 1][0] == "save" and self.ops[position - 1][1] in self.net["offload"]:
            self.copy(self.ops[position - 1][1], "offload")
        if position + 1 < len(self.ops) and self.ops[position + 1][0] == "backward" \
                and self.ops[position + 1][1] in self.net["offload"]:
            self.copy(self.ops[position + 1][1], "fetch")
        if kind == "backward":
            self.backward(index, mode)
        else:
            self.forward(index, mode, phase)
            if index not in self.net["keep"]:
                self.gathered.pop(index, None)
        runs = [step for step in self.steps[first:] if step["kind"] == "run"]
        start = runs[0]["start_ns"]
        self.operations.append({"kind": kind, "block": index, "mode": mode or "", "start_ns": start,
                                "time_ns": self.now["compute"] - start, "steps": (first, len(self.steps))})

    def update(self):
        for index, block in enumerate(self.blocks):
            for tensor, count in block.weights.items():
                for part in ("weight", "bias", "gamma", "beta"):
                    share = count // self.net["ranks"] if part == "weight" else block.width // self.net["ranks"] + 1
                    for op in ("norm", "larc", "momentum", "sgd"):
                        self.make(f"{self.layer(index, tensor)}.{part}.{op}", "update", index, share * 4)
                        self.step("run", op, f"{self.layer(index, tensor)}.{part}", index, "update",
                                  int(1e9 * share * 12 / self.net["bytes"]) + 2000)

    def run(self):
        for position in range(len(self.ops)):
            self.operation(position)
        self.reduce(self.ops[-1][1])
        self.update()


def place(buffers):
    """Largest first, at the lowest address that is free for the whole lifetime. Returns the arena's bytes."""
    placed, top = [], 0
    for buffer in sorted(buffers, key=lambda b: (-b["bytes"], b["begin"], b["name"])):
        begin, end = buffer["begin"], buffer["end"]
        at = 0
        for low, high in sorted((p[2], p[3]) for p in placed if p[0] <= end and p[1] >= begin):
            if low - at >= buffer["bytes"]:
                break
            at = max(at, high)
        buffer["offset"] = at
        placed.append((begin, end, at, at + buffer["bytes"]))
        top = max(top, at + buffer["bytes"])
    return top


def live_write(steps, buffers):
    change = [0] * (len(steps) + 1)
    for buffer in buffers:
        change[buffer["begin"]] += buffer["bytes"]
        change[buffer["end"] + 1] -= buffer["bytes"]
    live = 0
    for step, difference in zip(steps, change):
        live += difference
        step["live_bytes"] = live


def memory_make(net, simulation, arena):
    live_peak = max(step["live_bytes"] for step in simulation.steps)
    peak_step = next(step["step"] for step in simulation.steps if step["live_bytes"] == live_peak)
    plural = {"activation": "activations", "gradient": "gradients"}
    by_kind = {"parameters": net["total"] * 4 // net["ranks"], "velocities": net["total"] * 4 // net["ranks"],
               "statistics": 1 << 20}
    for buffer in simulation.buffers:
        kind = plural.get(buffer["kind"], buffer["kind"])
        by_kind.setdefault(kind, 0)
        if buffer["begin"] <= peak_step <= buffer["end"]:
            by_kind[kind] += buffer["bytes"]
    state = by_kind["parameters"] + by_kind["velocities"] + (1 << 20)
    by_kind["loader"] = net["images"] * sum(px * px * 3 * views for px, views in net["views"]) * 4
    peak = state + arena + by_kind["loader"]
    return {"budget_bytes": net["budget"], "peak_bytes": peak, "state_bytes": state, "arena_bytes": arena,
            "live_peak_bytes": live_peak, "minimum_budget_bytes": peak * 62 // 100,
            "minimum_set_by": "the backward of block1-0", "by_kind": by_kind,
            "outside": [{"name": "driver and context", "bytes": 1 << 30,
                         "why": "the machine's memory is told without it"}]}


def curve_make(memory, seconds):
    """Falls from the smallest budget on, through the present point."""
    low, high, points = memory["minimum_budget_bytes"], memory["budget_bytes"] * 5 // 4, []
    shape = lambda budget: 1 + 0.35 * math.exp(-3.2 * (budget - low) / (high - low))
    for i in range(25):
        budget = low + (high - low) * i // 24
        points.append({"budget_bytes": budget, "peak_bytes": budget - (i * 7919 % 97) * (budget >> 12),
                       "time_seconds": seconds * shape(budget) / shape(memory["budget_bytes"])})
    points.append({"budget_bytes": memory["budget_bytes"], "peak_bytes": memory["peak_bytes"], "time_seconds": seconds})
    return sorted(points, key=lambda point: point["budget_bytes"])


def block_row(net, simulation, index):
    block = simulation.blocks[index]
    modes = [block.mode_row(mode) for mode in (MODES if block.kind == "residual" else ["full", "output"])]
    mode = next(op[2] for op in simulation.ops if op[0] == "backward" and op[1] == index)
    chosen = next(row for row in modes if row["name"] == mode) if block.kind == "residual" else modes[0]
    return {"name": block.name, "stage": block.stage, "mode": mode, "saved_bytes": chosen["saved_bytes"],
            "recomputed": sum(op[0] != "backward" and op[1] == index for op in simulation.ops) - 1,
            "residency": "keep" if index in net["keep"] else "node_share" if index in net["node_share"] else "gather",
            "offload": index in net["offload"], "forward_seconds": chosen["forward_seconds"],
            "backward_seconds": chosen["backward_seconds"], "modes": modes}


def plan_make(size):
    net = {"small": SMALL, "rg10b": RG10B}[size]
    simulation = Simulation(net)
    simulation.run()
    arena = place(simulation.buffers)
    live_write(simulation.steps, simulation.buffers)
    memory = memory_make(net, simulation, arena)
    seconds = max(simulation.now.values()) / 1e9
    phases = {}
    for step in simulation.steps:
        key = step["phase"] if step["kind"] == "run" else step["kind"]
        phases[key] = phases.get(key, 0) + step["time_ns"] / 1e9
    compute = phases["forward"] + phases.get("reforward", 0) + phases["backward"]
    network = phases.get("gather", 0) + phases.get("reduce", 0)
    for operation in simulation.operations:
        first, last = operation.pop("steps")
        operation["memory_bytes"] = max(step["live_bytes"] for step in simulation.steps[first:last])
    images = net["images"] * net["ranks"]
    work = 6 * images * sum(net["macs"][str(px)] * views for px, views in net["views"])
    return {
        "model": {"name": net["name"], "family": "regnety", "parameters_trunk": net["trunk"],
                  "parameters_total": net["total"], "depths": net["depths"], "widths": net["widths"],
                  "group_widths": [net["group"]] * len(net["depths"]), "macs_by_size": net["macs"]},
        "machine": {"name": net["machine"], "ranks": net["ranks"], "nodes": net["nodes"], "memory_bytes": net["memory"],
                    "flops_per_second": net["flops"], "bytes_per_second": net["bytes"],
                    "link_bytes_per_second": net["link"], "host_bytes_per_second": net["host"],
                    "sources": {"flops": {"kind": "datasheet", "text": "of the vendor"}}},
        "step": {"images": images, "time_seconds": seconds, "images_per_second": images / seconds, "flops": work,
                 "recompute_flops": int(work * phases.get("reforward", 0) / compute),
                 "exposed_communication_seconds": max(0, round(seconds - compute - phases["update"], 9)),
                 "compute_seconds": compute, "recompute_seconds": phases.get("reforward", 0),
                 "network_seconds": network, "host_copy_seconds": phases.get("offload", 0) + phases.get("fetch", 0),
                 "update_seconds": phases["update"], "micro_steps": 1},
        "memory": memory,
        "checkpoint": {"placement": "optimal",
                       "blocks": [block_row(net, simulation, i) for i in range(len(simulation.blocks))],
                       "cost_seconds": seconds, "lower_bound_seconds": seconds / 1.018, "gap": 0.018,
                       "optimal_in_class": True,
                       "proof": "no schedule of saves, leaves and holes is cheaper; no schedule at all is cheaper by "
                                "more than the gap", "curve": curve_make(memory, seconds)},
        "shard": {"world": net["ranks"],
                  "units": [{"name": block.name, "parameters": sum(block.weights.values()),
                             "bytes": block.parameter_bytes} for block in simulation.blocks],
                  "gather_bytes": sum(block.parameter_bytes for block in simulation.blocks) * 2,
                  "reduce_bytes": sum(block.parameter_bytes for block in simulation.blocks)},
        "operations": simulation.operations, "schedule": simulation.steps, "streams": simulation.streams,
        "buffers": simulation.buffers, "simulation": run_make(net, seconds, compute, phases, network),
    }


def run_make(net, seconds, compute, phases, network):
    """The run as the simulator tells it: every kind of traffic, a failure now and then, a known length."""
    exposed = max(0, round(seconds - compute - phases["update"], 9))
    kinds = ("gather", "reduce", "batch_norm", "sinkhorn", "update_numbers", "to_host", "from_host")
    traffic = [{"kind": kind, "count": 100 * i, "busy_seconds": (exposed if i == 0 else network) if i < 2 else 0,
                "exposed_seconds": exposed if i == 0 else 0, "sent_bytes": 1000000 * i} for i, kind in enumerate(kinds)]
    step = {"time_seconds": seconds, "plan_seconds": seconds, "forward_seconds": phases.get("forward", 0),
            "backward_seconds": phases.get("backward", 0), "again_seconds": phases.get("reforward", 0),
            "update_seconds": phases["update"], "straggler_seconds": 0, "data_seconds": 0, "traffic": traffic}
    return {"step": step, "images_per_second": 16 * net["ranks"] / seconds, "peak_share": 0.34, "decode_share": 0.01,
            "read_share": None, "save_every": 1000, "snapshot_bytes": 150 << 20, "snapshot_pause_seconds": 0.006,
            "snapshot_write_seconds": 1.2, "mean_step_seconds": seconds, "failure_seconds": 367000.0,
            "effective_share": 0.99, "best_save_steps": 25, "daly_save_steps": 26, "steps": 126008,
            "days": 126008 * seconds / 0.99 / 86400, "days_without_failures": 126008 * seconds / 86400,
            "failures": 1.1, "watts": 443e3, "joules": 1.6e11, "cost": 76420.0}


def page_make(template, plan):
    """The page as seerc writes it: the marker once, '<' never bare inside the JSON."""
    if template.count(MARKER) != 1:
        raise ValueError(f"the template holds '{MARKER}' {template.count(MARKER)} times, not once")
    text = json.dumps(plan, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace(MARKER, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", choices=("small", "rg10b"))
    parser.add_argument("--template", help="print the page made of this template, instead of the JSON")
    arguments = parser.parse_args()
    plan = plan_make(arguments.size)
    if arguments.template:
        with open(arguments.template, encoding="utf-8") as file:
            print(page_make(file.read(), plan), end="")
    else:
        print(json.dumps(plan, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
