"""Builds and runs the emitted step of a spec (step_driver.c)."""
import os
import pathlib
import subprocess
from dataclasses import dataclass

import raw_file

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Failure(Exception):
    """A tool did not do its work; the text is its output."""


def run(command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@dataclass
class Tensor:
    kind: str
    name: str
    init: str
    init_a: float
    normalized: bool
    shape: tuple


class Emitted:
    """The step of one spec, built in `folder`; `optimize` replaces the Makefile's level of optimisation."""

    def __init__(self, seerc, text, folder, optimize=None, options=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        spec, sources = self.folder / "case.seer", self.folder / "sources"
        spec.write_text(text)
        # Only the sources are wanted: the compiler of the whole trainer, `true`, does nothing.
        command = [seerc, "build", spec, "-o", self.folder / "trainer", "--keep", sources]
        run([*command, *options], env={**os.environ, "CC": "true"})
        level = [f"OPTIMIZE={optimize}"] if optimize else []
        run(["make", "-j2", "-C", sources, "-f", ROOT / "tests/train/driver.mk", f"ROOT={ROOT}", *level, "step_driver"])
        self.driver = sources / "step_driver"
        self.tensors = [parse_tensor(line) for line in run([self.driver, "--describe"]).splitlines()[1:]]

    def shapes(self):
        return {t.name: t.shape for t in self.tensors if t.kind != "accumulator"}

    def run_steps(self, inputs, threads=2):
        """Outputs by name, and the bytes of the whole output file."""
        input_path, output_path = self.folder / "input.raw", self.folder / f"output.{threads}.raw"
        raw_file.write(input_path, inputs)
        run([self.driver, input_path, output_path, threads])
        return raw_file.read(output_path), output_path.read_bytes()


def parse_tensor(line):
    kind, name, init, init_a, normalized, _, *sizes = line.split()
    return Tensor(kind, name, init, float(init_a), normalized == "1", tuple(int(s) for s in sizes))
