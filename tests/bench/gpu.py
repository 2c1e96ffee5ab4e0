"""Trainers on a GPU: right, and how fast beside PyTorch; see gpu.sh.

usage: gpu.py prepare [--tiny] [--target TARGET] [--simulator LIBSIMULATED_CUDA] SEERC FOLDER [PART...]
       gpu.py run [--limit SECONDS] [--device cuda|cpu] [PART...]      from the folder that was prepared
Method. check: three small networks take two steps on the simulated GPU when they are prepared, and on the GPU, as
sm_90a and, by PTX, as sm_80: every tensor's L2-relative distance (both round what they store to 16 bits, but a tensor
core adds up in its own order), and the same bits in a second run. step16, step128, step10b: `TRAINER bench` before
and after the peers, median of its steps, the faster of both, in bf16, in fp16, and of the first two parts also with all
views and with none (docs/gpu.md); the peers are PyTorch's same network, pictures a step,
loss and optimizer, each in a process of its own, median of the steps that fit in its share of the time: eager,
compiled and max-autotune, channels last and not, fp16 and bf16. The ratio is the fastest peer's step by ours.
convolutions: our kernels one by one as `bench` times them, of RegNetY-128GF and RG-10B, against PyTorch's same
convolution (cuDNN, benchmark mode, channels last); of 1 x 1 with the statistics of BatchNorm behind it, which ours
has in it; and as cuBLASLt and cuDNN make them in our own step, with what they cannot do beside (docs/gpu.md). PyTorch's
pictures lie normalised in memory; ours are bytes. Trainers whose layers libraries make (NAME_libraries) are checked and
timed like the others, and left out where the machine has no such libraries.
"""
import argparse
import array
import datetime
import json
import math
import os
import pathlib
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SMALL = """{model}
views {{ crops = [crop(count = 2, size = {size}px), crop(count = 1, size = {less}px)] }}
data {{ pictures = "images-idx3-ubyte" }}
train {{ batch = 2 steps = 2 precision = {precision} }}
save {{ every = 1 keep = 2 }}
evaluate {{ size = {size}px resize = {size}px batch = 4 }}
"""
SWAV = "swav { prototypes = 20 head = [24, 16] freeze_prototypes = 0 queue = 8 }\noptimizer { name = larc }"
SMALL_NETS = {
    "pads_bf16": ("model { family = regnety depths = [1, 2] widths = [16, 24] group_widths = [8, 12] stem_width = 8 }\n"
                  + SWAV, 32, "bf16"),
    "x_fp16": ("model { family = regnetx depths = [1, 1] widths = [48, 96] group_widths = [24, 48] stem_width = 16 }\n"
               + SWAV, 48, "fp16"),
    "wide_bf16": ("model { family = regnety depths = [1] widths = [528] group_widths = [264] stem_width = 32 }\n"
                  + SWAV, 24, "bf16"),
}
# After one step, and losses: what rounding differences make of two steps.
MEDIAN, MOST, LOSS = 0.01, 0.1, 0.01
STEP = """{model}
use "machines/h200"
supervised {{ classes = 1000 }}
views {{ crops = [crop(count = 1, size = {size}px)] }}
data {{ pictures = "pictures/" }}
train {{ batch = {batch} steps = 1000 precision = {precision} }}
optimizer {{ name = sgd weight_decay = 5e-5 }}
cluster {{ nodes = 1 ranks_per_node = 1 }}
evaluate {{ batch = {evaluated} size = {size}px resize = {size}px }}
"""
# --tiny: what the simulated GPU can do, so that every part has run before there is a GPU.
TINY = "model { family = regnety depths = [2] widths = [24] group_widths = [12] stem_width = 32 }", 4, 16
STEPS = {"step16": ("regnety_16gf", 256), "step128": ("regnety_128gf", 128), "step10b": ("regnety_10b", 16)}
CHECKED = ("cuda:sm_90a", "cuda:sm_80")
WAIT = 300  # seconds, for a trainer
PARTS = ("check", "step16", "step128", "convolutions", "step10b")
MODES = [(mode, layout, precision) for mode in ("eager", "compile", "max-autotune")
         for layout in ("channels_last", "default") for precision in ("bf16", "fp16")]


class Failure(Exception):
    """Of one part, or of one thing in it: the others go on."""


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done


def attempt(found, what, work, *arguments):
    """What work gives; None where it fails, which is told and kept."""
    try:
        return work(*arguments)
    except Failure as failure:
        # The trainer's own words, of runtime/device/libraries.c.
        left_out = "is to make layers of this trainer" in str(failure)
        found.setdefault("left_out" if left_out else "failures", {})[what] = str(failure)
        print(f"{what}: {'left out' if left_out else 'FAILED'}: {failure}", flush=True)
        return None
    except (OSError, ValueError, LookupError, subprocess.TimeoutExpired) as failure:
        found.setdefault("failures", {})[what] = f"{type(failure).__name__}: {failure}"
        print(f"{what}: FAILED: {failure}", flush=True)
        return None


# ---- prepare ----

def build(options, name, text, target, *words):
    spec = options.folder / f"{name}.seer"
    spec.write_text(text)
    began = time.monotonic()
    run([options.seerc, "build", spec, f"--target={target}", *words, "-o", options.folder / name],
        cwd=options.folder)
    print(f"{name}: built in {time.monotonic() - began:.0f} s", flush=True)
    return options.folder / name


def build_by_libraries(options, name, text, target):
    """The same, of which libraries make all layers that they can."""
    spec, tuning = options.folder / f"{name}.seer", options.folder / f"{name}.tune"
    spec.write_text(text)
    plan = json.loads(run([options.seerc, "plan", spec, f"--target={target}", "--json"], cwd=options.folder).stdout)
    lines = [f"layer {layer['shape']} = {layer['libraries'][0]}\n" for layer in plan["layers"] if layer["libraries"]]
    tuning.write_text(f"architectures = {target.split(':')[1]}\n" + "".join(lines))
    return build(options, name, text, target, f"--tuning={tuning}")


def pictures_make(folder):
    draw = random.Random(7)
    (folder / "images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 32, 28, 28) + draw.randbytes(32 * 28 * 28))


def check_prepare(options):
    pictures_make(options.folder)
    for name, (model, size, precision) in SMALL_NETS.items():
        text = SMALL.format(model=model, size=size, less=size // 2, precision=precision)
        simulated = build(options, f"{name}_simulated", text, "cuda:simulated")
        train(simulated, options.folder / f"{name}_wanted", {"SEER_LIBCUDA": options.simulator})
        for target in [options.target] if options.target else CHECKED:
            build(options, f"{name}_on_{target.split(':')[1]}", text, target)
            build_by_libraries(options, f"{name}_on_{target.split(':')[1]}_libraries", text, target)
        simulated.unlink()


def step_prepare(options, part):
    model, batch = STEPS[part]
    model, batch, size = TINY if options.tiny else (f'use "models/{model}"', batch, 224)
    # What is not written (docs/gpu.md) is chosen by a model, which the GPU is asked about, too.
    for precision, views in (("bf16", None), ("fp16", None), ("bf16", "always"), ("bf16", "never")):
        if part == "step10b" and (precision, views) != ("bf16", None):
            continue
        text = STEP.format(model=model, batch=batch, precision=precision, size=size, evaluated=min(batch, 16))
        name, words = f"{part}_{precision}", []
        if views:
            name, words = f"{name}_{views}", [f"--normalize-on-read={views}"]
        trainer = build(options, name, text, options.target or CHECKED[0], *words)
    text = STEP.format(model=model, batch=batch, precision="bf16", size=size, evaluated=min(batch, 16))
    build_by_libraries(options, f"{part}_bf16_libraries", text, options.target or CHECKED[0])
    plan = json.loads(run([trainer, "plan", "--json"]).stdout)["model"]
    (options.folder / f"{part}.json").write_text(json.dumps({"batch": batch, "size": size, **plan}))


def prepare(options):
    options.folder.mkdir(parents=True, exist_ok=True)
    options.folder, options.seerc = options.folder.resolve(), options.seerc.resolve()
    for file in ("gpu.sh", "gpu.py", "gpu_peer.py"):
        shutil.copy(HERE / file, options.folder)
    found = {}
    for part in options.parts:
        if part == "check":
            attempt(found, part, check_prepare, options)
        elif part in STEPS:
            attempt(found, part, step_prepare, options, part)
    return not found


# ---- check ----

def train(trainer, out, environment):
    shutil.rmtree(out, ignore_errors=True)
    run([trainer, "train", "--out", out, "--no-report", "--quiet"], cwd=out.parent, env={**os.environ, **environment},
        timeout=WAIT)


def tensors_read(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    return {name: data[8 + length + entry["data_offsets"][0]:8 + length + entry["data_offsets"][1]]
            for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "F32"}


def distance(got, wanted):
    got, wanted = array.array("f", got), array.array("f", wanted)
    apart = math.fsum((a - b) ** 2 for a, b in zip(got, wanted))
    return math.sqrt(apart / (math.fsum(b * b for b in wanted) or 1))


def losses(out):
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def state(out, step):
    return tensors_read(out / f"snapshots/step-{step}/model.safetensors")


def check_one(found, trainer):
    name, wanted = trainer.name, HERE / f"{trainer.name.split('_on_')[0]}_wanted"
    outs = [HERE / f"run{i}_{name}" for i in range(2)]
    for out in outs:
        train(trainer, out, {})
    first, expected = state(outs[0], 1), state(wanted, 1)
    apart = sorted((distance(first[tensor], expected[tensor]), tensor) for tensor in expected
                   if tensor.endswith((".velocity", "running_mean", "running_var")))
    median = statistics.median(number for number, _ in apart)
    loss = max(abs(a / b - 1) for a, b in zip(losses(outs[0]), losses(wanted)))
    same = state(outs[0], 2) == state(outs[1], 2)
    good = median <= MEDIAN and apart[-1][0] <= MOST and loss <= LOSS and same
    found[name] = {"median": median, "most": apart[-1], "loss": loss, "same_bits_again": same, "good": good}
    print(f"{name}: {len(apart)} tensors are {median:.1e} apart at the median, at most {apart[-1][0]:.1e} "
          f"({apart[-1][1]}), losses {loss:.1e}; a second run has {'the same' if same else 'OTHER'} bits: "
          f"{'right' if good else 'WRONG'}", flush=True)


def check_run(_options, found):
    trainers = [path for name in SMALL_NETS for path in sorted(HERE.glob(f"{name}_on_*")) if not path.suffix]
    if not trainers:
        raise Failure("nothing was prepared")
    for trainer in trainers:
        attempt(found, trainer.name, check_one, found, trainer)


# ---- speed ----

def bench(trainer, *words):
    return json.loads(run([trainer, "bench", "--json", *words], cwd=HERE, timeout=WAIT).stdout)


def ours(found, part):
    """What bench says of each of the part's trainers."""
    trainers = [path for path in sorted(HERE.glob(f"{part}_*")) if not path.suffix and path.is_file()]
    told = {trainer.name: attempt(found, trainer.name, bench, trainer, "--no-ops") for trainer in trainers}
    return {name: one for name, one in told.items() if one}


def peer(options, what, case, seconds):
    """What it measured, or {"error"}: PyTorch may lack memory, or compile for longer than there is time."""
    case = {**case, "device": options.device, "seconds": seconds}
    command = [sys.executable, "-B", HERE / "gpu_peer.py", what, json.dumps(case)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as process:
        try:
            told, complaint = process.communicate(timeout=max(WAIT / 5, 2 * seconds))
        except subprocess.TimeoutExpired as late:
            os.killpg(process.pid, signal.SIGKILL)  # and the processes that compile for it
            return {"error": f"still at work after {late.timeout:.0f} s"}
    if process.returncode or not told.strip():
        return {"error": (complaint.strip().splitlines() or ["says nothing"])[-1][:200]}
    return json.loads(told.splitlines()[-1])


def step_run(options, found, part):
    case, ended = json.loads((HERE / f"{part}.json").read_text()), time.monotonic() + options.limit
    before = ours(found, part)
    peers = {}
    modes = MODES[:1] if part == "step10b" else MODES  # which has no room for 10 billion, or says so
    for i, (mode, layout, precision) in enumerate(modes):
        share = (ended - time.monotonic()) / (len(modes) - i)
        name = f"{mode}, {layout}, {precision}"
        peers[name] = peer(options, "step", {**case, "mode": mode, "layout": layout, "precision": precision}, share)
        print(f"{part}: PyTorch {name}: {peers[name]}", flush=True)
    after = ours(found, part)
    steps = {name: min(t["step_seconds_median"] for t in (before.get(name), after.get(name)) if t)
             for name in {*before, *after}}
    found |= {"ours": steps, "before": before, "after": after, "peers": peers}
    best = min((t["seconds"] for t in peers.values() if "seconds" in t), default=None)
    for name, seconds in sorted(steps.items()):
        ratio = f"; {best / seconds:.2f} of the best PyTorch ({best * 1e3:.1f} ms)" if best else ""
        print(f"{name}: {seconds * 1e3:.1f} ms, {case['batch'] / seconds:.1f} images/s{ratio}", flush=True)
    if not steps:
        raise Failure("none of our trainers was timed")


def convolutions_of(case):
    """Of the last block of each stage: (our op, what PyTorch is to run)."""
    size = case["size"] // 2
    for stage, (depth, width, group) in enumerate(zip(case["depths"], case["widths"], case["group_widths"]), 1):
        size = (size + 1) // 2
        if depth < 2:
            continue
        shape = {"batch": case["batch"], "size": size, "channels": width}
        yield f"block{stage}-{depth - 1}.f.a", {**shape, "kernel": 1, "groups": 1}
        yield f"block{stage}-{depth - 1}.f.b", {**shape, "kernel": 3, "groups": width // group}


KINDS = {"forward": "conv2d_statistics", "backward_input": "conv2d_backward_input",
         "backward_weight": "conv2d_backward_weight"}


def mean_of(ops, name, kind):
    """Seconds and operations of one run of an op, as bench tells of it."""
    mine = [op for op in ops if op["name"].endswith(f".{name}") and op["kind"] == kind and not op["again"]]
    if not mine:
        raise Failure(f"bench tells of no {kind} of {name}")
    calls = sum(op["calls"] for op in mine)
    return [sum(op[key] for op in mine) / calls for key in ("seconds", "flops")]


def convolutions_of_part(options, found, part):
    case = json.loads((HERE / f"{part}.json").read_text())
    ops = bench(HERE / f"{part}_bf16")["ops"]
    by_libraries = attempt(found, f"{part}_bf16_libraries", bench, HERE / f"{part}_bf16_libraries")
    for name, shape in convolutions_of(case):
        theirs = peer(options, "convolution", {**shape, "precision": "bf16"}, options.limit / 20)
        for way, kind in KINDS.items():
            seconds, flops = mean_of(ops, name, kind)
            library = mean_of(by_libraries["ops"], name, kind)[0] if by_libraries else None
            line = {"ours": seconds, "flops": flops, "theirs": theirs.get(way), "library": library, "shape": shape,
                    "error": theirs.get("error")}
            found[f"{part} {name} {way}"] = line
            ratio = f"{line['theirs'] / seconds:.2f} of PyTorch's" if line["theirs"] else theirs
            ratio = f"{ratio}, {library / seconds:.2f} of the library's" if library else ratio
            print(f"{part} {name} {way}: {seconds * 1e3:.3f} ms, {flops / seconds / 1e12:.0f} TFLOP/s, {ratio}",
                  flush=True)


def convolutions_run(options, found):
    for part in ("step128", "step10b"):
        attempt(found, f"convolutions of {part}", convolutions_of_part, options, found, part)


def machine(options):
    told = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,power.limit,clocks.max.sm", "--format=csv"],
                          capture_output=True, text=True, check=False).stdout if shutil.which("nvidia-smi") else ""
    return {"date": datetime.date.today().isoformat(), "gpu": told.splitlines()[1:],
            "torch": peer(options, "version", {}, 0), "command": "gpu.sh run " + " ".join(options.parts)}


def run_parts(options):
    """A part that was run before is replaced; false where one has failed, or was not right."""
    results = HERE / "results.json"
    found = json.loads(results.read_text()) if results.exists() else {}
    found["machine"] = machine(options)
    print(found["machine"], flush=True)
    good = True
    for part in options.parts:
        told = found[part] = {}
        work = {"check": check_run, "convolutions": convolutions_run}.get(part, step_run)
        attempt(told, part, work, options, told, *([part] if work is step_run else []))
        results.write_text(json.dumps(found, indent=1) + "\n")
        good = good and not told.get("failures") and all(line.get("good", True) for line in told.values())
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    words = commands.add_parser("prepare")
    words.add_argument("seerc", type=pathlib.Path)
    words.add_argument("folder", type=pathlib.Path)
    words.add_argument("--target", help=f"instead of {' and, to check, '.join(CHECKED)}")
    words.add_argument("--tiny", action="store_true", help="networks that the simulated GPU can time")
    words.add_argument("--simulator", help="for check; else that of SEERC's build", type=pathlib.Path)
    words.add_argument("parts", nargs="*", default=PARTS)
    words = commands.add_parser("run")
    words.add_argument("--limit", type=float, default=420, help="seconds of peers in a part")
    words.add_argument("--device", default="cuda", help="of PyTorch")
    words.add_argument("parts", nargs="*", default=PARTS)
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {unknown.pop()}: there are {', '.join(PARTS)}")
    if options.command == "prepare":
        options.simulator = (options.simulator or options.seerc.parent / "tests/cuda/libsimulated_cuda.so").resolve()
    sys.exit(0 if (run_parts if options.command == "run" else prepare)(options) else 1)


if __name__ == "__main__":
    main()
