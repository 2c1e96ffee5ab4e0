"""A trainer whose pictures come late says so: in its progress and in metrics.jsonl."""
import json
import os
import subprocess

from common import PICTURES, TOOL, expect, finish, scratch
from shards import SHIM

TRAINER = os.path.join(os.path.dirname(TOOL), "trainer")


def run(folder, delay):
    environment = {**os.environ, "LD_PRELOAD": SHIM, "SEER_TEST_READ_DELAY_MS": str(delay)}
    told = subprocess.run([TRAINER, "--data", f"{PICTURES}/photos", "--out", folder, "--steps", "12", "--no-report",
                           "--decode-threads", "1", "--threads", "1"], env=environment, capture_output=True, text=True)
    expect(told.returncode == 0, f"the trainer ended with {told.returncode}: {told.stderr}")
    with open(f"{folder}/metrics.jsonl") as lines:
        waits = [json.loads(line)["loader_wait"] for line in lines]
    return told.stdout, sorted(waits)[len(waits) // 2]


with scratch() as root:
    # Its network is so small that one decoding thread is never fast enough.
    text, wait = run(f"{root}/late", 50)
    expect("% waiting for pictures" in text, f"nothing is said of waiting: {text}")
    expect(0.5 < wait <= 1, f"loader_wait is {wait}")
finish("waiting")
