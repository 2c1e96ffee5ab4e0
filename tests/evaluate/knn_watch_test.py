# Nearest neighbours while a network trains: the figures are those of `knn` on the same state, and a run that looks
# writes the bits of one that does not, interrupted or not.
import json
import os
import shutil
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from evaluate_common import metrics_read, pictures_make, root_make, run, safetensors_read, snapshot_bytes

TRAINER = os.path.join(os.path.abspath(sys.argv[1]), "tiny")
TIMED = ("seconds", "images_per_second", "resident_bytes", "loader_wait")


def still(lines):
    return [{key: value for key, value in line.items() if key not in TIMED} for line in lines]


class KnnWatch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = root_make("seer-knn-")
        cls.data = pictures_make(os.path.join(cls.root, "pictures"), per_label=12)
        cls.words = ["--data", cls.data, "--steps", 14, "--seed", 3, "--save-every", 7, "--keep", 9]
        cls.looked = os.path.join(cls.root, "looked")
        cls.text = run(TRAINER, *cls.words, "--out", cls.looked, "--knn-every", 7, "--threads", 2).stdout

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def out(self, name):
        return os.path.join(self.root, name)

    def test_no_bit_of_the_run_changes(self):
        plain = self.out("plain")
        run(TRAINER, *self.words, "--out", plain)
        for step in (7, 14):
            self.assertEqual(snapshot_bytes(plain, step), snapshot_bytes(self.looked, step))
        looked = metrics_read(self.looked)
        self.assertEqual([line["step"] for line in looked if "knn" in line], [7, 14])
        self.assertEqual([line["step"] for line in looked if "knn_accuracy" in line], [7, 14])
        without = [{k: v for k, v in line.items() if k not in ("knn", "knn_accuracy")} for line in still(looked)]
        self.assertEqual(still(metrics_read(plain)), without)

    def test_figures_are_those_of_knn(self):
        for line in metrics_read(self.looked):
            if "knn" not in line:
                continue
            snapshot = os.path.join(self.looked, "snapshots/step-%d" % line["step"])
            figures = [(5, 0.1, line["knn_accuracy"])] + line["knn"]
            # 36 pictures have 35 others.
            self.assertEqual([figure[:2] for figure in line["knn"]], [[20, 0.07], [20, 0.1], [35, 0.07], [35, 0.1]])
            for k, temperature, accuracy in figures:
                result = json.loads(run(TRAINER, "knn", "--weights", snapshot, "--data", self.data, "--neighbours", k,
                                        "--temperature", temperature, "--json").stdout)
                self.assertAlmostEqual(result["trained"], accuracy, 5)

    def test_an_interrupted_run_sees_the_same(self):
        for stop in (6, 7, 9):
            out = self.out("stopped-%d" % stop)
            run(TRAINER, *self.words, "--out", out, "--knn-every", 7, "--stop-after", stop, expect=75)
            run(TRAINER, "--resume", out, "--save-every", 7, "--keep", 9, "--knn-every", 7)
            self.assertEqual(snapshot_bytes(out, 14), snapshot_bytes(self.looked, 14))
            self.assertEqual(still(metrics_read(out)), still(metrics_read(self.looked)))

    def test_other_pictures_can_be_named(self):
        other = pictures_make(self.out("other"), per_label=4, seed=8)
        out = self.out("elsewhere")
        run(TRAINER, *self.words, "--out", out, "--knn-every", 7, "--eval-data", other)
        self.assertEqual(snapshot_bytes(out, 14), snapshot_bytes(self.looked, 14))
        line = metrics_read(out)[-1]
        result = json.loads(run(TRAINER, "knn", "--weights", out, "--data", other, "--neighbours", 11, "--temperature",
                                0.07, "--json").stdout)
        self.assertEqual(line["knn"][0], [11, 0.07, round(result["trained"], 6)])

    def test_a_part_of_pictures_in_turns_has_all_classes(self):
        images, labels = self.out("turns-images-idx3-ubyte"), self.out("turns-labels-idx1-ubyte")
        count = 400
        with open(images, "wb") as file:
            file.write(struct.pack(">IIII", 0x803, count, 16, 16) + bytes(256 * count))
        with open(labels, "wb") as file:
            file.write(struct.pack(">II", 0x801, count) + bytes(i % 4 for i in range(count)))
        part = self.out("part.safetensors")
        run(TRAINER, "features", "--weights", self.looked, "--data", images, "--labels", labels, "--limit", 100,
            "--out", part)
        names = bytes(safetensors_read(part)[0]["names"]).decode().split()
        places = [int(name.rpartition("#")[2]) for name in names]
        # One of each four, in order; 100 draws miss a quarter of some class by 3 deviations, 13, at most.
        self.assertEqual([place // 4 for place in places], list(range(100)))
        for label in range(4):
            self.assertLess(abs(sum(place % 4 == label for place in places) - 25), 14)

    def test_it_is_seen(self):
        self.assertRegex(self.text, r"step 14/14  loss [0-9.]+  knn [0-9.]+ %")
        self.assertIn("Nearest neighbours in training", open(os.path.join(self.looked, "report.html")).read())

    def test_wrong_pictures_are_named(self):
        flat = self.out("flat")
        os.makedirs(flat)
        for i in range(9):
            shutil.copy(os.path.join(self.data, "blue/00.jpg"), os.path.join(flat, "%d.jpg" % i))
        done = run(TRAINER, "--data", flat, "--steps", 2, "--out", self.out("none"), "--knn-every", 1, expect=1)
        self.assertIn("need labels", done.stderr)
        self.assertIn("--eval-data", done.stderr)
        # Pictures that go bad while it trains cost the look, not the run.
        damaged = self.out("damaged")
        for label in ("a", "b"):
            os.makedirs(os.path.join(damaged, label))
            open(os.path.join(damaged, label, "x.png"), "wb").write(b"\x89PNG no")
        out = self.out("went-on")
        done = run(TRAINER, *self.words, "--out", out, "--knn-every", 7, "--eval-data", damaged)
        self.assertIn("warning: no nearest neighbours at step 7: none of 2 pictures could be decoded", done.stderr)
        self.assertEqual(snapshot_bytes(out, 14), snapshot_bytes(self.looked, 14))
        self.assertFalse(any("knn" in line for line in metrics_read(out)))


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
