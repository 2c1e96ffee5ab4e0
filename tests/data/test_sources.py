"""Sources as users name them: folders, patterns, braces, shards of every tar dialect, IDX files, and errors."""
import gzip
import io
import os
import shutil
import struct
import tarfile

from PIL import Image

from common import PICTURES, expect, finish, scratch, tool


def names(*patterns, labels="-"):
    return tool("list", labels, *patterns)


def error(*patterns, labels="-"):
    lines = tool("list", labels, *patterns, check=False)
    return lines[-1].get("error", "") if lines else ""


def relative(entries, root):
    return [(entry["name"][len(root) + 1:], entry.get("label_name")) for entry in entries]


def png(size=(4, 3)):
    out = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(out, "PNG")
    return out.getvalue()


def check_folders(root):
    photos = f"{PICTURES}/photos"
    got = relative(names(photos), photos)
    wanted = sorted([(f"{label}/{i}.jpg", label) for label in ("birds", "cats", "flowers/red") for i in range(8)]
                    + [("root.png", None)])
    expect(got == wanted, f"folder: {got}")
    expect(relative(names(photos + "//"), photos) == wanted, "folder with slashes behind it")
    expect(names(photos, photos) == names(photos), "the same folder twice")
    starred = relative(names(f"{photos}/[bf]*"), photos)
    expect(starred == wanted[:8] + wanted[16:24], f"pattern of folders: {starred}")
    picked = relative(names(photos + "/{cats,birds}/[1-3].jp?"), photos)
    three = [(f"{label}/{i}.jpg", label) for label in ("birds", "cats") for i in (1, 2, 3)]
    expect(picked == three, f"braces: {picked}")
    one = names(f"{photos}/cats/1.jpg")
    expect(len(one) == 1 and one[0]["label"] == -1, f"one file: {one}")
    os.makedirs(f"{root}/odd [x] {{1..2}}")
    shutil.copy(f"{photos}/root.png", f"{root}/odd [x] {{1..2}}/a.png")
    expect(len(names(f"{root}/odd [x] {{1..2}}")) == 1, "a folder whose name looks like a pattern")
    for a, b in ((1, 2), (2, 1)):
        os.makedirs(f"{root}/loops/{a}", exist_ok=True)
        os.symlink(f"../{b}", f"{root}/loops/{a}/to{b}")
    shutil.copy(f"{photos}/root.png", f"{root}/loops/2/a.png")
    expect(len(names(f"{root}/loops")) == 1, "folders that link to each other")


def check_braces(root):
    os.makedirs(f"{root}/shards")
    for i in range(8, 13):
        with tarfile.open(f"{root}/shards/s-{i:04}.tar", "w") as shard:
            info = tarfile.TarInfo(f"c{i % 2}/{i}.png")
            info.size = len(png())
            shard.addfile(info, io.BytesIO(png()))
    wanted = [(f"s-{i:04}.tar:c{i % 2}/{i}.png", f"c{i % 2}") for i in range(8, 13)]
    expect(relative(names(root + "/shards/s-{0008..0012}.tar"), f"{root}/shards") == wanted, "padded range")
    nested = relative(names(root + "/shards/s-00{0{8,9},1{0..2}}.tar"), f"{root}/shards")
    expect(nested == wanted, f"nested braces: {nested}")
    expect(relative(names(f"{root}/shards"), f"{root}/shards") == wanted, "a folder of shards")
    text = error(root + "/shards/s-{0008..0013}.tar")
    expect("s-0013.tar" in text and "No such file" in text, f"missing shard: {text}")
    expect("without a '}'" in error(root + "/shards/s-{0008.tar"), "open brace")
    expect("more than" in error(root + "/{0..99999999}"), "too many")


def check_dialects(root):
    long_name = "class_with_a_long_name/" + "/".join(["d" * 60] * 4) + "/picture.png"
    for label, form in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        path = f"{root}/{label}.tar"
        with tarfile.open(path, "w", format=form) as shard:
            members = ["b/2.png", "b/1.png", "a/x.txt", "top.png", "u/" + "d" * 90 + "/" + "f" * 60 + ".png"]
            members += [] if form == tarfile.USTAR_FORMAT else [long_name, "umläut/é.png"]
            for member in members:
                info = tarfile.TarInfo(member)
                info.size = len(png())
                if member.endswith(".txt"):
                    info.size = 5
                shard.addfile(info, io.BytesIO(b"text\n" if member.endswith(".txt") else png()))
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            shard.addfile(link)
        got = [entry["name"].split(":", 1)[1] for entry in names(path)]
        expect(got == sorted((m for m in members if m.endswith(".png")), key=str.encode), f"{label}: {got}")
        with scratch() as out:
            decoded = tool("decode", path, f"{out}/")
            expect(all(entry.get("width") == 4 for entry in decoded), f"{label}: {decoded}")
    with gzip.open(f"{root}/x.tar.gz", "wb") as file:
        file.write(open(f"{root}/gnu.tar", "rb").read())
    expect("compressed archive" in error(f"{root}/x.tar.gz"), "tar.gz")


def idx(dimensions, values):
    return struct.pack(">HBB", 0, 8, len(dimensions)) + struct.pack(f">{len(dimensions)}I", *dimensions) + values


def check_idx(root):
    pictures = idx((3, 5, 4), bytes(range(60)))
    files = {"images": pictures, "labels": idx((3,), bytes([2, 0, 2])), "short": pictures[:-1], "long": pictures + b"x",
             "huge": idx((2**32 - 1, 2**31, 2**31), b""), "floats": b"\0\0\x0d" + pictures[3:],
             "colour": idx((2, 3, 4, 3), bytes(range(72))), "labels4": idx((4,), bytes(4)), "header": pictures[:9]}
    for name, content in files.items():
        with open(f"{root}/{name}", "wb") as file:
            file.write(content)
        with gzip.open(f"{root}/{name}.gz", "wb") as file:
            file.write(content)
    for path in (f"{root}/images", f"{root}/images.gz"):
        got = names(path, labels=f"{root}/labels.gz")
        expect([(e["name"], e["label"], e["label_name"]) for e in got]
               == [(f"{path}#{i}", label, str(label)) for i, label in enumerate((2, 0, 2))], f"idx: {got}")
        with scratch() as out:
            decoded = tool("decode", path, f"{out}/")
            pixels = open(decoded[1]["file"], "rb").read()
            expect((decoded[1]["width"], decoded[1]["height"]) == (4, 5), f"idx size: {decoded[1]}")
            expect(pixels == bytes(v for v in range(20, 40) for _ in range(3)), "idx pixels")
    with scratch() as out:
        decoded = tool("decode", f"{root}/colour", f"{out}/")
        expect(open(decoded[1]["file"], "rb").read() == bytes(range(36, 72)), "idx colour pixels")
    for name, part in (("short", "cut off"), ("huge", "cut off"), ("header", "cut off"),
                       ("long", "longer than its header"), ("floats", "type 0x0d"), ("labels", "no pictures")):
        for suffix in ("", ".gz"):
            text = error(f"{root}/{name}{suffix}")
            expect(part in text and name in text, f"idx {name}{suffix}: {text}")
    text = error(f"{root}/images", labels=f"{root}/labels4")
    expect("4 labels" in text and "3 pictures" in text, f"labels that do not fit: {text}")


def check_errors(root):
    os.makedirs(f"{root}/empty/.hidden")
    os.makedirs(f"{root}/gifs")
    Image.new("L", (3, 3)).save(f"{root}/gifs/a.gif")
    for pattern, part in ((f"{root}/empty", "looked at 0 files"), (f"{root}/gifs", "kinds that seer does not read"),
                          (f"{root}/nowhere", "No such file"), (f"{root}/*.jpg", "nothing matches"), ("", "empty"),
                          (f"{root}/gifs/a.gif", "does not read"),
                          (f"{PICTURES}/photos/readme.txt", "no picture, tar")):
        text = error(pattern)
        expect(part in text and pattern in text, f"error for '{pattern}': {text}")


with scratch() as folder:
    for check in (check_folders, check_braces, check_dialects, check_idx, check_errors):
        os.makedirs(f"{folder}/{check.__name__}")
        check(f"{folder}/{check.__name__}")
finish("sources")
