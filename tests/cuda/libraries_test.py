#!/usr/bin/env python3
"""Trainers whose layers libraries make, simulated, where a tuning says so.

usage: libraries_test.py SEERC LIBSIMULATED_CUDA LIBSIMULATED_NCCL LIBSIMULATED_CUBLASLT LIBSIMULATED_CUDNN
       [--ranks | --faults EVERY]

A small RegNetY with groups that need pads: its results are those of seer's kernels but for rounding; the same bits
under every order of work, stopped and resumed; the memory is what the plan says; a library that is missing, of another
version, or that fails is told by name. --ranks: two ranks, by NCCL and by way of the host. --faults: what is wrong in
the text of a trainer shows; every EVERY-th of the faults.
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

from rank_trainers import whole_state
from trainers import (DRIVER, SEERC, apart, build_spec, common, expect, failures, libraries_tuning, losses,
                      state)

NCCL, CUBLASLT, CUDNN = sys.argv[3:6]
HERE = {"SEER_LIBCUDA": DRIVER, "SEER_LIBCUBLASLT": CUBLASLT, "SEER_LIBCUDNN": CUDNN, "SEER_SIMULATED_STRICT": "1"}
TARGET = "--target=cuda:simulated"
SPEC = """use "recipes/swav"
model { family = regnety depths = [1, 2] widths = [16, 24] group_widths = [8, 12] stem_width = 16 }
data { pictures = "pictures" }
views { crops = [crop(count = 2, size = 16px)] }
swav { head = [32, 16] prototypes = 20 freeze_prototypes = 0 queue = 16 queue_start = 0 }
train { batch = 8 accumulate = 2 steps = 3 precision = bf16 }
save { every = 1 keep = 3 }
evaluate { batch = 8 size = 16 resize = 16 }
"""
STEPS = 3
# Of what the first step makes, from that of seer's kernels: both round what they store to 8 bits.
MOST = 0.01


def run(trainer, command, *words, expected=0, **environment):
    return common.run(trainer, command, *words, cwd=trainer.parent, env={**HERE, **environment}, expect=expected,
                      timeout=600)


def train(trainer, out, *words, **options):
    return run(trainer, "train", "--out", out, "--no-report", *words, **options)


def outcome(out):
    return losses(out), {name: tensor.tobytes() for name, tensor in state(out, STEPS).items()}


def check_plan(folder, count):
    words = [SEERC, "plan", folder / "own.seer", TARGET, f"--tuning={folder}/all.tune"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    told = [line for line in text.splitlines() if line.startswith("  ") and ", the first in '" in line]
    expect(f"the plan names {len(told)} of {count} layers and the room they have",
           0 < count == len(told) and "by cuDNN 9.19.0, each" in text
           and re.search(r"by cuBLASLt 13\.1\.0, each with +32\.00 MiB of the arena", text))
    plan = json.loads(subprocess.run([*words, "--json"], capture_output=True, text=True, check=True).stdout)
    expect("and so does its JSON", sum(layer["by"] != "seer" for layer in plan["layers"]) == count)
    (folder / "other.tune").write_text((folder / "all.tune").read_text() + "layer linear 77x5 -> 3 = cublaslt\n")
    text = subprocess.run([*words[:-1], f"--tuning={folder}/other.tune"], capture_output=True, text=True,
                          check=True).stdout
    expect("layers that are not there are told", f"1 of the tuning's {count + 1} layers are not in this step" in text)
    return plan["memory"]["peak_bytes"]


def check_bits(folder, library):
    """Under several orders of work; stopped and resumed."""
    found = []
    for seed in (1, 2):
        out = folder / f"order-{seed}"
        train(library, out, SEER_SIMULATED_SEED=str(seed))
        found.append(outcome(out))
    expect("drawn orders change no bit", found[0] == found[1])
    out = folder / "resumed"
    train(library, out, "--stop-after", 1, expected=75)
    common.run(library, "--resume", out, "--no-report", cwd=folder, env=HERE, timeout=600)
    expect("a run that was stopped ends as one that was not", outcome(out) == found[0])


def check_result(folder, own):
    out = folder / "own-out"
    train(own, out)
    away = apart(state(folder / "order-1", 1), state(out, 1))
    del away["projection_head.0.bias.velocity"]  # in front of BatchNorm its gradient is zero, but for rounding
    worst = max(away, key=away.get)
    expect(f"{len(away)} tensors: {numpy.median(list(away.values())):.5f} from those of seer's kernels, at most "
           f"{away[worst]:.5f} ('{worst}'); losses {losses(folder / 'order-1')}, {losses(out)}",
           0 < away[worst] <= MOST and abs(losses(out)[-1] - losses(folder / "order-1")[-1]) < 0.01)


def check_memory(folder, library, peak):
    metrics = json.loads((folder / "order-1/metrics.jsonl").read_text().splitlines()[0])
    expect(f"the step takes {metrics['peak_bytes']} bytes, the plan {peak}", metrics["peak_bytes"] == peak)
    for bytes_there, code in (((peak + 255) // 256 * 256, 0), (peak - 1, 3)):
        done = train(library, folder / f"memory-{bytes_there}", "--steps", 1, expected=None,
                     SEER_SIMULATED_BYTES=str(bytes_there))
        expect(f"a GPU of {bytes_there} bytes: exit {done.returncode}", done.returncode == code)


def check_bad_starts(folder, library):
    for what, environment, words in (
            ("no library", {"SEER_LIBCUBLASLT": "/nowhere/libcublasLt.so"},
             ("as its tuning chose: cannot open cuBLASLt: ", "/nowhere/libcublasLt.so", "SEER_LIBCUBLASLT",
              "--tuning=none")),
            ("another library", {"SEER_LIBCUBLASLT": "libm.so.6"}, ("'libm.so.6' is no cuBLASLt", "--tuning=none")),
            ("another version", {"SEER_SIMULATED_CUBLASLT_VERSION": "120805"},
             ("is of version 12.8.5", "tuned with 13.1.0", "SEER_LIBCUBLASLT")),
            ("no cuDNN", {"SEER_LIBCUDNN": "/nowhere/libcudnn.so"},
             ("cuDNN is to make layers of this trainer, as its tuning chose: cannot open cuDNN: ",
              "/nowhere/libcudnn.so", "SEER_LIBCUDNN")),
            ("an old cuDNN", {"SEER_SIMULATED_CUDNN_VERSION": "8907"}, ("is of version 8.9.7", "tuned with 9.19.0")),
            ("another cuDNN", {"SEER_LIBCUDNN": "libm.so.6"}, ("'libm.so.6' is no cuDNN",)),
            ("no way to convolve", {"SEER_SIMULATED_CUDNN_FAIL": "cudnnGetConvolutionBackwardDataAlgorithm_v7:1:3000"},
             ("cudnn_convolution of '", "conv2d_backward_input", "cuDNN: cudnnGetConvolutionBackwardDataAlgorithm_v7: "
              "CUDNN_STATUS_NOT_SUPPORTED (3000)")),
            ("no handle", {"SEER_SIMULATED_CUBLASLT_FAIL": "cublasLtCreate:1:1"},
             ("cublasLtCreate: CUBLAS_STATUS_NOT_INITIALIZED (1)",)),
            ("no way to multiply", {"SEER_SIMULATED_CUBLASLT_FAIL": "cublasLtMatmulAlgoGetHeuristic:2:15"},
             ("cublaslt_matmul of '", "se.fc1: linear", "cublasLtMatmulAlgoGetHeuristic", "NOT_SUPPORTED (15)"))):
        out = folder / what.replace(" ", "-")
        done = train(library, out, expected=None, **environment)
        expect(f"{what}: exit {done.returncode}: {done.stderr.strip().splitlines()}",
               done.returncode == 3 and all(word in done.stderr for word in words) and not (out / "snapshots").exists())
    done = run(library, "doctor", SEER_SIMULATED_CUBLASLT_VERSION="130200")
    expect("doctor tells the library, and that it is newer than the one it was chosen with",
           "products by cuBLASLt 13.2.0 (chosen with 13.1.0), " in done.stdout and "by cuDNN 9.19.0" in done.stdout)


def check_failure(folder, library):
    """Where a step is sent launch by launch, and where it is captured."""
    calls = [line for line in (folder / "sources/program.c").read_text().splitlines() if '"cublaslt_matmul"' in line]
    # Those of features follow those of training; both begin with the same layer.
    of_step = next((i for i, line in enumerate(calls) if i and line == calls[0]), len(calls))
    for number in (5, of_step + 7):
        done = train(library, folder / f"failed-{number}", expected=None,
                     SEER_SIMULATED_CUBLASLT_FAIL=f"cublasLtMatmul:{number}:13")
        said = done.stderr.strip().splitlines()[:1]
        expect(f"a status of the library is told with its layer and call: exit {done.returncode}: {said}",
               done.returncode == 3 and "cublaslt_matmul" in said[0] and "ward: cuBLASLt: cublasLtMatmul: "
               "CUBLAS_STATUS_EXECUTION_FAILED (13)" in said[0])
    for call, way in (("Forward", "forward"), ("BackwardFilter", "backward")):
        done = train(library, folder / f"failed-{call}", expected=None,
                     SEER_SIMULATED_CUDNN_FAIL=f"cudnnConvolution{call}:2:5000")
        said = done.stderr.strip().splitlines()[:1]
        expect(f"and one of cuDNN: exit {done.returncode}: {said}",
               done.returncode == 3 and f"cudnn_convolution {way}: cuDNN: cudnnConvolution{call}: "
               "CUDNN_STATUS_EXECUTION_FAILED (5000)" in said[0])


def check_ranks(folder):
    """Of two GPUs: NCCL's work and the libraries' in one graph."""
    sets = ["-D", "cluster.ranks_per_node=2"]
    libraries_tuning(folder / "own.seer", folder / "ranks.tune", *sets)
    trainer = build_spec(folder, "ranks", SPEC, TARGET, f"--tuning={folder}/ranks.tune", *sets)
    found = []
    for way, words in (("nccl", ()), ("host", ("--exchange", "host"))):
        out = folder / f"ranks-{way}"
        environment = {**os.environ, **HERE, "SEER_LIBNCCL": NCCL, "SEER_SIMULATED_DEVICES": "2",
                       "SEER_SIMULATED_NCCL_FOLDER": str(folder), "OMPI_MCA_mpi_yield_when_idle": "1"}
        done = subprocess.run(["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n", "2", trainer, "train",
                               "--out", out, "--threads", "1", "--no-report", *words], cwd=folder, env=environment,
                              capture_output=True, text=True, timeout=600)
        expect(f"two ranks, {way}: exit {done.returncode}: {done.stderr.strip().splitlines()[:2]}",
               done.returncode == 0 and "by cuBLASLt 13.1.0, " in done.stdout)
        found.append((losses(out), whole_state(trainer, out)[0]))
    expect(f"two ranks have the bits of both ways: losses {found[0][0]}", found[0] == found[1])


# What is wrong, the file of the trainer's sources ("*": of its blocks, the first that has it), the text as it is, the
# text with the fault (None: without the launch that has it).
FAULTS = [
    ("rows of matrices are said to lie further apart", "runtime/device/cublaslt.c", "(uint64_t)rows, columns)",
     "(uint64_t)rows, columns + 8)"),
    ("nobody takes the statistics of what a library made", "*", "kernel_batch_norm_statistics,", None),
    ("the library is told of more room than the plan has", "libraries.c", ".workspace_bytes = 33554432",
     ".workspace_bytes = 50331648"),
    ("the library has less room than it was promised", "runtime/device/cublaslt.c",
     "m->workspace_bytes, stream)", "m->workspace_bytes / 2, stream)"),
    ("its room begins anywhere", "runtime/device/cublaslt.c", "seer_library_workspace(pointers[WORKSPACE])",
     "(void *)(uintptr_t)pointers[WORKSPACE]"),
    ("sums may be taken in any order", "runtime/device/cublaslt.c",
     "reductions = SEER_LT_REDUCTION_COMPUTE_TYPE", "reductions = 7"),
    ("ways are taken that do not add up in one order", "runtime/device/cudnn.c",
     "found[i].determinism == SEER_DNN_DETERMINISTIC", "found[i].determinism >= 0"),
    ("ways are taken that want more room", "runtime/device/cudnn.c",
     "found[i].workspace_bytes <= call->shape.workspace_bytes", "found[i].workspace_bytes + 1"),
    ("groups are forgotten", "runtime/device/cudnn.c", "convolution_set_groups(call->convolution, (int)s->groups)",
     "convolution_set_groups(call->convolution, 1)"),
    ("weights take the place of images", "runtime/device/cudnn.c", "c->x, a, c->y, b, c->convolution, c->algo, room",
     "c->x, b, c->y, a, c->convolution, c->algo, room"),
    ("cuDNN adds nothing", "runtime/device/cudnn.c", "beta = c->shape.adds ? 1 : 0", "beta = 0"),
    ("what cuDNN adds to is not there", "*", "kernel_copy_floats,", None),
    ("the first run is captured", "runtime/device/gpu.c", "if (is_first && gpu->libraries)", "if (!own)"),
    ("the wrong operand is turned", "runtime/device/cublaslt.c", "turn_a = m->b_turned ?", "turn_a = m->a_turned ?"),
    ("nothing is added", "runtime/device/cublaslt.c", "beta = m->adds ? 1 : 0", "beta = 0"),
    ("the bias is forgotten", "runtime/device/cublaslt.c", "if (!status && m->has_bias) status = set(",
     "if (!status && !m) status = set("),
    ("a layout is never released", "runtime/device/cublaslt.c", "if (call->b) lt.layout_destroy(call->b);", ""),
    ("the handle is never released", "runtime/device/cublaslt.c", "lt.destroy(handle->lt);", ""),
    ("operands are promised to lie at multiples of 256", "runtime/device/cublaslt.c", "alignment = SEER_ALIGNMENT",
     "alignment = 256"),
]


def without_launch(text, at):
    """The text without the statement that the place is in."""
    begin, end = text.rindex("  seer_launch_", 0, at), text.index("});\n", at) + 4
    return text[:begin] + text[end:]


def plant(folder, file, right, wrong):
    paths = sorted((folder / "blocks").glob("*.c")) if file == "*" else [folder / file]
    for path in paths:
        text = path.read_text()
        if right not in text:
            continue
        path.write_text(without_launch(text, text.index(right)) if wrong is None else text.replace(right, wrong))
        return True
    return False


def check_faults(folder, every):
    sources = folder / "sources"
    wanted = None
    faults = [("nothing", None, None, None)] + FAULTS[::every]
    for what, file, right, wrong in faults:
        copy = folder / "faulty"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(sources, copy, copy_function=shutil.copy2)
        (copy / "pictures").symlink_to(folder / "pictures")
        expect(f"{what}: the text is there", file is None or plant(copy, file, right, wrong))
        made = subprocess.run(["make", "-C", copy, f"CC={os.environ.get('CC', 'cc')}"], capture_output=True, text=True)
        if made.returncode:
            expect(f"{what}: is compiled: {made.stderr[-500:]}", False)
            continue
        found, said = [], ""
        for seed in (1, 2):
            out = folder / f"faulty-{seed}"
            shutil.rmtree(out, ignore_errors=True)
            done = train(copy / "trainer", out, "--steps", 2, expected=None, SEER_SIMULATED_SEED=str(seed))
            said = done.stderr.strip().splitlines()[:1] or said
            found.append((done.returncode, losses(out) if done.returncode == 0 else None,
                          {name: t.tobytes() for name, t in state(out, 2).items()} if done.returncode == 0 else None))
        if wanted is None:
            wanted = found[0]
            expect("without a fault", found[0] == found[1] and found[0][0] == 0)
            continue
        shown = found[0] != wanted or found[1] != wanted
        expect(f"{what}: shows: {said or 'other bits'}", shown)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        common.pictures_make(str(folder / "pictures"))
        (folder / "own.seer").write_text(SPEC)
        layers = libraries_tuning(folder / "own.seer", folder / "all.tune")
        if "--ranks" in sys.argv:
            check_ranks(folder)
        else:
            library = build_spec(folder, "library", SPEC, TARGET, f"--tuning={folder}/all.tune", "--keep",
                                 folder / "sources")
            if "--faults" in sys.argv:
                check_faults(folder, int(sys.argv[-1]))
            else:
                peak = check_plan(folder, len(layers))
                check_bits(folder, library)
                check_result(folder, build_spec(folder, "own", SPEC, TARGET, "--tuning=none"))
                check_memory(folder, library, peak)
                check_bad_starts(folder, library)
                check_failure(folder, library)
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
