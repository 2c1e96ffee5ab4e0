"""Shipped specs against torchvision's own models with the same weights: features, loss, gradients, statistics.

usage: torchvision_test.py --seerc SEERC --folder DIR [MODEL...]   (no model: all)
torchvision runs in double precision with weights of its own initialisation and the statistics of the evaluation
pictures. BatchNorm biases are about 1 and seeds chosen so that no value lies where f32 and f64 take different sides of
a ReLU: of millions of values a few would, and there gradients differ by much more than rounding.
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
# model of torchvision: what its spec adds (widths rounded in torchvision's way) and the seed
MODELS = {"regnet_y_400mf": ("", 57), "regnet_x_400mf": ("model { group_rule = torchvision }", 28)}
SIZE, BATCH, CLASSES, SMOOTHING = 64, 4, 10, 0.1


def spec_text(model):
    return f"""use "models/{model.replace('_', '', 1)}"
{MODELS[model][0]}
supervised {{ classes = {CLASSES}  label_smoothing = {SMOOTHING} }}
views {{ crops = [crop(count = 1, size = {SIZE}px)] }}
data {{ pictures = "pictures/" }}
train {{ batch = {BATCH}  steps = 1 }}
optimizer {{ name = sgd }}
evaluate {{ size = {SIZE}px  resize = {SIZE}px  batch = {BATCH} }}
"""


def to_images(pixels):
    x = torch.from_numpy(pixels).double() / 255
    return ((x - MEAN) / STD).permute(0, 3, 1, 2)


def make_model(model, evaluation_pixels):
    network = getattr(torchvision.models, model)(num_classes=CLASSES).double()
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.normal_(norm.bias, 1, 0.1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.float())
        for norm in norms:
            norm.momentum = 1
        network(to_images(evaluation_pixels))
        for norm in norms:
            norm.momentum = 0.1
            norm.running_mean.copy_(norm.running_mean.float())
            norm.running_var.copy_(norm.running_var.float())
    return network


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
    torch.manual_seed(MODELS[model][1])
    random = np.random.default_rng(MODELS[model][1])
    pixels, evaluation_pixels = random_pictures(random, BATCH, SIZE), random_pictures(random, BATCH, SIZE)
    network = make_model(model, evaluation_pixels)
    state = {k: v.float().numpy() for k, v in network.state_dict().items() if v.is_floating_point()}
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
