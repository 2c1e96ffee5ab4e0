"""Writes pictures that were made to break a decoder: each cut, lying, swollen or another thing than its name says.

Takes the folder to fill. Beside it goes FOLDER.tsv with a line for each file: its name, a tab, and part of the reason
that must be given for it: nothing where the picture must decode, '*' where either will do.
"""
import io
import os
import random
import shutil
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from make_pictures import chunk, scene

RGB = Image.fromarray(scene(48, 40, 77))


def saved(kind, picture=RGB, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def segments(data):
    """(marker, place) of each segment of a JPEG up to the first scan."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        found.append((data[at + 1], at))
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return found + [(0xDA, at)]


def resized(data, width, height):
    at = next(place for marker, place in segments(data) if 0xC0 <= marker <= 0xC2)
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def jpegs():
    plain, progressive = saved("JPEG", quality=90), saved("JPEG", quality=85, progressive=True)
    tables = segments(plain)
    table = next(at for marker, at in tables if marker == 0xC4)
    table_bytes = plain[table:table + 2 + struct.unpack(">H", plain[table + 2:table + 4])[0]]
    exif = b"\xFF\xE1" + struct.pack(">H", 4000) + b"Exif\0\0" + bytes(3992)
    yield "truncated.jpg", plain[:len(plain) * 2 // 3], "JPEG: "
    yield "without_end.jpg", plain[:-2], "JPEG: Premature end"
    yield "flipped.jpg", plain[:table + 6] + b"\xFF" + plain[table + 7:], "JPEG: "
    yield "no_width.jpg", resized(plain, 0, 40), "JPEG: Empty JPEG image"
    yield "no_height.jpg", resized(plain, 48, 0), "JPEG: Empty JPEG image"
    yield "gigantic.jpg", resized(plain, 65500, 65500), "65500 x 65500 pixels are more than data.max_pixels"
    yield "longest.jpg", resized(plain, 65535, 1), "JPEG: Maximum supported image dimension"
    yield "larger_than_it_is.jpg", resized(plain, 480, 400), "JPEG: "
    # The average of each block of the first component, again and again, by a table whose one code says: as before.
    average = b"\xFF\xC4\0\x14\0\1" + bytes(16) + b"\xFF\xDA\0\x08\1\1\0\0\0\0" + bytes(4)
    yield "thousands_of_scans.jpg", progressive[:-2] + average * 3000 + progressive[-2:], "JPEG: more than 64 scans"
    yield "some_scans.jpg", progressive[:-2] + average * 50 + progressive[-2:], ""
    yield "thin_progressive.jpg", resized(progressive, 1, 65500), "JPEG: "
    yield "thousands_of_tables.jpg", plain[:table] + table_bytes * 5000 + plain[table:], ""
    yield "thousands_of_exifs.jpg", plain[:2] + exif * 250 + plain[2:], ""
    yield "thousands_of_comments.jpg", plain[:2] + b"\xFF\xFE\0\x03x" * 150000 + plain[2:], ""
    yield "padding.jpg", plain[:2] + b"\xFF" * 900000 + plain[2:], ""
    sof = next(at for marker, at in tables if marker == 0xC0)
    yield "twelve_bits.jpg", plain[:sof + 4] + b"\x0C" + plain[sof + 5:], "JPEG: Unsupported JPEG data precision"
    yield "lossless.jpg", plain[:sof + 1] + b"\xC3" + plain[sof + 2:], "JPEG: Unsupported JPEG process"
    yield "other_process.jpg", plain[:sof + 1] + b"\xC1\xFF" + plain[sof + 2:], "JPEG: "
    yield "no_tables.jpg", plain[:table] + plain[segments(plain)[-1][1]:], ""  # those of the standard
    dri = b"\xFF\xDD\0\x04\0\x01"
    scan_at = segments(plain)[-1][1]
    yield "restarts_that_do_not_come.jpg", plain[:scan_at] + dri + plain[scan_at:], "JPEG: "
    yield "only_markers.jpg", b"\xFF\xD8" + b"\xFF\xD0" * 400000, "JPEG: "
    yield "polyglot_zip.jpg", plain + b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + bytes(18), ""
    yield "polyglot_html.jpg", plain[:2] + b"\xFF\xFE\0\x1A<script>alert(1)</script>"[:28] + plain[2:], ""
    yield "polyglot_in_exif.jpg", plain[:2] + b"\xFF\xE1" + struct.pack(">H", 2 + len(saved("PNG"))) + saved("PNG") \
        + plain[2:], ""


def png(header=(48, 40, 8, 2, 0, 0, 0), middle=b"", data=None, end=chunk(b"IEND", b"")):
    width, height = header[:2]
    raw = np.asarray(RGB) if (width, height) == (48, 40) else np.zeros((1, 1, 3), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in raw)
    data = zlib.compress(rows) if data is None else data
    idat = chunk(b"IDAT", data) if data != b"" else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + middle + idat + end


def bomb(megabytes, start=b""):
    """A deflate stream of zeros, a thousandth of its contents long; made of the same flushed block again and again."""
    packer = zlib.compressobj(9)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * megabytes + packer.flush()


def pngs():
    plain = saved("PNG")
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(RGB))
    text = bomb(7)
    yield "truncated.png", plain[:len(plain) * 2 // 3], "PNG: "
    yield "without_end.png", plain[:-12], "PNG: "
    yield "flipped.png", plain[:20] + bytes([plain[20] ^ 1]) + plain[21:], "PNG: "
    yield "flipped_data.png", plain[:200] + bytes([plain[200] ^ 4]) + plain[201:], "PNG: "
    yield "no_width.png", png((0, 40, 8, 2, 0, 0, 0)), "PNG: "
    yield "gigantic.png", png((60000, 60000, 8, 2, 0, 0, 0)), "60000 x 60000 pixels are more than data.max_pixels"
    yield "more_than_gigantic.png", png((2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0)), "PNG: "
    yield "larger_than_it_is.png", png((480, 400, 8, 2, 0, 0, 0)), "PNG: "
    yield "wrong_depth.png", png((48, 40, 3, 2, 0, 0, 0)), "PNG: "
    yield "no_data.png", png(data=b""), "PNG: "
    yield "no_palette.png", png((48, 40, 8, 3, 0, 0, 0)), "PNG: "
    yield "data_bomb.png", png(data=bomb(800, rows)), "PNG: "
    yield "interlaced_bomb.png", png((48, 40, 8, 2, 0, 0, 1), data=bomb(800, rows)), "PNG: "
    blocks = b"\0\0\0\xFF\xFF" * 180000 + b"\1\0\0\xFF\xFF"
    yield "empty_blocks.png", png(data=zlib.compress(rows)[:2] + blocks), "PNG: "
    yield "text_bomb.png", png(middle=chunk(b"zTXt", b"a\0\0" + text) * 127), ""
    yield "international_bomb.png", png(middle=chunk(b"iTXt", b"a\0\1\0\0\0" + text) * 127), ""
    yield "profile_bomb.png", png(middle=chunk(b"iCCP", b"a\0\0" + bomb(800))), ""
    yield "thousands_of_chunks.png", png(middle=chunk(b"tEXt", b"a\0b") * 60000), ""
    yield "thousands_of_exifs.png", png(middle=chunk(b"eXIf", b"II*\0" + bytes(4000)) * 200), ""
    yield "thousands_of_palettes.png", png(middle=chunk(b"sPLT", b"a\0\x08" + bytes(6000)) * 150), ""
    yield "polyglot_jpeg.png", plain + saved("JPEG"), ""
    yield "animated.png", png(middle=chunk(b"acTL", struct.pack(">II", 100000, 0))), ""


class Bits:
    """Bits as VP8L packs them: the lowest first."""

    def __init__(self):
        self.parts, self.value, self.count = [], 0, 0

    def add(self, value, count):
        self.value |= value << self.count
        self.count += count
        if self.count > 4096:
            whole = self.count // 8
            self.parts.append((self.value & ((1 << 8 * whole) - 1)).to_bytes(whole, "little"))
            self.value >>= 8 * whole
            self.count -= 8 * whole

    def bytes(self):
        return b"".join(self.parts) + self.value.to_bytes((self.count + 7) // 8, "little")


def riff(*chunks):
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
                              for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lossless(width, height, write):
    bits = Bits()
    bits.add(0x2F, 8)
    bits.add(width - 1, 14)
    bits.add(height - 1, 14)
    bits.add(0, 4)
    write(bits)
    return riff((b"VP8L", bits.bytes()))


def code_tables(bits):
    """65,536 groups of prefix codes, the most there can be, each with tables for the largest colour cache."""
    bits.add(0, 1)           # no transform
    bits.add(1 | 11 << 1, 5)  # colour cache of 11 bits
    bits.add(1, 1)           # groups by tiles of
    bits.add(0, 3)           # 4 x 4 pixels; the picture of their numbers:
    bits.add(0, 1)           # no colour cache
    for symbols in (280, 256):  # of 8 bits each, the last 24 of green never
        bits.add(0, 1)
        bits.add(12 - 4, 4)
        for length in (0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1):
            bits.add(length, 3)
        bits.add(0, 1)
        for symbol in range(symbols):
            bits.add(int(symbol < 256), 1)
    for _ in range(3):
        bits.add(1, 4)       # blue, alpha, distance: one symbol, 0
    for group in range(1 << 16):
        for byte in (group & 255, group >> 8):
            bits.add(int(f"{byte:08b}"[::-1], 2), 8)
    for _ in range(1 << 16):
        bits.add(0x11111, 20)


def webps():
    lossy, exact = saved("WEBP", quality=80), saved("WEBP", lossless=True)
    frames = [Image.fromarray(scene(16, 16, i)) for i in range(300)]
    payload = lossy[20:]
    yield "truncated.webp", lossy[:len(lossy) * 2 // 3], "WebP: "
    yield "truncated_lossless.webp", exact[:len(exact) * 2 // 3], "WebP: "
    yield "flipped.webp", lossy[:24] + bytes([lossy[24] ^ 0x10]) + lossy[25:], "WebP: "
    yield "nothing_behind.webp", b"RIFF\x04\0\0\0WEBP", "WebP: "
    yield "lying_size.webp", lossy[:4] + b"\xFF\xFF\xFF\xFF" + lossy[8:], "WebP: "
    yield "lying_chunk.webp", lossy[:16] + b"\xF0\xFF\xFF\x7F" + lossy[20:], "WebP: "
    yield "gigantic.webp", lossless(16384, 16384, lambda bits: bits.add(0, 30)), "16384 x 16384 pixels are more than"
    yield "other_size.webp", riff((b"VP8X", b"\0\0\0\0" + b"\xFF\xFF\xFF\xFF\xFF\xFF"), (b"VP8 ", payload)), "WebP: "
    yield "nothing_in_it.webp", lossless(1000, 1000, lambda bits: None), "WebP: "
    yield "code_tables.webp", lossless(1024, 1024, code_tables), "*"
    yield "thousands_of_chunks.webp", riff((b"VP8X", bytes(4) + struct.pack("<I", 47)[:3] + struct.pack("<I", 39)[:3]),
                                           *[(b"JUNK", b"")] * 60000, (b"VP8 ", payload)), ""
    animation = saved("WEBP", frames[0], save_all=True, append_images=frames[1:])
    frame = animation.index(b"ANMF")
    yield "animation.webp", animation, ""
    yield "frame_beyond.webp", animation[:frame + 8] + b"\x08" + animation[frame + 9:], "WebP: a frame beyond its"
    yield "frame_cut_off.webp", animation[:frame + 40], "WebP: "
    yield "frame_of_nothing.webp", riff((b"VP8X", b"\2\0\0\0" + b"\x0F\0\0\x0F\0\0"),
                                        (b"ANIM", bytes(6)), (b"ANMF", bytes(16))), "WebP: "
    yield "polyglot_jpeg.webp", b"RIFF\0\0\1\0WEBP" + saved("JPEG"), "WebP: "


def others():
    yield "empty.jpg", b"", "is empty"
    yield "one_byte.jpg", b"\xFF", "does not start like"
    yield "start_of.jpg", b"\xFF\xD8\xFF", "JPEG: "
    yield "start_of.png", b"\x89PNG\r\n\x1a\n", "PNG: "
    yield "text.jpg", b"this is a text with a picture's name\n", "does not start like"
    yield "gif.png", saved("GIF"), "does not start like"
    yield "page.webp", b"<html><img src=x onerror=alert(1)></html>", "does not start like"
    yield "archive.jpg", b"PK\x03\x04" + saved("JPEG"), "does not start like"
    yield "really_a_png.jpg", saved("PNG"), ""
    yield "really_a_jpeg.webp", saved("JPEG"), ""
    yield "noise.jpg", b"\xFF\xD8\xFF" + random.Random(1).randbytes(5000), "JPEG: "
    yield "noise.png", b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(5000), "PNG: "


def main():
    folder = sys.argv[1]
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(folder + ".tsv", "w") as table:
        for name, data, reason in (*jpegs(), *pngs(), *webps(), *others()):
            with open(f"{folder}/{name}", "wb") as file:
                file.write(data)
            table.write(f"{name}\t{reason}\n")


main()
