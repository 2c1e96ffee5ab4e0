"""A corpus with every hostile picture in it, files that are none, and an archive of the same, through the loader.

The run goes on; each is listed once with its reason; what takes its place does not depend on threads; nothing is
written but the list.
"""
import hashlib
import io
import json
import os
import shutil
import tarfile

from common import PICTURES, expect, finish, scratch, tool

GOOD = 40


def reasons():
    with open(f"{PICTURES}/hostile.tsv") as table:
        return dict(line.rstrip("\n").split("\t") for line in table)


def tree_of(root):
    """Every file below, with its bytes and its time of change."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            regular = os.path.isfile(path) and not os.path.islink(path) and info.st_size < 1 << 24
            content = hashlib.sha256(open(path, "rb").read()).hexdigest() if regular else None
            found[path] = (info.st_mode, info.st_size, info.st_mtime_ns, content)
    return found


def load(pattern, out, threads, count):
    batches = tool("load", pattern, 1, threads, 8, 0, count, 1.0, out)
    return [(batch["hash"], batch["pictures"]) for batch in batches], batches[-1]["quarantined"]


def corpus_make(root):
    """The hostile ones among good ones, and beside them names of pictures that are no pictures at all."""
    wanted = reasons()
    shutil.copytree(f"{PICTURES}/hostile", root)
    os.remove(f"{root}/code_tables.webp")  # takes a second each time; test_hostile.c has it
    for i in range(GOOD):
        shutil.copy(f"{PICTURES}/photos/cats/{i % 8}.jpg", f"{root}/good{i}.jpg")
    with open(f"{root}/too_long.jpg", "wb") as file:
        file.write(b"\xFF\xD8\xFF")
        file.truncate(1 << 30)
    os.symlink("/dev/zero", f"{root}/device.jpg")
    os.symlink("../outside/canary", f"{root}/leads_outside.jpg")
    os.symlink("nowhere", f"{root}/leads_nowhere.jpg")
    os.mkfifo(f"{root}/queue.jpg")
    os.makedirs(f"{root}/folder.jpg")
    wanted.update({"too_long.jpg": "bytes are more than", "leads_outside.jpg": "does not start like",
                   "leads_nowhere.jpg": "cannot be read"})
    return wanted


def quarantine_check(path, wanted, listed, undecided):
    found = {}
    for line in open(path):
        entry = json.loads(line)
        name = os.path.basename(entry["picture"].split(":")[-1])
        expect(name not in found, f"{name} is listed twice")
        found[name] = entry["reason"]
    bad = {name for name, reason in wanted.items() if reason and name not in undecided}
    expect(set(found) - undecided == bad & listed, f"listed or not: {set(found) ^ (bad & listed)}")
    for name in bad & set(found):
        expect(wanted[name] in found[name], f"{name}: '{found[name]}', not '{wanted[name]}'")


def check_corpus(pattern, root, wanted):
    undecided = {name for name, reason in wanted.items() if reason == "*"}
    listed = {os.path.basename(entry["name"].split(":")[-1]) for entry in tool("list", "-", pattern)}
    expect(len(listed) >= GOOD + 70, f"only {len(listed)} pictures were found")
    before = tree_of(root)
    with scratch() as out:
        runs = [load(pattern, f"{out}/{threads}.jsonl", threads, len(listed)) for threads in (1, 3)]
        expect(runs[0] == runs[1], "what is delivered depends on threads")
        texts = [open(f"{out}/{threads}.jsonl").read() for threads in (1, 3)]
        expect(texts[0] == texts[1], "the list depends on threads")
        quarantine_check(f"{out}/1.jsonl", wanted, listed, undecided)
        expect(sorted(os.listdir(out)) == ["1.jsonl", "3.jsonl"], f"written: {os.listdir(out)}")
    expect(tree_of(root) == before, "files were changed")


def archive_make(path, folder):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
        for name in sorted(os.listdir(folder)):
            full = f"{folder}/{name}"
            if os.path.isfile(full) and not os.path.islink(full) and os.path.getsize(full) < 1 << 24:
                shard.add(full, f"a/{name}")
        for name, kind in (("link.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("null.jpg", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../outside/canary"
            shard.addfile(info)


def check_archives_that_lead_outside(root):
    """Refused by name, and nothing is written where they point."""
    before = tree_of(root)
    for i, name in enumerate(("../outside/canary", f"{root}/outside/canary.jpg", "a/../../outside/new.jpg")):
        path = f"{root}/evil{i}.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
            info = tarfile.TarInfo(name)
            info.size = 5
            shard.addfile(info, io.BytesIO(b"wrong"))
        error = tool("list", "-", path, check=False)[-1].get("error", "")
        expect(name.lstrip("/") in error and ("absolute" in error or "outside" in error), f"{name}: '{error}'")
        os.remove(path)
    after = tree_of(root)
    del before[root + "/outside"], after[root + "/outside"]
    expect({path: seen for path, seen in after.items()} == before, "files were changed")


with scratch() as top:
    os.makedirs(f"{top}/outside")
    with open(f"{top}/outside/canary", "w") as canary:
        canary.write("as it was\n")
    expected = corpus_make(f"{top}/corpus")
    check_corpus(f"{top}/corpus", top, expected)
    archive_make(f"{top}/all.tar", f"{top}/corpus")
    check_corpus(f"{top}/all.tar", top, expected)
    check_archives_that_lead_outside(top)
finish("hostile")
