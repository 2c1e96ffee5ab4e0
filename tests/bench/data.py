"""Decoding and augmenting pictures (2 x 160 + 4 x 96 px of each, as SEER does) by a trainer's own code, and by
torchvision on Pillow, in turns in one run.

usage: data.py --seerc SEERC --folder DIR [--python PYTHON]... [--pictures DIR] [--out FILE.json] [--rounds N]
               [--seconds S]
       data.py --table FILE.json
Method. One thread; milliseconds of processor time for a picture, so that a busy machine blurs less. A round is: each
PYTHON that is named (one that has torch and torchvision; default: /usr/bin/python3), then seer, decoding every pixel as
they do, then seer with data.scaled_decoding; each in a process of its own, which warms up first. The ratio is the
median over rounds of the better peer's time by seer's in the same round, with the smallest and the largest. Pictures
are made up, JPEGs of 500 x 375 and of 2000 x 1500 (smooth with edges and noise), but where --pictures names a folder.
"""
import argparse
import datetime
import glob
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PEER = "--peer"
SHAPES = {"500 x 375": (500, 375, 48), "2000 x 1500": (2000, 1500, 16)}


def peer(folder, seconds):
    """Runs in a PYTHON of its own: prints milliseconds a picture."""
    import torch
    import torchvision
    from PIL import Image, ImageFilter
    from torchvision import transforms

    torch.set_num_threads(1)

    class Blur:
        def __call__(self, picture):
            if random.random() < 0.5:
                return picture.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
            return picture

    def pipeline(size, scale):
        jitter = transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)
        return transforms.Compose([transforms.RandomResizedCrop(size, scale), transforms.RandomHorizontalFlip(), jitter,
                                   transforms.RandomGrayscale(0.2), Blur()])

    views = [pipeline(160, (0.14, 1.0))] * 2 + [pipeline(96, (0.05, 0.14))] * 4
    files = sorted(glob.glob(f"{folder}/*.jpg"))

    def picture(number):
        decoded = Image.open(files[number % len(files)]).convert("RGB")
        for view in views:
            view(decoded)

    for number in range(4):
        picture(number)
    count, start, end = 0, time.process_time(), time.time() + seconds
    while time.time() < end or count < 8:
        picture(count)
        count += 1
    print(json.dumps({"milliseconds": 1e3 * (time.process_time() - start) / count, "pictures": count,
                      "name": f"torchvision {torchvision.__version__.split('+')[0]}, Pillow {Image.__version__}"}))


def make_pictures(folder, width, height, count):
    """By the python that has numpy and Pillow."""
    import numpy
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = numpy.random.default_rng(number)
        y, x = numpy.mgrid[0:height, 0:width].astype(numpy.float32)
        planes = []
        for _ in range(3):
            plane = 128 + rng.normal(0, 3, x.shape)
            for _ in range(6):
                fx, fy = rng.uniform(-30, 30, 2) / width
                plane += rng.uniform(5, 40) * numpy.sin(fx * x + fy * y + rng.uniform(0, 6.28))
            left, top = rng.integers(0, width // 2), rng.integers(0, height // 2)
            plane[top:top + height // 3, left:left + width // 3] += rng.uniform(-90, 90)
            planes.append(plane)
        pixels = numpy.clip(numpy.stack(planes, -1), 0, 255).astype(numpy.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.jpg", quality=90)


def run_peer(python, folder, seconds):
    told = subprocess.run([python, __file__, PEER, str(folder), str(seconds)], stdout=subprocess.PIPE, check=True)
    return json.loads(told.stdout)


def run_seer(tool, folder, seconds, scaled):
    told = subprocess.run([tool, "speed", folder, "1", str(seconds), "scaled" if scaled else "whole"],
                          stdout=subprocess.PIPE, check=True).stdout
    return json.loads(told)["milliseconds_of_cpu_per_picture"]


def measure(name, folder, tool, options):
    rounds = []
    for _ in range(options.rounds):
        peers = [run_peer(python, folder, options.seconds) for python in options.python]
        rounds.append({"peers": {one["name"]: one["milliseconds"] for one in peers},
                       "seer": run_seer(tool, folder, options.seconds, False),
                       "seer_scaled": run_seer(tool, folder, options.seconds, True)})
    better = min(rounds[0]["peers"], key=lambda peer: statistics.median(r["peers"][peer] for r in rounds))
    case = {"pictures": name, "better_peer": better, "rounds": rounds,
            "peer_milliseconds": statistics.median(r["peers"][better] for r in rounds)}
    for side in ("seer", "seer_scaled"):
        ratios = [r["peers"][better] / r[side] for r in rounds]
        case[side] = {"milliseconds": statistics.median(r[side] for r in rounds), "ratio": statistics.median(ratios),
                      "ratio_least": min(ratios), "ratio_most": max(ratios)}
    return case


def print_table(results):
    print(f"{results['machine']['cpu']}; {results['date'][:10]}; one thread, milliseconds of its time a picture.\n")
    print("| JPEGs | best peer | ms | seer, ms | ratio | seer, scaled decoding, ms | ratio |")
    print("|---|---|---|---|---|---|---|")
    for c in results["cases"]:
        cells = [f"{c[side]['milliseconds']:.2f} | **{c[side]['ratio']:.1f}** ({c[side]['ratio_least']:.1f} to "
                 f"{c[side]['ratio_most']:.1f})" for side in ("seer", "seer_scaled")]
        print(f"| {c['pictures']} | {c['better_peer']} | {c['peer_milliseconds']:.2f} | {cells[0]} | {cells[1]} |")


def main():
    if sys.argv[1:2] == [PEER]:
        peer(sys.argv[2], float(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", metavar="FILE", help="print the table of these results and do nothing else")
    parser.add_argument("--seerc")
    parser.add_argument("--folder", help="where pictures, trainer and tool are made")
    parser.add_argument("--python", action="append", help="that has torchvision; repeatable")
    parser.add_argument("--pictures", help="a folder of JPEGs instead of made-up ones")
    parser.add_argument("--out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    if options.table:
        print_table(json.loads(pathlib.Path(options.table).read_text()))
        return
    if not options.seerc or not options.folder:
        parser.error("--seerc and --folder are needed")
    options.python = options.python or ["/usr/bin/python3"]
    sys.path.insert(0, str(HERE.parent / "data"))
    import native_tool
    folder = pathlib.Path(options.folder)
    tool = native_tool.build(os.path.abspath(options.seerc), folder)
    sets = {options.pictures: options.pictures} if options.pictures else {}
    for name, (width, height, count) in SHAPES.items() if not sets else ():
        sets[name] = folder / f"pictures-{width}"
        if not sets[name].exists():
            make_pictures(sets[name], width, height, count)
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    version = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True)
    results = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
               "machine": {"cpu": cpu[0] if cpu else platform.machine(), "system": platform.platform(),
                           "seer": version.stdout.strip()},
               "seconds": options.seconds,
               "cases": [measure(name, where, tool, options) for name, where in sets.items()]}
    if options.out:
        pathlib.Path(options.out).write_text(json.dumps(results, indent=1) + "\n")
    print_table(results)


main()
