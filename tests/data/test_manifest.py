"""Manifests: CSV, TSV and JSONL that name pictures, read as Python's csv and json read them, and every fault told."""
import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys

from common import expect, finish, scratch, tool
from shards import SEERC, archive, listed, members, picture, seerc, tree, write

WORDS = ["plain", "with, comma", 'with "quotes"', "two\nlines", "\u00fc\u4e2d", " blanks ", "007", "1e5", "tab\there",
         ""]


def pictures(root):
    for i in range(20):
        write(f"{root}/photos/{'ab'[i % 2]}/{i}.jpg", picture(i))
    write(f"{root}/elsewhere/x.png", picture(40, form="PNG"))
    write(f"{root}/photos/bare", picture(41))
    archive(f"{root}/s/0.tar", [(f"in/{i}.jpg", picture(50 + i)) for i in range(6)])
    archive(f"{root}/s/1.tar", [(f"./{i}.jpg", picture(60 + i)) for i in range(6)])


def rows(root):
    """(path, label, key, age, word, mixed), not in order of anything."""
    paths = [f"photos/{'ab'[i % 2]}/{i}.jpg" for i in range(20)]
    paths += [f"s/0.tar:in/{i}.jpg" for i in (4, 0, 3)] + [f"./s//1.tar:{i}.jpg" for i in (5, 2)]
    paths += [f"{root}/elsewhere/x.png", "../root/photos/bare"]
    made = [(path, ["cat", "dog", ""][i % 3], f"k/{i}" if i % 4 == 0 else "", str(i * 0.5) if i % 5 else "",
             WORDS[i % len(WORDS)], str(i) if i % 2 else f"t{i}") for i, path in enumerate(paths)]
    random.Random(1).shuffle(made)
    return made


HEADER = ["Path", "label", "key", "age", "word", "mixed"]


def table(made, header=HEADER, **form):
    out = io.StringIO()
    writer = csv.writer(out, **form)
    writer.writerow(header)
    writer.writerows(made)
    return out.getvalue()


def objects(made):
    """The same as JSONL: numbers as numbers, nothing where there is none, and an empty line."""
    lines = []
    for path, label, key, age, word, mixed in made:
        facts = {"img": path, "label": label, "key": key, "age": float(age) if age else None, "word": word,
                 "mixed": mixed}
        lines.append(json.dumps({name: value for name, value in facts.items() if value != ""}))
    return "\n\n".join(lines)


def wanted(made):
    def columns(age, word, mixed):
        return {**({"age": float(age)} if age else {}), **({"word": word} if word else {}), "mixed": mixed}

    return {path: (label or None, key or None, columns(*rest)) for path, label, key, *rest in made}


def check_packed(folder, made):
    """Every row's picture with its bytes, label, key and columns, in the shard's JSON and in the index."""
    facts, names = wanted(made), {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".tar"):
            continue
        content = members(f"{folder}/{name}")
        for (info, data), (_, text) in zip(content[::2], content[1::2]):
            about = json.loads(text)
            label, key, columns = facts[about["source"]]
            expect(about.get("label") == label and about["columns"] == columns, f"{about} is not {columns}, {label}")
            expect(key is None or about["key"] == key, f"key {about['key']} is not {key}")
            names[about["source"]] = about["key"]
            yield about["source"], data
    expect(set(names) == set(facts), f"missing: {set(facts) - set(names)}")
    entries = {entry["key"]: entry for entry in listed(folder)}
    for path, key in names.items():
        columns = entries[key]["columns"]
        expect(entries[key].get("label") == facts[path][0] and columns == facts[path][2], f"index: {entries[key]}")


def check_kinds(root):
    pictures(root)
    made = rows(root)
    texts = {"m.csv": table(made), "lf.csv": table(made, lineterminator="\n"), "bom.CSV": "\ufeff" + table(made),
             "all.csv": table(made, quoting=csv.QUOTE_ALL).rstrip("\r\n"), "m.tsv": table(made, delimiter="\t"),
             "m.jsonl": objects(made), "m.ndjson": objects(made) + "\r\n"}
    for name, text in texts.items():
        write(f"{root}/{name}", text)
        out = f"{root}/out-{name}"
        text = seerc("pack", f"{root}/{name}", "-o", out, "--shard-bytes", "20kB", "-j", 2)
        expect(f"{len(made)} pictures" in text and "left out" not in text, f"{name}: {text}")
        for path, data in check_packed(out, made):
            file, _, member = path.partition(".tar:")
            content = {i.name.removeprefix("./"): d for i, d in members(os.path.join(root, f"{file}.tar"))} \
                if member else open(os.path.join(root, path), "rb").read()
            expect(data == (content[member] if member else content), f"{path}: other bytes")
    packed = [{name: value for name, value in tree(f"{root}/out-{name}").items() if name != "pack.json"}
              for name in texts]
    expect(all(other == packed[0] for other in packed), "the same table in another form, other shards")
    for jobs in (1, 5):
        seerc("pack", f"{root}/m.csv", "-o", f"{root}/jobs{jobs}", "--shard-bytes", "20kB", "-j", jobs)
        expect(tree(f"{root}/jobs{jobs}") == tree(f"{root}/out-m.csv"), f"{jobs} jobs: other bytes")
    return made


def check_where_they_lie(root, made):
    """index, list, stats, verify and split of a manifest, and what a trainer sees."""
    before = tree(root)
    text = seerc("index", f"{root}/m.csv", "-o", f"{root}/m.index", "-j", 2)
    expect(f"{len(made)} pictures in 24 files" in text, f"index: {text}")
    expect(set(tree(root)) - set(before) == {"m.index"}, "only an index is new")
    entries, facts = listed(f"{root}/m.index"), wanted(made)
    by_place = {(os.path.realpath(e["shard"]), e["offset"]): e for e in entries}
    for path, (label, key, columns) in facts.items():
        file, _, member = path.partition(".tar:")
        place = os.path.realpath(os.path.join(root, file + (".tar" if member else "")))
        offset = next(i.offset_data for i, _ in members(place) if i.name.endswith(member)) if member else 0
        entry = by_place[place, offset]
        expect(entry.get("label") == label and entry["columns"] == columns, f"{path}: {entry}")
        expect(entry["key"] == key or not key, f"{path}: key {entry['key']}")
    seen = tool("list", "-", f"{root}/m.index")
    expect([e.get("label_name") for e in seen] == [e.get("label") for e in entries], "labels in a trainer")
    loaded = {p for batch in tool("load", f"{root}/m.index", 3, 2, 2, 0, 9, 0, "-") for p in batch["pictures"]}
    expect(len(loaded) == 27, f"a trainer reads {len(loaded)}")
    error = tool("list", "-", f"{root}/m.csv", check=False)[-1]["error"]
    expect("seerc data index TABLE.csv" in error, f"a trainer that is given a manifest: {error}")
    expect("0 faults" in seerc("verify", f"{root}/m.index"), "verify of the index")
    expect("27 pictures in 24 files, 0 faults" in seerc("verify", f"{root}/m.csv"), "verify of the manifest")
    bare = [(e["key"], e.get("label"), e["columns"]) for e in listed(f"{root}/m.tsv")]
    expect(bare == [(e["key"], e.get("label"), e["columns"]) for e in entries], "list of the manifest")
    stats = json.loads(seerc("stats", "--json", f"{root}/m.jsonl"))
    expect(stats["labels"] == {"cat": 9, "dog": 9} and stats["unlabelled"] == 9 and stats["columns"]["age"]["count"] ==
           sum(bool(row[3]) for row in made), f"stats: {stats}")
    expect("has no index" in seerc("split", f"{root}/m.csv", code=1), "split without an index")
    seerc("split", f"{root}/m.index", "-o", f"{root}/parts")
    keys = [{e["key"] for e in listed(f"{root}/parts/{name}.index")} for name in ("train", "test")]
    expect(keys[0] | keys[1] == {e["key"] for e in entries} and not keys[0] & keys[1], "split")
    os.chdir(root)
    expect([e["key"] for e in listed("m.csv")] == [e["key"] for e in entries], "a manifest without a folder")
    both = seerc("pack", "m.csv", "photos", "m.jsonl", "-o", f"{root}/both")
    expect(f"{2 * len(made) + 21} pictures" in both, f"manifests and a folder: {both}")
    os.makedirs("glob")
    shutil.copy("m.jsonl", "photos/m.jsonl")
    expect(len(listed("photos")) == 21, "a manifest in a folder is passed over")


def check_kills(root, made):
    given = tree(f"{root}/out-m.csv")
    kills = 0
    for at in range(2, 200, 9):
        seerc("pack", f"{root}/m.csv", "-o", f"{root}/k", "--shard-bytes", "20kB", "-j", 1, code=None, kill_at=at)
        kills += seerc.code == -signal.SIGKILL
        seerc("pack", f"{root}/m.csv", "-o", f"{root}/k", "--shard-bytes", "20kB", "-j", 2)
        expect(tree(f"{root}/k") == given, f"kill at {at}: other bytes")
        shutil.rmtree(f"{root}/k")
    expect(kills >= 3, f"only {kills} kills")
    seerc("pack", f"{root}/m.csv", "-o", f"{root}/half", "--shard-bytes", "20kB", "-j", 1, code=None, kill_at=20)
    expect(seerc.code == -signal.SIGKILL, "killed half way")
    changed = [row[:4] + ("other" if row == made[0] else row[4], row[5]) for row in made]
    write(f"{root}/m.csv", table(changed))
    text = seerc("pack", f"{root}/m.csv", "-o", f"{root}/half", "--shard-bytes", "20kB", code=1)
    expect("was begun with other input" in text, f"a manifest changed meanwhile: {text}")
    text = seerc("pack", f"{root}/m.csv", "-o", f"{root}/out-m.csv", "--shard-bytes", "20kB", code=1)
    expect("was packed from other input" in text, f"a word of the manifest changed: {text}")
    write(f"{root}/m.csv", table(made))
    os.utime(f"{root}/m.csv", (1, 1))
    expect("packed before" in seerc("pack", f"{root}/m.csv", "-o", f"{root}/out-m.csv", "--shard-bytes", "20kB"),
           "another time of the manifest alone")


def check_left_out(root):
    """Rows whose pictures are not there, or there again, are told with their lines; the others are packed."""
    pictures(root)
    write(f"{root}/notes.txt", "no picture")
    os.mkfifo(f"{root}/fifo.jpg")
    os.symlink("nowhere", f"{root}/link.jpg")
    paths = ["photos/a/0.jpg", "gone.jpg", "photos/./a/0.jpg", "s/0.tar:in/1.jpg", "s/0.tar:in/9.jpg", "s/9.tar:x.jpg",
             "notes.txt", "photos", "fifo.jpg", "link.jpg", "s/0.tar:in/1.jpg", "/dev/zero", "photos/a/0.jpg/x.jpg",
             "n" * 5000, "photos/b/1.jpg"]
    write(f"{root}/m.csv", "image,c\n" + "".join(f"{path},{i}\n" for i, path in enumerate(paths)))
    reasons = {3: "No such file", 4: "is the picture of line 2 again", 6: "is not in its archive", 7: "No such file",
               8: "no picture", 9: "is no regular file", 10: "is no regular file", 11: "No such file",
               12: "is the picture of line 5 again", 13: "is no regular file", 14: "Not a directory",
               15: "File name too long"}
    text = seerc("pack", f"{root}/m.csv", "-o", f"{root}/out")
    expect("3 pictures" in text and "12 left out" in text, f"left out: {text}")
    left = [json.loads(line) for line in open(f"{root}/out/left_out.jsonl")]
    for line, reason in reasons.items():
        told = [one for one in left if f"line {line} of 'm.csv': " in one["reason"]]
        expect(len(told) == 1 and reason in told[0]["reason"] and told[0]["picture"] == paths[line - 2],
               f"line {line}: {told}")
    text = seerc("index", f"{root}/m.csv", "-o", f"{root}/m.index")
    expect("3 pictures in 3 files" in text and "12 are left out" in text, f"index: {text}")
    expect("0 faults" in seerc("verify", f"{root}/m.index"), "verify")
    os.makedirs(f"{root}/never")
    write(f"{root}/none.csv", "path\ngone.jpg\n")
    expect("1 were left out" in seerc("index", f"{root}/none.csv", "-o", f"{root}/never/i", code=1), "nothing there")
    expect(os.listdir(f"{root}/never") == [], "an index of nothing")


def check_faults(root):
    """What cannot be read ends the run before anything is written, with file and line."""
    pictures(root)
    good = "path,label\nphotos/a/0.jpg,x\n"
    archive(f"{root}/evil.tar", [("../x.jpg", picture(1))])
    faults = {
        "few.csv": (good + "photos/b/1.jpg\n", "line 3 of", "has 1 fields, the first row 2"),
        "many.csv": (good + "photos/b/1.jpg,x,\n", "line 3 of", "has 3 fields, the first row 2"),
        "open.csv": (good + '"photos/b/1.jpg,x\n\n\n', "line 3 of", "a quote that is not closed"),
        "behind.csv": (good + '"photos/b/1.jpg"x,x\n', "line 3 of", "text behind a closing quote"),
        "cr.csv": ("path,label\rphotos/a/0.jpg,x\r", "line 1 of", "carriage return"),
        "latin.csv": (good.encode() + b"photos/b/1.jpg,\xe9\n", "line 3 of", "is no UTF-8"),
        "wide.csv": (b"\xff\xfe" + good.encode("utf-16-le"), "", "is UTF-16"),
        "nul.csv": (good + "photos/b/1.jpg,\0\n", "line 3 of", "NUL"),
        "huge.csv": (good + "photos/b/1.jpg," + "x" * (1 << 20) + "\n", "line 3 of", "more than 1,048,576 bytes"),
        "swallowed.csv": (good + '"' + "photos/b/1.jpg,x\n" * 100000, "line 3 of", "is a quote not closed?"),
        "fields.csv": ("path" + ",x" * 1024 + "\n", "line 1 of", "more than 1,024 fields"),
        "twice.csv": ("path,c,c\n", "line 1 of", "names a column twice"),
        "nameless.csv": ("picture,label\nphotos/a/0.jpg,x\n", "line 1 of", "names no column of paths"),
        "void.csv": (good + ",x\n", "line 3 of", "names no picture"),
        "empty.csv": ("", "", "no pictures in"),
        "header.tsv": ("path\tlabel\n", "", "no pictures in"),
        "broken.jsonl": ('{"path": "photos/a/0.jpg"}\n{"path": \n', "line 2 of", "is no JSON object"),
        "list.jsonl": ('["photos/a/0.jpg"]\n', "line 1 of", "is no JSON object"),
        "double.jsonl": ('{"path": "photos/a/0.jpg", "path": "x"}\n', "line 1 of", "duplicate"),
        "number.jsonl": ('\n{"path": 7}\n', "line 2 of", "names no picture"),
        "label.jsonl": ('{"path": "photos/a/0.jpg", "label": [1]}\n', "line 1 of", "has a label that"),
        "key.jsonl": ('{"path": "photos/a/0.jpg", "key": 1.5}\n', "line 1 of", "has a key that"),
        "zero.jsonl": ('{"path": "photos/a/0.jpg", "c": "\\u0000"}\n', "line 1 of", "is no JSON object"),
        "long.jsonl": ('{"path": "' + "x" * (1 << 20) + '"}\n', "line 1 of", "more than 1,048,576 bytes"),
        "evil.csv": ("path\nevil.tar:x.jpg\n", "evil.tar", "points outside"),
        "notar.csv": ("path\nphotos/a/0.jpg\nfake.tar:x.jpg\n", "fake.tar", "tar archive"),
    }
    write(f"{root}/fake.tar", "x" * 1024)
    for name, (text, place, what) in faults.items():
        write(f"{root}/{name}", text)
        before = tree(root)
        for arguments in (("pack", f"{root}/{name}", "-o", f"{root}/never"), ("list", f"{root}/{name}")):
            told = seerc(*arguments, code=1)
            expect(place in told and what in told and name.replace("notar.csv", "fake.tar") in told
                   or name == "evil.csv" and place in told and what in told, f"{name}: {told}")
        expect(tree(root) == before and not os.path.exists(f"{root}/never"), f"{name}: something was written")
    os.mkfifo(f"{root}/fifo.csv")
    expect("is no regular file" in seerc("list", f"{root}/fifo.csv", code=1), "a manifest that is a FIFO")
    expect("No such file" in seerc("list", f"{root}/gone.csv", code=1), "no manifest")


def check_columns(root):
    """Which columns hold numbers, which name is that of the path, and columns without a name."""
    write(f"{root}/1.jpg", picture(1))
    write(f"{root}/2.jpg", picture(2))
    head = ",image,File,zip,big,part,width,empty,x"
    write(f"{root}/m.csv", f"{head}\n0,1.jpg,f,1,1,1,1,1,1\n")
    expect([e["columns"]["File"] for e in listed(f"{root}/m.csv")] == ["f"], "image comes before file")
    write(f"{root}/n.csv", f"{head.replace('image', 'tag')}\n0,pic,1.jpg,01234,9007199254740993,-1.50e2,7,,\n"
          "1,pic,2.jpg,5,1,0.5,8,,3\n")
    got = [e["columns"] for e in listed(f"{root}/n.csv")]
    expect(got == [{"tag": "pic", "zip": "01234", "big": "9007199254740993", "part": -150, "width": 7},
                   {"tag": "pic", "zip": "5", "big": "1", "part": 0.5, "width": 8, "x": 3}], f"columns: {got}")
    write(f"{root}/j.jsonl", '{"PATH": "1.jpg", "file": "f", "n": 1, "l": [1]}\n'
          '{"image": "2.jpg", "label": 4, "b": true}')
    got = [(e.get("label"), e["columns"]) for e in listed(f"{root}/j.jsonl")]
    expect(got == [(None, {"file": "f", "n": 1}), ("4", {"b": "true"})], f"columns of objects: {got}")
    write(f"{root}/bare", picture(3, form="WEBP"))
    write(f"{root}/b.jsonl", '{"path": "bare", "key": "a.b"}')
    expect([e["name"] for e in listed(f"{root}/b.jsonl")] == ["a.b.webp"], "a key for a file without a suffix")
    write(f"{root}/k.csv", "path,key\n1.jpg,same\n2.jpg,same\n")
    seerc("pack", f"{root}/k.csv", "-o", f"{root}/out")
    expect([e["name"] for e in listed(f"{root}/out")] == ["same.jpg", "same~2.jpg"], "one key twice")
    write(f"{root}/h.csv", "path,key\n1.jpg,/../../etc/x\n2.jpg,a.b\\c\n")
    seerc("pack", f"{root}/h.csv", "-o", f"{root}/hostile")
    got = sorted(e["name"] for e in listed(f"{root}/hostile"))
    expect(got == ["_../_../etc/x.jpg", "a_b_c.jpg"], f"hostile keys: {got}")


PEAK = """import os, sys
child = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
print(status, used.ru_maxrss * 1024)"""


def peak_bytes(*arguments):
    """Measured by a small process: what its parent held before counts as a child's own."""
    told = subprocess.run([sys.executable, "-S", "-c", PEAK, SEERC, "data", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout.split()
    expect(told[-2] == b"0", f"{arguments} ended with {told[-2]}")
    return int(told[-1])


def check_two(root):
    """One archive, two manifests: a shard named once, and the pictures of each with what it tells of them."""
    archive(f"{root}/a.tar", [(f"x/{i}.jpg", picture(i)) for i in range(6)])
    write(f"{root}/1.csv", "path,country\n" + "".join(f"a.tar:x/{i}.jpg,FR\n" for i in (0, 2, 4)))
    write(f"{root}/2.csv", "path,year\n" + "".join(f"a.tar:x/{i}.jpg,{i}\n" for i in (1, 2, 3, 5)))
    seerc("index", f"{root}/1.csv", f"{root}/2.csv", "-o", f"{root}/both.index")
    wanted = [(f"x/{i}.jpg", {"country": "FR"}) for i in (0, 2, 4)]
    wanted += [(f"x/{i}.jpg", {"year": i}) for i in (1, 2, 3, 5)]
    got = [(entry["name"], entry["columns"]) for entry in listed(f"{root}/both.index")]
    expect(got == wanted, f"two manifests of one archive: {got}")
    expect("7 pictures in 1 files, 0 faults" in seerc("verify", f"{root}/both.index"), "its shard is named once")
    seerc("pack", f"{root}/1.csv", f"{root}/2.csv", "-o", f"{root}/packed")
    packed = sorted((entry["name"], tuple(entry["columns"].items())) for entry in listed(f"{root}/packed"))
    expect(len(packed) == 7 and len({name for name, _ in packed}) == 7, f"and packed: {packed}")


def check_memory(root):
    """What is held of a row does not depend on how much stands in it: 80 MB of captions add nothing."""
    write(f"{root}/1.jpg", picture(1))
    for name, caption in (("short", "x"), ("long", "x" * 4000)):
        rows_of_one = "".join(f"gone/{i}.jpg,{caption}\n" for i in range(20000))
        write(f"{root}/{name}.csv", "path,caption\n1.jpg,x\n" + rows_of_one)
    short, long = (peak_bytes("list", f"{root}/{name}.csv") for name in ("short", "long"))
    print(f"peak of 20,001 rows: {short / 1e6:.1f} MB with short captions, {long / 1e6:.1f} MB with 80 MB of them")
    expect(long - short < 8e6, f"memory grows with captions: {short} to {long} bytes")


with scratch() as folder:
    table_rows = check_kinds(f"{folder}/root")
    check_where_they_lie(f"{folder}/root", table_rows)
    check_kills(f"{folder}/root", table_rows)
    check_left_out(f"{folder}/left")
    check_faults(f"{folder}/faults")
    check_columns(f"{folder}/columns")
    check_two(f"{folder}/two")
    check_memory(f"{folder}/memory")
finish("manifest")
