#!/usr/bin/env python3
"""Trainers for GPUs under AddressSanitizer and UndefinedBehaviorSanitizer, on simulated GPUs.

usage: sanitized_test.py SEERC LIBSIMULATED_CUDA LIBSIMULATED_NCCL LIBSIMULATED_CUBLASLT LIBSIMULATED_CUDNN

A small network with a queue, accumulation and groups that need pads, in fp16: trained, stopped and resumed, its
features, on one rank; on two, whose parameters lie in parts and whose layers libraries make, by way of the host and by
NCCL, to the same bits. A fault ends the trainer.
"""
import pathlib
import sys
import tempfile

import rank_trainers
from trainers import DRIVER, build_spec, common, expect, failures, libraries_tuning, state

NCCL, CUBLASLT, CUDNN = sys.argv[3:6]
RANKS = 2
SPEC = """model { family = regnety depths = [1] widths = [24] group_widths = [12] stem_width = 8 }
swav { prototypes = 9 head = [12, 10] freeze_prototypes = 0 queue = 8 }
views { crops = [crop(count = 2, size = 8px)] }
train { batch = 8 accumulate = 2 steps = 2 precision = fp16 }
shard { parameters = full reduce = fp16 }
cluster { ranks_per_node = 2 }
evaluate { size = 8px resize = 8px batch = 4 }
save { every = 1 keep = 2 }
data { pictures = "train-images-idx3-ubyte" }
"""
SANITIZED = {"ASAN_OPTIONS": "detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1",
             "SEER_LIBCUBLASLT": CUBLASLT, "SEER_LIBCUDNN": CUDNN}


def tensors(out, step):
    return {name: tensor.tobytes() for name, tensor in state(out, step).items()}


def check_one_rank(folder, trainer):
    def run(*words, code=0):
        return common.run(trainer, *words, cwd=folder, env={"SEER_LIBCUDA": DRIVER, **SANITIZED}, expect=code,
                          timeout=600)

    whole, stopped, features = folder / "whole", folder / "stopped", folder / "features.safetensors"
    run("train", "--out", whole)
    run("train", "--out", stopped, "--stop-after", 1, "--no-report", code=75)
    run("--resume", stopped, "--no-report")
    expect("one rank: stopped and resumed to the same bits", tensors(whole, 2) == tensors(stopped, 2))
    run("features", "--weights", whole, "--data", folder / "train-images-idx3-ubyte", "--out", features)
    expect("one rank: features", features.exists())


def check_ranks(folder, trainer):
    found = []
    for exchange in ("host", "nccl"):
        out = folder / exchange
        # MPI itself leaves memory behind at its end.
        environment = {**SANITIZED, "ASAN_OPTIONS": f"{SANITIZED['ASAN_OPTIONS']}:detect_leaks=0", "SEER_LIBNCCL": NCCL,
                       "SEER_SIMULATED_DEVICES": str(RANKS), "SEER_SIMULATED_NCCL_FOLDER": str(folder)}
        words = ("--exchange", exchange)
        rank_trainers.train(trainer, out, "--stop-after", 1, *words, code=75, ranks=RANKS, **environment)
        rank_trainers.start(trainer, out, "--resume", out, *words, ranks=RANKS, **environment)
        found.append(rank_trainers.whole_state(trainer, out)[0])
    expect("two ranks: the same bits by way of the host and by NCCL", found[0] == found[1] and found[0])


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        rank_trainers.pictures_make(folder)
        (folder / "sanitized.seer").write_text(SPEC)
        libraries_tuning(folder / "sanitized.seer", folder / "sanitized.cuda.tune")
        trainer = build_spec(folder, "sanitized", SPEC, "--sanitize", "--target=cuda:simulated")
        code = trainer.read_bytes()
        expect("the trainer is sanitized", b"__asan_init" in code and b"__ubsan" in code)
        check_one_rank(folder, trainer)
        check_ranks(folder, trainer)
    print(f"{'failed' if failures else 'passed'}: {len(failures)} failures")
    return bool(failures)


sys.exit(main())
