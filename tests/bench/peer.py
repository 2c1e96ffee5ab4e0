"""The peer of the benchmark: a PyTorch training step, as a process that runs N steps when told so on stdin.

Argument: a JSON object {model, classes, crops, batch, prototypes, head, threads, layout, compiled, precision}. Each
line "N LIMIT" on stdin (steps, fewer once LIMIT seconds have gone) is answered by {"seconds": [per step], "peak_bytes":
resident peak, "import_bytes": resident before the model}. Compiled: torch.compile of the model with its loss. bf16:
autocast around the forward.
Favourable to PyTorch: its pictures lie normalised in memory, in its layout; ours are bytes, normalised inside the step.
"""
import json
import resource
import sys
import time

import torch
import torchvision
from torch import nn
import torch.nn.functional as F


def resident_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Supervised(nn.Module):
    def __init__(self, trunk, case):
        super().__init__()
        self.trunk = trunk
        self.labels = torch.randint(0, case["classes"], (case["batch"],))

    def forward(self, groups):
        return F.cross_entropy(self.trunk(groups[0]), self.labels)


class Swav(nn.Module):
    """Multi-crop SwAV as released: one trunk forward per size, head on all features, Sinkhorn codes of two crops."""

    def __init__(self, trunk, case):
        super().__init__()
        hidden, width = case["head"]
        features = trunk.fc.in_features
        trunk.fc = nn.Identity()
        self.trunk, self.batch, self.crops = trunk, case["batch"], sum(count for count, _ in case["crops"])
        self.head = nn.Sequential(nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                                  nn.Linear(hidden, width))
        self.prototypes = nn.Linear(width, case["prototypes"], bias=False)

    @torch.no_grad()
    def codes(self, scores, epsilon=0.05, iterations=3):
        q = torch.exp(scores / epsilon - (scores / epsilon).max()).t()
        q /= q.sum()
        for _ in range(iterations):
            q /= q.sum(1, keepdim=True) * q.shape[0]
            q /= q.sum(0, keepdim=True) * q.shape[1]
        return (q * q.shape[1]).t()

    def forward(self, groups):
        features = torch.cat([self.trunk(images) for images in groups])
        scores = self.prototypes(F.normalize(self.head(features), dim=1))
        per_crop, loss = scores.split(self.batch), 0
        for i in range(2):
            q = self.codes(per_crop[i].detach())
            for v in range(self.crops):
                if v != i:
                    loss = loss - (q * F.log_softmax(per_crop[v] / 0.1, dim=1)).sum(1).mean()
        return loss / 2 / (self.crops - 1)


def main():
    case = json.loads(sys.argv[1])
    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    import_bytes = resident_peak()
    trunk = getattr(torchvision.models, case["model"])(num_classes=case["classes"] or 1000)
    model = Swav(trunk, case) if case["prototypes"] else Supervised(trunk, case)
    groups = [torch.randn(count * case["batch"], 3, size, size) for count, size in case["crops"]]
    if case["layout"] == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        groups = [g.contiguous(memory_format=torch.channels_last) for g in groups]
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-5)

    run = torch.compile(model) if case.get("compiled") else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=case.get("precision") == "bf16"):
            loss = run(groups)
        loss.backward()
        optimizer.step()
        if case["prototypes"]:
            with torch.no_grad():
                model.prototypes.weight.copy_(F.normalize(model.prototypes.weight, dim=1))

    for line in sys.stdin:
        steps, limit = line.split()
        seconds = []
        while len(seconds) < int(steps) and sum(seconds) < float(limit):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "peak_bytes": resident_peak(), "import_bytes": import_bytes}), flush=True)


if __name__ == "__main__":
    main()
