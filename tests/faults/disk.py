# Faults of the disk: every write-side call fails in turn (once, forever, short), a file size limit, a full file system,
# a closed folder. Each must end in a clear error with exit 3 (or succeed), leave a sound snapshot, and resume.
# usage: disk.py FOLDER_OF_TRAINERS SHIM
import errno
import os
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "trainer"))
from common import pictures_make, root_make, run, snapshot_bytes, snapshot_steps

TINY = os.path.join(os.path.abspath(sys.argv[1]), "tiny")
SHIM = os.path.abspath(sys.argv[2])
OPTIONS = ["--save-every", "2", "--no-report", "--quiet", "--threads", "1", "--decode-threads", "1"]


def preload():
    # A sanitized trainer wants its own runtime first.
    listed = subprocess.run(["ldd", TINY], stdout=subprocess.PIPE, text=True).stdout.split()
    return ":".join([path for path in listed if "libasan" in path and path.startswith("/")] + [SHIM])


def faults(root, data, start, whole, kind, code):
    """Fails call 1, 2, 3, ... of a resumed run until one run does not reach its fault."""
    struck = os.path.join(root, "struck")
    for call in range(1, 2000):
        out = os.path.join(root, "run")
        shutil.copytree(start, out)
        env = {"LD_PRELOAD": preload(), "SEER_FAULT_AT": str(call), "SEER_FAULT_ERRNO": str(code),
               "SEER_FAULT_REPORT": struck, **kind}
        done = run(TINY, "--resume", out, *OPTIONS, env=env, expect=None)
        reached = os.path.exists(struck)
        where = "call %d, %s: exit %d\n%s" % (call, kind, done.returncode, done.stderr)
        if not reached:
            assert done.returncode == 0 and call > 10, where
            shutil.rmtree(out)
            return call - 1
        os.remove(struck)
        assert done.returncode in ((0,) if "SEER_FAULT_SHORT" in kind else (0, 3)), where
        assert done.returncode == 0 or (": error: " in done.stderr and "'" in done.stderr), where
        assert "Sanitizer" not in done.stderr, where
        steps = snapshot_steps(out)
        assert steps and steps[-1] >= 4, where
        run(TINY, "check", out)
        run(TINY, "--resume", out, *OPTIONS)
        assert snapshot_bytes(out, 6) == snapshot_bytes(whole, 6), where
        shutil.rmtree(out)
    raise AssertionError("2000 calls in two steps")


def size_limit(root, start):
    out = os.path.join(root, "limited")
    shutil.copytree(start, out)
    done = run(TINY, "--resume", out, *OPTIONS, expect=3, preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                                             (16384, 16384)))
    assert "File too large" in done.stderr and "snapshots written before are intact" in done.stderr, done.stderr
    assert snapshot_steps(out)[-1] == 4
    run(TINY, "check", out)


def full_file_system(root, start, whole):
    mount = os.path.join(root, "small")
    os.makedirs(mount)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", mount],
                      stderr=subprocess.DEVNULL).returncode != 0:
        return "no right to mount"
    try:
        out = os.path.join(mount, "run")
        shutil.copytree(start, out)
        with open(os.path.join(mount, "ballast"), "wb", buffering=0) as ballast:
            while True:
                try:
                    ballast.write(b"x" * 4096)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    break
        done = run(TINY, "--resume", out, *OPTIONS, expect=3)
        assert "cannot" in done.stderr and "free" in done.stderr, done.stderr
        assert snapshot_steps(out)[-1] == 4
        run(TINY, "check", out)
        os.remove(os.path.join(mount, "ballast"))
        run(TINY, "--resume", out, *OPTIONS)
        assert snapshot_bytes(out, 6) == snapshot_bytes(whole, 6)
    finally:
        subprocess.run(["umount", mount], check=True)
    return "filled and continued"


def closed_folder(root, start):
    """Refused by permission for a user, by a read-only mount or an immutable place for root."""
    out = os.path.join(root, "closed")
    shutil.copytree(start, out)
    for folder, _, names in os.walk(out):
        for name in names:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o555)
    drop = (lambda: (os.setgid(65534), os.setuid(65534))) if os.getuid() == 0 else None
    os.chmod(root, 0o755)
    done = run(TINY, "--resume", out, *OPTIONS, expect=3, preexec=drop)
    assert "Permission denied" in done.stderr and "--out" in done.stderr, done.stderr
    for folder, _, _ in os.walk(out):
        os.chmod(folder, 0o755)
    run(TINY, "check", out)


def main():
    root = root_make("seer-disk-")
    data = pictures_make(os.path.join(root, "pictures"), per_label=6)
    start, whole = os.path.join(root, "start"), os.path.join(root, "whole")
    run(TINY, "--data", data, "--out", start, "--steps", 6, "--stop-after", 4, *OPTIONS, expect=75)
    run(TINY, "--data", data, "--out", whole, "--steps", 6, *OPTIONS)
    calls = faults(root, data, start, whole, {}, errno.ENOSPC)
    faults(root, data, start, whole, {"SEER_FAULT_FOREVER": "1"}, errno.EIO)
    faults(root, data, start, whole, {"SEER_FAULT_SHORT": "1"}, 0)
    size_limit(root, start)
    filled = full_file_system(root, start, whole)
    closed_folder(root, start)
    print("%d write-side calls failed in turn, three ways each; size limit; closed folder; full file system: %s" %
          (calls, filled))
    shutil.rmtree(root)


main()
