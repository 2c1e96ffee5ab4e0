# Boxes in pictures, cut out, made square, too small or not there, and scores of them by a head.
import json
import os
import struct
import sys
import unittest

import numpy

sys.path.insert(0, os.path.dirname(__file__))
from common import pictures_make, run, safetensors_read
from fairness_common import CLASSES, TINY, Case, scores_write, table_write


class Boxes(Case):
    def test_miap(self):
        header = "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepictionOf," \
                 "IsInsideOf,GenderPresentation,AgePresentation"
        genders = ["Predominantly Feminine", "Predominantly Masculine", "Unknown"]
        lines, names, scores = [header], [], []
        for i in range(120):
            lines.append("%016x,/m/01g317,1,%.6f,%.6f,%.6f,%.6f,0,0,0,0,0,%s,%s" %
                         (i // 2, 0.1 * (i % 2), 0.5 + 0.1 * (i % 2), 0.2, 0.9, genders[i % 3],
                          ["Young", "Middle"][i % 2]))
            names.append("%016x.jpg%s" % (i // 2, "#2" if i % 2 else ""))
            scores.append(numpy.eye(30)[[0, 4, 5][i % 3]] * 9)
        with open(self.path("miap.csv"), "w") as file:
            file.write("\n".join(lines) + "\n" + lines[1] + "\n")
        predictions = scores_write(self.path("p.safetensors"), scores, names, CLASSES[:5] + ["cat"] + CLASSES[6:])
        result = self.fairness("labels", "--manifest", self.path("miap.csv"), "--predictions", predictions)
        self.assertEqual(result["layout"], "miap")
        self.assertEqual(self.told(result, "named again"), 1)
        self.assertEqual(self.told(result, "gender is unknown"), 40)
        self.assertIn("possibly non-human", [m["name"] for m in result["measures"]])
        at = "threshold 0.8"
        self.assertEqual(self.value(result, "gender", "predominantly feminine", "human", at)[1][0], 1)
        self.assertEqual(self.value(result, "gender", "predominantly masculine", "crime", at)[1][0], 1)
        self.assertEqual([g["by"] for g in result["by"]], ["all", "gender", "age", "gender+age"])

    def test_crops_are_pictures_cut_out(self):
        from PIL import Image
        rows, cut = [], self.path("cut")
        os.makedirs(self.path("p"))
        os.makedirs(cut)
        run(TINY, "--data", self.pictures(), "--out", self.path("run"), "--steps", 1, "--no-report")
        for i in range(12):
            picture = Image.fromarray(self.random.integers(0, 255, (160, 240, 3)).astype("uint8"))
            picture.save(self.path("p/%d.png" % i))
            left, top = self.random.integers(0, 60, 2)
            box = (left, top, left + 110 + i, top + 100)
            picture.crop(box).save(os.path.join(cut, "%02d.png" % i))
            rows.append(dict(path="p/%d.png" % i, gender=["a", "b"][i % 2], xmin=box[0], ymin=box[1], xmax=box[2],
                             ymax=box[3]))
        rows += [dict(rows[0], xmax=rows[0]["xmin"] + 99), dict(rows[1], xmax=999), dict(rows[2], path="p/none.png"),
                 dict(rows[3], xmin=-4), dict(rows[4], xmax=rows[4]["xmin"])]
        open(self.path("p/broken.png"), "wb").write(b"\x89PNG no")
        rows.append(dict(rows[5], path="p/broken.png"))
        manifest = table_write(self.path("m.csv"), rows)
        result = self.fairness("retrieval", "--manifest", manifest, "--weights", self.path("run"), "--by", "gender",
                               expect=1)
        self.assertEqual((result["pictures"], result["pictures_used"]), (18, 12))
        for words in ("box is too small", "leaves the picture", "No such file", "has no area", "broken.png"):
            found = [row for row in result["told"] if words in row["what"] or words in row["first"]]
            self.assertTrue(found, words)
            self.assertEqual(found[0]["loss"], words != "box is too small")
        self.assertEqual(self.told(result, "leaves the picture"), 2)
        run(TINY, "features", "--weights", self.path("run"), "--data", cut, "--out", self.path("f.safetensors"))
        features = safetensors_read(self.path("f.safetensors"))[0]["features"].astype("f8")
        features /= numpy.linalg.norm(features, axis=1, keepdims=True)
        alike = features @ features.T - 2 * numpy.eye(12)
        for depth in (1, 5, 10):
            for group in "ab":
                expected = [sum(o % 2 == q % 2 for o in numpy.argsort(-alike[q], kind="stable")[:depth]) / depth
                            for q in range(12) if "ab"[q % 2] == group]
                _, value, _, _ = self.value(result, "gender", group, "precision", "at %d" % depth)
                self.assertAlmostEqual(value[0], numpy.mean(expected), 6)
        self.assertEqual(self.told(result, "precision at 50 is not measured"), 1)
        # Queries made here, in a database that was made before: each finds its own crop first.
        crops = [dict(path="cut/%02d.png" % i, gender="ab"[i % 2]) for i in range(12)]
        database = table_write(self.path("d.csv"), crops)
        manifest = table_write(self.path("m.csv"), rows[:12])
        words = ["--manifest", manifest, "--database", database, "--database-features", self.path("f.safetensors"),
                 "--by", "gender", "--weights", self.path("run")]
        result = self.fairness("retrieval", *words)
        self.assertEqual(self.value(result, "all", "all", "precision", "at 1")[1][0], 1)
        self.fairness("retrieval", *words, "--features", self.path("f.safetensors"), expect=2)
        self.fairness("retrieval", *words[:2], expect=2)

    def pictures(self):
        return pictures_make(self.path("train"))

    def test_head_and_square_views(self):
        """Scores by a head of one's own, of boxes in sides of the picture, made square."""
        from PIL import Image
        run(TINY, "--data", self.pictures(), "--out", self.path("run"), "--steps", 1, "--no-report")
        head = {"norm.weight": numpy.ones(16), "norm.bias": numpy.zeros(16), "norm.running_mean": numpy.zeros(16),
                "norm.running_var": numpy.ones(16) - 1e-5, "linear.weight": self.random.normal(size=(30, 16)) * 4,
                "linear.bias": self.random.normal(size=30)}
        header, body = {"__metadata__": {"label_names": json.dumps(CLASSES)}}, b""
        for name, values in head.items():
            data = values.astype("<f4").tobytes()
            header[name] = {"dtype": "F32", "shape": list(values.shape),
                            "data_offsets": [len(body), len(body) + len(data)]}
            body += data
        text = json.dumps(header).encode()
        open(self.path("head"), "wb").write(struct.pack("<Q", len(text)) + text + body)
        lines = ["ImageID,XMin,XMax,YMin,YMax,GenderPresentation,AgePresentation"]
        os.makedirs(self.path("square"))
        for i in range(30):
            picture = Image.fromarray(numpy.kron(self.random.integers(0, 255, (4, 5, 3)),
                                                 numpy.ones((50, 50, 1))).astype("uint8"))
            picture.save(self.path("%02d.jpg" % i), quality=95)
            decoded = Image.open(self.path("%02d.jpg" % i)).convert("RGB")
            # A wide box's middle, a high one's top; one that is nearly square is stretched.
            box, taken = [("0.1,0.9,0.1,0.8", (55, 20, 195, 160)), ("0.1,0.6,0.1,0.9", (25, 20, 150, 145)),
                          ("0.1,0.8,0.1,0.9", (25, 20, 200, 180))][i % 3]
            decoded.crop(taken).resize((16, 16), Image.BILINEAR).save(self.path("square/%02d.png" % i))
            lines.append("%02d,%s,%s,Young" % (i, box, ["Feminine", "Masculine"][i % 2]))
        open(self.path("m.csv"), "w").write("\n".join(lines) + "\n")
        result = self.fairness("labels", "--manifest", self.path("m.csv"), "--weights", self.path("run"), "--head",
                               self.path("head"), "--least", 5)
        run(TINY, "features", "--weights", self.path("run"), "--data", self.path("square"), "--out", self.path("f"))
        features = safetensors_read(self.path("f"))[0]["features"].astype("f8")
        scores = features @ head["linear.weight"].T + head["linear.bias"]
        top = numpy.argsort(-scores, axis=1)[:, :5]
        for group, rest in (("feminine", 0), ("masculine", 1)):
            expected = numpy.mean([bool({0, 1} & set(top[i])) for i in range(rest, 30, 2)])
            self.assertAlmostEqual(self.value(result, "gender", group, "human", "threshold 0")[1][0], expected, 6)
        self.fairness("labels", "--manifest", self.path("m.csv"), "--weights", self.path("run"), expect=1)
        self.assertIn("no classifier", self.done.stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
