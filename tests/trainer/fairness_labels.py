# Which labels people are given: rates, disparities and intervals against numpy, from manifests made here; what is wrong
# with a manifest is named with its count, and none makes the reader crash.
import itertools
import os
import sys
import unittest

import numpy

sys.path.insert(0, os.path.dirname(__file__))
from common import run
from fairness_common import CLASSES, LISTS, THRESHOLDS, TINY, Case, age_group, scores_write, table_write


class Labels(Case):
    def make(self, count=150):
        rows = self.people(count)
        scores = 2.5 * self.random.normal(size=(len(rows), len(CLASSES)))
        for row, line in zip(rows, scores):
            line[4] += 1.5 * (row["skin_tone"] > 3)  # prison
        scores = scores.astype("f4")
        order = self.random.permutation(len(rows))
        self.manifest = table_write(self.path("m.csv"), rows)
        self.predictions = scores_write(self.path("p.safetensors"), scores[order],
                                        ["/else/where/" + rows[i]["path"] for i in order])
        return rows, scores

    def labels(self, *words, expect=0):
        return self.fairness("labels", "--manifest", self.manifest, "--predictions", self.predictions, *words,
                             expect=expect)

    def groups(self, rows):
        values = {"gender": [row["gender"].lower() for row in rows],
                  "skin": ["lighter" if row["skin_tone"] <= 3 else "darker" for row in rows],
                  "age": [age_group(row["age"]) for row in rows]}
        for size in (1, 2, 3):
            for names in itertools.combinations(("gender", "skin", "age"), size):
                yield "+".join(names), numpy.array([", ".join(parts) for parts in zip(*(values[n] for n in names))])

    def test_rates_are_numpy_s(self):
        rows, scores = self.make()
        result = self.labels()
        probabilities = numpy.exp(scores.astype("f8"))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        top = numpy.argsort(-scores, axis=1, kind="stable")[:, :5]
        plain = [[word.strip().lower() for word in name.split(",")] for name in CLASSES]
        seen = 0
        for by, groups in self.groups(rows):
            for group in set(groups):
                of = groups == group
                for name, labels in LISTS.items():
                    member = [any(word in labels for word in words) for words in plain]
                    for threshold in THRESHOLDS:
                        hit = [any(member[l] and probabilities[i, l] >= threshold for l in top[i])
                               for i in numpy.flatnonzero(of)]
                        entry, value, _, _ = self.value(result, by, group, name, "threshold %g" % threshold)
                        self.assertAlmostEqual(value[0], numpy.mean(hit), 6)
                        self.assertEqual(entry["cases"], of.sum())
                        units = {row["person"] for row, inside in zip(rows, of) if inside}
                        self.assertEqual(entry["units"], len(units))
                        self.assertEqual(entry["small"], len(units) < 30)
                        seen += 1
        self.assertGreater(seen, 500)
        self.assertEqual((result["pictures"], result["pictures_used"]), (len(rows), len(rows)))
        _, _, _, largest = self.value(result, "skin", "darker", "crime", "threshold 0.1")
        self.assertEqual((largest["high"], largest["low"], largest["clear"]), ("darker", "lighter", True))
        self.assertGreater(largest["difference"][1], 0)
        self.assertIn("'darker' over 'lighter'", self.done.stdout)

    def test_single_labels_are_numpy_s(self):
        rows, scores = self.make()
        result = self.labels("--by", "skin,age", "--least", 10)
        probabilities = numpy.exp(scores.astype("f8"))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        top = numpy.argsort(-scores, axis=1, kind="stable")[:, :5]
        given = numpy.zeros(scores.shape)
        for i in range(len(rows)):
            for label in top[i]:
                given[i, label] = probabilities[i, label] >= 0.1
        names = [m["name"] for m in result["measures"] if m["detail"]]
        self.assertEqual(names[0], "prison")
        for by, groups in self.groups(rows):
            if by not in ("skin", "age"):
                continue
            size = {g: len({row["person"] for row, own in zip(rows, groups) if own == g}) for g in set(groups)}
            rate = {g: given[groups == g].sum(axis=0) / given[groups == g].sum() for g in size if size[g] >= 10}
            for g in rate:
                for name in names:
                    label = CLASSES.index(name)
                    expected = rate[g][label] - numpy.mean([rate[o][label] for o in rate if o != g])
                    _, value, apart, _ = self.value(result, by, g, name, "threshold 0.1")
                    self.assertAlmostEqual(value[0], rate[g][label], 6)
                    self.assertAlmostEqual(apart[0], expected, 6)
                    self.assertLessEqual(apart[1], apart[0])

    def test_intervals_are_the_bootstrap_s(self):
        rows, scores = self.make(400)
        result = self.labels("--by", "skin")
        hits = numpy.array([bool({4} & set(numpy.argsort(-line, kind="stable")[:5])) for line in scores], float)
        people = sorted({row["person"] for row in rows})
        number = numpy.array([people.index(row["person"]) for row in rows])
        for group, inside in (("darker", lambda t: t > 3), ("lighter", lambda t: t <= 3)):
            of = numpy.array([inside(row["skin_tone"]) for row in rows])
            sums, counts = numpy.bincount(number, hits * of), numpy.bincount(number, of)
            draws = self.random.integers(len(people), size=(4000, len(people)))
            shares = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
            expected = numpy.quantile(shares, (0.025, 0.975))
            _, value, _, _ = self.value(result, "skin", group, "crime", "threshold 0")
            width = expected[1] - expected[0]
            # Quantiles of 2000 and of 4000 draws, each off by some hundredths of the width.
            self.assertLess(abs(value[1] - expected[0]), 0.12 * width)
            self.assertLess(abs(value[2] - expected[1]), 0.12 * width)

    def test_tables_of_all_kinds_are_one(self):
        rows, _ = self.make(60)
        same = None
        for name in ("m.csv", "m.tsv", "m.jsonl"):
            result = self.fairness("labels", "--manifest", table_write(self.path(name), rows), "--predictions",
                                   self.predictions)
            for key in ("manifest", "manifest_xxh3_128"):
                del result[key]
            self.assertEqual(result, same or result)
            same = result

    def test_threads_change_no_bit(self):
        self.make(60)
        files = []
        for threads in (1, 3):
            self.labels("--threads", threads)
            files.append(open(self.path("result.json"), "rb").read())
        self.assertEqual(*files)
        self.labels("--seed", 1)
        self.assertNotEqual(files[0], open(self.path("result.json"), "rb").read())

    def test_probabilities_are_taken_as_they_are(self):
        rows, scores = self.make(40)
        probabilities = numpy.exp(scores)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        path = scores_write(self.path("q.safetensors"), probabilities, [row["path"] for row in rows])
        first = self.labels()
        second = self.fairness("labels", "--manifest", self.manifest, "--predictions", path)
        self.assertEqual((first.pop("from_logits"), second.pop("from_logits")), (True, False))
        self.assertEqual(first["by"], second["by"])
        self.labels("--scores", "probabilities", expect=1)
        self.assertIn("no probabilities", self.done.stderr)

    def test_groups_of_ones_own(self):
        self.make(40)
        lists = self.path("lists.csv")
        with open(lists, "w") as file:
            file.write("group,label,why\nmine,thing 3,a\nmine,\"thing 4\",b\nempty,nothing of the sort,c\n")
        result = self.labels("--groups", lists)
        self.assertEqual({m["name"] for m in result["measures"] if not m["detail"]}, {"mine"})
        self.assertEqual(self.told(result, "of the list 'empty'"), 1)
        printed = run(TINY, "fairness", "groups").stdout
        with open(lists, "w") as file:
            file.write(printed)
        own = self.labels("--groups", lists)
        default = self.labels()
        self.assertEqual(own["by"], default["by"])
        with open(lists, "w") as file:
            file.write("group,label\nempty,nothing\n")
        self.assertIsNone(self.labels("--groups", lists, expect=1))
        self.assertIn("none of the labels", self.done.stderr)

    def test_what_is_wrong_is_named(self):
        rows, scores = self.make(60)
        names = [row["path"] for row in rows]
        rows[0]["gender"], rows[1]["gender"], rows[2]["skin_tone"], rows[3]["age"] = "", "N/A", 9, "old"
        self.manifest = table_write(self.path("m.csv"), rows + [rows[5]])
        path = scores_write(self.path("q.safetensors"), scores[:-2], names[:-2])
        result = self.fairness("labels", "--manifest", self.manifest, "--predictions", path, expect=1)
        self.assertIn("%d of %d pictures used" % (len(rows) - 2, len(rows) + 1), self.done.stderr)
        self.assertEqual(self.told(result, "has no row"), 2)
        self.assertEqual(self.told(result, "named again"), 1)
        self.assertEqual(self.told(result, "gender is unknown"), 2)
        self.assertEqual(self.told(result, "skin is '9'"), 1)
        self.assertEqual(result["pictures_used"], len(rows) - 2)
        male = self.value(result, "gender", "male", "human", "threshold 0")[0]
        female = self.value(result, "gender", "female", "human", "threshold 0")[0]
        self.assertEqual(male["cases"] + female["cases"], len(rows) - 4)
        # Other words than years stay groups of their own: brackets of other sets are such.
        self.assertEqual(self.value(result, "age", "old", "human", "threshold 0")[0]["cases"], 1)
        self.fairness("labels", "--manifest", self.manifest, "--predictions", path, "--allow-missing")

    def test_mistakes(self):
        rows, scores = self.make(40)
        names = [row["path"] for row in rows]
        manifest, good = self.manifest, self.predictions

        def refused(code, text, *words):
            self.assertIsNone(self.fairness("labels", *words, expect=code))
            self.assertIn(text, self.done.stderr)

        refused(2, "--manifest", "--predictions", good)
        refused(2, "--weights", "--manifest", manifest)
        refused(1, "no attribute 'race'", "--manifest", manifest, "--predictions", good, "--by", "race")
        refused(1, "no column 'house'", "--manifest", manifest, "--predictions", good, "--unit", "house")
        refused(1, "no layout is called", "--manifest", manifest, "--predictions", good, "--layout", "mip")
        refused(2, "--replicates", "--manifest", manifest, "--predictions", good, "--replicates", 5)
        double = scores_write(self.path("d.safetensors"), numpy.concatenate([scores, scores[:1]]), names + names[:1])
        refused(1, "two rows of the name", "--manifest", manifest, "--predictions", double)
        other = scores_write(self.path("o.safetensors"), scores, names, CLASSES[:-1])
        refused(1, "names 29 labels", "--manifest", manifest, "--predictions", other)
        bad = scores.copy()
        bad[3, 3] = numpy.nan
        refused(1, "not finite", "--manifest", manifest, "--predictions", scores_write(self.path("n"), bad, names))
        nobody = table_write(self.path("none.csv"), [{"path": "q/%d.png" % i, "gender": "male"} for i in range(5)])
        refused(1, "none of the 5 pictures", "--manifest", nobody, "--predictions", good)
        many = table_write(self.path("many.csv"), [{"path": name, "mood": "m%d" % i, "gender": "male"}
                                                   for i, name in enumerate(["x/%d.jpg" % i for i in range(300)])])
        refused(1, "more than 200 groups", "--manifest", many, "--by", "mood", "--predictions",
                scores_write(self.path("s"), numpy.ones((300, 30)), ["x/%d.jpg" % i for i in range(300)]))
        for text, line in (("path,gender\na.jpg\n", "line 2"), ("path,path\n", "line 1"),
                           ("gender\nmale\n", "column of"),
                           ("path,xmin,ymin\na,1,2\n", "not all"), ("path,xmin,ymin,xmax,ymax\na,1,2,b,4\n", "line 2"),
                           ("path,xmin,ymin,xmax,ymax\na,1,2,,4\n", "line 2"), ("path,gender\n,male\n", "line 2"),
                           ("path,gender\n", "no picture"), ("", "no picture")):
            with open(self.path("bad.csv"), "w") as file:
                file.write(text)
            refused(1, line, "--manifest", self.path("bad.csv"), "--predictions", good)

    def test_hostile_manifests(self):
        rows, _ = self.make(30)
        sources = [open(table_write(self.path(name), rows), "rb").read() for name in ("h.csv", "h.jsonl")]
        for trial in range(40):
            kind = trial % 2
            data = bytearray(sources[kind])
            for _ in range(1 + self.random.integers(4)):
                at = self.random.integers(len(data))
                act = self.random.integers(4)
                if act == 0:
                    data[at] = self.random.integers(256)
                elif act == 1:
                    del data[at:at + self.random.integers(200)]
                elif act == 2:
                    data[at:at] = data[at:at + 60] * self.random.integers(1, 30)
                else:
                    data[at:at] = self.random.choice([b'"', b"\n", b"\0", b"\xff", b"{", b"[[[[", b",,,,"])
            path = self.path("h.csv" if kind == 0 else "h.jsonl")
            with open(path, "wb") as file:
                file.write(data)
            done = run(TINY, "fairness", "labels", "--manifest", path, "--predictions", self.predictions,
                       "--replicates", 100, expect=None)
            self.assertIn(done.returncode, (0, 1, 2), done.stderr)
            self.assertTrue(done.returncode == 0 or "error: " in done.stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
