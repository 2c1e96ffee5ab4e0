#!/usr/bin/env python3
"""Planning and simulating SEER 10B stays a matter of seconds of one core, on 496 ranks and on 100,000.

Usage: speed_test.py SEERC TREE. Processor time, so that others on the machine matter little; the limits leave room for
them.
"""
import pathlib
import resource
import subprocess
import sys

CASES = (("496 ranks", [], 10), ("100,000 ranks", ["-D", "cluster.nodes=12500", "-D", "train.batch=1600000"], 60))


def seconds():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def main():
    seerc, tree = sys.argv[1], pathlib.Path(sys.argv[2])
    slow = False
    for name, defines, most in CASES:
        begin = seconds()
        subprocess.run([seerc, "plan", "--library", tree / "specs", tree / "examples/seer_10b/seer_10b.seer", *defines],
                       check=True, stdout=subprocess.DEVNULL)
        took = seconds() - begin
        print(f"{name}: {took:.1f} s of {most}")
        slow |= took > most
    sys.exit(slow)


if __name__ == "__main__":
    main()
