# Hits by household and neighbours of the same group against numpy, on data sets laid out as they are distributed.
import ast
import collections
import json
import os
import sys
import unittest

import numpy

sys.path.insert(0, os.path.dirname(__file__))
from common import run
from fairness_common import TINY, Case, safetensors_write, scores_write, table_write


class Geography(Case):
    def make(self):
        concepts = {"Beds": ["bed", "bunk"], "Stoves": ["stove"], "Men's toilets": ["toilet seat"]}
        classes = ["bed", "Bunk", "stove", "toilet_seat", "tub"] + ["thing %d" % i for i in range(8)]
        rows, number = [], 0
        for house in range(160):
            income, region = float(numpy.exp(self.random.uniform(2, 10))), self.random.choice(["af", "as", "am", "eu"])
            for _ in range(self.random.integers(1, 6)):
                rows.append({"id": "x%d" % number, "country.name": "C", "country.id": "c", "region.id": region,
                             "type": "image", "imageRelPath": "assets/%d/%d.jpg" % (house, number),
                             "topics": self.topics(concepts), "place": "h%d" % house,
                             "income": "%.2f" % income, "imagenet_synonyms": "[]"})
                number += 1
        scores = self.random.normal(size=(len(rows), len(classes))).astype("f4")
        self.mapping = self.path("mapping.csv")
        with open(self.mapping, "w") as file:
            file.write("concept,label\n" + "".join("%s,%s\n" % (c, l) for c in concepts for l in concepts[c]))
        self.scores = scores_write(self.path("p"), scores, [row["imageRelPath"] for row in rows], classes)
        return rows, scores, {"Beds": {0, 1}, "Stoves": {2}, "Men's toilets": {3}}

    def topics(self, concepts):
        """One or two, as Python prints lists: one that holds an apostrophe is in double quotes."""
        shown = list(self.random.choice(list(concepts), self.random.integers(1, 3), replace=False))
        return repr([str(concept) for concept in shown])

    def test_dollarstreet(self):
        rows, scores, wanted = self.make()
        manifest = table_write(self.path("images_v2.csv"), rows)
        result = self.fairness("geography", "--manifest", manifest, "--predictions", self.scores, "--mapping",
                               self.mapping)
        self.assertEqual((result["layout"], result["unit"]), ("dollarstreet", "household"))
        houses = collections.defaultdict(list)
        for row, line in zip(rows, scores):
            top = set(numpy.argsort(-line, kind="stable")[:5])
            bucket = {1: "low", 2: "medium", 3: "high"}[round(numpy.log(float(row["income"])) / 3)]
            region = {"af": "africa", "as": "asia", "am": "americas", "eu": "europe"}[row["region.id"]]
            houses[row["place"], bucket, region].append(any(top & wanted[topic]
                                                                   for topic in ast.literal_eval(row["topics"])))
        for by, at in (("income", 1), ("region", 2)):
            for group in {key[at] for key in houses}:
                means = [numpy.mean(hits) for key, hits in houses.items() if key[at] == group]
                entry, value, _, _ = self.value(result, by, group, "hits")
                self.assertAlmostEqual(value[0], numpy.mean(means), 6)
                self.assertEqual((entry["units"], entry["cases"]), (len(means), len(means)))
        self.assertEqual([g["name"] for g in result["by"][1]["groups"]], ["low", "medium", "high"])

    def test_pictures_named_once_for_each_concept(self):
        rows, _, _ = self.make()
        single, lists = [], []
        for row in rows:
            topics = ast.literal_eval(row["topics"])
            common = {"path": row["imageRelPath"], "income": row["income"], "household": row["place"]}
            single += [dict(common, concept=topic) for topic in topics]
            lists.append(dict(common, concept=topics))
        words = ["--predictions", self.scores, "--mapping", self.mapping]
        several = self.fairness("geography", "--manifest", table_write(self.path("single.csv"), single), *words)
        self.assertEqual((several["pictures"], several["pictures_used"]), (len(rows), len(rows)))
        self.assertEqual(self.told(several, "with another concept: it shows both"), len(single) - len(rows))
        together = self.fairness("geography", "--manifest", table_write(self.path("lists.jsonl"), lists), *words)
        whole = self.fairness("geography", "--manifest", table_write(self.path("images_v2.csv"), rows), *words, "--by",
                              "income")
        self.assertEqual(several["by"], whole["by"])
        self.assertEqual(together["by"], whole["by"])

    def test_what_is_wrong_is_named(self):
        rows, _, _ = self.make()
        first = [i for i, row in enumerate(rows) if row["place"] == rows[1]["place"]]
        rows[first[0]]["topics"], rows[-1]["income"], rows[-2]["place"] = "['Combs']", "1", "h0"
        rows[5]["topics"] = "['Combs', 'Beds']"
        torn = [row for row in rows if row["place"] == "h0"]
        torn[0]["region.id"] = "eu" if torn[1]["region.id"] != "eu" else "af"
        with open(self.mapping, "a") as file:
            file.write("Stoves,campfire\n")
        manifest = table_write(self.path("m.csv"), rows)
        result = self.fairness("geography", "--manifest", manifest, "--predictions", self.scores, "--mapping",
                               self.mapping, expect=1)
        self.assertEqual(self.told(result, "no labels for 'Combs'"), 2)
        self.assertEqual(self.told(result, "no labels for 'Combs', one of several concepts: the others count"), 1)
        self.assertEqual(self.told(result, "income is '1', which is none of its groups"), 1)
        self.assertEqual(self.told(result, "of more than one 'region'"), 1)
        self.assertEqual(self.told(result, "concept 'Stoves' that the classifier does not have"), 1)
        self.assertIn("%d of %d pictures used" % (len(rows) - 1, len(rows)), self.done.stderr)
        run(TINY, "fairness", "geography", "--manifest", manifest, "--predictions", self.scores, expect=2)


class Retrieval(Case):
    def test_faces_of_utkface_for_conversations(self):
        os.makedirs(self.path("UTKFace"))
        names, genders, features = [], [], []
        for i in range(180):
            name = "%d_%d_%d_20170109%06d.jpg.chip.jpg" % (self.random.integers(1, 100), i % 2, i % 5, i)
            open(self.path("UTKFace/" + name), "wb").write(b"")
            names.append(name)
            genders.append(i % 2)
            features.append(self.random.normal(size=8) + 0.7 * (i % 2))
        open(self.path("UTKFace/61_1_20170109142408075.jpg"), "wb").write(b"")
        open(self.path("UTKFace").encode() + b"/\xff <b>.jpg", "wb").write(b"")
        database = safetensors_write(self.path("db"), features, names, {})
        subjects, wanted, queries, query_names = {}, [], [], []
        for i in range(70):
            files = ["CasualConversationsA/%d/%d_%02d.MP4" % (i, i, j) for j in range(1 + i % 3)]
            gender = ["Male", "Female", "Other"][i % 2 if i else 2]
            label = {"age": str(20 + i % 60), "gender": gender, "skin-type": str(1 + i % 6)}
            subjects[str(i)] = {"label": label, "files": files}
            for file in files:
                wanted.append(i % 2 if i else -1)
                query_names.append(file.replace(".MP4", ".jpg"))
                queries.append(self.random.normal(size=8) + 0.7 * (i % 2))
        json.dump(subjects, open(self.path("cc.json"), "w"))
        query = safetensors_write(self.path("q"), queries, query_names, {})
        result = self.fairness("retrieval", "--manifest", self.path("cc.json"), "--features", query, "--database",
                               self.path("UTKFace"), "--database-features", database)
        self.assertEqual((result["layout"], result["unit"], result["units"]), ("casual-conversations", "person", 70))
        self.assertEqual(self.told(result, "not age_gender_race_date"), 2)
        unit = lambda x: numpy.asarray(x) / numpy.linalg.norm(x, axis=1, keepdims=True)
        alike = unit(queries) @ unit(features).T
        for depth in (1, 5, 10, 50):
            near = numpy.array(genders)[numpy.argsort(-alike, axis=1, kind="stable")[:, :depth]]
            share = (near == numpy.array(wanted)[:, None]).mean(axis=1)
            for name, value in (("male", 0), ("female", 1), ("other", -1)):
                _, found, _, _ = self.value(result, "gender", name, "precision", "at %d" % depth)
                self.assertAlmostEqual(found[0], share[numpy.array(wanted) == value].mean(), 6)
            _, found, _, _ = self.value(result, "all", "all", "precision", "at %d" % depth)
            self.assertAlmostEqual(found[0], share.mean(), 6)
        self.assertEqual([g["by"] for g in result["by"]], ["all", "gender", "skin", "age", "gender+skin"])
        self.assertAlmostEqual(result["by_chance"]["male"], 0.5, 6)
        self.assertTrue(self.value(result, "gender", "other", "precision", "at 1")[0]["small"])

    def test_fairface(self):
        rows = [{"file": "val/%d.jpg" % i, "age": ["0-2", "20-29", "more than 70"][i % 3],
                 "gender": ["Male", "Female"][i % 2], "race": ["East Asian", "White"][i % 4 // 2],
                 "service_test": str(i % 2 == 0)} for i in range(80)]
        manifest = table_write(self.path("fairface_label_val.csv"), rows)
        names = [row["file"] for row in rows]
        features = safetensors_write(self.path("f"), self.random.normal(size=(80, 4)), names, {})
        result = self.fairness("retrieval", "--manifest", manifest, "--features", features, "--same", "race", "--by",
                               "race,age,gender")
        self.assertEqual([g["name"] for g in result["by"][2]["groups"]], ["0-2", "20-29", "more than 70"])
        self.assertEqual([g["cases"] for g in result["by"][1]["groups"]], [40, 40])
        other = safetensors_write(self.path("g"), self.random.normal(size=(80, 5)), names, {})
        self.fairness("retrieval", "--manifest", manifest, "--features", features, "--database", manifest,
                      "--database-features", other, expect=1)
        self.assertIn("4 wide and those of the database 5", self.done.stderr)
        zero = safetensors_write(self.path("z"), numpy.zeros((80, 4)), names, {})
        self.fairness("retrieval", "--manifest", manifest, "--features", zero, "--same", "race", "--by", "race",
                      expect=1)
        self.assertIn("all zero", self.done.stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
