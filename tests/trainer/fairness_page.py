# Results of several models on one page: what it says and shows is what they hold, and no result makes it crash.
import html.parser
import json
import os
import sys
import unittest

import numpy

sys.path.insert(0, os.path.dirname(__file__))
from common import run
from fairness_common import TINY, Case, scores_write, table_write


class Page(Case):
    def result(self, name, model, parameters, gap, rows):
        scores = numpy.full((len(rows), 30), -9.0)
        for i, row in enumerate(rows):
            scores[i, 6 + i % 20] = 1
            scores[i, 4] = 2 if self.random.random() < 0.1 + gap * (row["gender"] == "male") else -9
        predictions = scores_write(self.path("p"), scores, [row["path"] for row in rows])
        out = self.path(name)
        run(TINY, "fairness", "labels", "--manifest", self.manifest, "--predictions", predictions, "--model", model,
            "--parameters", parameters, "--out", out, "--quiet", "--by", "gender")
        return out

    def page(self, *results, expect=0):
        words = [word for result in results for word in ("--result", result)]
        self.done = run(TINY, "fairness", "page", *words, "--out", self.path("page.html"), expect=expect)
        return open(self.path("page.html")).read() if expect == 0 else None

    def test_models_side_by_side(self):
        rows = [{"path": "%d.jpg" % i, "gender": ["male", "female"][i % 2]} for i in range(800)]
        self.manifest = table_write(self.path("<m>.csv"), rows)
        large = self.result("l.json", "swav <b>large</b>", 1e10, 0.02, rows)
        small = self.result("s.json", "swav small", 1.4e8, 0.5, rows)
        again = self.result("a.json", "supervised", 1.4e8, 0.45, rows)
        page = self.page(large, small, again)
        self.assertRegex(page, r"largest disparities <b>[1-9]\d* are smaller</b> and <b>0 larger</b>")
        self.assertIn("he larger model is fairer in some, and nothing is settled of the others", page)
        self.assertIn("swav &lt;b&gt;large", page)
        self.assertNotIn("<b>large", page)
        self.assertIn("&lt;m&gt;.csv", page)
        self.assertNotIn("<m>", page)
        self.assertLess(page.index("supervised"), page.index("swav small"))  # of one size: by name
        self.assertLess(page.index("<b>swav small"), page.index("<b>swav &lt;b&gt;large"))
        result = json.load(open(small))
        for measure, figure in zip(result["measures"], result["by"][1]["groups"][1]["values"]):
            if measure["detail"]:
                continue
            self.assertIn("%.1f <small>(%.1f to %.1f)" % tuple(100 * x for x in figure), page)
        self.assertNotRegex(page, r"https?://|<script|\bnan\b")
        self.assertIn("prefers-color-scheme:dark", page)
        alone = self.page(self.result("t.json", "tied", 2e8, 0.49, rows), small)
        self.assertIn("Nothing here shows that the larger model is fairer, nor that it is not.", alone)
        open_tags = []

        class Balance(html.parser.HTMLParser):
            def handle_starttag(self, tag, attributes):
                if tag not in ("meta", "path", "circle", "br"):
                    open_tags.append(tag)

            def handle_endtag(self, tag):
                assert open_tags.pop() == tag, tag

            def handle_startendtag(self, tag, attributes):
                pass

        for text in (page, alone):
            Balance().feed(text)
            self.assertEqual(open_tags, [])

    def test_results_that_do_not_compare(self):
        rows = [{"path": "%d.jpg" % i, "gender": ["male", "female"][i % 2]} for i in range(100)]
        self.manifest = table_write(self.path("m.csv"), rows)
        one = self.result("one.json", "one", 1e6, 0.1, rows)
        self.manifest = table_write(self.path("n.csv"), rows[:90])
        self.page(one, self.result("two.json", "two", 1e6, 0.1, rows[:90]), expect=1)
        self.assertIn("different manifests", self.done.stderr)
        self.page(expect=2)
        self.page(self.path("m.csv"), expect=1)
        text = open(one).read()
        good = json.loads(text)
        for trial in range(60):
            broken = json.loads(text)
            at = broken
            while True:  # something somewhere is of another kind, or gone
                keys = list(at.keys()) if isinstance(at, dict) else list(range(len(at)))
                key = keys[self.random.integers(len(keys))]
                if isinstance(at[key], (dict, list)) and at[key] and self.random.random() < 0.8:
                    at = at[key]
                    continue
                if self.random.random() < 0.3:
                    del at[key]
                else:
                    at[key] = [None, "x", -1, [], {}, 1e300][self.random.integers(6)]
                break
            json.dump(broken, open(self.path("b.json"), "w"))
            done = run(TINY, "fairness", "page", "--result", self.path("b.json"), "--result", one, "--out",
                       self.path("b.html"), expect=None)
            self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertEqual(good["seer_fairness"], 1)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
