"""The double-precision interpreter's training steps against the PyTorch reference in double precision.

usage: interpret_test.py --tool INTERPRET_TOOL --library SPECS --folder DIR [CASE...]   (no case: all but the largest)
The same cases and inputs as parity_test.py: what differs here is a fault of building, differentiating or evaluating the
graph; what differs only there is a fault of kernels or of code generation. Both sides are exact to rounding: 1e-8.
"""
import argparse
import pathlib
import sys

import raw_file
from cases import find_cases, spec_text, step_inputs
from compare import EXACT_LIMITS, compare, report
from emitted import Failure, parse_tensor, run
from reference_step import run_steps, settle_statistics, zero_gradients


def check_case(case, options):
    folder = pathlib.Path(options.folder) / case.name
    folder.mkdir(parents=True, exist_ok=True)
    spec, inputs_path, outputs_path = folder / "case.seer", folder / "input.raw", folder / "output.f64.raw"
    spec.write_text(spec_text(case))
    lines = run([options.tool, "--describe", spec, options.library]).splitlines()[1:]
    tensors = [t for t in map(parse_tensor, lines) if t.kind != "accumulator"]
    inputs = step_inputs(case, {t.name: t.shape for t in tensors})
    if case.bias:
        settle_statistics(case, inputs)
    raw_file.write(inputs_path, inputs)
    run([options.tool, spec, options.library, inputs_path, outputs_path])
    outputs = raw_file.read(outputs_path)
    expected = run_steps(case, inputs)
    worst, wrong = compare(outputs, expected, inputs, zero_gradients(case), EXACT_LIMITS)
    print(report(case.name, worst), flush=True)
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    cases = [c for c in find_cases(options.cases) if options.cases or (c.name != "regnety_400mf" and c.precision == "fp32")]
    failed = 0
    for case in cases:
        try:
            wrong = check_case(case, options)
        except Failure as failure:
            wrong = [str(failure)]
        for line in wrong[:25]:
            print(f"{case.name}: {line}")
        failed += bool(wrong)
    print(f"{failed} of {len(cases)} cases failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
