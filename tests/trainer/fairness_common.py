# What the tests of fairness indicators share: tables and files of scores written here, a way to run the command, and a
# look-up of figures in its result.
import csv
import json
import os
import shutil
import struct
import sys
import tempfile
import unittest

import numpy

sys.path.insert(0, os.path.dirname(__file__))
from common import run

TINY = os.path.join(os.path.abspath(sys.argv[1]), "tiny")
LISTS = {"human": ["people", "face"], "possibly human": ["makeup"], "non-human": ["swine", "dog"], "crime": ["prison"]}
CLASSES = ["people", "Face", "makeup", "swine, hog", "prison", "dog"] + ["thing %d" % i for i in range(24)]
THRESHOLDS = (0, 0.1, 0.3, 0.8)


def safetensors_write(path, features, names, metadata):
    features, at, header, body = numpy.asarray(features, "<f4"), 0, {"__metadata__": metadata}, b""
    text = numpy.frombuffer("".join(name + "\n" for name in names).encode(), "u1")
    for name, kind, values in (("features", "F32", features), ("names", "U8", text)):
        data = values.tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        body += data
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + body)
    return path


def scores_write(path, scores, names, classes=None):
    return safetensors_write(path, scores, names, {"label_names": json.dumps(classes or CLASSES)})


def table_write(path, rows):
    with open(path, "w", newline="") as file:
        if path.endswith(".jsonl"):
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.endswith(".tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def age_group(age):
    return next(name for name, end in (("under 18", 18), ("18-30", 30), ("30-45", 45), ("45-70", 70), ("70+", 999))
                if age < end)


class Case(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="seer-fairness-")
        self.random = numpy.random.default_rng(7)

    def tearDown(self):
        shutil.rmtree(self.root)

    def path(self, name):
        return os.path.join(self.root, name)

    def fairness(self, what, *words, expect=0):
        out = self.path("result.json")
        if os.path.exists(out):
            os.remove(out)
        self.done = run(TINY, "fairness", what, "--out", out, *words, expect=expect)
        return json.load(open(out)) if os.path.exists(out) else None

    def people(self, count, pictures=3):
        """Rows of a table, several pictures a person."""
        rows = []
        for person in range(count):
            gender, skin, age = self.random.choice(["Male", "female"]), self.random.integers(1, 7), \
                self.random.integers(16, 90)
            for picture in range(1 + self.random.integers(pictures)):
                rows.append({"path": "p/%d_%d.jpg" % (person, picture), "person": "s%d" % person, "gender": gender,
                             "skin_tone": int(skin), "age": int(age), "camera": "x"})
        return rows

    def value(self, result, by, group, name, at=""):
        measure = next(i for i, m in enumerate(result["measures"]) if (m["name"], m["at"]) == (name, at))
        grouping = next(g for g in result["by"] if g["by"] == by)
        entry = next(g for g in grouping["groups"] if g["name"] == group)
        return entry, entry["values"][measure], entry["from_others"][measure], grouping["largest"][measure]

    def told(self, result, words):
        return sum(row["count"] for row in result["told"] if words in row["what"])
