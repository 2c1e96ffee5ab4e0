"""The cases of the parity tests: small networks that between them take every branch of a training step.

Each case is a spec (spec_text) and the same numbers for the reference. Sizes are chosen so that a case takes seconds.
"""
from dataclasses import dataclass

import numpy as np


@dataclass
class Case:
    name: str
    quick: bool = False                     # in the quick subset, and compiled as users compile
    precision: str = "fp32"                 # or bf16
    long: bool = False                      # only in the long subset: another tells most of it
    family: str = "regnety"
    depths: tuple = (1, 2, 1)
    widths: tuple = (16, 24, 40)
    group_widths: tuple = (8, 8, 8)
    strides: tuple = (2, 2, 1)
    stem_width: int = 16
    stem_stride: int = 2
    bottleneck: float = 1.0
    se_ratio: float = 0.25
    init: str = "vissl"
    bn_epsilon: float = 1e-5
    bn_momentum: float = 0.1
    classes: int = 0
    label_smoothing: float = 0.0
    head: tuple = (32, 16)
    head_batch_norm: bool = True
    prototypes: int = 20
    temperature: float = 0.1
    epsilon: float = 0.05
    iterations: int = 3
    hard: bool = False
    assign_crops: int = 2
    queue: int = 0
    crops: tuple = ((2, 32), (3, 24))
    batch: int = 4
    accumulate: int = 1
    optimizer: str = "larc"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_norm_and_bias: bool = True
    trust: float = 0.001
    larc_epsilon: float = 1e-8
    clip: bool = False
    mean: tuple = (0.485, 0.456, 0.406)
    std: tuple = (0.229, 0.224, 0.225)
    evaluate_size: int = 32
    evaluate_batch: int = 3
    rates: tuple = (0.5, 0.7, 0.3)          # learning rate of each step
    frozen_steps: int = 0                   # prototypes inactive in the first steps
    queue_off_steps: int = 0                # queue inactive in the first steps
    bias: float = 0.0                       # BatchNorm biases are about this; off 0, few are near a kink
    seed: int = 1                           # of states and pictures; keeps every ReLU off its kink (reference_test.py)


CASES = [
    Case("y_two_size_groups", seed=26),
    Case("x_deep_head_plain", family="regnetx", head=(32, 24, 16), head_batch_norm=False, batch=3,
         stem_width=8, crops=((2, 24), (2, 16)), weight_decay=1e-2, seed=38),
    Case("queue", long=True, queue=12, queue_off_steps=1, crops=((2, 24),), prototypes=10, batch=6, seed=17),
    Case("accumulate", quick=True, accumulate=2, batch=6, frozen_steps=1, crops=((2, 24), (1, 16)), seed=29),
    Case("accumulate_queue", accumulate=2, batch=8, queue=8, crops=((2, 24),), prototypes=10, seed=1),
    Case("frozen_prototypes", long=True, frozen_steps=2, crops=((2, 24), (2, 16)), iterations=10, epsilon=0.03,
         seed=17),
    Case("hard_codes", long=True, hard=True, crops=((2, 24), (2, 16)), prototypes=7, seed=19),
    Case("three_assigned", long=True, assign_crops=3, crops=((3, 24), (2, 16)), temperature=0.2, seed=13),
    Case("supervised_smoothing", quick=True, classes=11, label_smoothing=0.1, crops=((1, 32),), batch=8,
         rates=(2, 1, 3), seed=26),
    Case("supervised_crops", classes=5, crops=((2, 24), (1, 16)), batch=3, label_smoothing=0.2, seed=1),
    Case("sgd_nesterov", classes=5, optimizer="sgd", nesterov=True, crops=((1, 24),), batch=5, rates=(0.05, 0.1, 0.02),
         weight_decay=5e-4, seed=20),
    Case("sgd_no_decay_1d", long=True, optimizer="sgd", decay_norm_and_bias=False, crops=((2, 24), (1, 16)),
         rates=(0.02, 0.05, 0.01), weight_decay=1e-1, seed=12),
    Case("larc_no_decay_1d", long=True, decay_norm_and_bias=False, crops=((2, 24),), weight_decay=1e-1,
         rates=(0.02, 0.02, 0.02), seed=17),
    Case("larc_clip", clip=True, nesterov=True, weight_decay=1e-2, rates=(0.001, 0.05, 0.5), crops=((2, 24),), seed=34),
    Case("odd_batch_three_groups", batch=5, crops=((2, 32), (1, 24), (3, 16)), seed=35),
    Case("lanes_full", long=True, batch=8, crops=((2, 24), (1, 16)), widths=(16, 16, 32), seed=40),
    Case("odd_group_width", widths=(18, 30, 42), group_widths=(6, 10, 7), stem_width=9, crops=((2, 24),), seed=34),
    Case("ungrouped_and_depthwise", widths=(12, 20, 24), group_widths=(12, 1, 3), crops=((2, 24),), batch=3, seed=10),
    Case("stride_1_stem", long=True, stem_stride=1, crops=((2, 16), (2, 12)), strides=(1, 2, 2), seed=9),
    Case("odd_pictures", crops=((2, 27), (2, 19)), strides=(2, 2, 2), batch=3, seed=34),
    Case("bottleneck_half", long=True, bottleneck=0.5, widths=(16, 32, 48), group_widths=(4, 8, 8), crops=((2, 24),),
         seed=1),
    Case("bn_constants", long=True, bn_epsilon=1e-3, bn_momentum=0.3, se_ratio=0.5, crops=((2, 24),), seed=14),
    # Millions of values and a last stage of 2 x 2 pixels: with biases about 0 no seed keeps all off the kinks.
    Case("regnety_400mf", classes=10, depths=(1, 3, 6, 6), widths=(48, 104, 208, 440), group_widths=(8, 8, 8, 8),
         strides=(2, 2, 2, 2), stem_width=32, crops=((1, 64),), batch=4, rates=(0.05,), optimizer="sgd",
         evaluate_size=64, bias=1.0, seed=39),
    Case("bf16_y_two_size_groups", precision="bf16", quick=True, seed=26),
    Case("bf16_odd_pictures", precision="bf16", crops=((2, 27), (2, 19)), strides=(2, 2, 2), batch=3, seed=34),
    Case("bf16_wide_ungrouped", precision="bf16", classes=10, family="regnetx", depths=(1, 1), widths=(320, 48),
         group_widths=(320, 24), strides=(2, 2), crops=((1, 32),), batch=9, rates=(0.05, 0.02), optimizer="sgd",
         bias=1.0, seed=3),
    Case("bf16_regnety_400mf", precision="bf16", classes=10, depths=(1, 3, 6, 6), widths=(48, 104, 208, 440),
         group_widths=(8, 8, 8, 8), strides=(2, 2, 2, 2), stem_width=32, crops=((1, 64),), batch=4, rates=(0.05,),
         optimizer="sgd", evaluate_size=64, bias=1.0, seed=39),
]


def find_cases(names):
    """By name; `quick`, `rest` and `long` stand for three parts; no name: all."""
    found = []
    for name in names or ["quick", "rest", "long"]:
        group = [case for case in CASES
                 if name in (case.name, "quick" if case.quick else "long" if case.long else "rest")]
        if not group:
            raise SystemExit(f"no case '{name}'")
        found += group
    return found


def find_case(name):
    return find_cases([name])[0]


def format_list(values):
    return "[" + ", ".join(str(v) for v in values) + "]"


def format_flag(value):
    return "yes" if value else "no"


def spec_text(case):
    crops = ", ".join(f"crop(count = {count}, size = {size}px)" for count, size in case.crops)
    if case.classes:
        task = f"supervised {{ classes = {case.classes}  label_smoothing = {case.label_smoothing} }}"
    else:
        task = f"""swav {{
  prototypes = {case.prototypes}
  head = {format_list(case.head)}
  head_batch_norm = {format_flag(case.head_batch_norm)}
  temperature = {case.temperature}
  epsilon = {case.epsilon}
  iterations = {case.iterations}
  hard = {format_flag(case.hard)}
  assign_crops = {case.assign_crops}
  queue = {case.queue}
  freeze_prototypes = {case.frozen_steps}
}}"""
    return f"""# {case.name}: parity with PyTorch
model {{
  family = {case.family}
  depths = {format_list(case.depths)}
  widths = {format_list(case.widths)}
  group_widths = {format_list(case.group_widths)}
  strides = {format_list(case.strides)}
  bottleneck = {case.bottleneck}
  {f"se_ratio = {case.se_ratio}" if case.family == "regnety" else ""}
  stem_width = {case.stem_width}
  stem_stride = {case.stem_stride}
  init = {case.init}
  bn_epsilon = {case.bn_epsilon}
  bn_momentum = {case.bn_momentum}
}}
{task}
views {{
  crops = [{crops}]
  mean = {format_list(case.mean)}
  std = {format_list(case.std)}
}}
data {{ pictures = "pictures/" }}
train {{
  batch = {case.batch}
  steps = {len(case.rates)}
  accumulate = {case.accumulate}
  precision = {case.precision}
}}
optimizer {{
  name = {case.optimizer}
  momentum = {case.momentum}
  nesterov = {format_flag(case.nesterov)}
  weight_decay = {case.weight_decay}
  decay_norm_and_bias = {format_flag(case.decay_norm_and_bias)}
  trust = {case.trust}
  larc_epsilon = {case.larc_epsilon}
  clip = {format_flag(case.clip)}
}}
evaluate {{ size = {case.evaluate_size}px  resize = {case.evaluate_size}px  batch = {case.evaluate_batch} }}
"""


def initial_state(case, shapes):
    """Random state that hides no term: gains off one, biases and momenta off zero. `shapes` by reference name."""
    random = np.random.default_rng(case.seed)
    state = {}
    for name in sorted(shapes):
        shape = shapes[name]
        values = random.standard_normal(shape)
        if name.endswith("running_var"):
            values = 1 + 0.5 * np.tanh(values)
        elif name.startswith("queue.") or name == "prototypes.weight":
            values /= np.linalg.norm(values, axis=1, keepdims=True)
        elif name.endswith(".velocity"):
            values *= 1e-3
        elif len(shape) > 1:
            values *= np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(".weight"):
            values = 1 + 0.2 * np.tanh(values)
        else:
            values *= 0.1
            values += case.bias if name[:-len("bias")] + "running_var" in shapes else 0
        state[name] = values.astype("<f4")
    return state


def step_inputs(case, shapes):
    """All inputs of step_driver.c, states under their reference names."""
    random = np.random.default_rng(case.seed + 1000)
    inputs = {f"state/{name}": values for name, values in initial_state(case, shapes).items()}
    side, micro_batch = case.evaluate_size, case.batch // case.accumulate
    inputs["features/images"] = random.integers(0, 256, (case.evaluate_batch, side, side, 3), np.uint8)
    inputs["steps"] = np.array([len(case.rates)], "<i4")
    for step, rate in enumerate(case.rates):
        scalars = [rate, step >= case.frozen_steps, step >= case.queue_off_steps]
        inputs[f"step/{step}/scalars"] = np.array(scalars, "<f4")
        for micro in range(case.accumulate):
            prefix = f"step/{step}/micro/{micro}"
            for group, (count, size) in enumerate(case.crops):
                inputs[f"{prefix}/images/{group}"] = random_pictures(random, count * micro_batch, size)
            if case.classes:
                inputs[f"{prefix}/labels"] = random.integers(0, case.classes, micro_batch, np.int32)
    return inputs


def random_pictures(random, count, side):
    """Smooth colour fields with noise: neighbouring pixels agree, as in real pictures."""
    coarse = random.integers(0, 256, (count, 4, 4, 3)).repeat(-(-side // 4), 1).repeat(-(-side // 4), 2)
    noise = random.integers(-40, 41, (count, side, side, 3))
    return np.clip(coarse[:, :side, :side] + noise, 0, 255).astype(np.uint8)
