# Heads on memes: where hate is the XOR of a picture's and a text's attribute, neither half tells anything and both
# together all; AUROC is that of counting pairs; leaks, gaps and hostile files are named.
import csv
import json
import os
import shutil
import sys
import types
import unittest

import numpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from evaluate_common import features_write, root_make, run, safetensors_read

TRAINER = os.path.join(os.path.abspath(sys.argv[1]), "tiny")
SIZES = {"train": 600, "dev": 200, "test": 150}
WORDS = ["river", "lamp", "seven", "green", "paper", "stone", "cloud", "table", "violin", "harbour", "engine", "salt"]


def pairs_auroc(scores, labels):
    ones, zeros = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return ((ones > zeros) + 0.5 * (ones == zeros)).mean()


def lines_write(path, items):
    with open(path, "w") as file:
        file.writelines(json.dumps(item) + "\n" for item in items)
    return path


class HateSpeech(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from PIL import Image
        cls.root = root_make("seer-hate-")
        random = numpy.random.default_rng(11)
        os.makedirs(cls.path("memes/img"))
        cls.items, cls.files, cls.text = {}, {}, {}
        number = 0
        for part, count in SIZES.items():
            cls.items[part] = []
            for _ in range(count):
                number += 1
                red, good = random.integers(0, 2, 2)
                pixels = random.integers(0, 90, (18, 20, 3))
                pixels[..., 0 if red else 2] += 150
                picture = "img/%05d.png" % number
                Image.fromarray(pixels.astype("uint8")).save(cls.path("memes/" + picture))
                text = " ".join(random.choice(WORDS, 6)) + " %d " % number + ("love" if good else "hate")
                cls.text[number] = numpy.concatenate([[text.count("love"), text.count("hate")],
                                                      random.normal(size=6)])
                cls.items[part].append({"id": number, "img": picture, "text": text, "label": int(red ^ good)})
            items = cls.items[part] if part != "test" else [{k: v for k, v in item.items() if k != "label"}
                                                            for item in cls.items[part]]
            cls.files[part] = lines_write(cls.path(part + ".jsonl"), items)
        cls.every = [item for part in SIZES for item in cls.items[part]]
        cls.texts = lines_write(cls.path("texts.jsonl"), [{"id": str(i), "features": list(v)}
                                                          for i, v in cls.text.items()])
        cls.weights = cls.path("run")
        run(TRAINER, "--data", cls.path("memes"), "--out", cls.weights, "--steps", 20, "--seed", 1, "--no-report")
        cls.pictures = cls.path("pictures.safetensors")
        run(TRAINER, "features", "--weights", cls.weights, "--data", cls.path("memes"), "--out", cls.pictures)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.root, name)

    def words(self, **changed):
        files = dict(self.files, picture_features=self.pictures, text_features=self.texts)
        files.update(changed)
        return [word for name, value in files.items() if value is not None
                for word in ("--" + name.replace("_", "-"), value)]

    def hate(self, *more, expect=0, **changed):
        return run(TRAINER, "hate-speech", *self.words(**changed), *more, expect=expect)

    def result(self, *more, **changed):
        return json.loads(self.hate("--json", "--quiet", *more, **changed).stdout)

    def test_neither_half_suffices(self):
        out, predictions = self.path("result.json"), self.path("p.csv")
        words = ["--seeds", 3, "--epochs", 30, "--hidden", 64]
        text = self.hate(*words, "--out", out, "--predictions", predictions).stdout
        result = json.load(open(out))
        dev = result["dev"]
        for half in ("picture", "text"):
            self.assertLess(abs(dev[half]["auroc"] - 0.5), 0.12)
            self.assertGreater(dev["both_over_" + half]["interval"][0], 0.3)
        self.assertGreater(dev["both"]["auroc"], 0.97)
        self.assertGreater(dev["both"]["accuracy"], 0.9)
        self.assertIn("both over picture alone: AUROC +0.", text)
        self.assertNotIn("test", result)  # it has no labels
        rows = list(csv.DictReader(open(predictions)))
        self.assertEqual([int(row["id"]) for row in rows], [item["id"] for item in self.items["test"]])
        right = [int(row["label"]) == item["label"] and (float(row["proba"]) >= 0.5) == int(row["label"])
                 for row, item in zip(rows, self.items["test"])]
        self.assertGreater(numpy.mean(right), 0.9)
        # The same from pictures, in one go, and with another number of threads.
        direct = self.result(*words, "--threads", 3, picture_features=None, weights=self.weights,
                             pictures=self.path("memes"))
        self.assertEqual(direct, dict(result))

    def test_figures_are_those_of_the_predictions(self):
        # Ties: every second item of dev has the features of the one before it.
        count = len(self.items["dev"])
        rows = numpy.array([self.text[item["id"]] for item in self.every])
        first = SIZES["train"]
        rows[first + 1:first + count:2] = rows[first:first + count:2]
        pictures = numpy.zeros((len(rows), 1))
        pictures[::2] = 1
        file = features_write(self.path("tied.safetensors"), pictures, None, [],
                              [item["img"] for item in self.every])
        texts = features_write(self.path("tied-text.safetensors"), rows, None, [],
                               [str(item["id"]) for item in self.every])
        predictions = self.path("tied.csv")
        result = self.result("--seeds", 1, "--epochs", 2, "--predictions", predictions, "--allow-leaks", test=None,
                             picture_features=file, text_features=texts)["dev"]["both"]
        probability = numpy.array([float(row["proba"]) for row in csv.DictReader(open(predictions))])
        labels = numpy.array([item["label"] for item in self.items["dev"]])
        self.assertAlmostEqual(result["auroc"], pairs_auroc(probability.astype("float32"), labels), 9)
        self.assertAlmostEqual(result["accuracy"], ((probability >= 0.5) == labels).mean(), 9)
        random = numpy.random.default_rng(3)
        draws = random.integers(0, count, (2000, count))
        aurocs = [pairs_auroc(probability[draw], labels[draw]) for draw in draws]
        accuracies = [((probability >= 0.5) == labels)[draw].mean() for draw in draws]
        for name, values in (("auroc", aurocs), ("accuracy", accuracies)):
            # Ends of two sets of 2,000 draws: each has a deviation of about 0.05 of the spread's.
            self.assertLess(abs(numpy.percentile(values, [2.5, 97.5]) - result[name + "_interval"]).max(),
                            0.25 * numpy.std(values))

    def test_text_features_come_in_three_kinds(self):
        words = ["--seeds", 1, "--epochs", 2]
        rows = numpy.array([self.text[item["id"]] for item in self.every]).astype("float16")
        exact = lines_write(self.path("exact.jsonl"), [{"id": item["id"], "features": [float(v) for v in row]}
                                                       for item, row in zip(self.every, rows)])
        expected = self.result(*words, text_features=exact)
        named = features_write(self.path("named.safetensors"), rows[::-1], None, [],
                               [str(item["id"]) for item in self.every[::-1]])
        self.assertEqual(expected, self.result(*words, text_features=named))
        for kind, order in (("<f2", "C"), ("<f4", "F"), ("<f8", "C")):
            path = self.path("rows.npy")
            numpy.save(path, numpy.asarray(rows.astype(kind), order=order))
            self.assertEqual(expected, self.result(*words, text_features=path), (kind, order))

    def test_the_script_for_texts_writes_what_is_read(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "text_features")
        script = types.ModuleType("text_features")
        with open(path) as file:
            exec(compile(file.read(), path, "exec"), script.__dict__)
        items = script.lines_read([self.files[part] for part in SIZES])
        self.assertEqual(items, [(str(item["id"]), item["text"]) for item in self.every])
        out = self.path("script.safetensors")
        rows = [list(map(float, self.text[int(key)])) for key, _ in items]
        script.features_write(out, [key for key, _ in items], rows, "an encoder")
        words = ["--seeds", 1, "--epochs", 2]
        self.assertEqual(self.result(*words, text_features=out), self.result(*words))
        for text, message in (('{"id": 1}\n', "line 1 of .* is no JSON object"), ("\n", "no lines"),
                              ('{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n',
                               "line 2 .* id '1' is there twice")):
            with open(self.path("texts-wrong.jsonl"), "w") as file:
                file.write(text)
            with self.assertRaisesRegex(SystemExit, message):
                script.lines_read([self.path("texts-wrong.jsonl")])

    def test_the_script_runs_an_encoder(self):
        try:
            import torch
            import transformers
        except ImportError:
            self.skipTest("needs torch and transformers")
        folder, out = self.path("bert"), self.path("bert.safetensors")
        os.makedirs(folder)
        letters = [chr(ord("a") + i) for i in range(26)] + list("0123456789")
        with open(os.path.join(folder, "vocab.txt"), "w") as file:
            file.write("\n".join("[PAD] [UNK] [CLS] [SEP] [MASK]".split() + letters + ["##" + c for c in letters]))
        torch.manual_seed(1)
        tokenizer = transformers.BertTokenizer(os.path.join(folder, "vocab.txt"))
        model = transformers.BertModel(transformers.BertConfig(
            vocab_size=5 + 2 * len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32)).eval()
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "text_features")
        run(sys.executable, script, *(self.files[part] for part in SIZES), "-o", out, "--model", folder)
        tensors, _ = safetensors_read(out)
        self.assertEqual(bytes(tensors["names"]).decode().split(), [str(item["id"]) for item in self.every])
        for row in (0, 333, 949):  # alone, without pads
            with torch.no_grad():
                last = model(**tokenizer(self.every[row]["text"], return_tensors="pt")).last_hidden_state
            self.assertLess(abs(last[0].mean(0).numpy() - tensors["features"][row]).max(), 1e-5)
        self.hate("--epochs", 1, "--seeds", 1, text_features=out)
        self.assertIn("cannot load", run(sys.executable, script, self.files["dev"], "-o", out, "--model",
                                         self.path("memes"), expect=1).stderr)

    def test_damaged_npy_is_refused(self):
        rows = numpy.zeros((sum(SIZES.values()), 4), "<f4")
        path = self.path("bad.npy")

        def fails(message):
            done = self.hate("--epochs", 1, "--seeds", 1, text_features=path, expect=1)
            self.assertIn(message, done.stderr)

        for values, message in ((rows.astype(">f4"), "kind '>f4'"), (rows.astype("<i4"), "kind '<i4'"),
                                (rows[0], "1 dimensions"), (rows[None], "3 dimensions"),
                                (rows[:-1], "have no features"),
                                (numpy.vstack([rows, rows[:2]]), "rows, and train, dev and test together")):
            numpy.save(path, values)
            fails(message)
        nan = rows.copy()
        nan[7, 1] = numpy.nan
        numpy.save(path, nan)
        fails("'row 7'")
        numpy.save(path, rows)
        good = open(path, "rb").read()
        for damaged in (good[:-1], good + b"x", good[:40], good[:7], b"", good.replace(b"'descr'", b"'desc\0'"),
                        good.replace(b"950, 4", b"99999999999999999999, 4"),
                        good.replace(b"950, 4), }", b"4611686018427387905, 4), }"),
                        good.replace(b"False", b"Maybe"), good.replace(b"{'descr'", b"{'extra'")):
            open(path, "wb").write(damaged)
            self.assertNotEqual(damaged, good)
            fails("bad.npy'")
        random = numpy.random.default_rng(1)
        for _ in range(60):
            damaged = bytearray(good)
            for at in random.integers(0, 128, 2):
                damaged[at] = random.integers(0, 256)
            open(path, "wb").write(damaged)
            done = run(TRAINER, "hate-speech", *self.words(text_features=path), "--epochs", 1, "--seeds", 1, "--hidden",
                       1, "--batch", 600, expect=None)
            self.assertIn(done.returncode, (0, 1), done.stderr)

    def test_leaks_are_told_and_refused(self):
        train, dev = self.items["train"], [dict(item) for item in self.items["dev"]]
        dev[3]["text"] = "  " + train[5]["text"].upper().replace(" ", ", ") + "!"
        dev[7]["img"] = train[9]["img"]
        dev[8]["img"] = "img/copy.png"
        shutil.copy(self.path("memes/" + train[2]["img"]), self.path("memes/img/copy.png"))
        leaking = lines_write(self.path("leak.jsonl"), dev)
        done = self.hate(dev=leaking, expect=1, pictures=self.path("memes"), picture_features=None,
                         weights=self.weights)
        self.assertIn("of 200 memes of '%s', 0 have an id, 2 a picture, 1 a text that is in '%s', too, '%d' the first" %
                      (leaking, self.files["train"], dev[3]["id"]), done.stderr)
        self.assertIn("--allow-leaks", done.stderr)
        os.remove(self.path("memes/img/copy.png"))
        dev[8]["img"] = self.items["dev"][8]["img"]
        dev[11]["id"] = train[0]["id"]
        lines_write(leaking, dev)
        words = ["--seeds", 1, "--epochs", 1]
        leaks = self.result("--allow-leaks", *words, dev=leaking)["leaks"]
        self.assertEqual([leak["from"] + leak["to"] for leak in leaks], ["traindev", "traintest", "devtest"])
        self.assertEqual((leaks[0]["ids"], leaks[0]["pictures"], leaks[0]["texts"]), (1, 1, 1))
        near = [dict(item) for item in self.items["dev"]]
        near[4]["text"] = train[6]["text"] + " indeed"
        lines_write(leaking, near)
        self.assertEqual(self.result(*words, dev=leaking)["leaks"][0]["near_texts"], 0)
        self.assertIn("1 nearly the same text", self.hate("--near-texts", 0.8, dev=leaking, expect=1).stderr)

    def test_wrong_input_is_named(self):
        def written(change, part="dev"):
            items = [dict(item) for item in self.items[part]]
            change(items)
            return lines_write(self.path("wrong.jsonl"), items)

        for lines, message in (([{"id": 1, "features": [1]}, {"id": 2, "features": [1, 2]}], "another number"),
                               ([{"id": 1, "features": [1, "a"]}], "no number"), ([{"features": [1]}], "no 'id'"),
                               ([], "has no lines")):
            file = lines_write(self.path("t.jsonl"), lines)
            self.assertIn(message, self.hate(expect=1, text_features=file).stderr)
        self.assertIn("gone.npy", self.hate(expect=1, text_features=self.path("gone.npy")).stderr)
        for change, part, role, message in (
                (lambda items: items[4].pop("label"), "dev", "dev", "wrong.jsonl' has no 'label'"),
                (lambda items: items[0].update(label=2), "train", "train", "has a 'label' that is neither 0 nor 1"),
                (lambda items: items[2].pop("img"), "test", "test", "has no 'img'"),
                (lambda items: items[2].update(id=1.5), "test", "test", "has no 'id', a number or text"),
                (lambda items: items[2].update(id=items[9]["id"]), "test", "test", "1 lines with an id"),
                (lambda items: items[2].update(img="img/none.png"), "test", "test",
                 "of 150 items of '%s', 1 have no features in '%s', picture 'img/none.png'" %
                 (self.path("wrong.jsonl"), self.pictures)),
                (lambda items: items[2].update(id="who"), "test", "test", "id 'who' the first of them"),
                (lambda items: [item.update(label=1) for item in items], "dev", "dev",
                 "200 of 200 items have label 1")):
            done = self.hate("--epochs", 1, "--seeds", 1, expect=1, **{role: written(change, part)})
            self.assertIn(message, done.stderr)
        for text, message in (('\n \n{"id": 1,\n', "line 3 of '%s' is no JSON object"),
                              ("[1]\n", "line 1 of '%s' is no JSON object"),
                              ('{"id": 1, "text": "%s"}\n' % ("a" * (1 << 20)),
                               "line 1 of '%s' begins a row of more than 1,048,576 bytes")):
            with open(self.path("wrong.jsonl"), "w") as file:
                file.write(text)
            done = self.hate(dev=self.path("wrong.jsonl"), expect=1)
            self.assertIn(message % self.path("wrong.jsonl"), done.stderr)
        self.assertIn("are not in", self.hate(picture_features=None, weights=self.weights,
                                              pictures=self.path("run"), expect=1).stderr)
        for more, changed in ((["--dropout", "1"], {}), (["--near-texts", 2], {}), ([], dict(text_features=None)),
                              ([], dict(picture_features=None)), ([], dict(train=None)),
                              ([], dict(picture_features=None, weights=self.weights))):
            self.hate(*more, expect=2, **changed)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
