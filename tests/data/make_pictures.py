"""Writes the pictures that the tests of the data room read: every format, depth and orientation, and damaged ones.

Takes the folder to fill; what it writes depends on nothing but Pillow's version.
"""
import os
import shutil
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageFilter


def scene(width, height, seed, channels=3):
    """A smooth picture with edges: photographs' statistics, near enough."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for _ in range(channels):
        plane = 128 + np.zeros((height, width))
        for _ in range(6):
            fx, fy = rng.uniform(-0.08, 0.08, 2)
            plane += rng.uniform(5, 40) * np.sin(fx * x + fy * y + rng.uniform(0, 6.28))
        left, top = rng.integers(0, max(1, width // 2)), rng.integers(0, max(1, height // 2))
        plane[top:top + height // 3, left:left + width // 3] += rng.uniform(-90, 90)
        planes.append(plane + rng.normal(0, 3, plane.shape))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def exif_with_orientation(value, order="II"):
    mark = "<" if order == "II" else ">"
    entries = struct.pack(mark + "HHHIHH", 1, 0x0112, 3, 1, value, 0) + struct.pack(mark + "I", 0)
    return order.encode() + struct.pack(mark + "HI", 42, 8) + entries


def write_formats(folder):
    os.makedirs(folder)
    rgb = Image.fromarray(scene(97, 61, 1))
    alpha = Image.fromarray(scene(97, 61, 2, 4), "RGBA")
    grey = rgb.convert("L")
    rgb.save(f"{folder}/baseline.jpg", quality=90)
    rgb.save(f"{folder}/444.jpg", quality=95, subsampling=0)
    rgb.save(f"{folder}/422.jpg", quality=95, subsampling=1)
    rgb.save(f"{folder}/progressive.jpg", quality=85, progressive=True)
    rgb.save(f"{folder}/optimized.jpg", quality=40, optimize=True)
    grey.save(f"{folder}/grey.jpg")
    rgb.convert("CMYK").save(f"{folder}/cmyk.jpg", quality=95)
    rgb.save(f"{folder}/rgb.png")
    grey.save(f"{folder}/grey.png")
    alpha.save(f"{folder}/alpha.png")
    alpha.convert("LA").save(f"{folder}/grey_alpha.png")
    rgb.quantize(64).save(f"{folder}/palette.png")
    rgb.quantize(16).save(f"{folder}/palette4.png", bits=4)
    rgb.quantize(16).save(f"{folder}/palette_clear.png", transparency=3)
    grey.convert("1").save(f"{folder}/bits.png")
    rgb.save(f"{folder}/clear_colour.png", transparency=tuple(rgb.getpixel((5, 5))))
    rgb.save(f"{folder}/lossy.webp", quality=80)
    rgb.save(f"{folder}/lossless.webp", lossless=True)
    alpha.save(f"{folder}/alpha.webp", lossless=True)
    alpha.save(f"{folder}/alpha_lossy.webp", quality=80)
    frames = [Image.fromarray(scene(60, 44, 20 + i)) for i in range(3)]
    frames[0].save(f"{folder}/animated.webp", save_all=True, append_images=frames[1:], quality=80)
    clear = [frame.convert("RGBA") for frame in frames]
    clear[0].putalpha(Image.fromarray(scene(60, 44, 30)).convert("L"))
    clear[0].save(f"{folder}/animated_alpha.webp", save_all=True, append_images=clear[1:], lossless=True)
    write_frame_apart(f"{folder}/animated_alpha.webp", f"{folder}/animated_apart.webp")
    Image.fromarray(scene(1, 1, 3)).save(f"{folder}/one.png")
    Image.fromarray(scene(300, 2, 4)).save(f"{folder}/flat.jpg")
    write_deep_png(f"{folder}/deep_rgb.png", scene(40, 30, 5), 2, 16)
    write_deep_png(f"{folder}/deep_grey.png", scene(40, 30, 6)[..., :1], 0, 16)
    write_deep_png(f"{folder}/interlaced.png", scene(41, 33, 7), 2, 8, interlace=True)
    rgb.save(f"{folder}/no_suffix", "PNG")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_deep_png(path, pixels, colour_type, depth, interlace=False):
    """Pillow writes neither 16-bit RGB nor interlaced files."""
    height, width = pixels.shape[:2]
    values = pixels.astype(np.uint16) * 257 + 100 * (pixels < 200) if depth == 16 else pixels
    values = np.minimum(values, 65535).astype(">u2" if depth == 16 else np.uint8)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b""
    for top, left, down, right in passes if interlace else [(0, 0, 1, 1)]:
        part = values[top::down, left::right]
        raw += b"".join(b"\0" + row.tobytes() for row in part if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlace))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)))
        file.write(chunk(b"IEND", b""))
    np.save(path + ".npy", values)


def write_frame_apart(path, apart):
    """The same animation on a larger canvas, which its first frame does not cover."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    content[24:30] = (60 + 9).to_bytes(3, "little") + (44 + 20).to_bytes(3, "little")  # canvas, less one
    at = content.index(b"ANMF") + 8
    content[at:at + 6] = (3).to_bytes(3, "little") + (7).to_bytes(3, "little")  # place, halved
    with open(apart, "wb") as file:
        file.write(content)


def write_orientations(folder):
    os.makedirs(folder)
    picture = Image.fromarray(scene(46, 30, 9))
    for value in range(1, 9):
        for order in ("II", "MM"):
            exif = exif_with_orientation(value, order)
            picture.save(f"{folder}/{value}{order}.jpg", quality=95, exif=b"Exif\0\0" + exif)
            picture.save(f"{folder}/{value}{order}.webp", lossless=True, exif=exif)
        picture.save(f"{folder}/{value}.png", exif=exif_with_orientation(value))


def write_photos(folder):
    """A small labelled set, with sizes and shapes mixed."""
    shapes = [(500, 375), (375, 500), (320, 240), (240, 240), (640, 200)]
    for label in ("birds", "cats", "flowers/red"):
        os.makedirs(f"{folder}/{label}")
        for i in range(8):
            width, height = shapes[(i + len(label)) % len(shapes)]
            Image.fromarray(scene(width, height, 100 * len(label) + i)).save(f"{folder}/{label}/{i}.jpg", quality=88)
    os.makedirs(f"{folder}/.hidden")
    Image.fromarray(scene(8, 8, 1)).save(f"{folder}/.hidden/x.png")
    Image.fromarray(scene(64, 48, 2)).save(f"{folder}/root.png")
    with open(f"{folder}/readme.txt", "w") as file:
        file.write("no picture\n")
    os.symlink("..", f"{folder}/cats/loop")


def write_damaged(folder):
    os.makedirs(folder)
    for i in range(20):
        Image.fromarray(scene(120, 90, 500 + i)).save(f"{folder}/{i:02}.jpg")
    for i in (3, 7, 11):
        with open(f"{folder}/{i:02}.jpg", "r+b") as file:
            file.truncate(os.path.getsize(f"{folder}/{i:02}.jpg") * 2 // 3)
    with open(f"{folder}/15.jpg", "wb") as file:
        file.write(b"this is a text with a picture's name\n")
    open(f"{folder}/18.png", "wb").close()


def write_speed(folder):
    os.makedirs(folder)
    for i in range(24):
        picture = Image.fromarray(scene(500, 375, 900 + i)).filter(ImageFilter.GaussianBlur(0.7))
        picture.save(f"{folder}/{i:02}.jpg", quality=90)


def write_large(folder):
    """Smooth at a scale of eight pixels, so that what is decoded smaller shows the same."""
    os.makedirs(folder)
    for name, width, height, orientation in (("wide", 1700, 1290, 1), ("turned", 1401, 1003, 6),
                                             ("cmyk", 1203, 1207, 1), ("grey", 1000, 1600, 3),
                                             ("progressive", 2001, 901, 8)):
        small = Image.fromarray(scene(width // 8, height // 8, len(name)))
        picture = small.resize((width, height), Image.BICUBIC)
        picture = picture.convert({"cmyk": "CMYK", "grey": "L"}.get(name, "RGB"))
        picture.save(f"{folder}/{name}.jpg", quality=92, progressive=name == "progressive",
                     exif=b"Exif\0\0" + exif_with_orientation(orientation))


def main():
    root = sys.argv[1]
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    write_formats(f"{root}/formats")
    write_orientations(f"{root}/orientations")
    write_photos(f"{root}/photos")
    write_damaged(f"{root}/damaged")
    write_speed(f"{root}/speed")
    write_large(f"{root}/large")


if __name__ == "__main__":
    main()
