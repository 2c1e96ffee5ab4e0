#!/usr/bin/env python3
"""`seerc tune --target=cuda:...` on the simulated GPU, whose clock goes on with what is launched: the faster of two
candidates is kept, what is refused when it is compiled is passed over, a search that is stopped goes on, and what it
writes is what trainers are built with. Layers are given to libraries where that is faster.

usage: tune_test.py SEERC LIBSIMULATED_CUDA LIBSIMULATED_CUBLASLT LIBSIMULATED_CUDNN
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from trainers import DRIVER, SEERC, expect, failures

SPEC = """model { depths = [1] widths = [16] group_widths = [8] strides = [2] stem_width = 16 }
supervised { classes = 4 }
views { crops = [crop(count = 1, size = 16px)] }
data { pictures = "nowhere/" }
train { batch = 8 steps = 6 precision = bf16 }
evaluate { size = 16px resize = 16px batch = 4 }
"""
TABLE = pathlib.Path(__file__).resolve().parents[2] / "codegen/cuda/tuning.def"
TARGET = "--target=cuda:simulated"
# A compiler that refuses what conv_ahead = 6 makes of the tiles of this network, which are narrow.
REFUSING = """#!/bin/sh
for word in "$@"; do
  case $word in modules/*.cu) grep -q 'define STAGES 5' "$word" && { echo 'five are too many' >&2; exit 1; } ;; esac
done
exec ccache c++ "$@"
"""


def allowed(value, least, most, unit):
    value = value // unit * unit if unit else 1 << value.bit_length() - 1
    return min(max(value, -(-least // unit) * unit if unit else least), most // unit * unit if unit else most)


def tried():
    """Lines that tell of every candidate, but those of BatchNorm's kernels."""
    lines = []
    for row in re.findall(r"^CUDA_TUNING\((\w+), (\d+), (\d+), (\d+), (\d+),", TABLE.read_text(), re.M):
        name, usual, least, most, unit = row[0], *map(int, row[1:])
        wanted = (2 * usual, usual // 2, usual * 3 // 2, usual * 3 // 4)
        for value in sorted({allowed(value, least, most, unit) for value in wanted}):
            if value != usual and not name.startswith("norm_"):
                lines.append(f"measured {name} = {usual} -> {value}, 1.0 (0.9 to 1.1), not kept\n")
    return "".join(lines)


class Runs:
    def __init__(self, folder):
        self.folder = folder
        # A block takes as long as a hundred launches, so fewer blocks are faster.
        self.environment = {**os.environ, "SEER_LIBCUDA": DRIVER, "SEER_LIBCUBLASLT": "/nowhere/libcublasLt.so",
                            "SEER_LIBCUDNN": "/nowhere/libcudnn.so",
                            "SEER_SIMULATED_CAPABILITY": "8.0",
                            "SEER_SIMULATED_CLOCK": "1e-7:1e-5", "CC": "ccache cc"}

    def __call__(self, *words, code=0, **environment):
        done = subprocess.run([SEERC, *words], cwd=self.folder, capture_output=True, text=True, check=False,
                              env={**self.environment, **environment}, timeout=600)
        if done.returncode != code:
            expect(f"{' '.join(words)}: exit {done.returncode}: {done.stderr}", False)
        return done

    def stopped(self, *words):
        """Stopped when it has told of one candidate; what it told."""
        process = subprocess.Popen([SEERC, *words], cwd=self.folder, stdout=subprocess.PIPE, text=True,
                                   env=self.environment)
        lines = [line for line in (process.stdout.readline() for _ in range(2))]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
        return lines, process.returncode


def check_starts(run):
    done = run("tune", "tiny.seer", TARGET, code=3, SEER_LIBCUDA="/nowhere/libcuda.so")
    expect(f"no GPU: {done.stderr.strip().splitlines()[:1]}",
           "no GPU to measure on" in done.stderr and "/nowhere/libcuda.so" in done.stderr)
    done = run("tune", "tiny.seer", TARGET, code=3, SEER_SIMULATED_NAME="Another GPU", SEER_SIMULATED_DEVICES="0")
    expect(f"none that may be used: {done.stderr.strip().splitlines()[:1]}", "no GPU to measure on" in done.stderr)
    done = run("tune", "tiny.seer", "--target=cuda:simulated_sm_90a", code=3)
    expect(f"another architecture: {done.stderr.strip().splitlines()[:1]}", "simulated_sm_90a" in done.stderr)
    expect("threads are the processor's", "--threads" in run("tune", "tiny.seer", TARGET, "--threads=2", code=2).stderr)
    expect("nothing was written", not (run.folder / "tiny.cuda.tune").exists())


def check_search(run):
    path = run.folder / "tiny.cuda.tune"
    path.write_text("architectures = simulated\n" + tried())
    before = path.read_text().count("measured") - 1
    lines, code = run.stopped("tune", "tiny.seer", TARGET, "--minutes=60")
    expect(f"larger parts, of fewer blocks, are kept: {lines}",
           re.match(r"going on from \d+ measurements", lines[0]) and
           re.match(r"norm_pixels +256 -> 512 +0\.\d+ \(.*\) +kept ", lines[1]))
    text = path.read_text()
    expect(f"stopped by its signal: {code}", code == -signal.SIGINT)
    expect("the file tells where it was measured",
           all(line in text for line in ("architectures = simulated\n", "machine = Simulated GPU\n", "driver = 1",
                                         "norm_pixels = 512\n", "step = ")) and "threads" not in text)
    path.write_text(text.replace("measured conv_ahead = 4 -> 6, 1.0000 (0.9000 to 1.1000), not kept\n", ""))
    compiler = run.folder / "refusing"
    compiler.write_text(REFUSING)
    compiler.chmod(0o755)
    done = run("tune", "tiny.seer", TARGET, "--minutes=0.001", CXX=str(compiler))
    rows = re.findall(r"^measured (\w+) = (\d+) -> (\d+)", path.read_text(), re.M)
    expect(f"what is refused is passed over: {done.stdout.splitlines()}",
           re.search(r"^conv_ahead 4 -> 6: refused: module 'conv2d_\w+' .*five are too many", done.stdout, re.M) and
           ("conv_ahead", "4", "6") not in rows)
    expect(f"one more was measured, from 512 on: {rows[before:]}",
           rows[before:][:1] == [("norm_pixels", "256", "512")] and len(rows) == before + 2 and
           rows[-1][:2] == ("norm_pixels", "512"))
    expect("all against the defaults", re.search(r"^total = 0\.\d+ \(", path.read_text(), re.M))
    for words, what in ((["-D", "train.batch=4"], "step"), (["-D", "train.precision=fp16"], "step")):
        done = run("tune", "tiny.seer", TARGET, *words, code=1)
        expect(f"{words}: {done.stderr.strip().splitlines()[:1]}", f"measured for another {what}" in done.stderr)
    done = run("tune", "tiny.seer", TARGET, code=1, SEER_SIMULATED_NAME="Simulated GPU 2")
    expect(f"another GPU: {done.stderr.strip().splitlines()[:1]}", "measured for another GPU" in done.stderr)


LINEAR, CONVOLUTION = "linear 8x16 -> 4", "conv2d 8x8x8x16 -> 16 1x1/1 groups 1"
GROUPED = "conv2d_backward_input 8x8x8x16 -> 16 3x3/2 groups 2"


def known():
    """Lines that tell of BatchNorm's candidates."""
    return "".join(f"measured norm_{name} = {old} -> {new}, 1.0 (0.9 to 1.1), not kept\n" for name, old, values in (
        ("pixels", 256, (128, 192, 384, 512)), ("blocks", 1056, (528, 792, 1584, 2112))) for new in values)


def check_libraries(run):
    """A product that costs the clock nothing is kept, but where what it cannot do beside costs more: statistics, and
    what is then written; one that costs much is not. What the library refuses is passed over."""
    path = run.folder / "tiny.cuda.tune"
    plan = json.loads(run("plan", "tiny.seer", TARGET, "--tuning=none", "--json").stdout)
    shapes = {layer["shape"]: layer["libraries"] for layer in plan["layers"]}
    expect(f"the step has '{LINEAR}' and the others: {list(shapes)}", {LINEAR, CONVOLUTION, GROUPED} <= shapes.keys())

    def begin(*layers):
        path.write_text("architectures = simulated\n" + tried() + known() + "".join(
            f"measured layer {shape} = seer -> {maker}, 1.0 (0.9 to 1.1), not kept\n"
            for shape, makers in shapes.items() if shape not in layers for maker in makers))

    library = {"SEER_LIBCUBLASLT": sys.argv[3], "SEER_LIBCUDNN": sys.argv[4]}
    for blocks, layers, kept in (("0", (LINEAR, CONVOLUTION, GROUPED), [GROUPED, LINEAR]), ("1000", (LINEAR,), [])):
        begin(*layers)
        done = run("tune", "tiny.seer", TARGET, "--minutes=60", SEER_SIMULATED_CUBLASLT_BLOCKS=blocks,
                   SEER_SIMULATED_CUDNN_BLOCKS=blocks, **library)
        text = path.read_text()
        chosen = re.findall(r"^layer (.*) = \w+$", text, re.M)
        expect(f"products of {blocks} blocks: {chosen} by libraries: {done.stdout.splitlines()[-3:]}",
               chosen == kept and "\ncublaslt = 13.1.0\ncudnn = 9.19.0\n" in text)
    expect("it is told what is not there", "cuBLASLt is not tried: cannot open cuBLASLt" in
           run("tune", "tiny.seer", TARGET).stderr and path.read_text() == text)
    begin(LINEAR)
    done = run("tune", "tiny.seer", TARGET, "--minutes=60", SEER_SIMULATED_CUBLASLT_BLOCKS="0",
               SEER_SIMULATED_CUBLASLT_FAIL="cublasLtMatmulAlgoGetHeuristic:1:15", **library)
    refused = [line for line in done.stdout.splitlines() if ": refused: " in line]
    expect(f"what the library does not know is passed over: {refused[:1]}",
           len(refused) == 1 and "NOT_SUPPORTED" in refused[0] and "measured layer linear 8x16" not in
           path.read_text())
    done = run("tune", "tiny.seer", TARGET, code=1, SEER_SIMULATED_CUBLASLT_VERSION="130200", **library)
    expect(f"another version: {done.stderr.strip().splitlines()[:1]}", "measured for another cuBLASLt" in done.stderr)
    for line, words in (("layer linear 8x16 -> 4 = cudnn\n", "'cudnn' does not make such layers"),
                        ("layer linear 8x16 -> 4 = mkl\n", "not 'mkl'"),
                        ("layer pool 8x16 -> 4 = cublaslt\n", "a layer is written"),
                        ("layer linear 8x16 -> 4 = cublaslt\n" * 2, "set twice"),
                        ("cublaslt = new\n", "'13.1.0', not 'new'"),
                        ("measured layer linear 8x16 -> 4 = seer -> cublaslt\n", "a layer's measurement is written")):
        path.write_text("architectures = simulated\n" + line)
        done = run("plan", "tiny.seer", TARGET, code=1)
        expect(f"{line.strip()}: {done.stderr.strip().splitlines()[:1]}", words in done.stderr)


def modules(folder):
    return {path.name: path.read_text() for path in sorted((folder / "modules").glob("*.cu"))}


def check_use(run):
    """Without compiling anything."""
    path = run.folder / "tiny.cuda.tune"
    emitted = {}
    for name, text in (("usual", ""), ("tuned", "conv_pixels = 64\nconv_ahead = 3\nweight_steps = 1\n"
                                                "weight_blocks = 8448\nviews_percent = 1600\n")):
        path.write_text("architectures = simulated,sm_80\n" + text)
        for target in ("simulated", "sm_80"):
            done = run("build", "tiny.seer", f"--target=cuda:{target}", "--emit=cuda", "--keep", f"{name}-{target}")
            expect(f"{name}, {target}: it is told", "tuned by 'tiny.cuda.tune'" in done.stderr)
        plan = json.loads(run("plan", "tiny.seer", TARGET, "--json", "-D", "train.batch=64").stdout)
        emitted[name] = modules(run.folder / f"{name}-simulated"), plan["memory"], plan["step"]["tuning_changes"]
    usual, tuned = emitted["usual"], emitted["tuned"]
    texts = {name: "".join(texts.values()) for name, (texts, _, _) in emitted.items()}
    expect("tiles, stages and views are those of the file",
           "TILE_PIXELS 128" in texts["usual"] and "TILE_PIXELS 64" in texts["tuned"] and
           "TILE_PIXELS 128" not in texts["tuned"] and "STAGES 2" in texts["tuned"] and
           texts["tuned"].count("VIEW 1") < texts["usual"].count("VIEW 1"))
    expect(f"splits take room, which the plan counts: {tuned[1]['peak_bytes']} bytes, {usual[1]['peak_bytes']} without",
           (usual[2], tuned[2]) == (0, 5) and tuned[1]["peak_bytes"] > usual[1]["peak_bytes"])
    done = run("build", "tiny.seer", "--target=cuda:sm_90a", "--emit=cuda", "--keep", "other")
    expect(f"not for another architecture: {done.stderr.strip()}",
           "'tiny.cuda.tune' is for simulated,sm_80, not for sm_90a" in done.stderr and
           "TILE_PIXELS 128" in "".join(modules(run.folder / "other").values()))
    done = run("build", "tiny.seer", "--target=cuda:simulated,c", "--tuning=tiny.cuda.tune", "--emit=cuda", "--keep",
               "carries")
    expect("nor for the processor, whose trainer is carried", "tuned by" in done.stderr)
    done = run("plan", "tiny.seer", "-D", "train.precision=fp32", "--tuning=tiny.cuda.tune", code=1)
    expect(f"nor for target c: {done.stderr.strip().splitlines()[:1]}",
           "this tuning is for simulated,sm_80" in done.stderr)
    for text, words in (("conv_pixels = 96\n", "a power of two from 64 to 256, not 96"),
                        ("norm_blocks = 100\n", "a multiple of 66"),
                        ("conv_chanels = 8\n", "did you mean 'conv_channels'"),
                        ("lanes = 8\n", "has 0 lanes"), ("cpu = x86-64\n", "for one processor, or for GPUs")):
        path.write_text("architectures = simulated\n" + text)
        done = run("plan", "tiny.seer", TARGET, code=1)
        expect(f"{text.strip()}: {done.stderr.strip().splitlines()[:1]}", words in done.stderr)
    for text, words in (("conv_pixels = 64\n", "'cpu' or 'architectures' comes first"),
                        ("architectures = sm_80,volta\n", "unknown architecture 'volta'")):
        path.write_text(text)
        done = run("plan", "tiny.seer", TARGET, code=1)
        expect(f"{text.strip()}: {done.stderr.strip().splitlines()[:1]}", words in done.stderr)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "tiny.seer").write_text(SPEC)
        run = Runs(folder)
        check_starts(run)
        check_search(run)
        check_libraries(run)
        check_use(run)
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
