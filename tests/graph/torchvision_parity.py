"""Graphs in the double-precision interpreter against torchvision's RegNets in double precision, with the same weights.

usage: torchvision_parity.py --tool INTERPRET_TOOL --library SPECS --folder DIR
Training mode (loss, every gradient, running statistics) and evaluation mode (pooled features). Small inputs; nets of
the zoo, and nets made from BlockParams that no shipped spec has. Both sides are exact to rounding: 1e-9, relative L2.
"""
import argparse
import pathlib
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models.regnet import BlockParams, RegNet

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "train"))
import raw_file  # noqa: E402

LIMIT = 1e-9
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES, SMOOTHING = 7, 0.1
# Above 32 pixels: where the last stage is one pixel, BatchNorm of two pictures is a sign, and no two programs agree.
# name: family, generator (depth, w0, wa, wm, group width), bottleneck, squeeze ratio, pixels, batch
NETS = {
    "x_200mf": ("regnetx", (13, 24, 36.44, 2.49, 8), 1.0, None, 40, 3),
    "y_400mf": ("regnety", (16, 48, 27.89, 2.09, 8), 1.0, 0.25, 40, 2),
    "x_400mf": ("regnetx", (22, 24, 24.48, 2.54, 16), 1.0, None, 40, 2),
    "y_800mf": ("regnety", (14, 56, 38.84, 2.4, 16), 1.0, 0.25, 40, 2),
    "y_small": ("regnety", (5, 16, 12.0, 2.2, 8), 1.0, 0.5, 45, 3),
    "x_narrow": ("regnetx", (5, 24, 16.0, 2.2, 8), 0.5, None, 33, 3),
}


def spec_text(net):
    family, (depth, w0, wa, wm, group_width), bottleneck, squeeze, pixels, batch = net
    ratio = f"se_ratio = {squeeze}" if squeeze else ""
    return f"""model {{
  family = {family}
  depth = {depth}
  w0 = {w0}
  wa = {wa}
  wm = {wm}
  group_width = {group_width}
  group_rule = torchvision
  bottleneck = {bottleneck}
  {ratio}
}}
supervised {{ classes = {CLASSES}  label_smoothing = {SMOOTHING} }}
views {{ crops = [crop(count = 1, size = {pixels}px)] }}
data {{ pictures = "pictures/" }}
train {{ batch = {batch}  steps = 1 }}
optimizer {{ name = sgd }}
evaluate {{ size = {pixels}px  resize = {pixels}px  batch = {batch} }}
"""


def make_network(net):
    _, (depth, w0, wa, wm, group_width), bottleneck, squeeze, _, _ = net
    torch.manual_seed(3)
    params = BlockParams.from_init_params(depth=depth, w_0=w0, w_a=wa, w_m=wm, group_width=group_width,
                                          bottleneck_multiplier=bottleneck, se_ratio=squeeze)
    network = RegNet(params, num_classes=CLASSES).double()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.dim() == 1 and name.endswith("weight"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.dim() == 1 and tensor.is_floating_point():
                tensor.normal_(0, 0.1)
            if tensor.is_floating_point():
                tensor.copy_(tensor.float())  # the tool reads single precision
    return network


def expected_outputs(network, pixels, labels):
    images = torch.from_numpy(pixels).double() / 255
    mean, std = (torch.tensor(triple, dtype=torch.double) for triple in (MEAN, STD))
    images = ((images - mean) / std).permute(0, 3, 1, 2)
    network.eval()
    with torch.no_grad():
        features = network.avgpool(network.trunk_output(network.stem(images))).flatten(1)
    network.train()
    loss = F.cross_entropy(network(images), torch.from_numpy(labels).long(), label_smoothing=SMOOTHING)
    loss.backward()
    outputs = {"features": features, "step/0/micro/0/loss": loss.detach().reshape(1)}
    outputs.update({f"step/0/gradient/{name}": p.grad for name, p in network.named_parameters()})
    outputs.update({f"step/0/state/{name}": b for name, b in network.named_buffers() if b.is_floating_point()})
    return {key: value.numpy() for key, value in outputs.items()}


def kept_shapes(options, spec):
    command = [options.tool, "--describe", spec, options.library]
    text = subprocess.run(command, check=True, capture_output=True, text=True)
    shapes = {}
    for line in text.stdout.splitlines():
        words = line.split()
        if words[0] in ("parameter", "state"):
            shapes[words[1]] = tuple(int(word) for word in words[6:])
    return shapes


def check_net(name, net, options):
    folder = pathlib.Path(options.folder) / name
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "net.seer"
    spec.write_text(spec_text(net))
    network, random = make_network(net), np.random.default_rng(5)
    pixels = random.integers(0, 256, (net[5], net[4], net[4], 3), np.uint8)
    labels = random.integers(0, CLASSES, net[5], np.int32)
    state = {key: value.float().numpy() for key, value in network.state_dict().items() if value.is_floating_point()}
    shapes = kept_shapes(options, spec)
    wrong = [f"{key}: {value.shape}, the graph has {shapes.get(key)}" for key, value in state.items()
             if shapes.get(key) != value.shape]
    if wrong:
        return 0, wrong
    inputs = {f"state/{key}": state.get(key, np.zeros(shape, "<f4")) for key, shape in shapes.items()}
    inputs.update({"steps": np.array([1], "<i4"), "step/0/scalars": np.array([0.1, 1, 1], "<f4"),
                   "step/0/micro/0/images/0": pixels, "step/0/micro/0/labels": labels, "features/images": pixels})
    raw_file.write(folder / "input.raw", inputs)
    subprocess.run([options.tool, spec, options.library, folder / "input.raw", folder / "output.raw"], check=True)
    got, worst = raw_file.read(folder / "output.raw"), 0
    for key, right in expected_outputs(network, pixels, labels).items():
        distance = np.linalg.norm(got[key] - right) / np.linalg.norm(right)
        worst = max(worst, distance)
        if not distance <= LIMIT:
            wrong.append(f"{key}: off by {distance:.1e}")
    return worst, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--folder", required=True)
    options = parser.parse_args()
    failed = 0
    for name, net in NETS.items():
        worst, wrong = check_net(name, net, options)
        print(f"{name}: largest distance {worst:.1e}")
        for line in wrong[:20]:
            print(f"{name}: {line}")
        failed += bool(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
