"""Random faults in five runs side by side, on one to four ranks under both MPIs; one of them, which is reproducible,
goes on in another world each time. Every fault must end in bounded time, every next start must go on, and at its end
each run must have the bits of a run that nothing happened to.

Usage: chaos.py SEERC SHIM FAULTS [SEED]. Prints a table: kinds, how long they took to be noticed, who named them.
"""
import concurrent.futures
import errno
import os
import random
import re
import shutil
import signal
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ranks_common as common
from ranks_common import LAUNCHERS, Run

SEERC, SHIM, FAULTS = sys.argv[1], sys.argv[2], int(sys.argv[3])
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 11
PATIENCE, FOREVER, KEEP = 5, 100000000, 4
LIMIT = PATIENCE + 40  # launchers of a busy machine take seconds to end the others
SIGNALS = {"killed": signal.SIGKILL, "crashed": signal.SIGSEGV, "aborted": signal.SIGABRT, "frozen": signal.SIGSTOP,
           "exit": signal.SIGUSR2, "_exit": signal.SIGPWR, "asked to stop": signal.SIGTERM}
DISKS = {"disk full": errno.ENOSPC, "disk broken": errno.EIO, "folder closed": errno.EACCES}
WEIGHTS = {"killed": 4, "crashed": 2, "aborted": 2, "frozen": 2, "exit": 2, "_exit": 2, "asked to stop": 1,
           "launcher killed": 1, "disk full": 1, "disk broken": 1, "folder closed": 1, "bit flipped": 2,
           "file cut off": 2}
TEXT = "train { batch = 12  steps = 100 }"
RESIZED = """train { batch = 12  steps = 100  reproducible = yes  slices = 4 }
cluster { worlds = [4, 2, 1] }
"""


class Chaos:
    def __init__(self, folder, trainer, *worlds):
        self.name = "-".join(map(str, worlds))
        self.out, self.trainer, self.worlds, self.ranks = folder / f"run-{self.name}", trainer, worlds, worlds[0]
        self.draw = random.Random(SEED + sum(worlds))
        self.kinds = []  # of faults that wait for it
        self.table = []  # (kind, seconds, who named it)
        self.newest = 0

    def start(self, *options, lame=None, mpi=None):
        mpi = mpi or self.draw.choice(list(LAUNCHERS))
        return mpi, Run(self.trainer, self.ranks, mpi, "--patience", PATIENCE, "--save-every", "2", "--keep", KEEP,
                        *options, lame=lame)

    def began(self):
        _, run = self.start("--out", self.out, "--steps", FOREVER, "--stop-after", "4")
        run.wait(LIMIT)
        self.newest = max(common.snapshot_steps(self.out))

    def strike_files(self, kind):
        """The newest snapshot is damaged between two runs."""
        steps = common.snapshot_steps(self.out)
        if len(steps) < 2:
            return
        path = self.draw.choice(sorted((self.out / "snapshots" / f"step-{steps[-1]}").iterdir()))
        data = bytearray(path.read_bytes())
        if kind == "bit flipped":
            # The manifest's own text is told from damage by its form only; where it matters it fails.
            place = self.draw.randrange(len(data)) if path.suffix == ".safetensors" else data.index(b"xxh3_128") + 14
            data[place] ^= 1 << self.draw.randrange(3)
            path.write_bytes(data)
        else:
            path.write_bytes(data[:self.draw.randrange(len(data))])
        began = time.monotonic()
        _, run = self.start("--resume", self.out, "--stop-after", "1")
        _, said = run.wait(LIMIT)
        assert "is damaged" in said and "stopped on --stop-after" in said, (kind, said)
        self.newest = steps[-2]
        self.table.append((kind, time.monotonic() - began, "next start"))

    def strike_disk(self, kind):
        lame = (0, f"export LD_PRELOAD={SHIM} SEER_FAULT_PATH={self.out}/snapshots/ SEER_FAULT_ERRNO={DISKS[kind]}")
        began = time.monotonic()
        _, run = self.start("--resume", self.out, lame=lame)
        code, said = run.wait(LIMIT)
        reason = os.strerror(DISKS[kind])
        assert code != 0 and reason in said and ": error: " in said, (kind, code, said)
        named = self.ranks == 1 or "error: rank 0: " in said
        self.table.append((kind, time.monotonic() - began, "itself" if named else "nobody"))

    def strike_rank(self, kind):
        rank = self.draw.randrange(self.ranks)
        lame = (rank, f"export LD_PRELOAD={SHIM} SEER_FAULT_LEAVE=1") if kind in ("exit", "_exit") else None
        mpi, run = self.start("--resume", self.out, lame=lame)
        steps, began = self.newest + self.draw.randrange(1, 6), time.time()

        def ready():
            # The run before may have left records, and lines that this one takes back first.
            records = [common.record(self.out, each) for each in range(self.ranks)] if self.ranks > 1 else []
            return (all(record and record["seen"] >= began for record in records) and
                    common.steps_done(self.out) >= steps)

        assert common.wait_until(ready, run), (kind, mpi, run.wait())
        time.sleep(self.draw.uniform(0, 0.05))
        processes = [common.record(self.out, each)["process"] for each in range(self.ranks)] if self.ranks > 1 else []
        struck = run.process.pid if self.ranks == 1 or kind == "launcher killed" else processes[rank]
        os.kill(struck, SIGNALS.get(kind, signal.SIGKILL))
        began = time.monotonic()
        if self.ranks == 1 and kind == "frozen":  # nobody waits for it: the user ends it
            run.process.kill()
        code, said = run.wait(LIMIT)
        while any(os.path.exists(f"/proc/{process}") for process in processes):
            assert time.monotonic() - began < LIMIT, f"{kind} on {mpi}: ranks are left"
            time.sleep(0.01)
        self.judge(kind, mpi, rank, code, said, time.monotonic() - began)

    def judge(self, kind, mpi, rank, code, said, seconds):
        if kind == "asked to stop":
            assert "stopped on SIGTERM" in said, (mpi, rank, code, said)
            self.table.append((kind, seconds, "itself"))
            return
        # MPICH takes an early _exit(0) for a good end; so does a shell, of one process.
        assert code != 0 or kind in ("exit", "_exit"), (kind, mpi, rank, said)
        who = "no need" if self.ranks == 1 or kind == "launcher killed" else "nobody"
        if rank in common.names_of(said):
            who = "at once"
        elif self.ranks > 1 and kind != "launcher killed":
            _, run = self.start("--resume", self.out, "--stop-after", "1")
            _, later = run.wait(LIMIT)
            if re.search(rf"broke off: rank {rank} on", later):
                who = "next start"
            elif "ended without a word" in later:
                who = "the run, not the rank"
            if who == "nobody":
                print(f"{kind} rank {rank} of {self.ranks} on {mpi}:\n{said}\nthe next start:\n{later}", flush=True)
        self.table.append((kind, seconds, who))

    def strike(self, kind):
        launched = [ranks for ranks in self.worlds if ranks > 1 or kind != "launcher killed"]
        self.ranks = self.draw.choice(launched)
        if kind in DISKS:
            self.strike_disk(kind)
        elif kind in ("bit flipped", "file cut off"):
            self.strike_files(kind)
        else:
            self.strike_rank(kind)
        steps = common.snapshot_steps(self.out)
        assert steps and steps[-1] >= self.newest, f"{kind}: back from step {self.newest} to {steps}"
        self.newest = steps[-1]

    def finish(self, whole):
        """The same bits and losses as a run that nothing happened to, which takes as many steps."""
        self.ranks = self.worlds[0]
        _, run = self.start("--resume", self.out, "--stop-after", "1")
        run.wait(LIMIT)
        end = max(common.snapshot_steps(self.out))
        # Under the launcher whose ranks share cores well: bits do not depend on it.
        _, run = self.start("--out", whole, "--steps", FOREVER, "--stop-after", end, mpi="Open MPI")
        run.wait(LIMIT + end)
        files = [common.snapshot_files(out, end) for out in (self.out, whole)]
        assert files[0] == files[1], f"{self.name} ranks: other bits"
        losses = [[(line["step"], line["loss"]) for line in common.metrics_of(out)] for out in (self.out, whole)]
        assert losses[0] == losses[1] and len(losses[0]) == end, f"{self.name} ranks: other losses"
        assert not (self.out / "ranks").exists(), "records are left"
        return end


def table_print(table):
    print(f"{'fault':16} {'count':>5} {'median s':>8} {'worst s':>8}   named by")
    for kind in WEIGHTS:
        rows = [row for row in table if row[0] == kind]
        if not rows:
            continue
        seconds, who = [row[1] for row in rows], [row[2] for row in rows]
        names = ", ".join(f"{name} {who.count(name)}" for name in dict.fromkeys(sorted(who)))
        print(f"{kind:16} {len(rows):5} {statistics.median(seconds):8.2f} {max(seconds):8.2f}   {names}")


def faults_deal(runs):
    """Each kind comes up early; a run of one rank has the fewest ways to fail."""
    draw = random.Random(SEED)
    kinds = [kind for kind, weight in WEIGHTS.items() for _ in range(weight)]
    for number in range(FAULTS):
        kind = list(WEIGHTS)[number] if number < len(WEIGHTS) else draw.choice(kinds)
        run = draw.choices(runs, (4, 4, 3, 1, 4))[0]
        if run.worlds == (1,) and kind == "launcher killed":
            run = runs[0]
        run.kinds.append(kind)


def live(run, runs, folder, began):
    """A run's whole life; where another one has failed, it ends early. The step it came to."""
    try:
        run.began()
        for kind in run.kinds:
            if stopped.is_set():
                return 0
            run.strike(kind)
            done = sum(len(each.table) for each in runs)
            if done % 20 == 0:
                print(f"{done} faults in {time.monotonic() - began:.0f} s", flush=True)
        return run.finish(folder / f"whole-{run.name}")
    except BaseException:
        stopped.set()
        raise


stopped = threading.Event()


def main():
    began = time.monotonic()
    folder = common.scratch("seer-chaos-")
    trainers = common.Trainers(SEERC, folder)
    runs = [Chaos(folder, trainers.get(ranks, TEXT), ranks) for ranks in (2, 3, 4, 1)]
    runs.append(Chaos(folder, trainers.get(4, RESIZED), 4, 2, 1))
    faults_deal(runs)
    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        lives = [pool.submit(live, run, runs, folder, began) for run in runs]
    ends = [f"{run.name}: {life.result()}" for run, life in zip(runs, lives, strict=True)]
    table = [row for run in runs for row in run.table]
    table_print(table)
    assert not any(who == "nobody" for _, _, who in table), "a fault that nobody named"
    print(f"{len(table)} faults in {time.monotonic() - began:.0f} s; ranks: steps, same bits as undisturbed: "
          f"{', '.join(ends)}")
    shutil.rmtree(folder)


main()
