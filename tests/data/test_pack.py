"""`seerc data pack`: what it writes, byte for byte the same whatever the jobs and however often it is killed."""
import fcntl
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import time

from common import PICTURES, expect, finish, scratch, tool
from shards import SEERC, archive, listed, members, picture, seerc, tree, write


def check_content(root):
    shutil.copytree(f"{PICTURES}/photos", f"{root}/in/photos", symlinks=True)
    shutil.copytree(f"{PICTURES}/damaged", f"{root}/in/damaged")
    cats = f"{root}/in/photos/cats"
    write(f"{cats}/1.json", json.dumps({"label": "tabby", "country": "fr", "age": 3, "tags": ["a"], "good": True}))
    write(f"{cats}/2.json", json.dumps({"country": "de", "age": 4.5, "width": 7}))
    write(f"{cats}/3.txt", "a caption, \u00e9\n")
    write(f"{cats}/4.cls", "17\n")
    write(f"{cats}/5.json", "{ broken")
    text = seerc("pack", f"{root}/in", "-o", f"{root}/out", "--shard-bytes", "150kB", "--jobs", 2)
    expect("41 pictures" in text and "6 left out" not in text and "5 left out" in text, f"summary: {text}")
    names = sorted(os.listdir(f"{root}/out"))
    shards = [name for name in names if name.endswith(".tar")]
    expect(shards == [f"{i:06}.tar" for i in range(len(shards))] and len(shards) > 3, f"shards: {names}")
    expect(set(names) - set(shards) == {"pictures.index", "pack.json", "left_out.jsonl"}, f"files: {names}")
    about = {}
    for shard in shards:
        content = members(f"{root}/out/{shard}")
        expect(os.path.getsize(f"{root}/out/{shard}") < 200000, f"{shard} is large")
        for (info, data), (side, text) in zip(content[::2], content[1::2]):
            stem = info.name.rsplit(".", 1)[0]
            expect(side.name == f"{stem}.json" and (info.mtime, info.uid, info.gid, info.mode) == (0, 0, 0, 0o644),
                   f"{shard}: {info.name}, {side.name}")
            facts = json.loads(text)
            about[stem] = facts
            with open(f"{root}/in/{facts['source']}", "rb") as file:
                expect(file.read() == data, f"{info.name}: other bytes")
    expect(list(about) == sorted(about) and len(about) == 41, f"order: {list(about)}")
    one = about["photos/cats/1"]
    expect(one["label"] == "tabby" and one["columns"] == {"age": 3, "country": "fr", "good": True, "tags": ["a"]}
           and (one["width"], one["height"]) == (500, 375) and one["key"] == "photos/cats/1", f"metadata: {one}")
    expect(about["photos/cats/3"]["columns"] == {"txt": "a caption, \u00e9"}, f"text: {about['photos/cats/3']}")
    expect(about["photos/cats/4"]["label"] == "17" and about["photos/cats/2"]["columns"]["age"] == 4.5, "class, number")
    left = [json.loads(line) for line in open(f"{root}/out/left_out.jsonl")]
    expect([line["picture"] for line in left] == [f"damaged/{n}" for n in ("03.jpg", "07.jpg", "11.jpg", "15.jpg",
                                                                          "18.png")] + ["photos/cats/5.jpg"]
           and all(line["reason"] for line in left), f"left out: {left}")
    return f"{root}/in", f"{root}/out"


def check_index(root, packed):
    """The index made while packing is the one made from the shards afterwards, and what trainers see."""
    entries = listed(packed)
    expect(len(entries) == 41 and {e["key"]: e.get("label") for e in entries}["photos/cats/1"] == "tabby", "list")
    columns = {e["key"]: e["columns"] for e in entries}
    expect(columns["photos/cats/1"] == {"age": 3, "country": "fr", "good": "true"}, f"columns: {columns}")
    expect("0 faults" in seerc("verify", packed), "verify")
    os.makedirs(f"{root}/again")
    for name in os.listdir(packed):
        if name.endswith(".tar"):
            shutil.copy(f"{packed}/{name}", f"{root}/again")
    seerc("index", f"{root}/again")
    same = tree(f"{root}/again")["pictures.index"] == tree(packed)["pictures.index"]
    expect(same, "an index made afterwards differs")
    seen = tool("list", "-", packed)
    wanted = [(f"{e['shard']}:{e['name']}", e.get("label")) for e in entries]
    expect([(e["name"], e.get("label_name")) for e in seen] == wanted, f"a trainer sees {seen[:3]}")
    batches = tool("load", packed, 4, 2, 2, 0, 10, 0, "-")
    expect(len({p for batch in batches for p in batch["pictures"]}) == 40, "the loader reads an index")
    expect([b["hash"] for b in tool("load", packed, 4, 1, 1, 8, 3, 0, "-")] == [b["hash"] for b in batches[2:5]],
           "a resumed loader differs")


def check_identity(root, source, packed):
    wanted = tree(packed)
    for jobs in (1, 3, 8):
        seerc("pack", source, "-o", f"{root}/jobs{jobs}", "--shard-bytes", 150000, "-j", jobs)
        expect(tree(f"{root}/jobs{jobs}") == wanted, f"{jobs} jobs: other bytes")
    text = seerc("pack", f"{source}/", "-o", f"{root}/jobs3/", "--shard-bytes", "150kB")
    expect("packed before" in text and tree(f"{root}/jobs3") == wanted, f"packed twice: {text}")
    for path in (f"{source}/photos/cats/1.jpg", f"{source}/photos"):
        os.utime(path, (1, 1))
    seerc("pack", source, "-o", f"{root}/touched", "--shard-bytes", "150kB")
    expect(tree(f"{root}/touched") == wanted, "other times, other bytes")


def check_kills(root, source, packed):
    """Killed at every few changes of a file, then run again until it is done."""
    wanted, kills, at = tree(packed), 0, 1
    while True:
        seerc("pack", source, "-o", f"{root}/k", "--shard-bytes", "150kB", "-j", 1, code=None, kill_at=at)
        if seerc.code == 0:
            break
        expect(seerc.code == -signal.SIGKILL, f"kill at {at}: {seerc.code}")
        kills += 1
        done = set(os.listdir(f"{root}/k")) if os.path.isdir(f"{root}/k") else set()
        for name in done - {".pack"}:
            got = tree(f"{root}/k").get(name)
            expect(name.endswith(".tmp") or got == wanted.get(name), f"kill at {at}: '{name}' is there but not whole")
        if at % 2:  # a second kill on the way
            seerc("pack", source, "-o", f"{root}/k", "--shard-bytes", "150kB", "-j", 1, code=None, kill_at=at // 2 + 3)
        seerc("pack", source, "-o", f"{root}/k", "--shard-bytes", "150kB", "-j", 2)
        expect(tree(f"{root}/k") == wanted, f"kill at {at}: other bytes")
        shutil.rmtree(f"{root}/k")
        at += 4
    expect(kills >= 20, f"only {kills} kills")
    generator, timed = random.Random(3), 0
    for _ in range(12):
        process = subprocess.Popen([SEERC, "data", "pack", source, "-o", f"{root}/t", "--shard-bytes", "150kB"],
                                   stdout=subprocess.DEVNULL)
        time.sleep(generator.uniform(0.001, 0.1))
        process.kill()
        timed += process.wait() != 0
        if generator.random() < 0.5:
            seerc("pack", source, "-o", f"{root}/t", "--shard-bytes", "150kB")
            expect(tree(f"{root}/t") == wanted, "a timed kill: other bytes")
            shutil.rmtree(f"{root}/t")
    print(f"{kills} kills at chosen changes, {timed} by time")


def check_refusals(root, source, packed):
    text = seerc("pack", source, "-o", packed, code=1)
    expect("was packed from other input, or with other --shard-bytes" in text and "note: " in text, f"size: {text}")
    text = seerc("pack", f"{PICTURES}/photos", "-o", packed, "--shard-bytes", "150kB", code=1)
    expect("other input" in text, f"other input: {text}")
    write(f"{root}/mine/letter.txt", "dear")
    expect("holds other files" in seerc("pack", source, "-o", f"{root}/mine", code=1), "a folder with files")
    expect(os.listdir(f"{root}/mine") == ["letter.txt"], "a refused folder is left as it was")
    seerc("pack", source, "-o", f"{root}/half", "--shard-bytes", "150kB", "-j", 1, code=None, kill_at=40)
    expect(seerc.code == -signal.SIGKILL, "killed half way")
    with open(f"{root}/half/.pack/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = seerc("pack", source, "-o", f"{root}/half", "--shard-bytes", "150kB", code=1)
        expect("another process is packing" in text, f"two at once: {text}")
    os.utime(f"{source}/photos/cats/6.jpg", (5, 5))
    text = seerc("pack", source, "-o", f"{root}/half", "--shard-bytes", "150kB", code=1)
    expect("was begun with other input" in text, f"a file changed meanwhile: {text}")
    for inside in (f"{source}/photos/out", source):
        expect("lies in" in seerc("pack", source, "-o", inside, code=1), f"packed into itself: {inside}")
    expect(not os.path.exists(f"{source}/photos/out"), "a refused folder stays")
    text = seerc("pack", source, "-o", f"{root}/full", "--shard-bytes", "150kB", code=3, largest=100000)
    expect("File too large" in text and "00.tar" in text and "note: free some space" in text, f"a full disk: {text}")
    seerc("pack", source, "-o", f"{root}/full", "--shard-bytes", "150kB")
    expect("-o DIR" in seerc("pack", source, code=2), "no folder")
    expect("a size such as" in seerc("pack", source, "-o", f"{root}/x", "--shard-bytes", "12parsecs", code=2), "a size")
    expect("IDX files need no shards" in seerc("pack", f"{PICTURES}/photos/readme.txt", "-o", f"{root}/x", code=1),
           "no picture")
    with gzip.open(f"{root}/idx.gz", "wb") as file:
        file.write(bytes((0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0)))
    expect("IDX files need no shards" in seerc("pack", f"{root}/idx.gz", "-o", f"{root}/x", code=1), "IDX")
    expect("No such file" in seerc("pack", f"{root}/nowhere", "-o", f"{root}/x", code=1), "no source")
    os.makedirs(f"{root}/none")
    expect("no pictures in" in seerc("pack", f"{root}/none", "-o", f"{root}/x", code=1), "no pictures")


def check_keys(root):
    jpeg = picture(1)
    names = ["a.b.c.jpg", "plain.JPG", "sp ace.jpeg", "ctl\x01\n.jpg", "back\\slash.png", "dup.jpg", "dup.png",
             "dup~2.jpg", "deep/" + "/".join(["d" * 60] * 5) + "/x.jpg", "l" * 240 + ".jpg", "umlaut-\u00fc.jpg",
             "no_suffix"]
    for name in names:
        write(f"{root}/in/{name}", picture(1, form="PNG") if name.endswith("png") else jpeg)
    with open(os.fsencode(f"{root}/in/") + b"bad-\xff\xfe.jpg", "wb") as file:
        file.write(jpeg)
    os.symlink("nowhere", f"{root}/in/link.jpg")
    seerc("pack", f"{root}/in", "-o", f"{root}/out")
    got = sorted(e["name"] for e in listed(f"{root}/out"))
    wanted = sorted(["a_b_c.jpg", "plain.jpg", "sp ace.jpeg", "ctl__.jpg", "back_slash.png", "dup.jpg", "dup~2.png",
                     "dup~2~2.jpg", names[8], names[9], "umlaut-\u00fc.jpg", "no_suffix.jpg", "bad-__.jpg"])
    expect(got == wanted, f"keys: {[name for name in got if name not in wanted]}")
    shown = [info.name for info, _ in members(f"{root}/out/000000.tar")]
    expect(sorted(shown)[::1] == sorted(wanted + [name.rsplit(".", 1)[0] + ".json" for name in wanted]), "members")
    expect("cannot be read" in open(f"{root}/out/left_out.jsonl").read(), "a broken link is left out")
    expect("11 exact duplicates" in seerc("pack", f"{root}/in", "-o", f"{root}/out"), "duplicates are counted")
    expect("0 faults" in seerc("verify", f"{root}/out"), "verify")


def check_archives(root):
    """Archives of others are packed with what lies beside their pictures; hostile ones are refused."""
    archive(f"{root}/in/b.tar", [("x/1.png", picture(3, form="PNG")), ("x/1.cls", "7"), ("x/1.txt", "text")])
    archive(f"{root}/in/a.tar", [("0.jpg", picture(4)), ("0.json", '{"country": "it", "label": 3}'),
                                 ("1.left.jpg", picture(5)), ("1.right.jpg", picture(6)), ("1.json", '{"n": 1}')],
            tarfile.GNU_FORMAT)
    write(f"{root}/in/loose/0.jpg", picture(7))
    seerc("pack", f"{root}/in", "-o", f"{root}/out")
    got = [(e["key"], e.get("label"), e["columns"]) for e in listed(f"{root}/out")]
    expect(got == [("loose/0", "loose", {}), ("0", "3", {"country": "it"}), ("1_left", None, {"n": 1}),
                   ("1_right", None, {"n": 1}), ("x/1", "7", {"txt": "text"})], f"archives: {got}")
    for name, part in (("../evil.jpg", "points outside"), ("/etc/evil.jpg", "absolute path")):
        archive(f"{root}/bad/x.tar", [(name, picture(8))])
        before = tree(root)
        text = seerc("pack", f"{root}/bad", "-o", f"{root}/never", code=1)
        expect(part in text and name in text and tree(root) == before, f"hostile name: {text}")
    archive(f"{root}/bad/x.tar", [("1.jpg", picture(8)), ("1.jpg", picture(9))])
    expect("occurs twice" in seerc("pack", f"{root}/bad", "-o", f"{root}/never", code=1), "a member twice")


with scratch() as folder:
    given, out = check_content(f"{folder}/content")
    check_index(folder, out)
    check_identity(folder, given, out)
    check_kills(folder, given, out)
    check_refusals(folder, given, out)
    check_keys(f"{folder}/keys")
    check_archives(f"{folder}/archives")
finish("pack")
