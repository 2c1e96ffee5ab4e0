#!/usr/bin/env python3
"""Checks one shipped spec: `check_specs.py SEERC TREE SPEC`, or `table` for SPEC: table and specs/models name the
same nets.

Every spec must pass `seerc check` (with what it lacks beside it) and `seerc fmt --check`. A model's plan must show the
published parameters, depths, widths and group widths (published.csv), and the multiply-adds counted here from those.
"""
import csv
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES, SIZE = 1000, 224


def published():
    with open(os.path.join(HERE, "published.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for row in rows:
        for key in ("depths", "widths", "group_widths"):
            row[key] = [int(number) for number in row[key].split()]
        for key in ("parameters_trunk", "parameters_1000_classes"):
            row[key] = int(row[key])
    return {row["name"]: row for row in rows}


def trunk_macs(row, size):
    """Multiply-adds of one picture through stem and blocks; biases and BatchNorm count nothing. Strides are 2."""
    side = -(-size // 2)
    macs, width_in = 3 * 32 * 9 * side * side, 32
    for depth, width, group in zip(row["depths"], row["widths"], row["group_widths"]):
        for block in range(depth):
            before, side = side * side, -(-side // 2) if block == 0 else side
            after = side * side
            macs += width_in * width * (before + (after if block == 0 else 0))
            macs += width * group * 9 * after + width * width * after
            if row["family"] == "regnety":
                macs += 2 * width * round(width_in / 4)
            width_in = width
    return macs


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: found {found}, published {wanted}")


def check_model(seerc, name, folder):
    row = published()[name]
    spec = os.path.join(folder, name + ".seer")
    with open(spec, "w", encoding="utf-8") as file:
        file.write(f'use "models/{name}"\nsupervised {{ classes = {CLASSES} }}\ndata {{ pictures = "photos" }}\n'
                   f'views {{ crops = [crop(count = 1, size = {SIZE}px)] }}\n'
                   'train { batch = 2  epochs = 1 }\ncluster { memory = 100TiB  flops = 1e12  bandwidth = 1e11 }\n')
    run(seerc, "check", spec)
    model = json.loads(run(seerc, "plan", "--json", spec))["model"]
    for key in ("family", "depths", "widths", "group_widths", "parameters_trunk"):
        expect(key, model[key], row[key])
    expect("parameters_total", model["parameters_total"], row["parameters_1000_classes"])
    macs = model["macs_by_size"][str(SIZE)]
    expect("macs_by_size", macs, trunk_macs(row, SIZE))
    # The published count has the classifier, and a bias counts like a multiply-add: under a hundredth of a per cent.
    gmac = (macs + row["widths"][-1] * CLASSES) / 1e9
    if abs(gmac - float(row["gmac_224"])) > 0.0005 + 1e-4 * gmac:
        sys.exit(f"multiply-adds: found {gmac:.4f} G, published {row['gmac_224']} G")


def check_part(seerc, kind, name, folder):
    """A recipe or a machine with the smallest network."""
    spec = os.path.join(folder, "whole.seer")
    use = f'use "recipes/{name}"' if kind == "recipes" else f'cluster {{ machine = "{name}" }}'
    with open(spec, "w", encoding="utf-8") as file:
        file.write(f'use "models/regnety_200mf"\n{use}\ndata {{ pictures = "photos" }}\n')
        if kind == "machines":
            file.write("train { batch = 2  epochs = 1 }\n")
        else:
            file.write("cluster { memory = 100TiB }\ntrain { batch = 8 }\n")
            if name == "supervised":
                file.write("supervised { classes = 10 }\n")
    run(seerc, "check", spec)
    run(seerc, "plan", "--json", spec, "-D", "train.precision=fp32")  # the one precision that plans exist for so far


def check_table(tree):
    files = {name[:-5] for name in os.listdir(os.path.join(tree, "specs", "models")) if name.endswith(".seer")}
    expect("networks of specs/models", sorted(files), sorted(published()))


def main():
    seerc, tree, spec = sys.argv[1:]
    if spec == "table":
        check_table(tree)
        return
    run(seerc, "fmt", "--check", os.path.join(tree, spec))
    _, kind, name = os.path.splitext(spec)[0].split("/")
    with tempfile.TemporaryDirectory() as folder:
        if kind == "models":
            check_model(seerc, name, folder)
        elif kind in ("recipes", "machines"):
            check_part(seerc, kind, name, folder)
        else:
            run(seerc, "check", os.path.join(tree, spec))


main()
