"""What the benchmarks of ranks share: pictures, the words of their command line, a trainer's plan."""
import argparse
import json
import os
import pathlib
import random
import subprocess


def pictures_make(path, count=512):
    draw = random.Random(1)
    path.write_bytes(bytes.fromhex("00000803") + count.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2 +
                     draw.randbytes(count * 28 * 28))


def parser_make(description, steps):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seerc", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--mpi", default="mpirun.openmpi --allow-run-as-root --oversubscribe -n")
    return parser


def pictures_prepare(folder):
    """The path of the pictures; ranks that wait leave the processor to those that do not."""
    os.environ["OMPI_MCA_mpi_yield_when_idle"] = "1"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = folder / "train-images-idx3-ubyte"
    pictures_make(pictures)
    return pictures


def plan_of(trainer, ranks):
    command = [trainer, "plan", "--json", "--world", str(ranks)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
