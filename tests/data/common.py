"""What the Python tests of the data room share: running data_tool, reading raw pixels, counting failures."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

TOOL, PICTURES = sys.argv[1:3]
failures = []


def tool(*arguments, check=True):
    """Runs data_tool and gives the JSON objects it prints."""
    run = subprocess.run([TOOL, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if (check and run.returncode != 0) or run.returncode not in (0, 1) or b"Sanitizer" in run.stderr:
        print(run.stdout.decode(errors="replace")[-2000:], run.stderr.decode(errors="replace")[-4000:])
        raise SystemExit(f"data_tool {arguments} ended with {run.returncode}")
    return [json.loads(line) for line in run.stdout.decode().splitlines()]


def raw(path, height, width):
    return np.fromfile(path, np.uint8).reshape(height, width, 3)


def expect(condition, text):
    if not condition:
        failures.append(text)
        print("FAILED:", text)


def scratch():
    return tempfile.TemporaryDirectory(prefix="seer-data-")


def finish(what):
    print(f"{what}: {len(failures)} failures")
    sys.exit(1 if failures else 0)
