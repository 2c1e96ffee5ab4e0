"""What the tests of trainers on several ranks, with simulated GPUs, share: see trainers.py."""
import os
import random
import struct
import subprocess

from trainers import DRIVER, build_spec, common

RANKS, STEPS = 4, 3
SPEC = """
model { family = regnetx depths = [1, 1] widths = [24, 40] group_widths = [12, 40] stem_width = 8 }
swav { prototypes = 18 head = [20, 10] freeze_prototypes = 1steps queue = 48 }
views { crops = [crop(count = 2, size = 16px, scale = 0.14..1.0), crop(count = 1, size = 8px)] }
train { batch = 24 steps = 3 precision = bf16 }
evaluate { size = 16px resize = 16px batch = 4 }
optimizer { name = larc }
save { every = 1 keep = 3 }
data { pictures = "train-images-idx3-ubyte" }
"""
# Fails a call of the driver on rank 1 alone.
ONE_FAILS = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then export SEER_SIMULATED_FAIL="$0"; fi; exec "$@"'


def pictures_make(folder, name="train", count=60):
    draw = random.Random(1)
    (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28)
                                                       + draw.randbytes(count * 28 * 28))


def build(folder, name, *settings, target="--target=cuda:simulated_sm_90a", words=()):
    sets = [word for setting in (f"cluster.ranks_per_node={RANKS}", *settings) for word in ("-D", setting)]
    return build_spec(folder, name, SPEC, *sets, *([target] if target else []), *words)


def start(trainer, out, *words, code=0, shell=(), ranks=RANKS, **environment):
    command = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n", ranks, *shell, trainer, *words,
               "--threads", 1, "--no-report"]
    environment = {**os.environ, "SEER_LIBCUDA": DRIVER, "OMPI_MCA_mpi_yield_when_idle": "1", **environment}
    done = subprocess.run([str(word) for word in command], cwd=out.parent, capture_output=True, text=True, timeout=600,
                          check=False, env=environment)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{trainer.name}: exit {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
    return done


def train(trainer, out, *words, **options):
    return start(trainer, out, "train", "--out", out, *words, **options)


def whole_state(trainer, out, *words):
    file = out.with_suffix(".safetensors")
    common.run(trainer, "export", out, "--out", file, "--all", *words)
    tensors = common.safetensors_read(file)[0]
    return {name: tensor.tobytes() for name, tensor in tensors.items()}, tensors


def snapshots(out):
    """The steps of those that are whole."""
    return sorted(int(path.name[5:]) for path in (out / "snapshots").iterdir() if (path / "manifest.json").exists())
