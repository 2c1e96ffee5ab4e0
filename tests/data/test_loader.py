"""The loader's promises: same bytes for any threads, depth and start; epochs are permutations; replacement, quarantine
and the limit on undecodable pictures."""
import json
import os
import shutil

from common import PICTURES, expect, finish, scratch, tool


def load(pattern, batch=4, threads=2, depth=2, first=0, batches=6, limit=1.0, quarantine="-", check=True):
    return tool("load", pattern, batch, threads, depth, first, batches, limit, quarantine, check=check)


def hashes(batches):
    return [batch["hash"] for batch in batches]


def check_purity(pattern, count, batch):
    base = load(pattern, batch, batches=16)
    for threads, depth in ((1, 1), (4, 3), (3, 1), (1, 4)):
        expect(load(pattern, batch, threads, depth, batches=16) == base, f"{pattern}: {threads} threads, depth {depth}")
    per_epoch = count // batch
    for start in (1, per_epoch - 1, per_epoch, per_epoch + 1):
        resumed = load(pattern, batch, 2, 2, start * batch, 3)
        expect(hashes(resumed) == hashes(base[start:start + 3]), f"{pattern}: resumed at batch {start}")
    return base, per_epoch


def check_epochs():
    base, per_epoch = check_purity(f"{PICTURES}/photos", 25, 4)
    epochs = [[p for batch in base[e * per_epoch:(e + 1) * per_epoch] for p in batch["pictures"]] for e in (0, 1)]
    for epoch in epochs:
        expect(len(set(epoch)) == 24, f"an epoch repeats pictures: {sorted(epoch)}")
    expect(epochs[0] != epochs[1], "two epochs have one order")
    expect(len(set(hashes(base))) == len(base), "two batches are equal")


def check_replacement():
    """20 JPEGs of which 4 are damaged, and an empty PNG."""
    bad = {"03.jpg", "07.jpg", "11.jpg", "15.jpg", "18.png"}
    pattern = f"{PICTURES}/damaged"
    listed = [os.path.basename(entry["name"]) for entry in tool("list", "-", pattern)]
    with scratch() as out:
        base, _ = check_purity(pattern, 21, 4)
        batches = load(pattern, batches=10, quarantine=f"{out}/quarantine.jsonl")
        used = {listed[p] for batch in batches for p in batch["pictures"]}
        expect(not used & bad, f"damaged pictures were delivered: {used & bad}")
        lines = [json.loads(line) for line in open(f"{out}/quarantine.jsonl")]
        found = [os.path.basename(line["picture"]) for line in lines]
        expect(set(found) == bad and len(found) == 5, f"quarantine: {found}")
        expect(all(line["reason"] for line in lines), "a reason is missing")
        expect(batches[-1]["quarantined"] == 5, f"counted {batches[-1]['quarantined']}")
        text = open(f"{out}/quarantine.jsonl").read()
        load(pattern, batches=10, threads=4, depth=4, quarantine=f"{out}/other.jsonl")
        expect(open(f"{out}/other.jsonl").read() == text, "the list depends on the threads")
        load(pattern, batches=10, first=40, quarantine=f"{out}/quarantine.jsonl")
        expect(open(f"{out}/quarantine.jsonl").read() == text, "a resumed run lists pictures again")
        with open(f"{out}/torn.jsonl", "w") as file:
            file.write(text.splitlines()[0] + "\n" + text.splitlines()[1][:20])
        load(pattern, batches=10, quarantine=f"{out}/torn.jsonl")
        lines = open(f"{out}/torn.jsonl").read().splitlines()
        expect(len(lines) == 6 and all(json.loads(lines[i]) for i in (0, 2, 3, 4, 5)), f"a torn list: {lines}")
        last = load(pattern, batches=1, quarantine="/proc/no/where", check=False)[-1]
        expect("error" not in last or "/proc/no/where" in last["error"], f"an unwritable list: {last}")


def check_limit():
    pattern = f"{PICTURES}/damaged"
    expect(len(load(pattern, batches=10, limit=0.24)) == 10, "5 of 21 are within 24 percent")
    for limit, threads in ((0.2, 1), (0.2, 4), (0.0, 2), (0.05, 2)):
        last = load(pattern, batches=10, limit=limit, threads=threads, check=False)[-1].get("error", "")
        named = "damaged/" in last and f"= {limit:g}" in last
        expect("cannot be decoded" in last and named, f"limit {limit}: '{last}'")
    with scratch() as out:
        for i in range(12):
            with open(f"{out}/{i}.jpg", "w") as file:
                file.write("nothing")
        last = load(out, batches=1, limit=1.0, check=False)[-1].get("error", "")
        expect("none of 12 pictures" in last, f"nothing decodes: '{last}'")
        shutil.copy(f"{PICTURES}/photos/root.png", f"{out}/one.png")
        lone = load(out, batches=2, limit=1.0)
        expect({p for batch in lone for p in batch["pictures"]} == {12}, f"one picture among twelve bad: {lone}")
        last = load(f"{out}/one.png", batches=1, check=False)[-1].get("error", "")
        expect("fewer than one batch" in last, f"too few pictures: '{last}'")


check_epochs()
check_replacement()
check_limit()
finish("loader")
