#!/usr/bin/env python3
"""How the cost of a step grows: with the batch, and with the network.

usage: growth.py --seerc SEERC --folder DIR [--out FILE.json] [--svg FILE.svg] [--rounds N] [--steps N] [--cpu LEVEL]
                 [--parts batch,family]
Method. Batch: regnety_200mf on 64 px, supervised, SGD, f32, one thread: instructions that the step and its update
execute a picture, counted by valgrind's callgrind, for batches of 16 to 256; flat is 1 (goal: within 5 %). Family:
every shipped network up to 4 GF on 64 px, a batch of 16, two threads: the median step's seconds, each network once a
round, the median over rounds, against multiply-adds of the trunk a picture, in a table and a picture with the line of
least squares: linear is near it.
"""
import pathlib
import statistics
import subprocess
import json

import ranks
import ranks_common as common

SPEC = """use "models/{model}"
supervised {{ classes = 1000 }}
views {{ crops = [crop(count = 1, size = 64px)] }}
data {{ pictures = "{pictures}" labels = "{labels}" }}
train {{ batch = {batch}  steps = 100000 }}
optimizer {{ name = sgd }}
evaluate {{ size = 64px  resize = 64px  batch = 16 }}
save {{ every = 1000000 }}
log {{ every = 1 }}
"""
BATCHES = (16, 32, 64, 128, 256)
FAMILY = [f"regnet{letter}_{size}" for size in ("200mf", "400mf", "600mf", "800mf", "1_6gf", "3_2gf", "4gf")
          for letter in "xy"]
WIDTH, HEIGHT, EDGE = 640, 400, 60


def labels_make(pictures):
    labels = pictures.with_name(pictures.name.replace("images-idx3", "labels-idx1"))
    count = int.from_bytes(pictures.read_bytes()[4:8], "big")
    labels.write_bytes(bytes.fromhex("00000801") + count.to_bytes(4, "big") + bytes(i % 10 for i in range(count)))
    return labels


def build(options, model, batch, cpu):
    spec, trainer = options.folder / f"{model}-{batch}.seer", options.folder / f"{model}-{batch}"
    spec.write_text(SPEC.format(model=model, batch=batch, pictures=options.pictures, labels=options.labels))
    subprocess.run([options.seerc, "build", spec, "-o", trainer, "--cpu", cpu], check=True, stderr=subprocess.DEVNULL)
    return trainer


def batches(options):
    rows = []
    for batch in BATCHES:
        count, _ = ranks.instructions(options, build(options, "regnety_200mf", batch, options.cpu), 1)
        rows.append({"batch": batch, "instructions_per_picture": count / batch})
        print(f"batch {batch}: {count / batch / 1e6:.3f} million instructions a picture, "
              f"{count / batch / rows[0]['instructions_per_picture']:.3f} of the first")
    return rows


def family(options):
    trainers = {model: build(options, model, 16, "native") for model in FAMILY}
    seconds = {model: [] for model in FAMILY}
    for _ in range(options.rounds):
        for model, trainer in trainers.items():
            told = subprocess.run([trainer, "bench", "--json", "--threads", "2", "--steps", str(options.steps)],
                                  capture_output=True, text=True, check=True)
            seconds[model].append(json.loads(told.stdout)["step_seconds_median"])
    rows = [{"model": model, "macs": common.plan_of(trainers[model], 1)["model"]["macs_by_size"]["64"],
             "step_seconds": statistics.median(seconds[model]), "rounds": seconds[model]} for model in FAMILY]
    base, slope = line_of(rows)
    for r in rows:
        r["of_line"] = r["step_seconds"] / (base + slope * r["macs"])
        print(f"{r['model']}: {r['macs'] / 1e6:.1f} MMAC, {r['step_seconds'] * 1e3:.1f} ms, "
              f"{r['of_line']:.2f} of the line")
    print(f"the line: {base * 1e3:.1f} ms and {slope * 1e9:.3f} ms for each MMAC")
    return rows


def line_of(rows):
    """Of least squares: seconds of no multiply-adds, and of each."""
    x, y = statistics.mean(r["macs"] for r in rows), statistics.mean(r["step_seconds"] for r in rows)
    slope = sum((r["macs"] - x) * (r["step_seconds"] - y) for r in rows) / sum((r["macs"] - x) ** 2 for r in rows)
    return y - slope * x, slope


def picture(rows):
    base, slope = line_of(rows)
    right, high = 1.1 * max(r["macs"] for r in rows), 1.1 * max(r["step_seconds"] for r in rows)
    at_x = lambda macs: EDGE + macs / right * (WIDTH - 2 * EDGE)
    at_y = lambda seconds: HEIGHT - EDGE - seconds / high * (HEIGHT - 2 * EDGE)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             'font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             f'<path d="M{EDGE} {EDGE}V{HEIGHT - EDGE}H{WIDTH - EDGE}" fill="none" stroke="#333"/>',
             f'<line x1="{at_x(0):.1f}" y1="{at_y(base):.1f}" x2="{at_x(right):.1f}" '
             f'y2="{at_y(base + slope * right):.1f}" stroke="#999"/>',
             f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">million multiply-adds of a picture</text>',
             f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">'
             'milliseconds of a step of 16 pictures</text>',
             f'<text x="{EDGE + 12}" y="{EDGE - 12}">Line of least squares: {base * 1e3:.0f} ms and '
             f'{slope * 1e9:.2f} ms for each million</text>']
    for i in range(1, 5):
        macs, seconds = right * i / 4, high * i / 4
        parts.append(f'<text x="{at_x(macs):.1f}" y="{HEIGHT - EDGE + 18}" text-anchor="middle">{macs / 1e6:.0f}'
                     '</text>'
                     f'<text x="{EDGE - 6}" y="{at_y(seconds) + 4:.1f}" text-anchor="end">{seconds * 1e3:.0f}</text>')
    for r in rows:
        x, y = at_x(r["macs"]), at_y(r["step_seconds"])
        colour = "#1f77b4" if r["model"].startswith("regnetx") else "#d62728"
        name = r["model"].removeprefix("regnet").replace("_", " ", 1)
        anchor, apart = ("end", -7) if r["model"].startswith("regnetx") else ("start", 7)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{r["model"]}: '
                     f'{r["macs"] / 1e6:.1f} MMAC, {r["step_seconds"] * 1e3:.1f} ms</title></circle>'
                     f'<text x="{x + apart:.1f}" y="{y + 4:.1f}" font-size="10" text-anchor="{anchor}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main():
    parser = common.parser_make(__doc__, steps=5)
    parser.add_argument("--svg", type=pathlib.Path)
    parser.add_argument("--cpu", default="x86-64-v3", help="of the batches: a level that valgrind knows")
    parser.add_argument("--parts", default="batch,family", type=lambda text: text.split(","))
    options = parser.parse_args()
    options.pictures = common.pictures_prepare(options.folder)
    options.labels = labels_make(options.pictures)
    found = {}
    if "batch" in options.parts:
        found["batch"] = batches(options)
    if "family" in options.parts:
        found["family"] = family(options)
        if options.svg:
            options.svg.write_text(picture(found["family"]))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
