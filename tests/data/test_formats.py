"""Every format against Pillow: opaque 8-bit pixels equal; alpha, CMYK, 16 bits within one level; upright."""
import numpy as np
from PIL import Image, ImageOps

from common import PICTURES, expect, finish, raw, scratch, tool

# Largest difference allowed; 0 where not listed. Pillow truncates some 16-bit and blends with other rounding.
TOLERANCE = {"alpha.png": 1, "grey_alpha.png": 1, "alpha.webp": 1, "alpha_lossy.webp": 1, "animated_alpha.webp": 1,
             "animated_apart.webp": 1, "palette_clear.png": 1,
             "cmyk.jpg": 1, "deep_rgb.png": 1, "deep_grey.png": 1}


def pillow_reading(path):
    if "deep_" in path:
        values = np.load(path + ".npy").astype(np.float64) / 257
        return np.broadcast_to(np.rint(values), values.shape[:2] + (3,)).astype(np.uint8)
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, picture).convert("RGB"))
    return np.asarray(picture.convert("RGB"))


def compare(folder, count):
    with scratch() as out:
        decoded = tool("decode", f"{PICTURES}/{folder}", f"{out}/")
        expect(len(decoded) == count, f"{folder}: {len(decoded)} pictures instead of {count}")
        for entry in decoded:
            name = entry["name"].rsplit("/", 1)[1]
            if "reason" in entry:
                expect(False, f"{name}: {entry['reason']}")
                continue
            ours, theirs = raw(entry["file"], entry["height"], entry["width"]), pillow_reading(entry["name"])
            if ours.shape != theirs.shape:
                expect(False, f"{name}: {ours.shape} instead of {theirs.shape}")
                continue
            worst = int(np.abs(ours.astype(int) - theirs).max())
            expect(worst <= TOLERANCE.get(name, 0), f"{name}: differs from Pillow by up to {worst}")


compare("formats", 29)
compare("orientations", 40)
finish("formats")
