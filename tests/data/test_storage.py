"""Reading ahead hides storage that answers late: with 20 ms to each read the loader is about as fast as without.

One thread takes 3 ms to a picture and would wait 20 ms for each: without reading ahead it would have an eighth of
its speed. Speeds are taken in turns, and the best of each counts: the machine may be busy, so there are some rounds.
"""
import json
import os
import subprocess

from common import PICTURES, TOOL, expect, finish, scratch
from shards import SANITIZED, SHIM, seerc

DELAY_MS, ROUNDS, SECONDS, NEAR = 20, 10, 1.0, 0.8


def speed(pattern, threads, delay):
    environment = {**os.environ, **SANITIZED, "LD_PRELOAD": SHIM, "SEER_TEST_READ_DELAY_MS": str(delay)}
    run = subprocess.run([TOOL, "speed", pattern, str(threads), str(SECONDS)], stdout=subprocess.PIPE, env=environment,
                         check=True)
    return json.loads(run.stdout)["pictures_per_second"]


def check(name, pattern, threads):
    plain, late = 0, 0
    for _ in range(ROUNDS):
        plain = max(plain, speed(pattern, threads, 0))
        late = max(late, speed(pattern, threads, DELAY_MS))
        if late >= NEAR * plain:
            break
    print(f"{name}: {plain:.0f} pictures/s, {late:.0f} when each read takes {DELAY_MS} ms: {late / plain:.2f}")
    expect(late >= NEAR * plain, f"{name}: waits for storage")


with scratch() as root:
    seerc("pack", f"{PICTURES}/speed", "-o", f"{root}/packed")
    check("a folder", f"{PICTURES}/speed", 1)
    check("shards with an index", f"{root}/packed", 2)
finish("storage")
