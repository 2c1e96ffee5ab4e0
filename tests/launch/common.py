"""What the tests of launching share: a small spec, pictures for it, and the bits that a run leaves."""
import json
import os
import pathlib
import random
import struct
import subprocess

LAUNCHERS = {"Open MPI": ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"],
             "MPICH": ["mpirun.mpich", "-n"]}
# Ranks that wait give way: the cores are not all there.
YIELD = {"OMPI_MCA_mpi_yield_when_idle": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
SPEC = """
model { depths = [1, 2]  widths = [16, 32]  group_widths = [8]  stem_width = 8 }
swav { prototypes = 32  head = [64, 16]  freeze_prototypes = 1steps }
views { crops = [crop(count = 2, size = 32px, scale = 0.14..1.0), crop(count = 2, size = 16px)] }
train { batch = 24  steps = 40 }
optimizer { name = larc }
evaluate { size = 32px  resize = 32px }
log { every = 1 }
data { pictures = "train-images-idx3-ubyte"  max_pixels = 10000px }
"""


def run(command, code=0, folder=None, seconds=300, **variables):
    # MPI libraries leave memory behind.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"} | YIELD | variables
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, cwd=folder,
                          timeout=seconds, check=False)
    assert code is None or done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done


def pictures_make(folder, count=500):
    """Blurred squares as an IDX file."""
    draw, pixels = random.Random(count), bytearray()
    for _ in range(count):
        left, top, side = draw.randrange(12), draw.randrange(12), 6 + draw.randrange(10)
        pixels += bytes(draw.randrange(60) + 120 * (left <= x < left + side and top <= y < top + side)
                        for y in range(28) for x in range(28))
    path = pathlib.Path(folder) / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + pixels)
    return path


def trainer_build(seerc, folder, name, *words, ranks=2, nodes=1):
    """Builds the small spec in `folder`, as a user would: FOLDER/NAME and what --emit among the words adds."""
    (pathlib.Path(folder) / "small.seer").write_text(SPEC)
    run([seerc, "build", "small.seer", "-D", f"cluster.nodes={nodes}", "-D", f"cluster.ranks_per_node={ranks}", "-D",
         f"cluster.worlds=[{nodes * ranks}]", "-o", name, *words], folder=folder)
    return pathlib.Path(folder) / name


def steps_of(run_folder):
    """Of the whole lines of its metrics: their steps, in order."""
    path = pathlib.Path(run_folder) / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def bits_of(run_folder, step):
    """All files of a snapshot, one behind the other: the same for the same number of ranks."""
    files = sorted((pathlib.Path(run_folder) / f"snapshots/step-{step}").glob("*.safetensors"))
    assert files, f"no snapshot of step {step} in {run_folder}"
    return b"".join(path.read_bytes() for path in files)
