# Features, nearest neighbours and the report page of a tiny run, against numpy over the same features.
import json
import os
import re
import shutil
import sys
import tempfile
import unittest

import numpy

sys.path.insert(0, os.path.dirname(__file__))
from common import LABELS, pictures_make, run, safetensors_read

TINY = os.path.join(os.path.abspath(sys.argv[1]), "tiny")


def accuracy(features, labels, k, temperature):
    features = features / numpy.linalg.norm(features, axis=1, keepdims=True)
    similarity = features @ features.T
    right = 0
    for row in range(len(features)):
        others = [other for other in range(len(features)) if other != row]
        order = sorted(others, key=lambda other: -similarity[row, other])[:k]
        votes = numpy.zeros(labels.max() + 1)
        for other in order:
            votes[labels[other]] += numpy.exp(similarity[row, other] / temperature)
        right += votes.argmax() == labels[row]
    return right / len(features)


class Features(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="seer-features-")
        cls.data = pictures_make(os.path.join(cls.root, "pictures"), per_label=11)
        cls.done = os.path.join(cls.root, "run")
        run(TINY, "--data", cls.data, "--out", cls.done, "--steps", 30, "--seed", 5, "--save-every", 1, "--keep", 99)
        cls.file = os.path.join(cls.root, "f.safetensors")
        run(TINY, "features", "--weights", cls.done, "--data", cls.data, "--out", cls.file)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def test_features_are_the_network_s(self):
        from PIL import Image
        tensors, metadata = safetensors_read(self.file)
        weights, _ = safetensors_read(os.path.join(self.done, "snapshots/step-30/model.safetensors"))
        names = bytes(tensors["names"]).decode().split("\n")[:-1]
        self.assertEqual(json.loads(metadata["label_names"]), sorted(LABELS))
        self.assertEqual(len(names), 33)
        self.assertEqual(tensors["features"].shape, (33, 16))
        for row in (0, 15, 32):
            self.assertIn(json.loads(metadata["label_names"])[tensors["labels"][row]], names[row])
            picture = Image.open(names[row]).convert("RGB")
            picture = picture.resize((16, int(16 * 26 / 22)) if picture.width < picture.height else picture.size,
                                     Image.BILINEAR)
            top = round((picture.height - 16) / 2)
            pixels = numpy.asarray(picture.crop((0, top, 16, top + 16)), dtype=numpy.float64)
            pooled = pixels.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3)).reshape(-1) / 255 - 0.5
            self.assertLess(abs(weights["embed.weight"] @ pooled - tensors["features"][row]).max(), 0.02)

    def test_threads_and_batches_change_no_bit(self):
        for threads in (1, 3):
            path = os.path.join(self.root, "t%d.safetensors" % threads)
            run(TINY, "features", "--weights", self.done, "--data", self.data, "--out", path, "--threads", threads)
            self.assertEqual(open(path, "rb").read(), open(self.file, "rb").read())

    def test_knn_agrees_with_numpy(self):
        tensors, _ = safetensors_read(self.file)
        for k, temperature in ((1, 0.1), (5, 0.1), (20, 0.5), (500, 0.07)):
            result = json.loads(run(TINY, "knn", "--weights", self.done, "--data", self.data, "--neighbours", k,
                                    "--temperature", temperature, "--json").stdout)
            self.assertEqual(result["neighbours"], min(k, 32))
            self.assertAlmostEqual(result["trained"], accuracy(tensors["features"], tensors["labels"], min(k, 32),
                                                               temperature), 5)
            self.assertAlmostEqual(result["majority"], 1 / 3, 5)

    def test_untrained_is_the_run_at_step_0(self):
        # Embeddings differ from step 0 by one small step at step 1: the untrained figure comes from the run's own seed.
        result = json.loads(run(TINY, "knn", "--weights", self.done, "--data", self.data, "--json").stdout)
        other = json.loads(run(TINY, "knn", "--weights", self.done, "--data", self.data, "--seed", 5, "--json").stdout)
        self.assertEqual(result, other)
        self.assertGreater(result["pixels"], 0.5)
        self.assertIn("untrained network", run(TINY, "knn", "--weights", self.done, "--data", self.data).stdout)

    def test_train_data_votes(self):
        other = pictures_make(os.path.join(self.root, "others"), per_label=7, seed=9)
        result = json.loads(run(TINY, "knn", "--weights", self.done, "--data", self.data, "--train-data", other,
                                "--neighbours", 99,
                                "--json").stdout)
        self.assertEqual((result["neighbours"], result["pictures"]), (21, 33))
        self.assertGreater(result["pixels"], 0.5)

    def test_weights_can_be_a_snapshot_or_a_file(self):
        snapshot = os.path.join(self.done, "snapshots/step-30")
        for weights in (snapshot, os.path.join(snapshot, "model.safetensors")):
            path = os.path.join(self.root, "w.safetensors")
            run(TINY, "features", "--weights", weights, "--data", self.data, "-o", path, "--quiet")
            self.assertEqual(open(path, "rb").read(), open(self.file, "rb").read())
        done = run(TINY, "features", "--weights", self.file, "--data", self.data, "--out", path, expect=1)
        self.assertIn("has no tensor of this trainer", done.stderr)

    def test_bad_pictures_are_left_out(self):
        data = os.path.join(self.root, "with-bad")
        shutil.copytree(self.data, data)
        open(os.path.join(data, "blue", "zz.png"), "wb").write(b"\x89PNG no")
        path = os.path.join(self.root, "b.safetensors")
        done = run(TINY, "features", "--weights", self.done, "--data", data, "--out", path)
        self.assertIn("1 could not be decoded", done.stdout)
        self.assertEqual(safetensors_read(path)[0]["features"].shape, (33, 16))

    def test_label_names_that_are_no_utf8_keep_their_places(self):
        data = os.fsencode(os.path.join(self.root, "no-utf8"))
        shutil.copytree(os.fsencode(self.data), data)
        shutil.copytree(os.path.join(data, b"blue"), os.path.join(data, b"c\xff\xe9"))
        wanted = sorted([os.fsencode(label) for label in LABELS] + [b"c\xff\xe9"])
        path = os.path.join(self.root, "no-utf8.safetensors")
        run(TINY, "features", "--weights", self.done, "--data", os.fsdecode(data), "--out", path)
        tensors, metadata = safetensors_read(path)
        names = json.loads(metadata["label_names"])
        self.assertEqual(names, [name.decode(errors="replace") for name in wanted])
        for path, label in zip(bytes(tensors["names"]).split(b"\n"), tensors["labels"]):
            self.assertIn(b"no-utf8/" + wanted[label] + b"/", path)

    def test_missing_arguments(self):
        self.assertIn("--weights", run(TINY, "knn", "--data", self.data, expect=2).stderr)
        self.assertIn("--data", run(TINY, "features", "--weights", self.done, expect=2).stderr)
        self.assertIn("'--out' needs a value", run(TINY, "features", "-o", expect=2).stderr)
        flat = os.path.join(self.root, "flat")
        os.makedirs(flat)
        shutil.copy(os.path.join(self.data, "blue/00.jpg"), flat)
        self.assertIn("no labels", run(TINY, "knn", "--weights", self.done, "--data", flat, expect=1).stderr)

    def test_report_page(self):
        page = open(os.path.join(self.done, "report.html")).read()
        for text in ("What it learnt", "Learning rate", "Throughput", "Prototype usage", "nearest neighbours",
                     "A map of what it sees",
                     "data:image/jpeg;base64,", "Content-Security-Policy"):
            self.assertIn(text, page)
        self.assertNotRegex(page, r"https?://")
        self.assertNotIn("<script", page)
        self.assertIn("&lt;tiny &amp; &quot;quoted&quot;&gt;", page)  # the spec
        self.assertIn("red &amp; &lt;b&gt;green", page)               # a folder's name
        self.assertNotIn("<b>green", page)
        self.assertGreaterEqual(len(re.findall("<figure", page)), 50)
        from html.parser import HTMLParser

        class Balance(HTMLParser):
            open_tags = []

            def handle_starttag(self, tag, attributes):
                if tag not in ("meta", "img", "path", "rect", "circle"):
                    self.open_tags.append(tag)

            def handle_endtag(self, tag):
                assert self.open_tags.pop() == tag, tag

            def handle_startendtag(self, tag, attributes):
                pass

        checker = Balance()
        checker.feed(page)
        self.assertEqual(checker.open_tags, [])
        os.remove(os.path.join(self.done, "report.html"))
        run(TINY, "report", self.done, "--limit", 20)
        self.assertTrue(os.path.exists(os.path.join(self.done, "report.html")))
        self.assertIn("is no run folder", run(TINY, "report", self.data, expect=1).stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
