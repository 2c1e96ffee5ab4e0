"""`seerc data index|list|stats|verify|split`: shards that others made, folders, and everything that is not whole."""
import fcntl
import json
import os
import shutil
import signal
import tarfile

from common import PICTURES, expect, finish, scratch, tool
from shards import archive, listed, members, picture, seerc, tree, write

COUNTRIES = ["fr", "de", "it", None]


def foreign(root, count=60):
    """Shards as WebDataset writers make them: mixed dialects, class files, metadata with odd values."""
    for part, form in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        inside = []
        for i in range(part * count // 3, (part + 1) * count // 3):
            facts = {"country": COUNTRIES[i % 4], "age": i % 9 if i % 5 else None, "url": f"https://x/{i}",
                     "size": [1, 2], "mixed": i if i % 2 else f"t{i}", "width": 1, "key": "no"}
            inside += [(f"{i:05}.jpg", picture(i % 50, (16 + i, 9))), (f"{i:05}.cls", f"{i % 3}\n"),
                       (f"{i:05}.json", json.dumps({k: v for k, v in facts.items() if v is not None}))]
        archive(f"{root}/s-{part}.tar", inside + [("notes.txt", "of no picture"), (".hidden.jpg", b"")], form)
    return root


def check_foreign(root):
    before = tree(foreign(root))
    text = seerc("index", root, "-j", 2)
    expect("60 pictures in 3 files" in text and "60 values that are lists" in text, f"index: {text}")
    after = tree(root)
    expect(set(after) - set(before) == {"pictures.index"} and before.items() <= after.items(), "only an index is new")
    entries = listed(root)
    for i, entry in enumerate(entries):
        wanted = {"url": f"https://x/{i}", "mixed": str(i) if i % 2 else f"t{i}"}
        if COUNTRIES[i % 4]:
            wanted["country"] = COUNTRIES[i % 4]
        if i % 5:
            wanted["age"] = i % 9
        expect(entry["key"] == f"{i:05}" and entry["label"] == str(i % 3) and entry["columns"] == wanted
               and entry["width"] == 16 + i and entry["height"] == 9, f"entry {i}: {entry}")
        with open(entry["shard"], "rb") as shard:
            shard.seek(entry["offset"])
            expect(shard.read(entry["bytes"]) == picture(i % 50, (16 + i, 9)), f"entry {i} lies elsewhere")
    stats = json.loads(seerc("stats", "--json", root))
    expect(stats["pictures"] == 60 and stats["exact_duplicates"] == 0 and stats["formats"] == {"jpg": 60}
           and stats["labels"] == {"0": 20, "1": 20, "2": 20} and stats["width"]["median"] == 45
           and stats["columns"]["country"] == {"without": 15, "values": {"de": 15, "fr": 15, "it": 15}}
           and stats["columns"]["age"]["count"] == 48, f"stats: {stats}")
    expect("60 pictures in 3 files" in seerc("stats", root), "stats as text")
    names = [(e["name"], e["label_name"]) for e in tool("list", "-", root)]
    expect(names == [(f"{root}/s-{i // 20}.tar:{i:05}.jpg", str(i % 3)) for i in range(60)], f"trainer: {names[:2]}")
    expect("0 faults" in seerc("verify", root), "verify")
    bare = [(e["name"], e["bytes"], e.get("label")) for e in listed(f"{root}/s-0.tar")]
    expect(bare == [(e["name"], e["bytes"], e["label"]) for e in entries[:20]], f"a bare archive: {bare[:2]}")
    seerc("index", f"{root}/s-1.tar", f"{root}/s-2.tar", "-o", f"{root}/two.index")
    expect([e["key"] for e in listed(f"{root}/two.index")] == [f"{i:05}" for i in range(20, 60)], "an index by name")
    expect("-o INDEX" in seerc("index", f"{root}/s-1.tar", code=2), "an index of archives needs a name")
    both = tool("list", "-", f"{root}/two.index", f"{PICTURES}/photos", root)
    expect(len(both) == 40 + 25 + 60 and both[-1]["label_name"] == "2" and both[24]["name"].endswith("root.png"),
           "indices and folders together")
    write(f"{root}.labels", bytes((0, 0, 8, 1, 0, 0, 0, 60)) + bytes(60))
    error = tool("list", f"{root}.labels", root, check=False)[-1]["error"]
    expect("which has its own" in error and "data.labels" in error, f"labels beside an index: {error}")
    return root


def check_folder(root):
    """A folder of loose pictures is read as it lies, too; links are followed as trainers follow them."""
    entries = listed(f"{PICTURES}/photos")
    seen = tool("list", "-", f"{PICTURES}/photos")
    expect([(os.path.realpath(e["shard"]), e.get("label")) for e in entries]
           == [(os.path.realpath(e["name"]), e.get("label_name")) for e in seen], "a folder is listed")
    faults = seerc("verify", f"{PICTURES}/damaged", code=1)
    for name in ("03.jpg", "07.jpg", "11.jpg", "15.jpg", "18.png"):
        expect(f"damaged/{name}: " in faults, f"'{name}' is not named: {faults}")
    expect("5 faults" in faults, f"faults: {faults}")
    write(f"{root}/a/1.jpg", picture(1))
    write(f"{root}/a/2.jpg", picture(1))
    write(f"{root}/3.jpg", picture(2))
    seerc("index", root)
    expect(json.loads(seerc("stats", "--json", root))["exact_duplicates"] == 1, "duplicates")
    expect([(e["name"], e.get("label_name")) for e in tool("list", "-", root)]
           == [(f"{root}/3.jpg", None), (f"{root}/a/1.jpg", "a"), (f"{root}/a/2.jpg", "a")], "an index of a folder")


def copy_of(root, name, source):
    shutil.copytree(source, f"{root}/{name}")
    return f"{root}/{name}"


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def check_faults(root, source):
    """One fault each; verify names it and ends with 1, and a trainer refuses or quarantines it."""
    entry = listed(source)[25]
    at = copy_of(root, "bits", source)
    flip(f"{at}/s-1.tar", entry["offset"] + entry["bytes"] // 2)
    faults = seerc("verify", at, code=1)
    expect("s-1.tar: its bytes are not those" in faults and f"s-1.tar:{entry['name']}: its bytes are not" in faults
           and "2 faults" in faults, f"a flipped bit: {faults}")
    quarantine = f"{root}/quarantine.jsonl"
    batches = tool("load", at, 4, 2, 2, 0, 15, 0.5, quarantine)
    lines = [json.loads(line) for line in open(quarantine)]
    expect([line["picture"] for line in lines] == [f"{at}/s-1.tar:{entry['name']}"]
           and "not those that were indexed" in lines[0]["reason"], f"quarantine: {lines}")
    expect(25 not in {p for batch in batches for p in batch["pictures"]}, "changed bytes were delivered")

    at = copy_of(root, "header", source)
    first = next(info for info, _ in members(f"{at}/s-2.tar") if info.name == "00050.json")
    flip(f"{at}/s-2.tar", first.offset + 3)
    faults = seerc("verify", at, code=1)
    expect("header with a wrong checksum" in faults and "no member of its shard lies" in faults, f"a header: {faults}")

    at = copy_of(root, "cut", source)
    os.truncate(f"{at}/s-0.tar", os.path.getsize(f"{at}/s-0.tar") // 2)
    faults = seerc("verify", at, code=1)
    expect("s-0.tar: has " in faults and "cannot be read" in faults, f"a shard that is cut off: {faults}")
    error = tool("list", "-", at, check=False)[-1]["error"]
    expect("does not fit its shards" in error and "seerc data index" in error, f"a trainer: {error}")
    os.remove(f"{at}/s-0.tar")
    expect("cannot be read: No such file" in seerc("verify", at, code=1), "a shard that is gone")
    expect("No such file" in tool("list", "-", at, check=False)[-1]["error"], "a trainer without a shard")

    at = copy_of(root, "more", source)
    shutil.copy(f"{at}/s-0.tar", f"{at}/s-9.tar")
    error = tool("list", "-", at, check=False)[-1]["error"]
    expect("names 3 of the 4 tar archives" in error, f"a shard more: {error}")

    at = copy_of(root, "index", source)
    size = os.path.getsize(f"{at}/pictures.index")
    entries = 64 + 32 * int.from_bytes(open(f"{at}/pictures.index", "rb").read(16)[12:], "little") + 160
    flip(f"{at}/pictures.index", (entries + 7) // 8 * 8 + 48 * 30)
    faults = seerc("verify", at, code=1)
    expect("is damaged" in faults and "does not have its checksum" in faults, f"an entry: {faults}")
    expect("is damaged" in seerc("list", at, code=1), "list of a damaged index")
    batches = tool("load", at, 4, 2, 2, 0, 15, 0.5, f"{root}/entry.jsonl")
    lines = [json.loads(line) for line in open(f"{root}/entry.jsonl")]
    expect(len(lines) == 1 and "entry in the index is damaged" in lines[0]["reason"]
           and "pictures.index#" in lines[0]["picture"], f"a trainer with a damaged entry: {lines}")
    flip(f"{at}/pictures.index", 20)
    for command in ("list", "stats", "verify", "split"):
        expect("checksum of its header" in seerc(command, at, code=1), f"{command}: a damaged header")
    os.truncate(f"{at}/pictures.index", size - 100)
    expect("its header says" in tool("list", "-", at, check=False)[-1]["error"], "an index that is cut off")


def check_split(root, source):
    seerc("split", source, "-o", f"{root}/parts", "--parts", "train=0.7,val=0.2,test=0.1", "--seed", 4)
    parts = {name: {e["key"] for e in listed(f"{root}/parts/{name}.index")} for name in ("train", "val", "test")}
    expect(sum(map(len, parts.values())) == 60 and set().union(*parts.values()) == {e["key"] for e in listed(source)},
           f"parts: {({k: len(v) for k, v in parts.items()})}")
    expect(30 <= len(parts["train"]) <= 52 and len(parts["val"]) >= 3, f"{({k: len(v) for k, v in parts.items()})}")
    facts = {e["key"]: (e.get("label"), e["columns"], e["bytes"]) for e in listed(source)}
    for name in parts:
        seen = {e["key"]: (e.get("label"), e["columns"], e["bytes"]) for e in listed(f"{root}/parts/{name}.index")}
        expect(all(facts[key] == seen[key] for key in seen), f"{name}: other facts")
        expect("0 faults" in seerc("verify", f"{root}/parts/{name}.index"), f"{name}: faults")
        expect(len(tool("list", "-", f"{root}/parts/{name}.index")) == len(seen), f"{name}: a trainer sees others")
    again = tree(f"{root}/parts")
    seerc("split", source, "-o", f"{root}/parts", "--parts", "train=0.7,val=0.2,test=0.1", "--seed", 4)
    expect(tree(f"{root}/parts") == again, "the same split differs")
    foreign(f"{root}/larger", 90)
    seerc("index", f"{root}/larger")
    seerc("split", f"{root}/larger", "--parts", "train=0.7,val=0.2,test=0.1", "--seed", 4)
    for name in parts:
        keys = {e["key"] for e in listed(f"{root}/larger/{name}.index")}
        expect({key for key in keys if int(key) < 60} == parts[name], f"{name}: pictures moved when others came")
    seerc("split", source, "-o", f"{root}/other", "--parts", "train=0.7,val=0.2,test=0.1", "--seed", 5)
    expect({e["key"] for e in listed(f"{root}/other/train.index")} != parts["train"], "another seed, the same split")
    archive(f"{root}/single/s.tar", [("1.jpg", picture(1))])
    seerc("index", f"{root}/single")
    text = seerc("split", f"{root}/single", "--parts", "a=0.5,b=0.5")
    expect("1 pictures" in text and "0 pictures" in text, f"a part without pictures: {text}")
    both = [tool("list", "-", f"{root}/single/{name}.index", check=False) for name in "ab"]
    empty = ["no pictures in" in lines[0].get("error", "") for lines in both]
    expect(sorted(empty) == [False, True], f"trainers: {both}")
    os.makedirs(f"{root}/bare")
    shutil.copy(f"{source}/s-0.tar", f"{root}/bare")
    expect("has no index" in seerc("split", f"{root}/bare", code=1), "a split without an index")
    for shares in ("train=0.5", "a=0.5,a=0.5", "a=0.5,b", "=1", "a=2,b=-1", "a/b=0.5,c=0.5", ""):
        expect("add up to 1" in seerc("split", source, "--parts", shares, code=2), f"shares '{shares}'")


def check_killed_index(root, source):
    """What a killed run left behind the next one removes; what another is at work on stays."""
    shutil.copytree(source, root)
    seerc("index", root)
    wanted, kills = tree(root), 0
    os.makedirs(f"{root}/.pictures.index.abcdef")  # no run's: it has no lock
    for at in (1, 3, 6, 10, 15, 21, 28):
        seerc("index", root, "-j", 1, code=None, kill_at=at)
        kills += seerc.code == -signal.SIGKILL
        if at == 10:
            expect(any(".pictures.index." in name for name in tree(root)), "parts are left behind")
        seerc("index", root)
        expect(tree(root) == wanted, f"kill at {at}: {sorted(set(tree(root)) - set(wanted))}")
    expect(kills >= 4 and os.path.isdir(f"{root}/.pictures.index.abcdef"), f"{kills} kills")
    os.makedirs(f"{root}/.pictures.index.ghijkl")
    with open(f"{root}/.pictures.index.ghijkl/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seerc("index", root)
        expect(os.path.exists(lock.name), "another run's parts")
    seerc("index", root)
    expect(tree(root) == wanted, "once it has ended")


def check_command_line(root, source):
    for arguments, part in ((("packk", "x"), "did you mean 'pack'"), (("list",), "needs a folder"),
                            (("list", "--seed=1", source), "no option '--seed'"),
                            (("stats", "-j", "0", source), "from 1 to 1024"),
                            (("verify", "-o", "x", source), "'--out'"),
                            (("split", source, "--seed", "x"), "whole number"), ((), "subcommands:")):
        expect(part in seerc(*arguments, code=2), f"{arguments}")
    expect("subcommands:" in seerc("--help"), "help")
    write(f"{root}/evil/x\x1b[31m/1.jpg", picture(1))
    expect("\x1b" not in seerc("list", f"{root}/evil"), "names reach the terminal as they are")


with scratch() as folder:
    made = check_foreign(f"{folder}/foreign")
    os.remove(f"{made}/two.index")
    check_folder(f"{folder}/loose")
    check_faults(folder, made)
    check_split(folder, made)
    check_killed_index(f"{folder}/killed", f"{folder}/foreign")
    check_command_line(folder, made)
finish("shards")
