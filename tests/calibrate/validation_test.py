#!/usr/bin/env python3
"""The page on validation stays true: validation_test.py SEERC ROOT FOLDER

The committed figures of measured steps, planned anew with the committed description: every simulated time and byte is
what the file says, the mean error is at most a tenth and none is above MOST, predicted memory is what trainers had
allocated, and the page has the file's table word for word. No clock is looked at: what was measured is data here. After
a change to the plan's times: tests/bench/validate.py --parts replan, and look at the table before it is committed.
"""
import json
import pathlib
import sys

MEAN, MOST = 0.10, 0.30


def main():
    seerc, root, folder = (pathlib.Path(argument) for argument in sys.argv[1:])
    sys.path.insert(0, str(root / "tests" / "bench"))
    sys.dont_write_bytecode = True
    import validate
    found = json.loads((root / "tests" / "bench" / "results" / "validation_epyc.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    now = validate.simulate_again(seerc, folder, found)
    wrong = []
    for row, again in zip(found["rows"], now):
        name = validate.name_of(row)
        if again["simulated_seconds"] != row["simulated_seconds"]:
            wrong.append(f"{name}: the plan says {again['simulated_seconds']} s now, not {row['simulated_seconds']} s")
        if again["predicted_bytes"] != row["allocated_bytes"]:
            wrong.append(f"{name}: the plan says {again['predicted_bytes']} bytes, "
                         f"{row['allocated_bytes']} were allocated")
        if abs(again["error"]) > MOST:
            wrong.append(f"{name}: off by {100 * again['error']:+.1f} %")
        if row["measured_seconds"] != min(row["rounds_seconds"]):
            wrong.append(f"{name}: its figure is not the least of its rounds")
    if len(now) < 12:
        wrong.append(f"{len(now)} combinations are too few")
    if validate.mean_error(now) > MEAN:
        wrong.append(f"the mean error is {100 * validate.mean_error(now):.1f} %")
    if validate.table(found) not in (root / "docs" / "validation.md").read_text():
        wrong.append("docs/validation.md does not have the table of the file (validate.py --table prints it)")
    print("\n".join(wrong) or f"{len(now)} combinations, mean error {100 * validate.mean_error(now):.1f} %")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
