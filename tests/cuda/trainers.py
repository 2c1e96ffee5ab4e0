"""What the tests of whole trainers on simulated GPUs share. Their first two arguments: SEERC LIBSIMULATED_CUDA."""
import json
import pathlib
import subprocess
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "trainer"))
import common  # noqa: E402

SEERC, DRIVER = sys.argv[1:3]
failures = []


def expect(what, holds):
    print(("ok      " if holds else "FAILED  ") + what, flush=True)
    if not holds:
        failures.append(what)


def swav_spec(precision, family="regnety", depths="[1, 1]", steps=4, save_every=2):
    """A small network with groups that need pads, trained by SwAV with a queue and accumulation."""
    return f"""use "recipes/swav"
model {{ family = {family} depths = {depths} widths = [16, 24] group_widths = [8, 12] stem_width = 16 }}
data {{ pictures = "pictures" }}
views {{ crops = [crop(count = 3, size = 32px)] }}
swav {{ prototypes = 20 freeze_prototypes = 0 queue = 16 queue_start = 0 }}
train {{ batch = 8 accumulate = 2 steps = {steps} precision = {precision} }}
save {{ every = {save_every} }}
evaluate {{ batch = 8 size = 32 resize = 36 }}
"""


def build_spec(folder, name, text, *words):
    spec = folder / f"{name}.seer"
    spec.write_text(text)
    done = subprocess.run([SEERC, "build", spec, "-o", folder / name, *words], cwd=folder, capture_output=True,
                          text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    return folder / name


def libraries_tuning(spec, path, *words, target="simulated"):
    """A tuning by which libraries make all layers of the spec; they, as the plan lists them."""
    done = subprocess.run([SEERC, "plan", spec, f"--target=cuda:{target}", "--json", "--tuning=none", *words],
                          cwd=path.parent, capture_output=True, text=True, check=True)
    layers = json.loads(done.stdout)["layers"]
    path.write_text(f"architectures = {target}\ncublaslt = 13.1.0\ncudnn = 9.19.0\n" + "".join(
        f"layer {layer['shape']} = {layer['libraries'][0]}\n" for layer in layers))
    return layers


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out):
    return [line["loss"] for line in metrics(out)]


def state(out, step):
    return common.safetensors_read(out / f"snapshots/step-{step}/model.safetensors")[0]


def apart(got, wanted):
    """L2-relative, by tensor, of those that a step makes."""
    return {name: float(numpy.linalg.norm(got[name] - wanted[name]) / (numpy.linalg.norm(wanted[name]) + 1e-30))
            for name in wanted if wanted[name].dtype == numpy.float32 and numpy.any(wanted[name])
            and name.endswith((".velocity", "running_mean", "running_var", "queue.0", "queue.1"))}
