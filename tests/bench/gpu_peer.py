"""PyTorch on a GPU: the peer of gpu.py. Prints one JSON object.

usage: gpu_peer.py step CASE | convolution CASE | version CASE      CASE: a JSON object, with "device" and "seconds"
step: {family, depths, widths, group_widths, batch, size, mode, layout, precision} -> {seconds, steps, peak_bytes}
convolution: {batch, size, channels, kernel, groups, precision} -> {forward, backward_input, backward_weight}, seconds;
forward of 1 x 1: with the statistics of BatchNorm
"""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Squeeze(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, reduced, 1), nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def normalized(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(outputs))


class Block(nn.Module):
    def __init__(self, inputs, outputs, group_width, stride, squeezes):
        super().__init__()
        self.first = normalized(inputs, outputs, 1)
        self.second = normalized(outputs, outputs, 3, stride, outputs // group_width)
        self.squeeze = Squeeze(outputs, round(inputs / 4)) if squeezes else nn.Identity()
        self.third = normalized(outputs, outputs, 1)
        changes = stride > 1 or inputs != outputs
        self.side = normalized(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, x):
        y = self.squeeze(F.relu(self.second(F.relu(self.first(x)))))
        return F.relu(self.side(x) + self.third(y))


def regnet(case):
    layers, inputs = [normalized(3, 32, 3, 2), nn.ReLU()], 32
    for depth, width, group in zip(case["depths"], case["widths"], case["group_widths"]):
        for i in range(depth):
            layers.append(Block(inputs, width, group, 1 if i else 2, case["family"] == "regnety"))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


def wait(case):
    if case["device"] == "cuda":
        torch.cuda.synchronize()


def timed(case, work, warm, seconds):
    """Median seconds of what fits, and how many."""
    for _ in range(warm):
        work()
    wait(case)
    taken, ended = [], time.perf_counter() + seconds
    while len(taken) < 3 or (time.perf_counter() < ended and len(taken) < 30):
        began = time.perf_counter()
        work()
        wait(case)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), len(taken)


def step(case):
    layout = torch.channels_last if case["layout"] == "channels_last" else torch.contiguous_format
    model = regnet(case).to(case["device"], memory_format=layout).train()
    pictures = torch.randn(case["batch"], 3, case["size"], case["size"], device=case["device"])
    pictures = pictures.contiguous(memory_format=layout)
    labels = torch.randint(0, 1000, (case["batch"],), device=case["device"])
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-5,
                                fused=case["device"] == "cuda")
    scaler = torch.cuda.amp.GradScaler(enabled=case["precision"] == "fp16" and case["device"] == "cuda")

    def loss_of(x):
        return F.cross_entropy(model(x), labels)

    run = loss_of if case["mode"] == "eager" else torch.compile(
        loss_of, mode="max-autotune" if case["mode"] == "max-autotune" else "default")

    def work():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(case["device"], DTYPES[case["precision"]]):
            loss = run(pictures)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    began = time.perf_counter()
    work()
    wait(case)
    first = time.perf_counter() - began
    seconds, steps = timed(case, work, 4, max(1, min(15, case["seconds"] - first)))
    peak = torch.cuda.max_memory_allocated() if case["device"] == "cuda" else 0
    return {"seconds": seconds, "steps": steps, "first_step_seconds": first, "peak_bytes": peak}


def convolution(case):
    dtype, channels, kernel = DTYPES[case["precision"]], case["channels"], case["kernel"]

    def tensor(*shape):
        return torch.randn(*shape, device=case["device"]).to(dtype).contiguous(memory_format=torch.channels_last)

    x = tensor(case["batch"], channels, case["size"], case["size"])
    w = tensor(channels, channels // case["groups"], kernel, kernel)
    y = F.conv2d(x, w, None, 1, kernel // 2, 1, case["groups"])
    dy = torch.randn_like(y)

    def forward():
        out = F.conv2d(x, w, None, 1, kernel // 2, 1, case["groups"])
        if kernel == 1 and case["device"] == "cuda":
            torch.batch_norm_stats(out, 1e-5)

    def backward(mask):
        torch.ops.aten.convolution_backward(dy, x, w, None, [1, 1], [kernel // 2] * 2, [1, 1], False, [0, 0],
                                            case["groups"], mask)

    share = case["seconds"] / 3
    return {"forward": timed(case, forward, 5, share)[0],
            "backward_input": timed(case, lambda: backward([True, False, False]), 5, share)[0],
            "backward_weight": timed(case, lambda: backward([False, True, False]), 5, share)[0]}


def version(_case):
    return {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}


def main():
    what, case = sys.argv[1], json.loads(sys.argv[2])
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    print(json.dumps({"step": step, "convolution": convolution, "version": version}[what](case)))


if __name__ == "__main__":
    main()
