"""What the tests of faults on several ranks share: a small trainer, the launchers, the start and the end of a run.

Needs mpirun.openmpi and mpirun.mpich (Debian: openmpi-bin, mpich).
"""
import atexit
import json
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "trainer"))
from draws import philox, picture_at  # noqa: E402, F401

LAUNCHERS = {"Open MPI": ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n"],
             "MPICH": ["mpirun.mpich", "-n"]}
RANK = {"Open MPI": "OMPI_COMM_WORLD_RANK", "MPICH": "PMI_RANK"}
# Every step takes some milliseconds.
SPEC = """
model { depths = [1, 1]  widths = [16, 16]  group_widths = [8]  stem_width = 8 }
supervised { classes = 4 }
views { crops = [crop(count = 1, size = 16px)] }
evaluate { size = 16px  resize = 16px }
optimizer { name = sgd }
log { every = 1  tensorboard = no }
cluster { nodes = 1  ranks_per_node = 1 }
"""


def scratch(name):
    """A folder in memory where there is one: these faults need no real disk."""
    memory = "/dev/shm"
    return pathlib.Path(tempfile.mkdtemp(prefix=name, dir=memory if os.access(memory, os.W_OK) else None))


def pictures_make(path, labels):
    """Small pictures as an IDX file, one for each of the labels, which tell how bright it is; labels go beside it."""
    draw, pixels = random.Random(1), bytearray()
    for label in labels:
        pixels += bytes(draw.randrange(40) + 50 * (label % 4) for _ in range(16 * 16))
    path.write_bytes(struct.pack(">IIII", 0x803, len(labels), 16, 16) + pixels)
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    beside.write_bytes(struct.pack(">II", 0x801, len(labels)) + bytes(label % 4 for label in labels))
    return path, beside


def folder_make(folder, count, padding=0):
    """The same as PNG files, labels being the folders that they lie in; with so many bytes of nothing behind each."""
    for number in range(count):
        place = folder / str(number % 4)
        place.mkdir(parents=True, exist_ok=True)
        rows = b"".join(b"\0" + bytes([50 * (number % 4) + row + number % 30] * 16) for row in range(16))
        data = b"\x89PNG\r\n\x1a\n"
        for kind, body in ((b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)),
                           (b"IEND", b"")):
            data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        (place / f"{number}.png").write_bytes(data + bytes(padding))
    return folder


class Trainers:
    """Builds trainers of SPEC for some number of ranks, each once."""

    def __init__(self, seerc, folder, sanitize=False):
        self.seerc, self.folder, self.sanitize, self.built = seerc, folder, sanitize, {}
        kinds = [random.Random(number).randrange(4) for number in range(600)]
        self.data = pictures_make(folder / "train-images-idx3-ubyte", kinds)

    def get(self, ranks, text="train { batch = 12  steps = 100 }", data=None):
        key = (ranks, text, data)
        if key not in self.built:
            pictures, labels = data or self.data
            spec = self.folder / f"built-{len(self.built)}" / "trainer.seer"
            spec.parent.mkdir()
            spec.write_text(SPEC + text + f'\ndata {{ pictures = "{pictures}"  labels = "{labels}" }}\n')
            out = spec.with_suffix("")
            subprocess.run([self.seerc, "build", spec, "-D", f"cluster.ranks_per_node={ranks}", "-o", out,
                            *(["--sanitize"] if self.sanitize else [])], check=True, stdout=subprocess.DEVNULL)
            self.built[key] = out
        return self.built[key]


def preload(trainer, shim):
    """The value of LD_PRELOAD: a sanitized trainer wants its own runtime first."""
    listed = subprocess.run(["ldd", trainer], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return ":".join([path for path in listed if "libasan" in path and path.startswith("/")] + [shim])


class Run:
    """A trainer under a launcher. `lame`: (rank, what its shell does before it starts the trainer)."""

    running = []

    def __init__(self, trainer, ranks, mpi, *options, lame=None):
        words = [str(trainer), "train", *map(str, options), "--threads", "1", "--decode-threads", "1", "--no-report",
                 "--quiet"]
        if lame:
            is_it = f'[ "${RANK[mpi]}" = {lame[0]} ]' if ranks > 1 else "true"
            words = ["sh", "-c", f'{is_it} && {{ {lame[1]}; }}; exec "$@"', "sh", *words]
        launcher = [*LAUNCHERS[mpi], str(ranks)] if ranks > 1 else []
        environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}  # MPI libraries leave memory behind
        # In a session of its own: whatever hangs can be ended as a whole.
        self.process = subprocess.Popen([*launcher, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment, start_new_session=True)
        Run.running.append(self)

    def wait(self, seconds=60):
        """(exit code, all that was said); a run that does not end in time is an error."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            out, err = self.process.communicate()
            raise AssertionError(f"still running after {seconds} s\n{out}{err}") from None
        return self.process.returncode, out + err

    @staticmethod
    @atexit.register
    def end_all():
        """A test that fails leaves nothing running."""
        for run in Run.running:
            if not run.is_over():
                run.process.terminate()
                try:
                    run.process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(run.process.pid, signal.SIGKILL)

    def is_over(self):
        return self.process.poll() is not None


def record(out, rank):
    """What a rank left in the run folder, or None."""
    try:
        return json.loads((out / "ranks" / f"rank-{rank}").read_text())
    except (OSError, ValueError):
        return None


def steps_done(out):
    try:
        return (out / "metrics.jsonl").read_text().count("\n")
    except OSError:
        return 0


def wait_until(what, run, seconds=60):
    """Until what() holds, or the run is over; its last answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        over = run.is_over()
        if what():
            return True
        if over:
            return False
        time.sleep(0.01)
    raise AssertionError("what was waited for did not come")


def names_of(said):
    """Ranks that error messages of the trainer name as what went wrong."""
    return [int(rank) for rank in re.findall(r": error: rank (\d+)", said)]


def snapshot_steps(out):
    folder = out / "snapshots"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-\d+", name))


def snapshot_files(out, step):
    """The files of a snapshot, and their bytes."""
    folder = out / "snapshots" / f"step-{step}"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def metrics_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def level_of(position):
    """The level of a place in a run's order, for seed 0; as runtime/monitor.h says."""
    words = philox((0, 0, position & 0xFFFFFFFF, position >> 32 | 4 << 24), (0, 0))
    return 64 - (words[0] << 32 | words[1]).bit_length()


def sample_of(positions, most):
    """The level from which on at most so many of the places are sampled, and those that are."""
    levels, level = {position: level_of(position) for position in positions}, 0
    while sum(own >= level for own in levels.values()) > most:
        level += 1
    return level, [position for position in positions if levels[position] >= level]


def monitor_of(out, step):
    return json.loads((out / "snapshots" / f"step-{step}" / "monitor.json").read_text())


def combinations_of(kept):
    """What a snapshot has counted: pictures by the texts of their values, None: unknown."""
    counts = {}
    for *words, level, count in kept["cells"]:
        if level < kept["level"]:
            raise AssertionError(f"a cell below level {kept['level']}: {words}, {level}")
        texts = tuple(kept["words"][column][word - 1] if word else None for column, word in enumerate(words))
        counts[texts] = counts.get(texts, 0) + count
    return counts
