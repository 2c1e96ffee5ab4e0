#!/usr/bin/env python3
"""Faults planted in the text of kernels, one at a time: the simulated GPU must find every one.

usage: planted_faults_test.py CXX SIMULATOR.a KERNELS FLAG...

Each fault replaces a text that the kernel has once. What is compiled so must end with a fault that the simulator names,
or with a result that is not right; the kernel as it is must pass with the same shape.
"""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TILES = "TILE_PIXELS=64 TILE_OUTPUTS=64 TILE_DEPTH=32 STAGES=3 WARPS_PIXELS=2 WARPS_OUTPUTS=2"
SHAPES = {
    "conv2d_forward": "IMAGES=2 HEIGHT=9 WIDTH=7 GROUPS=2 INPUTS=40 INPUT_PITCH=40 OUTPUTS=86 OUTPUT_PITCH=88 KERNEL=3 "
                      "STRIDE=1 PAD=1 " + TILES,
}
# By kernel: what is wrong, the text as it is, the text with the fault.
FAULTS = {
    "conv2d_forward": [
        ("nobody waits for the step's copies", "copy_wait<STAGES - 2>();\n", "\n"),
        ("waits for one group too few", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
        ("threads do not wait for the copies of others",
         "block_wait();  // the step's copies have come, and nobody reads the stage that is filled next\n", "\n"),
        ("fills the stage that is read", "if (step + STAGES - 1 < STEPS) step_copy(step + STAGES - 1,",
         "if (step + STAGES < STEPS) step_copy(step + STAGES,"),
        ("the first copies are no groups of their own",
         "if (step < STEPS) step_copy(step, pixels, x, weights, tiles);\n    copy_commit();",
         "if (step < STEPS) step_copy(step, pixels, x, weights, tiles);"),
        ("rows above the image are read", "row >= 0 && row < HEIGHT", "row < HEIGHT"),
        ("columns beyond the image are read", "column < WIDTH && channel", "channel"),
        ("half of a copy", "there ? from : x,\n               there ? 16 : 0",
         "there ? from : x,\n               there ? 8 : 0"),
        ("inputs are loaded from the wrong column", "depth + lane / 16 * 8) * 2);\n#pragma",
         "depth + lane / 8 % 2 * 8) * 2);\n#pragma"),
        ("weights are loaded from the wrong row", "lane % 8 + lane / 16 * 8) * ROW", "lane % 16) * ROW"),
        ("products of the wrong halves", "sums[i][j + 1], a[i], b[2], b[3]", "sums[i][j + 1], a[i], b[1], b[3]"),
        ("rows of a tile are not aligned", "ROW = TILE_DEPTH + CHUNK,", "ROW = TILE_DEPTH + CHUNK / 2,"),
        ("stages of weights lie in those of inputs",
         "(STAGES * TILE_PIXELS + step % STAGES * TILE_OUTPUTS) * ROW * 2;\n#pragma unroll\n  for (int i = 0; i < P",
         "(TILE_PIXELS + step % STAGES * TILE_OUTPUTS) * ROW * 2;\n#pragma unroll\n  for (int i = 0; i < P"),
        ("the taps of weights are those of the next output", "* KERNEL * KERNEL + tap) * INPUT_PITCH + channel;",
         "* KERNEL * KERNEL + tap + 1) * INPUT_PITCH + channel;"),
        ("pixels that do not exist are counted", "      if (at >= PIXELS) continue;\n",
         "      if (at >= PIXELS + 1) continue;\n"),
        ("outputs of the next group are written", "if (output < OUTPUT_PITCH) *(u32 *)", "*(u32 *)"),
        ("sums are read before all are written",
         "shared[part * TILE_OUTPUTS + column + j * 8 + k] = sum;\n    }\n  block_wait();",
         "shared[part * TILE_OUTPUTS + column + j * 8 + k] = sum;\n    }\n"),
        ("sums are written before all have read",
         "sums[j][k] += shared[i * TILE_OUTPUTS + column + j * 8 + k];\n    }\n  block_wait();",
         "sums[j][k] += shared[i * TILE_OUTPUTS + column + j * 8 + k];\n    }\n"),
        ("a fold leaves lanes out", "mask = 4; mask < 32", "mask = 8; mask < 32"),
        ("part of a warp exchanges", "mask *= 2) sum += warp_exchange",
         "mask *= 2) if (lane < 28) sum += warp_exchange"),
        ("sums lie beyond shared memory", "(memory + SUM_OFFSET)", "(memory + SUM_OFFSET + 512)"),
        ("the last tile's mean is that of a whole one", "1.0f / LAST_PIXELS", "1.0f / TILE_PIXELS"),
        ("statistics of half of the columns", "if (warp % WARPS_PIXELS == 0 && lane < 4)",
         "if (warp == 0 && lane < 4)"),
    ],
}


def outcome(folder, compile, simulator, name, text):
    """The exit status of the kernel's test with this text, None if it does not compile; and the last line it said."""
    (folder / f"codegen/kernels/cuda/{name}.cu").write_text(text)
    program = folder / "test"
    shape = [f"-D{macro}" for macro in SHAPES[name].split()]
    built = subprocess.run([*compile, *shape, HERE / f"{name}_test.cpp", simulator, "-o", program], capture_output=True,
                           text=True)
    if built.returncode:
        return None, built.stderr
    ran = subprocess.run([program], capture_output=True, text=True, timeout=120)
    return ran.returncode, ((ran.stdout + ran.stderr).strip().splitlines() or ["says nothing"])[-1]


def main():
    compiler, simulator, kernels, *flags = sys.argv[1:]
    texts = {name: (pathlib.Path(kernels) / f"{name}.cu").read_text() for name in SHAPES}
    failed = found = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "codegen/kernels/cuda").mkdir(parents=True)
        # The folder comes first, so that its kernel is the one included; what is optimised less compiles faster.
        compile = [compiler, f"-I{folder}", *(flag for flag in flags if flag != "-O2"), "-O1", "-w"]
        for name, text in texts.items():
            status, said = outcome(folder, compile, simulator, name, text)
            if status != 0:
                sys.exit(f"{name}: fails as it is: {said}")
            for what, right, wrong in FAULTS[name]:
                if text.count(right) != 1:
                    print(f"{name}: {what}: the text is there {text.count(right)} times")
                    failed += 1
                    continue
                status, said = outcome(folder, compile, simulator, name, text.replace(right, wrong))
                found += bool(status)
                failed += not status
                print(f"{name}: {what}: {said if status else 'NOT COMPILED' if status is None else 'NOT FOUND'}")
    print(f"{found} of {sum(map(len, FAULTS.values()))} faults found")
    sys.exit(1 if failed else 0)


main()
