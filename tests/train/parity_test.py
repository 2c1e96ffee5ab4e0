"""Whole emitted training steps against the PyTorch reference, in double precision, over several steps.

usage: parity_test.py --seerc SEERC --folder DIR [--sanitize] [--cpu LEVEL] [--tuning least|most] [--yardstick]
                      [CASE|quick|rest]...      (none: all)
Builds each case's spec, runs the emitted step, compares loss, codes, every gradient, parameter, velocity, BatchNorm
statistic, queue and evaluation features; compares the declared initialisation with the formulas; runs the step with
1, 2 and 5 threads and asks for the same bytes. --sanitize builds the step under AddressSanitizer and
UndefinedBehaviorSanitizer; --tuning sets every parameter of the kernels to a bound; --yardstick also prints PyTorch's
own f32 distance from f64. What trains in bf16 must be as close to f64 as PyTorch's own autocast.
"""
import argparse
import math
import pathlib
import sys

import torch

import tunings
from cases import find_cases, spec_text, step_inputs
from compare import LIMITS, NARROW_LIMITS, closer_than, compare, report
from emitted import Emitted, Failure
from reference_step import run_steps, settle_statistics, zero_gradients


def expected_init(tensor):
    """(init, a) of the released initialisation (VISSL): normal by fan-out over all groups; None: PyTorch's default."""
    name, shape = tensor.name, tensor.shape
    if name.endswith("running_var"):
        return "one", 0
    if tensor.kind != "parameter":
        return "zero", 0
    if name == "fc.weight":
        return "normal", 0.01
    if name == "fc.bias":
        return "zero", 0
    if len(shape) == 4:
        return "normal", math.sqrt(2 / (shape[0] * shape[2] * shape[3]))
    return None


def check_init(emitted):
    wrong = []
    by_name = {t.name: t for t in emitted.tensors}
    for name, tensor in by_name.items():
        expected = expected_init(tensor)
        if expected is None:
            weight = by_name.get(name.replace(".bias", ".weight"), tensor)
            if len(weight.shape) == 1:
                expected = ("one", 0) if name.endswith(".weight") else ("zero", 0)
            else:
                expected = ("uniform", 1 / math.sqrt(math.prod(weight.shape[1:])))
        if tensor.init != expected[0] or (expected[1] and abs(tensor.init_a / expected[1] - 1) > 1e-6):
            wrong.append(f"{name}: starts {tensor.init} {tensor.init_a}, expected {expected[0]} {expected[1]}")
        if tensor.normalized != (name == "prototypes.weight"):
            wrong.append(f"{name}: rows {'are' if tensor.normalized else 'are not'} normalised at the start")
    return wrong


def check_threads(emitted, inputs, bytes_of_two):
    return [f"{threads} threads give other bits than 2" for threads in (1, 5)
            if emitted.run_steps(inputs, threads)[1] != bytes_of_two]


def write_tuning(options, folder):
    """All parameters of the kernels at a bound, for the lanes that the trainer has."""
    features = pathlib.Path("/proc/cpuinfo").read_text()
    native = options.cpu == "native" and all(f"avx512{part}" in features for part in ("f", "bw", "cd", "dq", "vl"))
    path = pathlib.Path(folder) / f"{options.tuning}.tune"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tunings.text_at(options.tuning, 16 if native or options.cpu == "x86-64-v4" else 8))
    return path


def check_case(case, options):
    kernels = ["--cpu", options.cpu] + ["--sanitize"] * options.sanitize
    if options.tuning:
        kernels += ["--tuning", write_tuning(options, f"{options.folder}/{case.name}")]
    emitted = Emitted(options.seerc, spec_text(case), f"{options.folder}/{case.name}", None if case.quick else "-O1",
                      kernels)
    inputs = step_inputs(case, emitted.shapes())
    if case.bias:
        settle_statistics(case, inputs)
    outputs, output_bytes = emitted.run_steps(inputs)
    expected = run_steps(case, inputs)
    narrow = case.precision == "bf16"
    worst, wrong = compare(outputs, expected, inputs, zero_gradients(case), NARROW_LIMITS if narrow else LIMITS)
    print(report(case.name, worst), flush=True)
    if narrow or options.yardstick:
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow, cache_enabled=False):
            same = run_steps(case, inputs, torch.float32)
        yardstick, _ = compare(same, expected, inputs, zero_gradients(case), NARROW_LIMITS)
        print(report(f"{case.name} (PyTorch {case.precision})", yardstick), flush=True)
        if narrow:
            wrong += closer_than(worst, yardstick)
    return wrong + check_init(emitted) + check_threads(emitted, inputs, output_bytes)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seerc", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--cpu", default="native")
    parser.add_argument("--tuning", choices=("least", "most"))
    parser.add_argument("--yardstick", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    failed, cases = 0, find_cases(options.cases)
    for case in cases:
        try:
            wrong = check_case(case, options)
        except Failure as failure:
            wrong = [str(failure)]
        for line in wrong[:25]:
            print(f"{case.name}: {line}")
        if len(wrong) > 25:
            print(f"{case.name}: and {len(wrong) - 25} more")
        failed += bool(wrong)
    print(f"{failed} of {len(cases)} cases failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
