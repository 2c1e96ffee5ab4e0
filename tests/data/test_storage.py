"""Reading ahead hides storage that answers late: with 20 ms to each read the loader is about as fast as without.

A thread takes some 3 ms to a picture and would wait 20 ms for each: without reading ahead it would have an eighth of
its speed. The two run side by side, so that a machine that is busy with other work slows both alike; where they are not
near at first, chance gets some rounds more to even out.
"""
import json
import os
import subprocess

from common import PICTURES, TOOL, expect, finish, scratch
from shards import SANITIZED, SHIM, seerc

DELAY_MS, ROUNDS, SECONDS, NEAR = 20, 8, 1.5, 0.8


def loader_start(pattern, threads, delay):
    environment = {**os.environ, **SANITIZED, "LD_PRELOAD": SHIM, "SEER_TEST_READ_DELAY_MS": str(delay)}
    return subprocess.Popen([TOOL, "speed", pattern, str(threads), str(SECONDS)], stdout=subprocess.PIPE,
                            env=environment)


def speed_of(process):
    text = process.communicate()[0]
    expect(process.returncode == 0, f"the loader ended with {process.returncode}")
    return json.loads(text)["pictures_per_second"]


def check(name, pattern, threads):
    plain, late, rounds = 0, 0, 0
    while rounds < ROUNDS and late < NEAR * plain or rounds == 0:
        pair = [loader_start(pattern, threads, delay) for delay in (0, DELAY_MS)]
        plain += speed_of(pair[0])
        late += speed_of(pair[1])
        rounds += 1
    print(f"{name}, {threads} threads, side by side: {plain / rounds:.0f} pictures/s, {late / rounds:.0f} when each "
          f"read takes {DELAY_MS} ms: {late / plain:.2f}, {rounds} rounds")
    expect(late >= NEAR * plain, f"{name}: waits for storage")


with scratch() as root:
    seerc("pack", f"{PICTURES}/speed", "-o", f"{root}/packed")
    check("a folder", f"{PICTURES}/speed", 1)
    check("shards with an index", f"{root}/packed", 2)
finish("storage")
