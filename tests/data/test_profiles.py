"""What `seerc data` tells of colour profiles: of JPEG, PNG and WebP, whole, in pieces, without a name, damaged and
hostile; and that trainers take pixels as they stand, as Pillow does."""
import io
import json
import os
import random
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

from common import expect, finish, raw, scratch, tool
from shards import listed, seerc, write

MUTANTS = 1500


def scene(seed=1):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8))


def profile(description, space=b"RGB ", filler=0, signature=b"acsp", first=b"wtpt"):
    """An ICC profile with a description: text of version 2, or (language, text) of version 4."""
    if isinstance(description, tuple):
        encoded = description[1].encode("utf-16-be")
        tag = b"mluc" + bytes(4) + struct.pack(">II", 2, 12)
        tag += description[0] + struct.pack(">II", len(encoded), 40) + b"xxXX" + struct.pack(">II", 4, 40) + encoded
    else:
        tag = b"desc" + bytes(4) + struct.pack(">I", len(description) + 1) + description + bytes(80)
    table = struct.pack(">I", 2) + first + struct.pack(">II", 160, 4) + b"desc" + struct.pack(">II", 164, len(tag))
    body = table.ljust(32, b"\0") + b"abcd" + tag + random.Random(1).randbytes(filler)
    header = struct.pack(">I", 128 + len(body)) + bytes(12) + space + b"XYZ " + bytes(12) + signature
    return header.ljust(128, b"\0") + body


def saved(form, icc=None, mode="RGB", **options):
    out = io.BytesIO()
    scene().convert(mode).save(out, form, **({"icc_profile": icc} if icc is not None else {}) | options)
    return out.getvalue()


def png_with(*chunks):
    """A PNG with these chunks behind its header."""
    content = saved("PNG")
    more = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                    for kind, data in chunks)
    return content[:33] + more + content[33:]


def cases():
    p3, adobe = profile(("enUS".encode(), "Display P3")), profile(b"Adobe RGB (1998)")
    large = profile(b"Large", filler=200000)
    yield "plain.jpg", saved("JPEG"), None
    yield "plain.png", saved("PNG"), None
    yield "plain.webp", saved("WEBP"), None
    for form, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
        yield f"p3.{suffix}", saved(form, p3), "Display P3"
        yield f"adobe.{suffix}", saved(form, adobe), "Adobe RGB (1998)"
        yield f"large.{suffix}", saved(form, large), "Large"  # in four segments of JPEG
        yield f"srgb.{suffix}", saved(form, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()), \
            "sRGB built-in"
        yield f"unnamed.{suffix}", saved(form, profile(b"")), "without a name"
        yield f"damaged.{suffix}", saved(form, profile(b"x", signature=b"acsq")), "damaged profile"
        yield f"short.{suffix}", saved(form, b"abc" * 9), "damaged profile"
    yield "letters.jpg", saved("JPEG", profile((b"frFR", "écran\tnº 1 \U0001F600"))), "écran nº 1 \U0001F600"
    yield "latin.jpg", saved("JPEG", profile("größer".encode("latin-1"))), "größer"
    yield "long.jpg", saved("JPEG", profile((b"enUS", "é" * 300))), "é" * 39
    yield "cmyk.jpg", saved("JPEG", mode="CMYK"), "CMYK"
    yield "fogra.jpg", saved("JPEG", profile(b"Coated FOGRA39", b"CMYK"), mode="CMYK"), "CMYK: Coated FOGRA39"
    yield "grey.jpg", saved("JPEG", profile(b"Dot Gain 20%", b"GRAY"), mode="L"), "GRAY: Dot Gain 20%"
    yield "told.png", png_with((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 99999))), "sRGB"
    yield "usual.png", png_with((b"gAMA", struct.pack(">I", 45455))), None
    yield "gamma.png", png_with((b"gAMA", struct.pack(">I", 55556))), "gamma 1.80"
    yield "bomb.png", png_with((b"iCCP", b"x\0\0" + zlib.compress(p3 + bytes(1 << 26)))), "Display P3"
    yield "torn.png", png_with((b"iCCP", b"x\0\0" + zlib.compress(p3)[:12])), "damaged profile"
    yield "noname.png", png_with((b"iCCP", b"x" * 90)), "damaged profile"
    # Two tags that point at each other's places, and beyond.
    cycle = bytearray(p3)
    cycle[140:144] = struct.pack(">I", 128)
    cycle[152:160] = struct.pack(">II", 0xFFFFFFF0, 0xFFFFFFFF)
    yield "beyond.jpg", saved("JPEG", bytes(cycle)), "without a name"
    many = bytearray(p3)
    many[128:132] = struct.pack(">I", 0xFFFFFFFF)
    yield "many.jpg", saved("JPEG", bytes(many)), "Display P3"


def check_cases(root):
    wanted = {}
    for name, content, told in cases():
        write(f"{root}/all/{name}", content)
        wanted[name] = told
    seerc("index", f"{root}/all", "-o", f"{root}/all.index")
    got = {os.path.basename(entry["shard"]): entry["columns"].get("colour_profile") for entry in
           listed(f"{root}/all.index")}
    for name, told in wanted.items():
        expect(got[name] == told, f"{name}: {got[name]!r}, not {told!r}")
    stats = json.loads(seerc("stats", "--json", f"{root}/all"))
    counts = stats["columns"]["colour_profile"]
    expect(counts["values"]["Display P3"] == 5 and counts["without"] == list(wanted.values()).count(None),
           f"stats: {counts}")
    wide = 'colour_profile in ["Display P3", "Adobe RGB (1998)"]'
    kept = seerc("list", "--json", "--keep", wide, f"{root}/all.index")
    expect(kept.count('"shard"') == 8, "the others can be left out")
    seerc("pack", f"{root}/all", "-o", f"{root}/packed")
    packed = [entry["columns"].get("colour_profile") or "" for entry in listed(f"{root}/packed")]
    expect(sorted(packed) == sorted(told or "" for told in wanted.values()), f"pack tells it, too: {packed}")
    # What the user says of the picture stands.
    write(f"{root}/own/1.jpg", saved("JPEG", profile(b"Adobe RGB (1998)")))
    write(f"{root}/own/1.json", '{"colour_profile": "mine"}')
    seerc("index", f"{root}/own", "-o", f"{root}/own.index")
    expect(listed(f"{root}/own.index")[0]["columns"] == {"colour_profile": "mine"}, "a column of the user's")


def check_pixels(root):
    """A profile changes no pixel."""
    with scratch() as out:
        for entry in tool("decode", f"{root}/all", f"{out}/"):
            name = os.path.basename(entry["name"])
            if "reason" in entry or not name.endswith(("p3.png", "adobe.png", "p3.jpg", "adobe.jpg", "gamma.png")):
                continue
            theirs = np.asarray(Image.open(entry["name"]).convert("RGB"))
            expect((raw(entry["file"], entry["height"], entry["width"]) == theirs).all(), f"{name}: as it stands")


def check_mutants(root):
    """No bytes make it crash, hang or take memory: all in one run, which the sanitized build watches."""
    generator = random.Random(3)
    seeds = [content for name, content, _ in cases() if not name.startswith(("large", "plain", "bomb"))]
    for i in range(MUTANTS):
        content = bytearray(seeds[i % len(seeds)])
        for _ in range(generator.choice([1, 2, 8, 40])):
            at = generator.randrange(min(len(content), 600))
            bit = 1 << generator.randrange(8)
            content[at] = generator.choice([0, 255, generator.randrange(256), content[at] ^ bit])
        if generator.random() < 0.2:
            del content[generator.randrange(len(content)):]
        write(f"{root}/mutants/{i:05}.jpg", bytes(content))  # the kind is told by the bytes
    text = seerc("index", f"{root}/mutants", "-o", f"{root}/mutants.index")
    expect(f"{MUTANTS} pictures" in text, f"mutants: {text[-300:]}")
    values = {entry["columns"].get("colour_profile") for entry in listed(f"{root}/mutants.index")}
    expect(len(values) > 20 and "damaged profile" in values, f"mutants tell different things: {len(values)}")


with scratch() as folder:
    check_cases(folder)
    check_pixels(folder)
    check_mutants(folder)
finish("colour profiles")
