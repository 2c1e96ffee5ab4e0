"""`seerc data stats --near-duplicates`: what it finds of pictures that were scaled, compressed again, darkened or cut,
and what else it takes for the same; hashes in indices, shards and parts of them."""
import io
import json
import os

import numpy as np
from PIL import Image, ImageEnhance

from common import expect, finish, scratch
from shards import seerc, write

PICTURES = 60
LEAST = {"half": 0.97, "larger": 0.97, "wider": 0.95, "quality 30": 0.95, "darker": 0.95, "brighter": 0.5,
         "flatter": 0.95, "grey": 0.97, "png": 0.97, "webp": 0.95, "cut 5 %": 0.4, "cut 10 %": 0.02}


def scene(seed):
    """Blobs, edges and texture, as in a photograph, no two alike."""
    random = np.random.default_rng(seed)
    width, height = random.integers(160, 400, 2)
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    pixels = np.zeros((height, width, 3)) + random.uniform(40, 200, 3)
    pixels += random.uniform(-80, 80, 3) * x[..., None] + random.uniform(-80, 80, 3) * y[..., None]
    for _ in range(random.integers(6, 14)):
        (cx, cy), (sx, sy), angle = random.uniform(0, 1, 2), random.uniform(0.04, 0.3, 2), random.uniform(0, np.pi)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        inside = (u / sx) ** 2 + (v / sy) ** 2
        mask = (inside < 1) * 1.0 if random.random() < 0.5 else np.exp(-inside)
        pixels += mask[..., None] * random.uniform(-120, 120, 3)
    pixels += random.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def saved(image, form="JPEG", **options):
    out = io.BytesIO()
    image.save(out, form, **({"quality": 92} if form == "JPEG" else {}) | options)
    return out.getvalue()


def variants(image):
    width, height = image.size
    yield "half", saved(image.resize((width // 2, height // 2), Image.LANCZOS))
    yield "larger", saved(image.resize((width * 17 // 10, height * 17 // 10), Image.BICUBIC))
    yield "wider", saved(image.resize((width * 11 // 10, height), Image.BICUBIC))
    yield "quality 30", saved(image, quality=30)
    yield "darker", saved(ImageEnhance.Brightness(image).enhance(0.8))
    yield "brighter", saved(ImageEnhance.Brightness(image).enhance(1.25))
    yield "flatter", saved(ImageEnhance.Contrast(image).enhance(0.7))
    yield "grey", saved(image.convert("L"))
    yield "png", saved(image, "PNG")
    yield "webp", saved(image, "WEBP", quality=60)
    for name, share in (("cut 5 %", 0.025), ("cut 10 %", 0.05)):
        yield name, saved(image.crop((int(width * share), int(height * share), int(width * (1 - share)),
                                      int(height * (1 - share)))))


def alike(*arguments):
    told = seerc("stats", "--json", "--near-duplicates", *arguments)
    return json.loads(told.partition("seerc:")[0])["near_duplicates"]


def names(groups):
    return sorted(sorted(os.path.basename(name.split(":")[-1]) for name in group) for group in groups)


def check_recall(root):
    by_kind = {}
    for i in range(PICTURES):
        image = scene(i)
        write(f"{root}/base/{i:03}.jpg", saved(image))
        for kind, content in variants(image):
            by_kind.setdefault(kind, []).append(content)
    none = alike(f"{root}/base")
    expect(none == {"distance": 6, "compared": PICTURES, "pictures": 0, "groups": []}, f"different pictures: {none}")
    wide = alike("--distance", "15", f"{root}/base")
    expect(len(wide["groups"]) <= 1, f"different pictures, at 15 bits: {wide}")
    for kind, contents in by_kind.items():
        folder = f"{root}/{kind.split()[0]}{len(kind)}"
        suffix = kind if kind in ("png", "webp") else "jpg"
        for i, content in enumerate(contents):
            write(f"{folder}/{i:03}.{suffix}", content)
        groups = names(alike(f"{root}/base", folder)["groups"])
        right = [group for group in groups if len(group) == 2 and group[0][:3] == group[1][:3]]
        expect(len(groups) == len(right), f"{kind}: others were taken for the same: {groups}")
        share = len(right) / PICTURES
        far = len(names(alike("--distance", "10", f"{root}/base", folder)["groups"])) / PICTURES
        print(f"{kind}: {share:.2f} found at 6 bits, {far:.2f} at 10")
        expect(share >= LEAST[kind], f"{kind}: {share:.2f} found, fewer than {LEAST[kind]}")


def check_places(root):
    """Hashes are told by index, pack and split, and found again."""
    for i in range(12):
        image = scene(1000 + i % 9)
        write(f"{root}/some/{'ab'[i > 8]}{i % 9}.jpg", saved(image, quality=92 - 30 * (i > 8)))
    write(f"{root}/some/flat.png", saved(Image.new("RGB", (50, 40), (9, 120, 40)), "PNG"))
    write(f"{root}/some/broken.jpg", saved(scene(5))[:400])
    wanted = [[f"a{i}.jpg", f"b{i}.jpg"] for i in range(3)]
    got = alike(f"{root}/some")
    expect(names(got["groups"]) == wanted and got["compared"] == 12 and got["pictures"] == 6, f"a folder: {got}")
    seerc("index", "--perceptual-hash", f"{root}/some", "-o", f"{root}/some.index")
    expect(alike(f"{root}/some.index") == got, "an index")
    expect(alike("-j", "1", f"{root}/some.index") == got, "one thread")
    seerc("pack", "--perceptual-hash", f"{root}/some", "-o", f"{root}/packed")
    expect(names(alike(f"{root}/packed")["groups"]) == wanted, "shards")
    seerc("split", "--parts", "all=1", "--keep", "bytes > 500", "-o", root, f"{root}/some.index")
    expect(names(alike(f"{root}/all.index")["groups"]) == wanted, "a part")
    expect(alike("--keep", "bytes < 1", f"{root}/some.index")["compared"] == 0, "none of them")
    seerc("verify", f"{root}/packed")
    text = seerc("stats", "--near-duplicates", f"{root}/some.index")
    expect("near duplicates: 6 pictures in 3 groups" in text and "2 pictures were not compared" in text, text)
    return got


def check_errors(root):
    seerc("index", f"{root}/some", "-o", f"{root}/plain.index")
    text = seerc("stats", "--near-duplicates", f"{root}/plain.index", code=1)
    expect("has no perceptual hashes" in text and "--perceptual-hash" in text, f"without hashes: {text}")
    text = seerc("pack", f"{root}/some", "-o", f"{root}/packed", code=1)
    expect("was packed from" in text or "other" in text, f"another pack: {text}")
    with open(f"{root}/some.index", "r+b") as file:
        content = bytearray(file.read())
        content[-20] ^= 1  # the hashes are the last section
        file.seek(0)
        file.write(content)
    text = seerc("stats", "--near-duplicates", f"{root}/some.index", code=1)
    expect("the checksum of its perceptual hashes is wrong" in text, f"damaged: {text}")
    expect("perceptual" in seerc("verify", f"{root}/some.index", code=1), "verify finds it")
    seerc("stats", "--distance", "3", f"{root}/some", code=2)
    seerc("stats", "--near-duplicates", "--distance", "16", f"{root}/some", code=2)
    seerc("stats", "--near-duplicates", "--by", "label", f"{root}/some", code=2)


with scratch() as folder:
    check_recall(folder)
    check_places(folder)
    check_errors(folder)
finish("pictures that look alike")
