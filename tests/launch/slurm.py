"""A Slurm cluster of one node for tests: munged, slurmctld and slurmd of Debian's packages, started in a folder of
their own by whoever runs the test, without systemd and control groups, next to any other Slurm of the machine.

The node claims more cores than there may be, so that jobs can stand side by side. Partitions: `low` and `abrupt` are
preempted by `high`, with half a minute of grace and with none.
"""
import atexit
import getpass
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time

from common import YIELD

PROGRAMS = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
CORES, MEMORY_MIB = 4, 8000
CONFIGURATION = """
ClusterName=seer
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its credential has expired: two minutes unless told, five seconds at the least.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
FirstJobId={first}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
MinJobAge=3600
ReturnToService=2
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
NodeName=seer NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=30
PartitionName=abrupt Nodes=ALL State=UP PriorityTier=1 GraceTime=0
PartitionName=high Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
"""


class SlurmFailure(AssertionError):
    """Slurm itself did not do what the test needs: the reason is in the text."""


def port_free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Slurm:
    def __init__(self, folder):
        self.folder, self.processes = pathlib.Path(folder), []
        os.environ["PATH"] += os.pathsep + "/usr/sbin"
        missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
        if missing:
            raise SlurmFailure(f"Slurm is not installed: apt-get install {' '.join(missing)}")
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)  # munged wants its socket to be reachable
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        configuration = self.folder / "slurm.conf"
        configuration.write_text(CONFIGURATION.format(
            folder=self.folder, user=getpass.getuser(), controller=port_free(), daemon=port_free(), cores=CORES,
            memory=MEMORY_MIB, first=secrets.randbelow(90000) + 10000))
        # Else it works in /tmp, in folders named after jobs, where another cluster's may lie.
        (self.folder / "mpi.conf").write_text(f"PMIxCliTmpDirBase={self.folder}\n")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        self.environment |= {"SLURM_CONF": str(configuration), "ASAN_OPTIONS": "detect_leaks=0"} | YIELD
        atexit.register(self.stop)
        self.start()

    def start(self):
        places = [f"--{what}-file={self.folder}/munge.{what}" for what in ("key", "pid", "log", "seed")]
        self.spawn("munged", "--force", "--foreground", f"--socket={self.folder}/munge.socket", *places)
        self.until(lambda: (self.folder / "munge.socket").exists(), 20, "munged does not open its socket")
        self.spawn("slurmctld", "-D", "-c")
        self.spawn("slurmd", "-D", "-c", "-N", "seer")
        self.until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T", code=None), 60, "the node does not come up")

    def spawn(self, program, *words):
        # It ends with the test, however that ends.
        guarded = ["setpriv", "--pdeathsig", "TERM", program, *words]
        with open(self.folder / f"{program}.out", "wb") as out:
            self.processes.append(subprocess.Popen(guarded, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                   env=self.environment, start_new_session=True))

    def until(self, holds, seconds, failure):
        deadline = time.monotonic() + seconds
        while not holds():
            dead = [process.args[3] for process in self.processes if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
                                 for path in sorted(self.folder.glob("*.[lo][ou][gt]")))
                raise SlurmFailure(f"{failure} ({' '.join(dead) or 'all'} {'ended' if dead else 'running'})\n{logs}")
            time.sleep(0.2)

    def stop(self):
        if len(self.processes) == 3 and all(process.poll() is None for process in self.processes):
            self.ask("scancel", "--user", getpass.getuser(), code=None)
            deadline = time.monotonic() + 20
            while self.ask("squeue", "-h", code=None).strip() and time.monotonic() < deadline:
                time.sleep(0.2)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        for process, _, _ in self.ours():  # what no longer listens to Slurm
            os.kill(process, signal.SIGKILL)

    def ask(self, *words, code=0, **variables):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False,
                              env=self.environment | variables)
        if code is not None and done.returncode != code:
            raise SlurmFailure(f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def submit(self, *words, folder, code=0, **variables):
        """The new job's number; what sbatch says where it is to fail."""
        done = subprocess.run(["sbatch", "--parsable", f"--chdir={folder}", *map(str, words)], cwd=folder, text=True,
                              capture_output=True, timeout=60, check=False, env=self.environment | variables)
        if done.returncode != code:
            raise SlurmFailure(f"sbatch {words}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout.strip() if code == 0 else done.stderr

    def facts(self, job):
        """What Slurm knows of a job, or of a task of an array: JobState, ExitCode, Restarts, ..."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.ask("scontrol", "show", "job", "-o", job)))

    def wait(self, job, *states, seconds=240):
        """Until the job is in one of these states. Ends early when it has come to another end."""
        ends = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
        deadline = time.monotonic() + seconds
        while (state := self.facts(job)["JobState"]) not in states:
            if state in ends or time.monotonic() > deadline:
                raise SlurmFailure(f"job {job} is {state}, not {' or '.join(states)}, {self.facts(job)}")
            time.sleep(0.3)
        return self.facts(job)

    def ours(self):
        """Processes of this cluster: number, command line, environment."""
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                variables = dict(word.split("=", 1) for word in (path / "environ").read_bytes().decode(
                    errors="replace").split("\0") if "=" in word)
                command = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # gone, or another user's
            if variables.get("SLURM_CONF") == self.environment["SLURM_CONF"] and int(path.name) != os.getpid():
                yield int(path.name), command, variables

    def rank_processes(self, job):
        """Process numbers of the trainer's ranks in a job, by rank."""
        return {int(variables["SLURM_PROCID"]): process for process, command, variables in self.ours()
                if variables.get("SLURM_JOB_ID") == job and command[1:2] == ["train"]}
