"""RegNet trunk and SwAV head in PyTorch, written from the published formulas, with torchvision's parameter names.

Everything is a plain function of double or single precision tensors; gradients come from autograd. BatchNorm is spelled
out: biased variance for the output, unbiased for the running statistics, momentum 0.1 as in PyTorch.
"""
import torch
from torch import nn
import torch.nn.functional as F


class BatchNorm(nn.Module):
    def __init__(self, channels, epsilon=1e-5, momentum=0.1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.epsilon, self.momentum = epsilon, momentum

    def forward(self, x):
        shape = [1, -1] + [1] * (x.dim() - 2)
        if self.training:
            axes = [0] + list(range(2, x.dim()))
            count = x.numel() // x.shape[1]
            mean = x.mean(axes)
            variance = ((x - mean.view(shape)) ** 2).mean(axes)
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (variance * count / (count - 1) - self.running_var)
        else:
            mean, variance = self.running_mean, self.running_var
        normal = (x - mean.view(shape)) / torch.sqrt(variance.view(shape) + self.epsilon)
        return normal * self.weight.view(shape) + self.bias.view(shape)


class Relu(nn.Module):
    """Remembers how near to its kink it was asked: there f32 and f64 may fall on different sides, and a gradient
    of few elements then differs by much more than rounding."""

    nearest = float("inf")

    def forward(self, x):
        Relu.nearest = min(Relu.nearest, x.detach().abs().min().item())
        return torch.relu(x)


def conv(wide_in, wide_out, kernel, stride=1, groups=1):
    return nn.Conv2d(wide_in, wide_out, kernel, stride, kernel // 2, groups=groups, bias=False)


class Excitation(nn.Module):
    def __init__(self, width, squeezed):
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)
        self.relu = Relu()

    def forward(self, x):
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(self.relu(self.fc1(pooled))))


class Block(nn.Module):
    """y = relu(shortcut(x) + c(se(b(a(x))))); the stride is in the 3x3 and in the projection."""

    def __init__(self, width_in, width_out, stride, group_width, bottleneck, se_ratio, norm):
        super().__init__()
        inner = int(round(width_out * bottleneck))
        self.relu, self.proj = Relu(), None
        if width_in != width_out or stride != 1:
            self.proj = nn.Sequential(conv(width_in, width_out, 1, stride), norm(width_out))
        self.f = nn.Sequential()
        self.f.add_module("a", nn.Sequential(conv(width_in, inner, 1), norm(inner), Relu()))
        self.f.add_module("b", nn.Sequential(conv(inner, inner, 3, stride, inner // group_width), norm(inner), Relu()))
        if se_ratio:
            self.f.add_module("se", Excitation(inner, int(round(se_ratio * width_in))))
        self.f.add_module("c", nn.Sequential(conv(inner, width_out, 1), norm(width_out)))

    def forward(self, x):
        shortcut = x if self.proj is None else self.proj(x)
        return self.relu(shortcut + self.f(x))


class Trunk(nn.Module):
    def __init__(self, case):
        super().__init__()

        def norm(channels):
            return BatchNorm(channels, case.bn_epsilon, case.bn_momentum)

        self.stem = nn.Sequential(conv(3, case.stem_width, 3, case.stem_stride), norm(case.stem_width), Relu())
        self.trunk_output = nn.Sequential()
        width_in = case.stem_width
        for stage, depth in enumerate(case.depths):
            blocks = nn.Sequential()
            for i in range(depth):
                stride = case.strides[stage] if i == 0 else 1
                blocks.add_module(f"block{stage + 1}-{i}",
                                  Block(width_in, case.widths[stage], stride, case.group_widths[stage], case.bottleneck,
                                        case.se_ratio if case.family == "regnety" else 0, norm))
                width_in = case.widths[stage]
            self.trunk_output.add_module(f"block{stage + 1}", blocks)
        self.width = width_in

    def forward(self, x):
        return self.trunk_output(self.stem(x)).mean((2, 3))


class Network(nn.Module):
    """Trunk with the classifier `fc`, or with projection head and prototypes. `forward` takes one NCHW tensor per size
    group: one trunk forward each, features concatenated, head on the concatenation."""

    def __init__(self, case):
        super().__init__()
        trunk = Trunk(case)
        self.stem, self.trunk_output, self.feature_width = trunk.stem, trunk.trunk_output, trunk.width
        self.classes = case.classes
        if case.classes:
            self.fc = nn.Linear(trunk.width, case.classes)
            return
        layers, width = [], trunk.width
        for hidden in case.head[:-1]:
            layers.append(nn.Linear(width, hidden))
            if case.head_batch_norm:
                layers.append(BatchNorm(hidden, case.bn_epsilon, case.bn_momentum))
            layers.append(Relu())
            width = hidden
        layers.append(nn.Linear(width, case.head[-1]))
        self.projection_head = nn.Sequential(*layers)
        self.prototypes = nn.Linear(case.head[-1], case.prototypes, bias=False)

    def features(self, images):
        return self.trunk_output(self.stem(images)).mean((2, 3))

    def forward(self, groups):
        features = torch.cat([self.features(images) for images in groups])
        if self.classes:
            return self.fc(features)
        embedding = self.projection_head(features)
        embedding = embedding / embedding.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return embedding, self.prototypes(embedding)

    def biases_before_norm(self):
        """Names of the biases that a BatchNorm follows: their gradient is zero but for rounding."""
        if self.classes:
            return set()
        layers = list(self.projection_head)
        return {f"projection_head.{i}.bias" for i in range(len(layers) - 1) if isinstance(layers[i + 1], BatchNorm)}


def sinkhorn(scores, queue_scores, epsilon, iterations, hard):
    """scores [B, K] -> codes [B, K]; columns of the queue take part and are dropped."""
    batch = scores.shape[0]
    if queue_scores is not None:
        scores = torch.cat([scores, queue_scores])
    logits = scores.t() / epsilon
    codes = torch.exp(logits - logits.max())
    prototypes, columns = codes.shape
    codes = codes / codes.sum()
    for _ in range(iterations):
        codes = codes * ((1.0 / prototypes) / codes.sum(1, keepdim=True))
        codes = codes * ((1.0 / columns) / codes.sum(0, keepdim=True))
    codes = (codes / codes.sum(0, keepdim=True)).t()[:batch]
    if hard:
        codes = F.one_hot(codes.argmax(1), prototypes).to(codes.dtype)
    return codes


def swapped_prediction(scores, codes, temperature):
    """scores: [B, K] per crop; codes: those of the first crops. Mean over codes of the mean over the other crops."""
    loss = 0
    for i, code in enumerate(codes):
        others = [v for v in range(len(scores)) if v != i]
        for v in others:
            cross = -(code * torch.log_softmax(scores[v] / temperature, 1)).sum(1).mean()
            loss = loss + cross / len(others)
    return loss / len(codes)


def cross_entropy(logits, labels, smoothing):
    log_probability = torch.log_softmax(logits, 1)
    picked = log_probability.gather(1, labels.view(-1, 1)).squeeze(1)
    return -((1 - smoothing) * picked + smoothing * log_probability.mean(1)).mean()
