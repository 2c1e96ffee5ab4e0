"""Hosts with addresses of their own on one machine: network namespaces with a name each, joined by a bridge. Programs
get onto them as mpirun brings them onto others, by an agent in the place of ssh. Needs the right to make namespaces.
"""
import atexit
import os
import pathlib
import subprocess
import time

from common import YIELD

AGENT = """#!/bin/bash
# Stands for ssh: [OPTION]... HOST COMMAND...
while [[ $1 == -* ]]; do shift; done
number=${1##*.}
shift
exec ip netns exec PREFIX-$number unshare --uts bash -c 'hostname "$0" && exec bash -c "$*"' host$number "$@"
"""


class Hosts:
    def __init__(self, count, folder):
        self.prefix, self.count = f"seer{os.getpid()}", count
        self.addresses = [f"10.77.0.{number}" for number in range(1, count + 1)]
        self.agent = pathlib.Path(folder) / "agent"
        self.agent.write_text(AGENT.replace("PREFIX", self.prefix))
        self.agent.chmod(0o755)
        atexit.register(self.remove)
        self.make()

    def make(self):
        switch = f"{self.prefix}-0"
        self.ip("netns", "add", switch)
        self.ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        self.ip("-n", switch, "link", "set", "bridge", "up")
        for number, address in enumerate(self.addresses, 1):
            host, port = f"{self.prefix}-{number}", f"port{number}"
            self.ip("netns", "add", host)
            self.ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host)
            self.ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            self.ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
            self.ip("-n", host, "link", "set", "eth0", "up")
            self.ip("-n", host, "link", "set", "lo", "up")

    def ip(self, *words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise AssertionError(f"no hosts of their own on this machine: ip {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def link(self, number, state):
        """Plugs the cable of a host in ("up") or out ("down")."""
        self.ip("-n", f"{self.prefix}-0", "link", "set", f"port{number}", state)
        deadline = time.monotonic() + 30
        while state == "up" and not self.reaches(1, number):
            if time.monotonic() > deadline:
                raise AssertionError(f"host {number} does not come back")
            time.sleep(0.2)

    def reaches(self, number, other):
        """Whether one host answers another: that nobody listens there is an answer."""
        script = f"exec 3<>/dev/tcp/{self.addresses[other - 1]}/9"
        words = ["ip", "netns", "exec", f"{self.prefix}-{number}", "timeout", "2", "bash", "-c", script]
        return "refused" in subprocess.run(words, capture_output=True, text=True, check=False).stderr

    def processes(self, *hosts):
        found = []
        for number in hosts:
            found += [int(word) for word in self.ip("netns", "pids", f"{self.prefix}-{number}").split()]
        return found

    def on_first(self, command):
        """The command as host 1 runs it."""
        return [str(self.agent), self.addresses[0], subprocess.list2cmdline([str(word) for word in command])]

    def launcher(self, mpi, trainer, ranks, cable):
        """`cable`: by nothing but the network. MPICH else finds memory that real hosts do not share: it is faster."""
        if mpi == "MPICH":
            variables = YIELD | ({"FI_PROVIDER": "tcp", "UCX_TLS": "tcp,self"} if cable else {})
            forward = [word for name, value in variables.items() for word in ("-genv", name, value)]
            return ["mpirun.mpich", *forward, "-launcher", "ssh", "-launcher-exec", self.agent, "-localhost",
                    self.addresses[0], "-f", f"{trainer}.hostfile-mpich", "-n", ranks]
        forward = [word for name, value in YIELD.items() for word in ("-x", f"{name}={value}")]
        return ["mpirun.openmpi", "--allow-run-as-root", "--mca", "plm_rsh_agent", self.agent, *forward, "--hostfile",
                f"{trainer}.hostfile-openmpi", "-n", ranks]

    def remove(self):
        for number in range(self.count + 1):
            subprocess.run(["ip", "netns", "delete", f"{self.prefix}-{number}"], capture_output=True, check=False)
