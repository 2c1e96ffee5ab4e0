"""Trainers with the weights of others: features are torchvision's with the same weights; every format there and back,
bit for bit; exports load into torchvision's own network, and have the names of timm's and transformers'.

usage: trainers_test.py SEERC FOLDER
Networks and pictures as in tests/train/torchvision_test.py; pictures have the size of the view, so that nothing is
resampled. FOLDER keeps the built trainers of a run.
"""
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

import numpy as np
import torch
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "train"))
from cases import random_pictures  # noqa: E402
from common import golden, random_tensors, read, run, same, write  # noqa: E402
from torchvision_test import CLASSES, MODELS, SIZE, make_model, to_images  # noqa: E402

SEERC, FOLDER = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])
PICTURES = 6
# Distance over length of torchvision's features in double precision: rounding of f32 through some 60 layers.
LIMIT = 2e-5
FORMATS = ("seer", "timm", "torchvision", "hf", "vissl", "pycls")


def spec_of(model, pictures):
    return f"""use "models/{model.replace('_', '', 1)}"
{MODELS[model][0]}
supervised {{ classes = {CLASSES} }}
views {{ crops = [crop(count = 1, size = {SIZE}px)] }}
data {{ pictures = "{pictures}" }}
train {{ batch = 2  steps = 1 }}
optimizer {{ name = sgd }}
evaluate {{ size = {SIZE}px  resize = {SIZE}px  batch = 4 }}
"""


SMALL_SWAV = """model {{
  depths = [1, 2]  widths = [16, 24]  group_widths = [8]  strides = [2, 2]  stem_width = 16
}}
swav {{ prototypes = 12  head = [24, 16] }}
views {{ crops = [crop(count = 2, size = 32px)] }}
data {{ pictures = "{pictures}" }}
train {{ batch = 4  steps = 1 }}
evaluate {{ size = 32px  resize = 32px  batch = 4 }}
"""


def memory():
    """Where files need no disk, if there is such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def state_of(network):
    """f32 and the counts of batches, as torchvision saves them."""
    return {name: value.float().numpy() if value.is_floating_point() else value.numpy()
            for name, value in network.state_dict().items()}


def without_counts(state):
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


class Trainers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        FOLDER.mkdir(parents=True, exist_ok=True)
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="seer-weights-", dir=memory()))
        cls.pixels = random_pictures(np.random.default_rng(7), PICTURES, SIZE)
        for i, pixels in enumerate(cls.pixels):
            folder = cls.root / "pictures" / f"c{i % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{i}.png")
        cls.networks, cls.states = {}, {}
        for model in MODELS:
            torch.manual_seed(MODELS[model][1])
            cls.networks[model] = make_model(model, cls.pixels).eval()
            cls.states[model] = state_of(cls.networks[model])
            write(cls.root / f"{model}.safetensors", cls.states[model])
            cls.build(model, spec_of(model, cls.root / "pictures"))
        cls.build("swav", SMALL_SWAV.format(pictures=cls.root / "pictures"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    @classmethod
    def build(cls, name, text):
        spec = cls.root / f"{name}.seer"
        spec.write_text(text)
        run(SEERC, "build", spec, "-o", cls.trainer(name), env={**os.environ, "OPTIMIZE": "-O1"})

    @staticmethod
    def trainer(name):
        return FOLDER / f"{name}.trainer"

    def features(self, model, weights, *words, pictures="pictures"):
        out = self.root / "f.safetensors"
        run(self.trainer(model), "features", "--weights", weights, "--data", self.root / pictures, "--out", out,
            "--quiet", *words)
        return read_features(out)

    def export(self, model, source, format_name, *words):
        out = self.root / f"{model}-{format_name}.safetensors"
        said = run(self.trainer(model), "export", source, "--format", format_name, "--out", out, *words).stdout
        return out, said

    def taken(self, path):
        out = self.root / "taken.safetensors"
        run(SEERC, "import", path, "-o", out)
        return read(out)[0]

    def test_features_are_torchvision_s(self):
        for model, network in self.networks.items():
            classifier, network.fc = network.fc, torch.nn.Identity()
            with torch.no_grad():
                right = network(to_images(self.pixels)).numpy()
            network.fc = classifier
            found = self.features(model, self.root / f"{model}.safetensors")
            distance = np.linalg.norm(found - right) / np.linalg.norm(right)
            print(f"{model}: features differ by {distance:.1e}")
            self.assertLess(distance, LIMIT)

    def test_layers_are_torchvision_s(self):
        """Means over the pixels of stem and stages, and the classifier's logits."""
        for model, network in self.networks.items():
            right, value = {}, to_images(self.pixels)
            with torch.no_grad():
                value = network.stem(value)
                right["stem"] = value.mean((2, 3)).numpy()
                for stage in range(1, 5):
                    value = getattr(network.trunk_output, f"block{stage}")(value)
                    right[f"s{stage}"] = value.mean((2, 3)).numpy()
                right["avgpool"] = right["s4"]
                right["head"] = network.fc(value.mean((2, 3))).numpy()
            for layer, wanted in right.items():
                found = self.features(model, self.root / f"{model}.safetensors", "--layer", layer)
                self.assertEqual(found.shape, wanted.shape)
                self.assertLess(np.linalg.norm(found - wanted) / np.linalg.norm(wanted), LIMIT, (model, layer))
        done = run(self.trainer(model), "features", "--weights", self.root / f"{model}.safetensors", "--data",
                   self.root / "pictures", "--layer", "s5", "--out", self.root / "never", code=1)
        self.assertIn("no layer 's5'\nnote: it has avgpool, stem, s1, s2, s3, head, s4", done.stderr)

    def test_a_probe_takes_several_layers_at_once(self):
        """The figures are those of the same layers written to a file."""
        model, tensors = "regnet_y_400mf", {}
        weights, pictures, trainer = self.root / f"{model}.safetensors", self.root / "halves", self.trainer(model)
        for i, pixels in enumerate(self.pixels):
            (pictures / f"c{i % 2}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(pictures / f"c{i % 2}" / f"{i}.png")
        for layer, name in (("s1", "features.s1"), ("avgpool", "features")):
            tensors[name] = self.features(model, weights, "--layer", layer, pictures=pictures)
        others, metadata = read(self.root / "f.safetensors")
        both = write(self.root / "both.safetensors", {**others, **tensors}, metadata)
        words = ("--layers", "s1,features", "--learning-rates", "0.1,1", "--json", "--quiet")

        def rows(*of):
            found = json.loads(run(trainer, "probe", *of, *words).stdout)["rows"]
            return sorted(found, key=lambda row: (row["layer"], row["learning_rate"]))

        wanted = rows("--features", both, "--test-features", both)
        self.assertEqual([row["layer"] for row in wanted], ["features", "features", "s1", "s1"])
        self.assertEqual(rows("--weights", weights, "--data", pictures, "--test-data", pictures), wanted)
        done = run(trainer, "probe", "--weights", weights, "--data", pictures, "--test-data", pictures, "--layers",
                   "s1,s1", code=1)
        self.assertIn("layer 's1' is asked for twice", done.stderr)

    def test_there_and_back(self):
        """Through every format to the same bits, whichever reads them: seerc or a trainer."""
        for model in MODELS:
            source = self.root / f"{model}.safetensors"
            right = without_counts(self.states[model])
            features = self.features(model, source)
            # X differs from Y in what Hugging Face calls its third convolution.
            for format_name in FORMATS if model == "regnet_y_400mf" else ("hf",):
                with self.subTest(model=model, format=format_name):
                    out, _ = self.export(model, source, format_name)
                    self.assertEqual(same(self.taken(out), right), [])
                    self.assertIn(f"names        {format_name}", run(SEERC, "identify", out).stdout)
                    self.assertTrue(np.array_equal(self.features(model, out), features))
                    again, _ = self.export(model, out, "torchvision")
                    self.assertEqual(same(without_counts(read(again)[0]), right), [])

    def test_exports_have_the_names_of_others(self):
        heads = {"timm": "head.fc", "hf": "classifier.1"}
        for model, format_name, list_name, wrapper in (("regnet_y_400mf", "timm", "timm-regnety_004", ""),
                                                       ("regnet_y_400mf", "hf", "hf-regnet-y-400mf", "")):
            wanted = golden(HERE / "golden" / f"{list_name}.txt")
            found = {name: value.shape for name, value in
                     read(self.export(model, self.root / f"{model}.safetensors", format_name)[0])[0].items()}
            for leaf in ("weight", "bias"):  # of another number of classes
                name = f"{heads[format_name]}.{leaf}"
                self.assertEqual(found[name], (CLASSES,) + wanted[name][1:])
                found[name] = wanted[name]
            self.assertEqual(found, wanted, wrapper)
        # torchvision's X-400MF is wider than the others' in its last stage: names are theirs all the same.
        for format_name, list_name in (("timm", "timm-regnetx_004"), ("hf", "hf-regnet-x-400mf-trunk")):
            names = set(read(self.export("regnet_x_400mf", self.root / "regnet_x_400mf.safetensors",
                                         format_name)[0])[0])
            wanted = set(golden(HERE / "golden" / f"{list_name}.txt"))
            if format_name == "hf":
                names = {re.sub(r"^regnet\.", "", name) for name in names if not name.startswith("classifier.")}
            self.assertEqual(names, wanted)

    def test_exports_load_into_torchvision(self):
        """Of a run, too, after a step; `strict` is load_state_dict's."""
        for model, network in self.networks.items():
            run_folder = self.root / f"{model}-run"
            run(self.trainer(model), "--weights", self.root / f"{model}.safetensors", "--out", run_folder, "--steps", 1,
                "--no-report")
            for source, step in ((self.root / f"{model}.safetensors", 0), (run_folder, 1)):
                exported, _ = read(self.export(model, source, "torchvision")[0])
                self.assertEqual(list(exported["stem.1.num_batches_tracked"].shape), [])
                self.assertEqual(int(exported["stem.1.num_batches_tracked"]), step)
                state = {name: torch.from_numpy(np.array(value)) for name, value in exported.items()}
                network.float().load_state_dict(state, strict=True)
                network.double()
            # What a step did is small, and something.
            moved = [np.abs(exported[name] - right).max() for name, right in self.states[model].items()]
            self.assertGreater(max(moved), 0)
            network.load_state_dict({name: torch.from_numpy(np.array(value))
                                     for name, value in self.states[model].items()})

    def test_heads(self):
        """A head that does not fit is a fault for training, unless a new one is asked for; features need none."""
        trainer = self.trainer("regnet_y_400mf")
        state = dict(self.states["regnet_y_400mf"])
        state.update(random_tensors({"fc.weight": (7, 440), "fc.bias": (7,)}))
        other = write(self.root / "other.safetensors", state)
        bare = write(self.root / "bare.safetensors", {n: v for n, v in state.items() if not n.startswith("fc.")})
        data = self.root / "pictures"
        for file, says in ((other, "'fc.weight' is [7, 440], wanted [10, 440]"),
                           (bare, "missing: 'fc.weight', 'fc.bias'")):
            done = run(trainer, "--weights", file, "--data", data, "--out", self.root / "never", "--steps", 1, code=1)
            self.assertIn(says, done.stderr)
            self.assertIn("the trunk fits, the head does not: --new-head", done.stderr)
            out = self.root / f"new-{file.name}"
            done = run(trainer, "--weights", file, "--new-head", "--data", data, "--out", out, "--steps", 1,
                       "--no-report")
            self.assertIn("the head's 2 start at random", done.stdout + done.stderr)
            self.assertTrue(np.array_equal(self.features("regnet_y_400mf", file),
                                           self.features("regnet_y_400mf", self.root / "regnet_y_400mf.safetensors")))
        broken = dict(state)
        broken["stem.0.weight"] = np.full_like(broken["stem.0.weight"], np.nan)
        write(self.root / "broken.safetensors", broken)
        done = run(trainer, "features", "--weights", self.root / "broken.safetensors", "--data", data, "--out",
                   self.root / "never", code=1)
        self.assertIn("not finite, in 1 tensor: 'stem.0.weight'", done.stderr)
        done = run(self.trainer("regnet_x_400mf"), "features", "--weights", other, "--data", data, "--out",
                   self.root / "never", code=1)
        self.assertIn("seems to hold another network: regnety, depths [1, 3, 6, 6]", done.stderr)

    def test_swav_heads(self):
        trained = self.root / "swav-run"
        run(self.trainer("swav"), "--data", self.root / "pictures", "--out", trained, "--steps", 1, "--no-report")
        right, _ = read(self.export("swav", trained, "seer")[0])
        x = self.features("swav", trained).astype("f8") @ right["projection_head.0.weight"].T.astype("f8")
        x = (x + right["projection_head.0.bias"] - right["projection_head.1.running_mean"]) / np.sqrt(
            right["projection_head.1.running_var"].astype("f8") + 1e-5)
        x = np.maximum(x * right["projection_head.1.weight"] + right["projection_head.1.bias"], 0)
        x = x @ right["projection_head.3.weight"].T.astype("f8") + right["projection_head.3.bias"]
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        found = self.features("swav", trained, "--layer", "head")
        self.assertLess(np.abs(found - x).max(), 1e-5)
        self.assertIn("projection_head.3.weight", right)
        vissl, _ = self.export("swav", trained, "vissl")
        names = set(read(vissl)[0])
        for name in ("heads.0.projection_head.0.weight", "heads.0.projection_head.1.num_batches_tracked",
                     "heads.0.projection_head.3.bias", "heads.0.prototypes0.weight",
                     "trunk._feature_blocks.conv1.stem.0.weight",
                     "trunk._feature_blocks.res3.block2-1.f.final_bn.running_var"):
            self.assertIn(name, names)
        self.assertEqual(same(self.taken(vissl), right), [])
        head = [name for name in right if name.startswith(("projection_head.", "prototypes."))]
        for format_name in ("timm", "torchvision", "hf", "pycls"):
            out, said = self.export("swav", trained, format_name)
            self.assertIn(f"has no names for {len(head)} tensors of this network's head", said)
            self.assertEqual(same(self.taken(out), {n: v for n, v in right.items() if n not in head}), [])
        whole, _ = self.export("swav", trained, "seer", "--all")
        velocities = [name for name in read(whole)[0] if name.endswith(".velocity")]
        self.assertEqual(len(velocities), sum("running" not in name for name in right))
        self.assertEqual(same(self.taken(whole), right), [])
        for words in (("--format", "onnx"), ("--format", "timm", "--all")):
            run(self.trainer("swav"), "export", trained, "--out", self.root / "never", *words, code=2)
        done = run(self.trainer("swav"), "export", self.root / "regnet_y_400mf.safetensors", "--out",
                   self.root / "never", code=1)
        self.assertIn("does not fit this trainer", done.stderr)


def read_features(path):
    """Only the features: names are bytes, which common.read does not know."""
    from common import KINDS
    KINDS.setdefault("U8", "u1")
    KINDS.setdefault("I32", "<i4")
    return read(path)[0]["features"]


if __name__ == "__main__":
    torch.set_num_threads(2)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
