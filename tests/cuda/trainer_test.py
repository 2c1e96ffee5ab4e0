#!/usr/bin/env python3
"""Whole trainers on the simulated GPU, as a user builds and starts them.

usage: trainer_test.py SEERC LIBSIMULATED_CUDA

A small RegNetY with groups that need pads, trained by SwAV with a queue and accumulation, in bf16: against the same
network on the processor in bf16 and in fp32, with the kernels of sm_90a (but where another is named) and with those of
sm_80, with work in several drawn orders; stopped and resumed; features, neighbours, memes; fine-tuning from weights of
another; what goes wrong.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy
from PIL import Image

from trainers import DRIVER, SEERC, apart, build_spec, common, expect, failures, losses, metrics, state, swav_spec

# Of all tensors that a step makes: how much further from fp32 the GPU's may be than the processor's in bf16, at the
# median and at most. Both round what they store to 8 bits, but the GPU stores what BatchNorm makes, too.
MEDIAN, MOST = 1.7, 2.0
HALF_MEDIAN, HALF_MOST = 0.03, 0.1


def build(folder, name, precision, *words):
    return build_spec(folder, name, swav_spec(precision), *words)


def train(trainer, out, *words, expected=0, **environment):
    environment.setdefault("SEER_LIBCUDA", DRIVER)
    return common.run(trainer, "train", "--out", out, "--no-report", *words, cwd=trainer.parent, env=environment,
                      expect=expected, timeout=600)


def resume(trainer, out):
    common.run(trainer, "--resume", out, "--no-report", cwd=trainer.parent, env={"SEER_LIBCUDA": DRIVER}, timeout=600)


def check_step(folder, gpu, narrow, wide, capability):
    outs = [folder / f"first-{capability}-{trainer.name}" for trainer in (gpu, narrow, wide)]
    for trainer, out in zip((gpu, narrow, wide), outs):
        train(trainer, out, "--steps", 1, SEER_SIMULATED_CAPABILITY=capability)
    on_gpu, on_cpu = (apart(state(out, 1), state(outs[2], 1)) for out in outs[:2])
    ratio = numpy.median(list(on_gpu.values())) / numpy.median(list(on_cpu.values()))
    worst = max(on_gpu.values()) / max(on_cpu.values())
    expect(f"{capability}: {len(on_gpu)} tensors: {ratio:.2f} times as far from fp32 as bf16 on the processor, at most "
           f"{worst:.2f}",
           ratio <= MEDIAN and worst <= MOST)
    loss = [losses(out)[0] for out in outs]
    expect(f"losses {loss}", abs(loss[0] - loss[2]) <= 0.02 * loss[2])


def check_half(folder, half, wide):
    """fp16 rounds to 11 bits: much closer to fp32. Its loss is scaled, and a scale that is too large passes a step over
    and is halved; where it stands is part of a snapshot."""
    outs = [folder / f"half-{trainer.name}" for trainer in (half, wide)]
    for trainer, out in zip((half, wide), outs):
        train(trainer, out, "--steps", 1)
    apart_by = list(apart(state(outs[0], 1), state(outs[1], 1)).values())
    lines = [json.loads(line) for line in (outs[0] / "metrics.jsonl").read_text().splitlines()]
    expect(f"fp16: {numpy.median(apart_by):.4f} from fp32 at the median, at most {max(apart_by):.4f}; {lines}",
           numpy.median(apart_by) <= HALF_MEDIAN and max(apart_by) <= HALF_MOST and lines[0]["loss_scale"] == 65536)
    out = folder / "overflow"
    train(half, out, "--stop-after", 1, expected=75)
    manifest = out / "snapshots/step-1/manifest.json"
    found = json.loads(manifest.read_text())
    expect(f"a snapshot has the scale: {found.get('loss_scale')}",
           found["loss_scale"] == {"scale": 65536.0, "steps": 1})
    found["loss_scale"] = {"scale": 2.0 ** 24, "steps": 7}
    manifest.write_text(json.dumps(found))
    before = state(out, 1)
    common.run(half, "--resume", out, "--no-report", "--stop-after", 1, cwd=folder, env={"SEER_LIBCUDA": DRIVER},
               expect=75, timeout=600)
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    after = state(out, 2)
    kept = all((before[name] == after[name]).all() for name in before if name.endswith(".velocity"))
    expect(f"a scale too large: {line}", line["passed_over"] and line["loss_scale"] == 2.0 ** 23 and kept)


def check_orders(folder, gpu):
    """Whatever runs late and in whatever order: the same bits."""
    found = []
    noise_make(folder / "noise")
    look = ("--knn-every", 4, "--eval-data", folder / "noise")
    for seed, schedule, words in ((1, "first_first", ()), (2, "random", look), (3, "last_first", ())):
        out = folder / f"order-{seed}"
        train(gpu, out, *words, SEER_SIMULATED_SEED=str(seed), SEER_SIMULATED_SCHEDULE=schedule,
              SEER_SIMULATED_STRICT="1")
        found.append((losses(out), {name: tensor.tobytes() for name, tensor in state(out, 4).items()}))
    expect("drawn orders change no bit, nor does a look at nearest neighbours",
           all(other == found[0] for other in found[1:]))
    seen = metrics(folder / "order-2")[-1]["knn"][0]
    done = common.run(gpu, "knn", "--weights", folder / "order-2", "--data", folder / "noise", "--neighbours", seen[0],
                      "--temperature", seen[1], "--json", env={"SEER_LIBCUDA": DRIVER}, timeout=600)
    expect(f"it is that of `knn`: {seen}", abs(json.loads(done.stdout)["trained"] - seen[2]) < 1e-6)
    return found[0]


def check_resume(folder, gpu, whole):
    out = folder / "resumed"
    train(gpu, out, "--stop-after", 2, expected=75)
    resume(gpu, out)
    again = {name: tensor.tobytes() for name, tensor in state(out, 4).items()}
    expect("a run that was stopped ends as one that was not", (losses(out), again) == whole)


def check_features(folder, gpu, wide):
    for layer in ("stem", "s1", "avgpool", "head"):
        files = [folder / f"{trainer.name}-{layer}.safetensors" for trainer in (gpu, wide)]
        for trainer, file in zip((gpu, wide), files):
            common.run(trainer, "features", "--weights", folder / "order-1", "--data", folder / "pictures", "--layer",
                       layer, "--out", file, env={"SEER_LIBCUDA": DRIVER}, timeout=600)
        got, wanted = (common.safetensors_read(file)[0]["features"] for file in files)
        error = float(numpy.linalg.norm(got - wanted) / numpy.linalg.norm(wanted))
        expect(f"{layer} of {len(wanted)} pictures is {error:.4f} from that in fp32", error < 0.03)


def noise_make(folder):
    """Pictures of which nobody can tell the class, twelve of two each."""
    draw = numpy.random.default_rng(9)
    for number in range(24):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (40, 36, 3), "u1")).save(folder / "ab"[number % 2] / f"{number:02}.png")


def check_memes(folder, gpu):
    """Heads on features that the GPU makes on the way are those on features that it made before."""
    numbers = {"train": range(0, 16), "dev": range(16, 24)}
    for part, items in numbers.items():
        lines = [{"id": n, "img": f"{'ab'[n % 2]}/{n:02}.png", "text": f"words {n}", "label": n // 2 % 2}
                 for n in items]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = numpy.random.default_rng(4).normal(size=(24, 5)).astype("<f4")
    numpy.save(folder / "texts.npy", texts)
    file = folder / "memes.safetensors"
    common.run(gpu, "features", "--weights", folder / "order-1", "--data", folder / "noise", "--out", file,
               env={"SEER_LIBCUDA": DRIVER}, timeout=600)
    results = []
    for words in (("--weights", folder / "order-1", "--pictures", folder / "noise"), ("--picture-features", file)):
        done = common.run(gpu, "hate-speech", "--train", folder / "train.jsonl", "--dev", folder / "dev.jsonl",
                          "--text-features", folder / "texts.npy", "--seeds", 1, "--epochs", 5, "--json", "--quiet",
                          *words, env={"SEER_LIBCUDA": DRIVER}, timeout=600)
        results.append(json.loads(done.stdout))
    expect(f"hate-speech: {results[0]['dev']['both']['auroc']}", results[0] == results[1])


def check_fine_tuning(folder):
    """Cross-entropy from another's weights, on the GPU as on the processor in fp32."""
    spec = swav_spec("{precision}").replace('use "recipes/swav"', 'use "recipes/supervised"')
    spec = re.sub(r"swav \{.*\}", "supervised { classes = 3 }", spec).replace("accumulate = 2 ", "")
    spec = spec.replace("crop(count = 3", "crop(count = 1")
    weights, outs = folder / "order-1.timm.safetensors", []
    common.run(folder / "gpu", "export", folder / "order-1", "--format", "timm", "--out", weights)
    for name, precision, words in (("tune", "bf16", ["--target=cuda:simulated_sm_90a"]), ("tune-wide", "fp32", [])):
        trainer = build_spec(folder, name, spec.replace("{precision}", precision), *words)
        outs.append(folder / f"tuned-{name}")
        train(trainer, outs[-1], "--weights", weights, "--new-head")
    got, wanted = (losses(out) for out in outs)
    expect(f"fine-tuning: losses {got}, in fp32 {wanted}",
           len(got) == 4 and max(abs(a - b) for a, b in zip(got, wanted)) < 0.003)
    start = common.safetensors_read(weights)[0]["stem.conv.weight"]
    moved, away = ([state(out, 4)["stem.0.weight"] - start for out in outs])
    error = float(numpy.linalg.norm(moved - away) / numpy.linalg.norm(away))
    # Gradients of eight pictures in bf16 are off by a tenth in the first layer, on processors, too; of other labels or
    # from other weights they would be off by one or more.
    expect(f"its first layer moves as in fp32, but for {error:.4f}", error < 0.3)


def check_losses_of_gpu(folder, gpu, whole):
    """The GPU disappears in the third step: told by name, and what was saved goes on elsewhere."""
    out = folder / "lost"
    done = train(gpu, out, expected=None, SEER_SIMULATED_FAIL="cuGraphLaunch:9:719")
    expect(f"a lost GPU is told: exit {done.returncode}: {done.stderr.strip().splitlines()[-2:]}",
           done.returncode == 3 and "Simulated GPU" in done.stderr and "719" in done.stderr)
    expect("the snapshot before it is whole", (out / "snapshots/step-2").is_dir())
    resume(gpu, out)
    again = {name: tensor.tobytes() for name, tensor in state(out, 4).items()}
    expect("and goes on to the same end", again == whole[1])


def check_memory(folder, gpu):
    """What the plan says is what the GPU must have, to the byte."""
    plan = json.loads(common.run(gpu, "plan", "--json").stdout)["memory"]
    metrics = json.loads((folder / "order-1/metrics.jsonl").read_text().splitlines()[0])
    expect(f"the step takes {metrics['peak_bytes']} bytes, the plan {plan['peak_bytes']}",
           metrics["peak_bytes"] == plan["peak_bytes"])
    whole = (plan["peak_bytes"] + 255) // 256 * 256  # as drivers count
    for bytes_there, code in ((whole, 0), (plan["peak_bytes"] - 1, 3)):
        done = train(gpu, folder / f"memory-{bytes_there}", "--steps", 1, expected=None,
                     SEER_SIMULATED_BYTES=str(bytes_there))
        expect(f"a GPU of {bytes_there} bytes: exit {done.returncode}: {done.stderr.strip().splitlines()[-1:]}",
               done.returncode == code)


def check_bad_starts(folder, gpu):
    for what, environment, words in (
            ("no driver", {"SEER_LIBCUDA": "/nowhere/libcuda.so"}, ("SEER_LIBCUDA", "/nowhere/libcuda.so")),
            ("too little memory", {"SEER_SIMULATED_BYTES": "1000000"}, ("GPU 0 'Simulated GPU'", "free", "needs")),
            ("no such architecture", {"SEER_SIMULATED_NAME": "Another GPU"}, ("Another GPU", "simulated", "--target"))):
        out = folder / what.replace(" ", "-")
        done = train(gpu, out, expected=None, **environment)
        expect(f"{what}: exit {done.returncode}: {done.stderr.strip().splitlines()[:1]}",
               done.returncode == 3 and all(word in done.stderr for word in words) and not (out / "snapshots").exists())
    spec = folder / "gpu.seer"
    for target, precision, code, word in (("cuda:sm_80", "bf16", 3, "SEER_NVRTC"), ("cuda:sm_75", "bf16", 2, "sm_80"),
                                          ("cuda:", "bf16", 2, "unknown target"), ("cuda:c", "bf16", 2, "names no"),
                                          ("cuda:x", "bf16", 2, "unknown"),
                                          ("cuda:simulated", "fp32", 1, "precision")):
        done = subprocess.run([SEERC, "build", spec, f"--target={target}", "-D", f"train.precision={precision}", "-o",
                               folder / "never"], capture_output=True, text=True, cwd=folder,
                              env={**os.environ, "SEER_NVRTC": "/nowhere/libnvrtc.so"})
        expect(f"--target={target} in {precision}: exit {done.returncode}: {done.stderr.strip().splitlines()[:1]}",
               done.returncode == code and word in done.stderr and not (folder / "never").exists())


def check_doctor(folder, gpu):
    for what, environment, code, word in (
            ("a GPU", {}, 0, "Simulated GPU, by simulated"),
            ("no driver", {"SEER_LIBCUDA": "/nowhere/libcuda.so"}, 3, "/nowhere/libcuda.so"),
            ("too little memory", {"SEER_SIMULATED_BYTES": "1000000"}, 3, "the plan needs")):
        environment.setdefault("SEER_LIBCUDA", DRIVER)
        done = common.run(gpu, "doctor", cwd=folder, env=environment, expect=None)
        expect(f"doctor, {what}: exit {done.returncode}: {done.stderr.strip().splitlines()[:1]}",
               done.returncode == code and word in done.stdout + done.stderr)


def check_carried(folder, gpu, narrow, wide):
    """The trainer for the processor within the one for GPUs: offered where there is no GPU, the same bits as one that
    was built for the processor, and it goes on from what the GPU has saved."""
    none = {"SEER_LIBCUDA": "/nowhere/libcuda.so"}
    done = train(gpu, folder / "offered", expected=None, **none)
    expect(f"it is offered: exit {done.returncode}: {done.stderr.strip().splitlines()[-1:]}",
           done.returncode == 3 and "start it with --processor" in done.stderr)
    with open("/proc/cpuinfo") as file:
        like = narrow if "avx512_bf16" in file.read() else wide
    plans = [json.loads(common.run(trainer, "plan", "--json", *words, env=none).stdout)["memory"]
             for trainer, words in ((gpu, ["--processor"]), (like, []), (gpu, []))]
    expect("its plan is that of the processor", plans[0] == plans[1] != plans[2])
    first, resumed = folder / "carried", folder / "carried-on"
    train(gpu, first, "--steps", 1, "--processor", **none)
    wanted = state(folder / f"first-8.0-{like.name}", 1)
    expect(f"its step is that of '{like.name}', to the bit",
           all((tensor == wanted[name]).all() for name, tensor in state(first, 1).items()))
    train(gpu, resumed, "--stop-after", 2, expected=75)
    common.run(gpu, "--resume", resumed, "--no-report", "--processor", cwd=folder, env=none, timeout=600)
    expect("it goes on from the GPU's snapshot",
           len(losses(resumed)) == 4 and losses(resumed)[:2] == losses(folder / "order-1")[:2])
    common.run(like, "plan", "--processor")
    done = common.run(folder / "half", "train", "--processor", expect=None)
    expect(f"a trainer that carries none: exit {done.returncode}: {done.stderr.strip().splitlines()}",
           done.returncode == 1 and "sm_90a,c" in done.stderr)


def check_sources(folder):
    """Sources need no NVRTC; those of another target are refused."""
    for words, code, word in ((("--target=cuda:sm_90a", "--emit=cuda"), 0, ""),
                              (("--target=cuda:sm_90a", "--emit=c"), 2, "not of target cuda"),
                              (("--emit=cuda",), 2, "not of target c")):
        out = folder / "sources"
        done = subprocess.run([SEERC, "build", folder / "gpu.seer", *words, "-o", out], capture_output=True, text=True,
                              cwd=folder, env={**os.environ, "SEER_NVRTC": "/nowhere/libnvrtc.so"})
        written = sorted(path.name for path in (folder / "sources.sources").glob("modules/*.cu"))
        expect(f"{' '.join(words)}: exit {done.returncode}, {len(written)} modules: {done.stderr.strip()}",
               done.returncode == code and word in done.stderr and bool(written) == (code == 0) and not out.exists())
        shutil.rmtree(folder / "sources.sources", ignore_errors=True)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        common.pictures_make(str(folder / "pictures"))
        gpu = build(folder, "gpu", "bf16", "--target=cuda:simulated,simulated_sm_90a,c")
        narrow, wide = build(folder, "narrow", "bf16"), build(folder, "wide", "fp32")
        for capability in ("8.0", "9.0"):
            check_step(folder, gpu, narrow, wide, capability)
        check_half(folder, build(folder, "half", "fp16", "--target=cuda:simulated"), wide)
        whole = check_orders(folder, gpu)
        check_resume(folder, gpu, whole)
        check_features(folder, gpu, wide)
        check_memes(folder, gpu)
        check_fine_tuning(folder)
        check_losses_of_gpu(folder, gpu, whole)
        check_memory(folder, gpu)
        check_bad_starts(folder, gpu)
        check_doctor(folder, gpu)
        check_carried(folder, gpu, narrow, wide)
        check_sources(folder)
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
