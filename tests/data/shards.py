"""What the tests of `seerc data` share: running it, pictures and archives made on the spot, trees compared."""
import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile

from PIL import Image

SEERC, SHIM = sys.argv[3:5]
SANITIZED = {"ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}  # the shim comes before the sanitizer's library


def seerc(*arguments, code=0, kill_at=0, largest=None):
    """Runs `seerc data`, with files of at most `largest` bytes; gives what it printed. A code of None: any."""
    environment = dict(os.environ)
    if kill_at:
        environment.update(SANITIZED, LD_PRELOAD=SHIM, SEER_TEST_KILL_AT=str(kill_at))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    run = subprocess.run([SEERC, "data", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=environment, preexec_fn=limit if largest else None)
    seerc.code = run.returncode
    text = run.stdout.decode(errors="replace") + run.stderr.decode(errors="replace")
    if (code is not None and run.returncode != code) or "Sanitizer" in text:
        raise SystemExit(f"seerc data {arguments} ended with {run.returncode}, not {code}:\n{text[-4000:]}")
    return text


def listed(*sources):
    return [json.loads(line) for line in seerc("list", "--json", *sources).splitlines()]


def picture(seed, size=(24, 16), form="JPEG"):
    out = io.BytesIO()
    Image.new("RGB", size, (seed * 37 % 256, seed * 91 % 256, seed * 11 % 256)).save(out, form)
    return out.getvalue()


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def archive(path, members, form=tarfile.PAX_FORMAT):
    """`members`: (name, bytes or text)."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tarfile.open(path, "w", format=form) as shard:
        for name, content in members:
            content = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))


def members(path):
    with tarfile.open(path) as shard:
        return [(info, shard.extractfile(info).read()) for info in shard.getmembers()]


def tree(folder):
    """Every file below a folder, hidden ones too, with the hash of what it holds."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                found[os.path.relpath(os.path.join(at, name), folder)] = hashlib.sha256(file.read()).hexdigest()
    return found
