"""Decoding and augmenting (2 x 160 + 4 x 96 from 500 x 375 JPEG): ours and torchvision on Pillow, in turns in one
run. Prints a JSON object; CPU time, so that a busy machine blurs less. Usage: bench.py DATA_TOOL PICTURES [SECONDS]
"""
import glob
import json
import random
import statistics
import subprocess
import sys
import time

import torch
from PIL import Image, ImageFilter
from torchvision import transforms

tool, pictures = sys.argv[1:3]
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 2.0
torch.set_num_threads(1)


class Blur:
    def __call__(self, picture):
        if random.random() < 0.5:
            return picture.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
        return picture


def pipeline(size, scale):
    jitter = transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)
    return transforms.Compose([transforms.RandomResizedCrop(size, scale), transforms.RandomHorizontalFlip(), jitter,
                               transforms.RandomGrayscale(0.2), Blur()])


views = [pipeline(160, (0.14, 1.0))] * 2 + [pipeline(96, (0.05, 0.14))] * 4
files = sorted(glob.glob(f"{pictures}/*.jpg"))


def torchvision_ms():
    count, start, end = 0, time.process_time(), time.time() + seconds
    while time.time() < end:
        picture = Image.open(files[count % len(files)]).convert("RGB")
        for view in views:
            view(picture)
        count += 1
    return 1e3 * (time.process_time() - start) / count


def seer_ms():
    line = subprocess.run([tool, "speed", pictures, "1", str(seconds)], stdout=subprocess.PIPE, check=True).stdout
    return json.loads(line)["milliseconds_of_cpu_per_picture"]


rounds = [(seer_ms(), torchvision_ms()) for _ in range(3)]
ours, theirs = (statistics.median(column) for column in zip(*rounds))
print(json.dumps({"seer_ms_per_picture": round(ours, 3), "torchvision_ms_per_picture": round(theirs, 3),
                  "ratio": round(theirs / ours, 2)}))
