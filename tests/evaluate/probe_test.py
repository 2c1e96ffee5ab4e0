# The linear probe: heads equal those that PyTorch trains from the same start on the same batches; what is drawn, held
# out and chosen is what is said; wrong input is named.
import json
import os
import shutil
import sys
import unittest

import numpy
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from evaluate_common import (STREAM_HEAD, features_write, permutation, root_make, run, safetensors_read,
                             safetensors_write, uniforms)

TRAINER = os.path.join(os.path.abspath(sys.argv[1]), "tiny")


def clusters(random, count, classes, width, spread):
    centres = numpy.random.default_rng(1).normal(size=(classes, width))
    labels = random.integers(0, classes, count)
    return centres[labels] + spread * random.normal(size=(count, width)), labels


def torch_train(features, labels, classes, epochs, batch, rate, seed, cosine=False, decay=5e-4):
    """The released probe in PyTorch: [N, W] or [N, C, h, w]; returns the module's numbers by the names of the file."""
    n, width = len(features), int(numpy.prod(features.shape[1:]))
    x, y = torch.tensor(features, dtype=torch.float32), torch.tensor(labels)
    norm = torch.nn.BatchNorm2d(features.shape[1]) if features.ndim == 4 else torch.nn.BatchNorm1d(width)
    linear = torch.nn.Linear(width, classes)
    bound = width ** -0.5
    start = (2 * uniforms(seed, STREAM_HEAD, classes * width + classes) - 1) * bound
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(start[:classes * width].reshape(classes, width)))
        linear.bias.copy_(torch.tensor(start[classes * width:]))
    optimizer = torch.optim.SGD([{"params": norm.parameters(), "weight_decay": 0},
                                 {"params": linear.parameters(), "weight_decay": decay}],
                                lr=rate, momentum=0.9, nesterov=True)
    steps = min(-(-n // batch), n // 2)
    for epoch in range(epochs):
        factor = 0.1 ** sum(epoch * 28 >= at * epochs for at in (8, 16, 24))
        if cosine:
            factor = 0.01 + 0.99 * (1 + numpy.cos(numpy.pi * epoch / epochs)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate * batch / 256 * factor
        order = permutation(seed, epoch, n)
        for step in range(steps):
            rows = order[step * n // steps:(step + 1) * n // steps]
            optimizer.zero_grad()
            scores = linear(norm(x[rows]).flatten(1))
            torch.nn.functional.cross_entropy(scores, y[rows]).backward()
            optimizer.step()
    return {"norm.weight": norm.weight, "norm.bias": norm.bias, "norm.running_mean": norm.running_mean,
            "norm.running_var": norm.running_var, "linear.weight": linear.weight, "linear.bias": linear.bias}


class Probe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = root_make("seer-probe-")
        random = numpy.random.default_rng(5)
        cls.names = ["c%d" % i for i in range(7)]
        cls.x, cls.y = clusters(random, 330, 7, 21, 1.6)
        cls.tx, cls.ty = clusters(random, 400, 7, 21, 1.6)
        cls.train = features_write(cls.path("train"), cls.x, cls.y, cls.names)
        cls.test = features_write(cls.path("test"), cls.tx, cls.ty, cls.names)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.root, name + ".safetensors")

    def probe(self, *words, train=None, test=None, expect=0):
        return run(TRAINER, "probe", "--features", train or self.train, "--test-features", test or self.test, *words,
                   expect=expect)

    def result(self, *words, **files):
        return json.loads(self.probe("--json", "--quiet", *words, **files).stdout)

    def head_equals(self, path, expected):
        head, _ = safetensors_read(path)
        for name, values in expected.items():
            values = values.detach().numpy()
            # A few hundred steps of f32 on both sides, in another order of sums.
            self.assertLess(abs(head[name] - values).max(), 2e-4 * abs(values).max(), name)

    def test_heads_are_pytorch_s(self):
        for seed, epochs, batch, rate, shape in ((3, 5, 64, 0.3, "step"), (0, 28, 50, 0.1, "step"),
                                                 (2 ** 40 + 1, 6, 1000, 0.5, "cosine")):
            out = self.path("head")
            self.probe("--seed", seed, "--seeds", 1, "--epochs", epochs, "--batch", batch, "--learning-rates", rate,
                       "--schedule", shape, "--out", out)
            self.head_equals(out, torch_train(self.x, self.y, 7, epochs, batch, rate, seed, shape == "cosine"))

    def test_maps_are_normalised_by_channel(self):
        random = numpy.random.default_rng(2)
        labels = random.integers(0, 3, 90)
        maps = random.normal(size=(90, 5, 2, 3)) * [[[[1]], [[3]], [[1]], [[9]], [[1]]]] + labels[:, None, None, None]
        file = features_write(self.path("maps"), None, labels, ["a", "b", "c"], layers={"s4": maps},
                              names=["m%d" % i for i in range(90)])
        out = self.path("map-head")
        self.probe("--seeds", 1, "--epochs", 4, "--batch", 32, "--learning-rates", 0.2, "--out", out, train=file,
                   test=file)
        self.head_equals(out, torch_train(maps.astype("float32"), labels, 3, 4, 32, 0.2, 0))
        self.assertEqual(safetensors_read(out)[1]["layer"], "s4")

    def test_what_trains_beside_a_head_and_threads_change_no_bit(self):
        both = features_write(self.path("both"), self.x, self.y, self.names, layers={"wide": numpy.tile(self.x, 3)})
        tests = features_write(self.path("both-test"), self.tx, self.ty, self.names,
                               layers={"wide": numpy.tile(self.tx, 3)})
        words = ["--seed", 4, "--epochs", 3, "--learning-rates", "0.1,0.4", "--shares", "50%,100%", "--seeds", 2]
        rows = self.result(*words, "--threads", 1, train=both, test=tests)
        self.assertEqual(rows, self.result(*words, "--threads", 3, train=both, test=tests))
        self.assertEqual(len(rows["rows"]), 2 * 2 * 2)
        alone = self.result("--seed", 4, "--epochs", 3, "--learning-rates", "0.1,0.4", "--seeds", 1, "--layers", "wide",
                            train=both, test=tests)["rows"]
        wide = [row for row in rows["rows"] if row["layer"] == "wide" and row["share"] == 1]
        for one, other in zip(alone, wide):
            self.assertEqual(one["top1"]["seeds"], other["top1"]["seeds"][:1])

    def test_what_separates_is_separated(self):
        random = numpy.random.default_rng(8)
        x, y = clusters(random, 600, 12, 40, 0.1)
        tx, ty = clusters(random, 300, 12, 40, 0.1)
        names = ["%02d" % i for i in range(12)]
        result = self.result("--learning-rates", 0.3, "--epochs", 10,
                             train=features_write(self.path("apart"), x, y, names),
                             test=features_write(self.path("apart-test"), tx, ty, names))["rows"][0]
        self.assertEqual((result["top1"]["mean"], result["top1"]["deviation"], result["held_out"]), (1, 0, 0))

    def test_figures_are_those_of_the_saved_head(self):
        out, scores = self.path("figures-head"), self.path("scores")
        row = self.result("--seeds", 1, "--learning-rates", 0.2, "--out", out)["rows"][0]
        done = run(TRAINER, "probe", "--head", out, "--test-features", self.test, "--out", scores, "--json")
        self.assertAlmostEqual(json.loads(done.stdout)["top1"], row["top1"]["mean"], 6)
        self.assertAlmostEqual(json.loads(done.stdout)["top5"], row["top5"]["mean"], 6)
        head, _ = safetensors_read(out)
        tensors, metadata = safetensors_read(scores)
        self.assertEqual(json.loads(metadata["label_names"]), self.names)
        x = (self.tx.astype("float32") - head["norm.running_mean"]) / numpy.sqrt(head["norm.running_var"] + 1e-5)
        expected = (x * head["norm.weight"] + head["norm.bias"]) @ head["linear.weight"].T + head["linear.bias"]
        self.assertLess(abs(tensors["features"] - expected).max(), 1e-4)
        self.assertAlmostEqual(row["top1"]["mean"], (expected.argmax(1) == self.ty).mean(), 6)
        best = numpy.argsort(-expected, axis=1)[:, :5]
        self.assertAlmostEqual(row["top5"]["mean"], (best == self.ty[:, None]).any(1).mean(), 6)

    def test_nothing_is_chosen_on_the_test_set(self):
        words = ["--learning-rates", "0.0001,0.1,1", "--epochs", 4, "--seeds", 2]
        rows = self.result(*words)["rows"]
        chosen = [row for row in rows if row["chosen"]]
        self.assertEqual(len(chosen), 1)
        self.assertEqual(chosen[0]["held_out_top1"]["mean"], max(row["held_out_top1"]["mean"] for row in rows))
        self.assertTrue(all(row["held_out"] + row["pictures"] == 330 and row["held_out"] > 25 for row in rows))
        # A test set whose labels are turned changes its figures, not the choice, nor what was held out.
        turned = features_write(self.path("turned"), self.tx, (self.ty + 1) % 7, self.names)
        others = self.result(*words, test=turned)["rows"]
        self.assertEqual([(row["chosen"], row["held_out_top1"]) for row in rows],
                         [(row["chosen"], row["held_out_top1"]) for row in others])
        self.assertNotEqual(rows[1]["top1"], others[1]["top1"])

    def test_shares_are_balanced_and_grow_with_the_seed_s_draw(self):
        rows = self.result("--shares", "0.1,30%", "--epochs", 2, "--seeds", 4)["rows"]
        self.assertEqual([(row["pictures"], row["least_of_a_class"], row["most_of_a_class"]) for row in rows],
                         [(35, 5, 5), (98, 14, 14)])
        text = self.probe("--shares", "10%", "--epochs", 2).stdout
        self.assertIn("10 %: 35 pictures, 5 of each class, drawn anew by each of the seeds 0 to 2", text)
        self.assertIn("±", text)

    def test_labels_meet_by_name(self):
        other = self.names[::-1]
        reverse = features_write(self.path("reverse"), self.tx, 6 - self.ty, other)
        self.assertEqual(self.result("--epochs", 2)["rows"], self.result("--epochs", 2, test=reverse)["rows"])

    def test_wrong_input_is_named(self):
        bad = self.x.copy()
        bad[17, 3] = numpy.nan
        bad[40, 0] = numpy.inf
        labels = self.y.copy()
        labels[[5, 9]] = -1
        cases = [
            (dict(train=features_write(self.path("nan"), bad, self.y, self.names)),
             "2 of 330 pictures, the first of them 'picture-17'"),
            (dict(train=features_write(self.path("one"), self.x, 0 * self.y + 2, self.names)),
             "are of one class, 'c2'"),
            (dict(train=features_write(self.path("none"), self.x, 0 * self.y - 1, self.names)), "has a label"),
            (dict(test=features_write(self.path("other"), self.tx, self.ty, self.names[:6] + ["zebra"])),
             "%d pictures of '%s' are of classes that '%s' has no picture of, 'zebra' the first" %
             ((self.ty == 6).sum(), self.path("other"), self.train)),
            (dict(test=features_write(self.path("wide"), numpy.tile(self.tx, 2), self.ty, self.names)), "42 x 1"),
            (dict(test=features_write(self.path("net"), self.tx, self.ty, self.names, network="b"),
                  train=features_write(self.path("net1"), self.x, self.y, self.names, network="a")),
             "not of one network: the first have network 'a', the others 'b'"),
            (dict(train=features_write(self.path("label"), self.x, self.y + 1, self.names)), "is none of its 7"),
            (dict(train=features_write(self.path("names"), self.x, self.y, self.names, names=["a", "b"])),
             "has 2 lines, and there are 330 pictures"),
            (dict(train=safetensors_write(self.path("rank"), {"features": numpy.zeros((4, 2, 2), "float32")})),
             "has shape [4, 2, 2]"),
            (dict(train=safetensors_write(self.path("empty"), {"weight": numpy.zeros(3, "float32")})), "no features"),
        ]
        for files, message in cases:
            self.assertIn(message, self.probe(expect=1, **files).stderr)
        done = self.probe("--epochs", 1, train=features_write(self.path("some"), self.x, labels, self.names))
        self.assertIn("2 of 330 pictures of '%s' have no label and are left out, 'picture-5'" % self.path("some"),
                      done.stderr)
        self.assertIn("no longer finite", self.probe("--learning-rates", "1e6", expect=1).stderr)
        self.assertIn("has no layer 's9'", self.probe("--layers", "features,s9", expect=1).stderr)
        for words, message in ((["--shares", "0"], "'--shares' takes"), (["--shares", "2"], "up to 1 or 100%"),
                               (["--learning-rates", "0.1,,2"], "'--learning-rates' takes"),
                               (["--epochs", 1.5], "whole number"), (["--batch", 1], "one alone"),
                               (["--schedule", "stair"], "'step' or 'cosine'"),
                               (["--data", self.root], "are not wanted then")):
            self.assertIn(message, self.probe(*words, expect=2).stderr)
        self.assertIn("is no head", run(TRAINER, "probe", "--head", self.train, "--test-features", self.test,
                                        expect=1).stderr)
        self.assertIn("which network", run(TRAINER, "probe", expect=2).stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
