"""Views against torchvision on PIL images with the same draws: every byte equal. Also the distribution of the draws,
the evaluation view, and the hue of all 2^24 colours."""
import math

import numpy as np
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode, functional as F

from common import PICTURES, expect, finish, raw, scratch, tool

JITTERS = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]


def torchvision_view(picture, draw):
    top, left, height, width = draw["box"]
    view = F.resized_crop(picture, top, left, height, width, [draw["size"]] * 2, InterpolationMode.BILINEAR)
    if draw["flip"]:
        view = F.hflip(view)
    if draw["jitter"]:
        for step in draw["order"]:
            view = JITTERS[step](view, draw["amount"][step])
    if draw["grey"]:
        view = F.to_grayscale(view, num_output_channels=3)
    if draw["blur"]:
        view = view.filter(ImageFilter.GaussianBlur(draw["sigma"]))
    return np.asarray(view)


def check_views(path, positions, sigma, seed):
    picture = Image.open(path).convert("RGB")
    draws = []
    with scratch() as out:
        for draw in tool("views", path, f"{out}/", seed, positions, sigma):
            ours, theirs = raw(draw["file"], draw["size"], draw["size"]), torchvision_view(picture, draw)
            worst = int(np.abs(ours.astype(int) - theirs).max())
            expect(worst == 0, f"{path}: view {draw} differs by up to {worst}")
            draws.append(draw)
    return draws


def check_draws(draws, width, height):
    """Shares within four standard deviations; ranges exact."""
    n = len(draws)
    for key, share in (("flip", 0.5), ("jitter", 0.8), ("grey", 0.2), ("blur", 0.5)):
        seen = sum(draw[key] for draw in draws) / n
        expect(abs(seen - share) < 4 * math.sqrt(share * (1 - share) / n), f"share of {key}: {seen}, not {share}")
    for draw in draws:
        top, left, h, w = draw["box"]
        low, high = (0.14, 1.0) if draw["size"] == 160 else (0.05, 0.14)
        slack = (w + h + 1) / (width * height)  # sides are rounded to whole pixels
        expect(0 <= top <= height - h and 0 <= left <= width - w, f"box {draw['box']} leaves the picture")
        expect(low - slack <= w * h / (width * height) <= high + slack, f"area of {draw['box']}")
        low_shape, high_shape = 0.75 * (w - 0.5) / (w + 0.5) * 0.99, 4 / 3 * (h + 0.5) / (h - 0.5) * 1.01
        expect(low_shape <= w / h <= high_shape, f"shape of {draw['box']}")
        expect(all(0.2 <= a <= 1.8 for a in draw["amount"][:3]) and abs(draw["amount"][3]) <= 0.2, f"amounts {draw}")
        expect(sorted(draw["order"]) == [0, 1, 2, 3], f"order {draw['order']}")
        expect(0.1 <= draw["sigma"] <= 2.0, f"sigma {draw['sigma']}")
    orders = {tuple(draw["order"]) for draw in draws}
    expect(len(orders) == 24, f"{len(orders)} orders of jitter instead of 24")


def check_evaluation(path, resize, size):
    with scratch() as out:
        tool("evaluate", path, resize, size, f"{out}/view")
        picture = Image.open(path).convert("RGB")
        theirs = np.asarray(F.center_crop(F.resize(picture, resize, InterpolationMode.BILINEAR), [size, size]))
        ours = raw(f"{out}/view", size, size)
        expect(np.array_equal(ours, theirs), f"evaluation view of {path} at {resize}, {size}")


def check_hue(turns):
    with scratch() as out:
        tool("hue", turns, f"{out}/all")
        ours = raw(f"{out}/all", 4096, 4096)
        index = np.arange(1 << 24, dtype=np.uint32).reshape(4096, 4096)
        colours = np.stack([index >> 16, index >> 8 & 255, index & 255], -1).astype(np.uint8)
        theirs = np.asarray(F.adjust_hue(Image.fromarray(colours), turns))
        expect(np.array_equal(ours, theirs), f"hue {turns}: {int((ours != theirs).any(-1).sum())} colours differ")


all_draws = check_views(f"{PICTURES}/speed/00.jpg", 60, 2.0, 1)
check_draws(all_draws, 500, 375)
check_views(f"{PICTURES}/photos/cats/1.jpg", 20, 2.0, 2)
check_views(f"{PICTURES}/photos/root.png", 20, 30.0, 3)
check_views(f"{PICTURES}/formats/flat.jpg", 4, 2.0, 4)
check_views(f"{PICTURES}/formats/one.png", 4, 2.0, 5)
for path, resize, size in (("speed/00.jpg", 256, 224), ("photos/cats/1.jpg", 64, 64), ("photos/root.png", 128, 97),
                           ("formats/flat.jpg", 32, 32), ("formats/one.png", 40, 33)):
    check_evaluation(f"{PICTURES}/{path}", resize, size)
for hue_turns in (0.0, 0.13, -0.2):
    check_hue(hue_turns)
finish(f"views ({len(all_draws)} and more)")
