# Many tasks: what is measured is what `probe` measures, a run that was stopped goes on, faults of one task stop no
# other, and means, wins and ties of models side by side are numpy's.
import csv
import html.parser
import json
import os
import shutil
import subprocess
import sys
import unittest

import numpy
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from evaluate_common import pictures_make, root_make, run, safetensors_read

FOLDER = os.path.abspath(sys.argv[1])
TRAINER = os.path.join(FOLDER, "tiny")
WORDS = ["--untrained", "--learning-rates", 0.3, "--epochs", 6, "--seeds", 2, "--quiet"]


def table_write(path, rows, columns=None):
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def noise_make(folder, counts, seed):
    """Pictures whose folders say nothing of them."""
    random = numpy.random.default_rng(seed)
    for name, count in counts.items():
        os.makedirs(os.path.join(folder, name))
        for i in range(count):
            Image.fromarray(random.integers(0, 255, (9, 9, 3)).astype("uint8")).save(
                os.path.join(folder, name, "%03d.png" % i))
    return folder


class Tasks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = root_make("seer-tasks-data-")
        pictures_make(os.path.join(cls.data, "colours"), 8, 1)
        pictures_make(os.path.join(cls.data, "colours-test"), 6, 2)
        noise_make(os.path.join(cls.data, "noise"), {"a": 30, "b": 10}, 3)
        noise_make(os.path.join(cls.data, "noise-test"), {"a": 30, "b": 10}, 4)
        noise_make(os.path.join(cls.data, "single"), {"a": 5}, 5)
        cls.rows = [
            {"name": "colours", "train": "colours", "test": "colours-test", "group": "easy"},
            {"name": "noise", "train": "noise", "test": "noise-test", "metric": "mean_per_class", "group": "hard"},
            {"name": "plain", "train": "noise", "test": "noise-test", "metric": "top1", "group": "hard"}]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.data)

    def setUp(self):
        self.root = root_make("seer-tasks-")

    def tearDown(self):
        shutil.rmtree(self.root)

    def path(self, name):
        return os.path.join(self.root, name)

    def listed(self, rows, name="tasks.csv"):
        return table_write(os.path.join(self.data, name), rows)

    def tasks(self, rows, *words, expect=0, out="r.json", trainer=TRAINER, **more):
        self.done = run(trainer, "tasks", "--tasks", self.listed(rows), "--out", self.path(out), *WORDS, *words,
                        expect=expect, **more)
        with open(self.path(out)) as file:
            return json.load(file)

    def test_values_are_those_of_the_probe(self):
        self.assertEqual(self.tasks(self.rows, out="sure.json")["tasks"][0]["value"], 1)
        words = ["--learning-rates", 0.1, "--seeds", 3]
        result = self.tasks(self.rows, *words)
        self.assertEqual([row["name"] for row in result["tasks"]], ["colours", "noise", "plain"])
        self.assertIn("mean of a group          hard", self.done.stdout)
        for row, train in zip(result["tasks"], ("colours", "noise", "noise")):
            probe = json.loads(run(TRAINER, "probe", *WORDS, *words, "--json", "--data", os.path.join(self.data, train),
                                   "--test-data", os.path.join(self.data, train + "-test")).stdout)["rows"][0]
            figure = probe["top1" if row["metric"] == "top1" else "mean_per_class"]
            numpy.testing.assert_allclose(row["seeds"], figure["seeds"], atol=1e-8)
            self.assertAlmostEqual(row["value"], numpy.mean(row["seeds"]), 12)
            self.assertAlmostEqual(row["deviation"], numpy.std(row["seeds"], ddof=1), 12)
            self.assertGreater(row["deviation"], 0)
            self.assertEqual((row["undecodable"], row["held_out"]), (0, 0))
        self.assertLess(result["tasks"][1]["value"], 0.6)  # always naming the larger class has 0.5, and 0.75 of top-1
        self.assertFalse(os.path.exists(self.path("r.json.features")))

    def test_rows_may_say_how_their_heads_train(self):
        row = dict(self.rows[2], epochs="3", schedule="cosine", learning_rates="0.05,0.1", weight_decay="0.02")
        result = self.tasks([self.rows[2], dict(row, name="own")])
        self.assertIn("40  epochs 3  schedule cosine  learning_rates 0.05,0.1  weight_decay 0.02\n", self.done.stdout)
        words = ["--epochs", 3, "--schedule", "cosine", "--learning-rates", "0.05,0.1", "--weight-decay", 0.02]
        rows = json.loads(run(TRAINER, "probe", *WORDS, *words, "--json", "--data", os.path.join(self.data, "noise"),
                              "--test-data", os.path.join(self.data, "noise-test")).stdout)["rows"]
        chosen = next(found for found in rows if found["chosen"])
        numpy.testing.assert_allclose(result["tasks"][1]["seeds"], chosen["top1"]["seeds"], atol=1e-8)
        self.assertEqual(result["tasks"][1]["learning_rate"], chosen["learning_rate"])
        self.assertNotEqual(result["tasks"][0]["seeds"], result["tasks"][1]["seeds"])
        with open(self.path("r.json")) as file:
            before = file.read()
        again = self.tasks([self.rows[2], dict(row, name="own", epochs="4")], out="r.json")
        self.assertNotEqual(again["tasks"][1]["seeds"], result["tasks"][1]["seeds"])
        with open(self.path("before.json"), "w") as file:
            file.write(before)
        done = run(TRAINER, "tasks", "--result", self.path("before.json"), "--result", self.path("r.json"), expect=1)
        self.assertIn("'own' has the epochs '3'", done.stderr)

    def test_mean_per_class_is_the_saved_head_s(self):
        words = ["--data", os.path.join(self.data, "noise"), "--test-data", os.path.join(self.data, "noise-test")]
        head, scores = self.path("h.safetensors"), self.path("s.safetensors")
        rows = json.loads(run(TRAINER, "probe", *WORDS, "--json", "--out", head, *words).stdout)["rows"]
        done = run(TRAINER, "probe", "--untrained", "--json", "--head", head, *words[2:], "--out", scores)
        tensors, _ = safetensors_read(scores)
        right = tensors["features"].argmax(1) == tensors["labels"]
        expected = numpy.mean([right[tensors["labels"] == c].mean() for c in (0, 1)])
        self.assertAlmostEqual(rows[0]["mean_per_class"]["seeds"][0], expected, 6)
        self.assertAlmostEqual(json.loads(done.stdout)["mean_per_class"], expected, 6)

    def test_views_and_caches_change_nothing(self):
        words = ["--views", 2, "--learning-rates", "0.05,0.1", "--epochs", 4, "--seeds", 4]
        plain = self.tasks(self.rows[:1], *words)
        cached = self.tasks(self.rows[:1], *words, "--cache", self.path("kept"), out="c.json")
        files = sorted(os.listdir(self.path("kept")))
        tables = [safetensors_read(os.path.join(self.path("kept"), name))[0]["features"] for name in files]
        self.assertEqual(sorted(map(len, tables)), [18, 24, 24])
        crops = [table for table in tables if len(table) == 24]
        self.assertGreater(abs(crops[0] - crops[1]).max(), 1e-3)
        with open(os.path.join(self.path("kept"), files[0]), "r+b") as file:
            file.truncate(99)  # made again
        os.remove(self.path("c.json"))
        again = self.tasks(self.rows[:1], *words, "--cache", self.path("kept"), out="c.json")
        self.assertEqual(plain["tasks"], cached["tasks"])
        self.assertEqual(plain["tasks"], again["tasks"])
        probe = json.loads(run(TRAINER, "probe", *WORDS, *words, "--json", "--data", os.path.join(self.data, "colours"),
                               "--test-data", os.path.join(self.data, "colours-test")).stdout)["rows"]
        chosen = next(row for row in probe if row["chosen"])
        numpy.testing.assert_allclose(plain["tasks"][0]["seeds"], chosen["top1"]["seeds"], atol=1e-8)
        self.assertEqual(plain["tasks"][0]["learning_rate"], chosen["learning_rate"])
        self.assertGreater(plain["tasks"][0]["deviation"], 0)

    def test_features_are_made_once(self):
        frozen = shutil.copytree(os.path.join(self.data, "noise"), os.path.join(self.data, "frozen"))
        rows = [dict(row, train="frozen", test="frozen") for row in self.rows[1:]]
        first = self.tasks(rows, "--cache", self.path("kept"))
        self.assertEqual(len(os.listdir(self.path("kept"))), 1)
        for folder, _, names in os.walk(frozen):
            for name in names:
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(b"no picture")
        os.remove(self.path("r.json"))
        self.assertEqual(self.tasks(rows, "--cache", self.path("kept")), first)
        os.remove(self.path("r.json"))
        errors = [row["error"] for row in self.tasks(rows, expect=1)["tasks"]]
        self.assertTrue(all("decode" in error for error in errors), errors)

    def test_a_run_that_was_killed_goes_on(self):
        whole = self.tasks(self.rows, "--epochs", 300, out="whole.json")  # not over before it is killed
        words = ["tasks", "--tasks", self.listed(self.rows), "--out", self.path("r.json"), *WORDS[:-1], "--epochs", 300]
        process = subprocess.Popen([TRAINER, *map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   text=True)
        for line in process.stderr:
            if line.startswith("task 2 of 3, 'noise': 40 pictures to train on, 40 to test on; eta of all: "):
                process.kill()  # the first task is written, the second has begun
        process.wait()
        process.stderr.close()
        with open(self.path("r.json")) as file:
            first = json.load(file)["tasks"]
        self.assertEqual(first[0], whole["tasks"][0])
        done = run(TRAINER, *words)
        self.assertRegex(done.stderr, r"[123] of 3 tasks are in")
        self.assertNotIn("task 1 of 3", done.stderr)
        with open(self.path("r.json")) as file:
            self.assertEqual(json.load(file), whole)
        done = run(TRAINER, *words)
        self.assertIn("3 of 3 tasks are in", done.stderr)

    def test_what_changed_is_measured_again_or_refused(self):
        self.tasks(self.rows)
        loud = ["tasks", "--out", self.path("r.json"), *WORDS[:-1]]
        changed = [dict(self.rows[0], metric="mean_per_class", group="new"), dict(self.rows[2], group="other")]
        done = run(TRAINER, *loud, "--tasks", self.listed(changed))
        self.assertIn("task 'colours' has changed since and is measured again", done.stderr)
        self.assertIn("task 'noise' is not in", done.stderr)
        self.assertIn("1 of 2 tasks are in", done.stderr)
        with open(self.path("r.json")) as file:
            self.assertEqual([(row["name"], row["metric"], row["group"]) for row in json.load(file)["tasks"]],
                             [("colours", "mean_per_class", "new"), ("plain", "top1", "other")])
        copy = shutil.copytree(os.path.join(self.data, "colours"), os.path.join(self.data, "copy"))
        rows = [dict(self.rows[0], train="copy")]
        self.tasks(rows, out="copy.json")
        os.remove(os.path.join(copy, "blue", "00.jpg"))
        done = run(TRAINER, *loud, "--tasks", self.listed(rows), "--out", self.path("copy.json"))
        self.assertIn("task 'colours' has changed", done.stderr)
        with open(self.path("copy.json")) as file:
            self.assertEqual(json.load(file)["tasks"][0]["train_pictures"], 23)
        shutil.rmtree(copy)
        done = run(TRAINER, *loud, "--tasks", self.listed(rows), "--out", self.path("copy.json"))
        self.assertIn("task 'colours' keeps the value that it had", done.stderr)
        self.tasks(changed, "--epochs", 7, expect=1)
        self.assertIn("'epochs' is 6 there, and 7 here", self.done.stderr)
        self.tasks(changed, "--seed", 9, expect=1)
        self.assertRegex(self.done.stderr, "is of other weights|'first_seed' is 0 there, and 9 here")

    def test_faults_of_one_task_stop_no_other(self):
        rows = [dict(self.rows[0], name="gone", train="not-there"), dict(self.rows[0], name="one", train="single"),
                dict(self.rows[0], name="unfilled", test=""), dict(self.rows[1], name="strange", test="colours-test"),
                self.rows[0]]
        result = self.tasks(rows, expect=1)
        errors = [row.get("error", "") for row in result["tasks"]]
        for error, words in zip(errors, ("not-there", "are of one class, 'a'", "no pictures are named to test on",
                                         "are of classes that 'noise' has no picture of, 'blue'")):
            self.assertIn(words, error)
        self.assertEqual(result["tasks"][4]["value"], 1)
        self.assertIn("1 of 5 tasks have a value; 'gone': ", self.done.stderr)
        self.assertIn("no value: ", self.done.stdout)
        self.assertEqual(os.listdir(self.root), ["r.json"])
        # Repaired, the others stay and the repaired ones are measured.
        rows[0]["train"] = "colours"
        self.assertEqual([("value" in row) for row in self.tasks(rows, expect=1)["tasks"]],
                         [True, False, False, False, True])

    def test_wrong_lists_are_named(self):
        def fails(text, message):
            path = self.path("list.csv")
            with open(path, "w") as file:
                file.write(text)
            done = run(TRAINER, "tasks", "--tasks", path, "--out", self.path("x.json"), *WORDS, expect=1)
            self.assertIn(message, done.stderr)
            self.assertFalse(os.path.exists(self.path("x.json")))

        fails("name,train\na,b\n", "has no column 'test'")
        fails("name,train,test\na,b,c\nA,b,c\n",
              "line 3 of '%s' names a task that an earlier row" % self.path("list.csv"))
        fails("name,train,test\n,b,c\n", "has no name")
        fails("name,train,test\na,b\n", "has not as many fields")
        fails("name,train,test,name\na,b,c,d\n", "names a column twice")
        fails("name,train,test,metric\na,b,c,map11\n", "pictures have one label here")
        fails("name,train,test,metric\na,b,c,recall\n", "unknown metric")
        fails("name,train,test,view\na,b,c,round\n", "unknown view")
        fails("name,train,test,epochs\na,b,c,many\n", "line 2 of '%s' has epochs or a" % self.path("list.csv"))
        fails("name,train,test,schedule\na,b,c,linear\n", "asks for heads that cannot be")
        fails("name,train,test,learning_rates\na,b,c,0.1;1\n", "asks for heads that cannot be")
        fails("name,train,test\n", "has no rows")
        fails("", "has no rows")
        listed = self.listed(self.rows)
        for words, message in ((WORDS, "which tasks"), (["--tasks", listed], "which network"),
                               (["--tasks", listed, *WORDS, "--shares", "1%,10%"], "takes one share"),
                               (["--result", "a.json", "--untrained"], "are not wanted then")):
            self.assertIn(message, run(TRAINER, "tasks", *words, expect=2, cwd=self.root).stderr)
        self.assertIn("ends in .csv", run(TRAINER, "tasks", "--tasks", self.data, *WORDS, expect=1).stderr)

    def test_the_list_that_is_shipped_is_one(self):
        shipped = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../specs/tasks/seer.csv")
        done = run(TRAINER, "tasks", "--tasks", shipped, "--out", self.path("x.json"), *WORDS, expect=1)
        self.assertIn("0 of 30 tasks have a value; 'imagenet1k': no pictures are named to train on", done.stderr)

    def test_idx_files_have_their_labels_beside_them(self):
        random = numpy.random.default_rng(9)
        for name, count in (("i-train", 40), ("i-test", 30)):
            labels = random.integers(0, 2, count).astype("uint8")
            pixels = random.integers(0, 60, (count, 8, 8)) + 180 * labels[:, None, None]
            for kind, values in (("pictures", pixels.astype("uint8")), ("labels", labels)):
                path = os.path.join(self.data, "%s-%s.idx" % (name, kind))
                with open(path, "wb") as file:
                    file.write(bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape) +
                               values.tobytes())
        row = {"name": "idx", "train": "i-train-pictures.idx", "test": "i-test-pictures.idx",
               "train_labels": "i-train-labels.idx", "test_labels": "i-test-labels.idx"}
        task = self.tasks([row])["tasks"][0]
        self.assertEqual((task["value"], task["classes"], task["train_pictures"], task["test_pictures"]),
                         (1, 2, 40, 30))
        unlabelled = {key: value for key, value in row.items() if "labels" not in key}
        self.assertIn("has a label", self.tasks([unlabelled], out="u.json", expect=1)["tasks"][0]["error"])

    def test_square_views_are_of_whole_pictures(self):
        """What tells the classes apart lies at the ends of wide pictures, which their middles do not show."""
        random = numpy.random.default_rng(6)
        for folder, count in (("wide", 12), ("wide-test", 10)):
            for label, level in (("dark", 20), ("bright", 235)):
                os.makedirs(os.path.join(self.data, folder, label))
                for i in range(count):
                    pixels = random.integers(90, 160, (24, 96, 3))
                    pixels[:, :30] = pixels[:, -30:] = level
                    Image.fromarray(pixels.astype("uint8")).save(os.path.join(self.data, folder, label, "%d.png" % i))
        rows = [dict(name=view, train="wide", test="wide-test", view=view) for view in ("centre", "square")]
        centre, square = self.tasks(rows, "--views", 2)["tasks"]
        self.assertEqual(square["value"], 1)
        self.assertLess(centre["value"], 0.95)
        self.assertFalse(os.path.exists(self.path("r.json.features")))

    # ---- models side by side ----

    def results_make(self):
        """Three models' results on six tasks, made here."""
        random = numpy.random.default_rng(11)
        names = ["t%d" % i for i in range(6)]
        values = numpy.round(random.uniform(0.4, 0.9, (3, 6)), 4)
        deviations = numpy.round(random.uniform(0, 0.15, (3, 6)), 4)
        paths = []
        for m, model in enumerate(("<b>small</b>", "middle", "large & old")):
            rows = [{"name": name, "group": "even" if t % 2 == 0 else "odd", "metric": "top1",
                     "view": "centre", "train": "a", "test": "b",
                     "train_labels": "", "test_labels": "", "value": values[m, t], "deviation": deviations[m, t],
                     "train_pictures": 10, "test_pictures": 20, "classes": 3, "undecodable": m, "train_hash": "x",
                     "test_hash": "y"} for t, name in enumerate(names)]
            paths.append(self.path("m%d.json" % m))
            self.result_write(paths[-1], model, 10 ** (6 + 2 * m), rows)
        return names, values, deviations, paths

    def result_write(self, path, model, parameters, rows, **protocol):
        result = {"seer_tasks": 1, "model": model, "parameters": float(parameters), "weights": "w", "list": "l",
                  "weights_xxh3_128": "0", "protocol": dict({"epochs": 28, "seeds": 3}, **protocol),
                  "task_count": len(rows), "tasks": rows}
        with open(path, "w") as file:
            json.dump(result, file)

    def side_by_side(self, paths, *words, expect=0):
        done = run(TRAINER, "tasks", *[word for path in paths for word in ("--result", path)], *words, expect=expect)
        self.done = done
        return json.loads(done.stdout) if expect == 0 and "--json" in words else done

    def test_means_wins_and_ties_are_numpy_s(self):
        names, values, deviations, paths = self.results_make()
        random = numpy.random.default_rng(12)
        others = numpy.round(random.uniform(40, 90, (4, 6)), 1)
        others[0, 2] = others[1] = numpy.nan
        others[1, 0] = 100 * values[0, 0]  # a tie however small the deviation
        table = table_write(self.path("o.csv"), [
            dict({"model": "other %d" % i, "parameters": [3e7, "", 1e9, 2e10][i], "elsewhere": 1},
                 **{name.upper(): "" if numpy.isnan(x) else x for name, x in zip(names, row)})
            for i, row in enumerate(others)])
        found = self.side_by_side(paths[::-1], "--against", table, "--json")
        self.assertIn("1 columns of '%s' are no tasks of the results, 'elsewhere'" % table, self.done.stderr)
        models = {model["model"]: model for model in found["models"]}
        own = [m["model"] for m in found["models"] if m["own"]]
        self.assertEqual(own, ["<b>small</b>", "middle", "large & old"])
        for m, name in enumerate(own):
            self.assertAlmostEqual(models[name]["mean"], values[m].mean(), 12)
            self.assertAlmostEqual(models[name]["groups"]["odd"], values[m, 1::2].mean(), 12)
        self.assertAlmostEqual(models["other 0"]["mean"], numpy.nanmean(others[0]) / 100, 12)
        self.assertEqual(models["other 1"]["tasks"], 1)
        everything = {name: (values[m], deviations[m]) for m, name in enumerate(own)}
        everything.update({"other %d" % i: (others[i] / 100, numpy.zeros(6)) for i in range(4)})
        everything[None] = (numpy.nanmax(others, axis=0) / 100, numpy.zeros(6))
        seen = 0
        for row in found["comparisons"]:
            (a, da), (b, db) = everything[row["model"]], everything[row["against"]]
            known = ~numpy.isnan(a) & ~numpy.isnan(b)
            room = numpy.sqrt(da ** 2 + db ** 2)
            tied = known & (abs(a - b) <= room + 1e-12)
            self.assertEqual((row["wins"], row["losses"], row["ties"]),
                             ((known & ~tied & (a > b)).sum(), (known & ~tied & (a < b)).sum(), tied.sum()), row)
            seen += row["ties"]
        self.assertEqual(len(found["comparisons"]), 3 * (2 + 4 + 1))
        self.assertGreater(seen, 2)
        text = self.side_by_side(paths, "--against", table).stdout
        self.assertIn("against the best of others: ", text)
        page = self.path("p.html")
        self.side_by_side(paths, "--against", table, "--html", page, "--quiet")
        with open(page) as file:
            text = file.read()
        self.page_check(text)
        self.assertIn("&lt;b&gt;small", text)
        self.assertNotIn("<b>small", text)
        self.assertIn("%.2f <small>of 6" % (100 * values[0].mean()), text)
        self.assertEqual(text.count("<svg"), 1 + 6)
        self.assertIn("2 of 7 models are not drawn", text)
        self.assertIn("2 pictures could not be decoded", text)

    def test_means_of_what_all_have(self):
        names, values, _, paths = self.results_make()
        with open(paths[1]) as file:
            middle = json.load(file)
        rows = [row if row["name"] != "t1" else
                {key: value for key, value in dict(row, error="gone").items() if key not in ("value", "deviation")}
                for row in middle["tasks"] if row["name"] != "t4"]
        self.result_write(paths[1], "middle", 1e8, rows)
        models = self.side_by_side(paths, "--json")["models"]
        common = [0, 2, 3, 5]
        for m, model in enumerate(models):
            self.assertEqual(model["common_tasks"], 4)
            self.assertAlmostEqual(model["common_mean"], values[m, common].mean(), 12)
            self.assertAlmostEqual(model["mean"], values[m, common].mean() if m == 1 else values[m].mean(), 12)
        text = self.side_by_side(paths, "--html", self.path("p.html")).stdout
        self.assertRegex(text, "mean of what all have +%.2f of 4" % (100 * values[0, common].mean()))
        with open(self.path("p.html")) as file:
            page = file.read()
        self.page_check(page)
        self.assertIn("Mean over the 4 of 6 tasks that all results have", page)
        self.assertIn("<li>t1: gone</li>", page)

    def page_check(self, text):
        self.assertNotRegex(text, r"https?://|<script|\bnan\b|\binf\b")
        self.assertIn("prefers-color-scheme:dark", text)
        open_tags = []

        class Balance(html.parser.HTMLParser):
            def handle_starttag(self, tag, attributes):
                if tag not in ("meta", "path", "br"):
                    open_tags.append(tag)

            def handle_endtag(self, tag):
                assert open_tags.pop() == tag, tag

            def handle_startendtag(self, tag, attributes):
                pass

        Balance().feed(text)
        self.assertEqual(open_tags, [])

    def test_what_does_not_compare_is_refused(self):
        names, values, deviations, paths = self.results_make()
        good = json.load(open(paths[1]))
        for change, message in (
                (dict(rows=good["tasks"], epochs=5), "results of different protocols do not compare: 'epochs' is 28"),
                (dict(rows=[dict(good["tasks"][0], metric="mean_per_class")]), "'t0' has the metric 'top1' in"),
                (dict(rows=[dict(good["tasks"][0], test_pictures=21)]), "has 20 pictures to test on in")):
            self.result_write(self.path("x.json"), "x", 1e6, **change)
            self.assertIn(message, self.side_by_side([paths[0], self.path("x.json")], expect=1).stderr)
        self.result_write(self.path("x.json"), "middle", 1e6, good["tasks"])
        self.side_by_side([paths[1], self.path("x.json")], expect=1)
        self.assertIn("are both of a model 'middle'", self.done.stderr)
        for text, message in (("model,t0\na,0.5\nb,0.7\n", "look like shares"),
                              ("name,t0\na,50\n", "no column 'model'"),
                              ("model,t0\na,many\n", "has 'many' as 't0'"), ("model,t0\na,101\n", "has '101' as 't0'"),
                              ("model,t0\na,nan\n", "has 'nan'"), ("model,t0\na,5\na,6\n", "that an earlier row names"),
                              ("model,parameters\na,big\n", "has 'big' as 'parameters'")):
            with open(self.path("o.csv"), "w") as file:
                file.write(text)
            self.assertIn(message, self.side_by_side(paths, "--against", self.path("o.csv"), expect=1).stderr)
        random = numpy.random.default_rng(5)
        for _ in range(60):
            broken = json.load(open(paths[0]))
            at = broken
            while True:  # something somewhere is of another kind, or gone
                keys = list(at.keys()) if isinstance(at, dict) else list(range(len(at)))
                key = keys[random.integers(len(keys))]
                if isinstance(at[key], (dict, list)) and at[key] and random.random() < 0.8:
                    at = at[key]
                    continue
                if random.random() < 0.3:
                    del at[key]
                else:
                    at[key] = [None, "x", -1, [], {}, 1e300][random.integers(6)]
                break
            json.dump(broken, open(self.path("b.json"), "w"))
            done = run(TRAINER, "tasks", "--result", self.path("b.json"), "--result", paths[1], "--html",
                       self.path("b.html"), expect=None)
            self.assertIn(done.returncode, (0, 1), done.stderr)

    def test_another_network_is_refused_and_faults_show_on_the_page(self):
        rows = [self.rows[0], dict(self.rows[0], name="<i>gone", train="not-there")]
        self.tasks(rows, "--model", "one", "--html", self.path("p.html"), expect=1)
        with open(self.path("p.html")) as file:
            text = file.read()
        self.page_check(text)
        self.assertIn("1 of 2 tasks have a value", text)
        self.assertIn("&lt;i&gt;gone", text)
        self.tasks(rows, trainer=os.path.join(FOLDER, "tiny_wide"), expect=1)
        self.assertIn("is of other weights", self.done.stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
