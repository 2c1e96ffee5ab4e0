"""Shipped specs against torchvision's own models with the same weights: features, loss, gradients, statistics.

usage: torchvision_test.py --seerc SEERC --folder DIR [MODEL...]   (no model: all)
torchvision runs in double precision with weights of its own initialisation and statistics away from their defaults;
BatchNorm biases are about 3, so that few values lie where f32 and f64 take different sides of a ReLU.
"""
import argparse
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from cases import random_pictures
from compare import LIMITS, distance, kind_of
from emitted import Emitted, Failure

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
# model of torchvision: its spec; those whose widths torchvision rounds in its own way say so
MODELS = {"regnet_y_400mf": "", "regnet_x_400mf": "model { group_rule = torchvision }"}
SIZE, BATCH, CLASSES, SMOOTHING = 64, 4, 10, 0.1


def spec_text(model):
    return f"""use "models/{model.replace('_', '', 1)}"
{MODELS[model]}
supervised {{ classes = {CLASSES}  label_smoothing = {SMOOTHING} }}
views {{ crops = [crop(count = 1, size = {SIZE}px)] }}
data {{ pictures = "pictures/" }}
train {{ batch = {BATCH}  steps = 1 }}
optimizer {{ name = sgd }}
evaluate {{ size = {SIZE}px  resize = {SIZE}px  batch = {BATCH} }}
"""


def make_model(model):
    torch.manual_seed(11)
    network = getattr(torchvision.models, model)(num_classes=CLASSES).double()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, 3, 0.1)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(tensor.float())
    return network


def to_images(pixels):
    x = torch.from_numpy(pixels).double() / 255
    return ((x - MEAN) / STD).permute(0, 3, 1, 2)


def expected_outputs(network, pixels, labels, evaluation_pixels):
    network.eval()
    classifier, network.fc = network.fc, torch.nn.Identity()
    with torch.no_grad():
        outputs = {"features": network(to_images(evaluation_pixels))}
    network.fc = classifier
    network.train()
    loss = F.cross_entropy(network(to_images(pixels)), torch.from_numpy(labels).long(), label_smoothing=SMOOTHING)
    loss.backward()
    outputs["step/0/micro/0/loss"] = loss.detach().reshape(1)
    outputs.update({f"step/0/gradient/{name}": p.grad for name, p in network.named_parameters()})
    outputs.update({f"step/0/state/{name}": b for name, b in network.named_buffers() if b.is_floating_point()})
    return {key: value.numpy() for key, value in outputs.items()}


def check_model(model, options):
    emitted = Emitted(options.seerc, spec_text(model), f"{options.folder}/{model}")
    network = make_model(model)
    state = {k: v.float().numpy() for k, v in network.state_dict().items() if v.is_floating_point()}
    random = np.random.default_rng(12)
    pixels, evaluation_pixels = random_pictures(random, BATCH, SIZE), random_pictures(random, BATCH, SIZE)
    labels = random.integers(0, CLASSES, BATCH, np.int32)
    inputs = {f"state/{name}": state.get(name, np.zeros(shape, "<f4")) for name, shape in emitted.shapes().items()}
    inputs.update({"steps": np.array([1], "<i4"), "step/0/scalars": np.array([0.1, 1, 1], "<f4"),
                   "step/0/micro/0/images/0": pixels, "step/0/micro/0/labels": labels,
                   "features/images": evaluation_pixels})
    wrong = [f"{name}: not a tensor of the emitted program" for name in state if name not in emitted.shapes()]
    outputs, _ = emitted.run_steps(inputs)
    worst = {}
    for key, right in expected_outputs(network, pixels, labels, evaluation_pixels).items():
        kind, value = kind_of(key), distance(outputs[key].astype(np.float64), right)
        worst[kind] = max(worst.get(kind, 0), value)
        if not value <= LIMITS[kind]:
            wrong.append(f"{key}: off by {value:.2e}")
    print(f"{model}: largest distance: " + ", ".join(f"{kind} {value:.1e}" for kind, value in sorted(worst.items())))
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seerc", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    failed = 0
    for model in options.models or MODELS:
        try:
            wrong = check_model(model, options)
        except Failure as failure:
            wrong = [str(failure)]
        for line in wrong[:25]:
            print(f"{model}: {line}")
        failed += bool(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
