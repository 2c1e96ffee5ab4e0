#!/usr/bin/env python3
"""What BatchNorm and ReLU make need not be written: a trainer whose convolutions make it while they read has the bits
of one that writes it.

usage: views_test.py SEERC LIBSIMULATED_CUDA [--all]

Small networks with groups that need pads, on the simulated GPU: RegNetY, whose squeeze-and-excitation scales, too, in
bf16 with the kernels of sm_90a, with accumulation and a queue: nothing is seen so, and all that can be, with everything
between blocks made again, by kernels that are tuned otherwise; features; and memory, which gets less. --all: what pays,
too, nothing made again, and RegNetX in fp16 with the kernels of sm_80.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

from trainers import DRIVER, SEERC, build_spec, common, expect, failures, losses, state, swav_spec

# Parameters of target cuda that change no bit; the widths of tiles do not where warpgroups multiply.
TUNING = "architectures = {architecture}\nconv_ahead = 2\nweight_ahead = 6\n"
WARPGROUPS = "conv_channels = 16\nconv_reuse = 128\n"


def build(folder, name, family, precision, architecture, views, *words):
    spec = swav_spec(precision, family, depths="[1, 2]", steps=3, save_every=3)
    if views == "always":
        tuning = TUNING + (WARPGROUPS if architecture.endswith("sm_90a") else "")
        (folder / f"{name}.cuda.tune").write_text(tuning.format(architecture=architecture))
    return build_spec(folder, name, spec, f"--target=cuda:{architecture}", f"--normalize-on-read={views}", *words)


def written(folder, trainer, architecture, views):
    """How many outputs of BatchNorm are written."""
    shown = subprocess.run([SEERC, "show", f"{trainer.name}.seer", "--at=training", f"--target=cuda:{architecture}",
                            f"--normalize-on-read={views}"], cwd=folder, capture_output=True, text=True, check=True)
    return shown.stdout.count("= batch_normalize(")


def outcome(folder, trainer, seed):
    out, features = folder / f"run-{trainer.name}", folder / f"{trainer.name}.safetensors"
    environment = {"SEER_LIBCUDA": DRIVER, "SEER_SIMULATED_STRICT": "1", "SEER_SIMULATED_SEED": str(seed),
                   "SEER_SIMULATED_SCHEDULE": ("first_first", "last_first", "random")[seed % 3]}
    common.run(trainer, "train", "--out", out, "--no-report", cwd=folder, env=environment, timeout=600)
    common.run(trainer, "features", "--weights", out, "--data", folder / "pictures", "--out", features,
               env=environment, timeout=600)
    tensors = {name: tensor.tobytes() for name, tensor in state(out, 3).items()}
    return losses(out), tensors, common.safetensors_read(features)[0]["features"].tobytes()


def memory(trainer):
    return json.loads(common.run(trainer, "plan", "--json").stdout)["memory"]["peak_bytes"]


def check(folder, family, precision, architecture, variants):
    wanted = all_written = all_bytes = None
    for seed, (views, words) in enumerate(variants):
        name = f"{family}-{views}{len(words)}"
        trainer = build(folder, name, family, precision, architecture, views, *words)
        count = written(folder, trainer, architecture, views)
        taken, got = memory(trainer), outcome(folder, trainer, seed)
        if wanted is None:
            wanted, all_written, all_bytes = got, count, taken
            print(f"{name}: {count} tensors are written; {taken} bytes; losses {got[0]}", flush=True)
            continue
        expect(f"{name}: {count} of {all_written} tensors are written; {taken} bytes of {all_bytes}",
               0 < count < all_written and taken < all_bytes)
        expect(f"{name}: the same bits", got == wanted)


def main():
    again = ("-D", "checkpoint.placement=every")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        common.pictures_make(str(folder / "pictures"))
        more = (("always", ()), ("where-it-pays", ())) if "--all" in sys.argv else ()
        check(folder, "regnety", "bf16", "simulated_sm_90a", (("never", ()), ("always", again), *more))
        if more:
            check(folder, "regnetx", "fp16", "simulated", (("never", ()), ("always", ())))
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
