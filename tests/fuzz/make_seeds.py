"""Writes what the fuzzers of data start from, small and of every kind, into FOLDER/{pictures,archives,...}.

Takes the folder. Without Pillow there is but one picture.
"""
import io
import json
import os
import struct
import sys
import tarfile
import zlib


def save(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)


def pictures():
    yield "png_nothing", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde"
    try:
        from PIL import Image
    except ImportError:
        return
    base = Image.new("RGB", (24, 17))
    base.putdata([((x * 37 + y * 11) % 256, (x * x + y) % 256, x * y * 3 % 256) for y in range(17) for x in range(24)])
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    for name, kind, picture, options in (
            ("jpeg", "JPEG", base, {"exif": exif}), ("jpeg_444", "JPEG", base, {"subsampling": 0, "quality": 95}),
            ("jpeg_progressive", "JPEG", base, {"progressive": True}), ("jpeg_grey", "JPEG", base.convert("L"), {}),
            ("jpeg_cmyk", "JPEG", base.convert("CMYK"), {}), ("jpeg_restart", "JPEG", base, {"optimize": True}),
            ("png", "PNG", base, {"exif": exif[6:]}), ("png_alpha", "PNG", base.convert("RGBA"), {}),
            ("png_palette", "PNG", base.quantize(16), {"transparency": 3}), ("png_grey", "PNG", base.convert("LA"), {}),
            ("png_bits", "PNG", base.convert("1"), {}), ("png_stored", "PNG", base, {"compress_level": 0}),
            ("webp", "WEBP", base, {"exif": exif[6:]}), ("webp_lossless", "WEBP", base, {"lossless": True}),
            ("webp_alpha", "WEBP", base.convert("RGBA"), {}), ("webp_frames", "WEBP", base, {"save_all": True})):
        if name == "webp_frames":
            options["append_images"] = [base.transpose(Image.FLIP_LEFT_RIGHT)]
        out = io.BytesIO()
        picture.save(out, kind, **options)
        yield name, out.getvalue()


def archives():
    for form, name in ((tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for member in ("a/1.jpg", "b/2.png", "c.txt", "none") + (("n" * 120 + ".jpg",) if name != "ustar" else ()):
                info = tarfile.TarInfo(member)
                info.size = 4
                if name == "pax":
                    info.pax_headers = {"comment": "x", "GNU.sparse.name": "y"} if member == "c.txt" else {}
                archive.addfile(info, io.BytesIO(b"\xFF\xD8\xFF\xE0"))
            link = tarfile.TarInfo("link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "../x"
            archive.addfile(link)
        data = out.getvalue().rstrip(b"\0")
        yield name, data + bytes(-len(data) % 512)
    values = struct.pack(">HBB3I", 0, 8, 3, 2, 3, 3) + bytes(range(18))
    yield "idx", values
    yield "idx_colour", struct.pack(">HBB4I", 0, 8, 4, 1, 2, 2, 3) + bytes(range(12))
    packer = zlib.compressobj(wbits=31)
    yield "idx_packed", packer.compress(values) + packer.flush()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def words(*texts):
    places = [sum(map(len, texts[:i])) for i in range(len(texts) + 1)]
    return struct.pack(f"<{len(places) + 1}Q", len(texts), *places) + b"".join(texts)


def index(rows, columns):
    """Version 1 of runtime/data/index.h; the fuzzer mends the checksums of header, sections and entries."""
    names, entries = b"", b""
    for i, (name, shard, label) in enumerate(rows):
        entries += struct.pack("<QQQIIIHHHHI", 512 * i, 7, len(names), 100, shard, label, 24, 17, len(name), i % 2, 0)
        names += name + crc32c(name)
    shards = struct.pack("<Q", 2) + struct.pack("<Q16s", 99999, b"") * 2 + words(b"a.tar", b"../b.tar")
    sections = [(1, 0, shards), (2, 0, entries), (3, 0, names), (4, 0, words(b"cat", b"dog"))]
    for i, (texts, values) in enumerate(columns):
        sections += [(5, i, words(*texts)), (6, i, values), (7, i, crc32c(values))]
    at, table, body = 64 + 32 * len(sections), b"", b""
    for kind, column, data in sections:
        size = len(data)
        data += b"\0" * (-size % 8)
        table += struct.pack("<IIQQII", kind, column, at + len(body), size, 0, 0)
        body += data
    return b"SEERIDX\n" + struct.pack("<IIQQ", 1, len(sections), len(rows), at + len(body)) + bytes(32) + table + body


def indices():
    rows = [(b"a/1.jpg", 0, 0), (b"b/2.jpg", 1, 1), (b"3.png", 0, 0xFFFFFFFF)]
    text = ((b"country", b"de", b"fr"), struct.pack("<3I", 1, 0, 2))
    number = ((b"age",), struct.pack("<3d", 1, 2.5, -3))
    yield "plain", index(rows, []) + b"x"
    yield "columns", index(rows, [text, number])
    yield "one", index(rows[:1], [text[:1] + (text[1][:4],)])


def manifests():
    yield "csv", (b"\0path,label,key,country,age\na.jpg,cat,k,FR,3\n\"b \"\"x\"\".jpg\",,,DE,4.5\r\n"
                  b"t.tar:m/1.jpg,\"two\nlines\",,,\n")
    yield "tsv", b"\1image\tlabel\t\tn\n/x/a.jpg\t1\tz\t-1e3\n../b.png\t\t\t007\n"
    yield "jsonl", b"\2" + b"\n".join(json.dumps(row).encode() for row in (
        {"path": "a.jpg", "label": 3, "country": "FR", "n": [1, {"a": None}]}, {"file": "b.jpg", "key": "k", "t": True})
    )


def tensors():
    for name, header, data in (
            ("one", {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}, bytes(24)),
            ("two", {"__metadata__": {"format": "pt"}, "b": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},
                     "c": {"dtype": "F16", "shape": [], "data_offsets": [8, 10]}}, bytes(range(10)))):
        text = json.dumps(header).encode()
        yield name, struct.pack("<Q", len(text)) + text + data


for kind, seeds in (("pictures", pictures), ("archives", archives), ("index", indices),
                    ("manifests", manifests), ("tensors", tensors)):
    for seed, content in seeds():
        save(f"{sys.argv[1]}/{kind}", seed, content)
