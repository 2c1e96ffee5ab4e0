"""The page of `plan --html` in a real browser: what it shows is what the JSON says.

usage: page_test.py [--template FILE_OR_FOLDER] [--page FILE] [TEST...]
The template is one file, or a folder whose files in the order of their names, one behind the other, are the template.
With --page an existing page is checked as well, against the plan inside it. Needs Chromium (Debian: chromium).
"""
import argparse
import copy
import json
import random
import re
import sys
import tempfile
import unittest
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import sample_plan
from browser import Browser, Missing

TEMPLATE = Path(__file__).resolve().parents[2] / "runtime" / "plan_page"
PAGE = None
PAGE_BYTES_MAX = 2_000_000
HOSTILE = ('</script><script>window.hacked=1</script>', '<img src=x onerror="window.hacked=2">', "\"'`\\u003c${1}",
           "🐘 名前 \u202e\u2028 é", "__proto__", "&lt;b&gt; --> <!-- ]]>")
WIDTHS = (900, 1024, 1100, 1280, 1440, 1600)


def template_read(path):
    parts = sorted(path.iterdir()) if path.is_dir() else [path]
    return "".join(part.read_text(encoding="utf-8") for part in parts)


def rounded(value, digits):
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def bytes_text(count):
    units, value = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], count
    while abs(value) >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    whole = units[0] == "B"
    return f"{rounded(value, 0 if whole or value >= 100 else 2 if value < 10 else 1)} {units[0]}"


def time_text(seconds):
    factor, unit = next(((f, u) for f, u in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if seconds * f >= 1), (1e9, "ns"))
    value = seconds * factor
    return f"{rounded(value, 0 if unit == 'ns' or value >= 100 else 2 if value < 10 else 1)} {unit}"


def exact(count):
    return f"{count:,} bytes"


class PageTest(unittest.TestCase):
    """One browser and one folder for all tests."""

    @classmethod
    def setUpClass(cls):
        cls.template = template_read(TEMPLATE)
        cls.plans = {size: sample_plan.plan_make(size) for size in ("small", "rg10b")}
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.browser = Browser().__enter__()
        cls.addClassCleanup(cls.browser.__exit__)

    def setUp(self):
        self.browser.media("light")
        self.browser.resize(1280, 800)

    def show(self, plan):
        """Opens the page of a plan; nothing may be said on the console."""
        path = Path(self.folder.name) / "page.html"
        path.write_text(sample_plan.page_make(self.template, plan), encoding="utf-8")
        self.browser.open(path)
        self.assertEqual(self.browser.complaints, [])
        return path

    def js(self, expression):
        return self.browser.evaluate(expression)

    def text(self, selector):
        return re.sub(r"\s+", " ", self.js(f"document.querySelector({json.dumps(selector)}).textContent"))

    def tip(self):
        self.browser.settle()
        return self.js("document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText")

    def place(self, selector):
        """Brings an element to the middle of the window; gives where it lies there."""
        return self.js(f"""(() => {{
            const node = document.querySelector({json.dumps(selector)});
            node.scrollIntoView({{block: "center"}});
            const {{x, y, width, height}} = node.getBoundingClientRect();
            return {{x, y, width, height}};
        }})()""")

    def tearDown(self):
        self.assertEqual(self.browser.complaints, [])


class Figures(PageTest):
    def check(self, plan):
        step, memory, checkpoint = plan["step"], plan["memory"], plan["checkpoint"]
        answer = self.text("#answer")
        fits = memory["peak_bytes"] <= memory["budget_bytes"]
        for figure in (plan["model"]["name"], bytes_text(memory["peak_bytes"]), bytes_text(memory["budget_bytes"]),
                       bytes_text(abs(memory["budget_bytes"] - memory["peak_bytes"])),
                       time_text(step["time_seconds"]), "It fits" if fits else "It does not fit",
                       "to spare" if fits else "too much",
                       bytes_text(memory["minimum_budget_bytes"])):
            self.assertIn(figure, answer)
        self.assertIn(exact(memory["peak_bytes"]), self.js("[...document.querySelectorAll('.verdict [title]')]"
                                                           ".map((node) => node.title)"))
        kinds = self.text("#kinds")
        for kind, count in memory["by_kind"].items():
            self.assertIn(kind, kinds)
            self.assertIn(f"{count:,}", kinds)
        self.assertIn(checkpoint["proof"], self.text("#proof"))
        self.assertIn(time_text(checkpoint["lower_bound_seconds"]), self.text("#proof"))
        drawn = self.js("({...planPage.drawn})")
        self.assertEqual(drawn["blocks"], len(checkpoint["blocks"]))
        if plan.get("buffers"):
            self.assertEqual(drawn["buffers"], len(plan["buffers"]))
            self.assertEqual(self.js("planPage.peakStep"),
                             max(plan["schedule"], key=lambda s: (s["live_bytes"], -s["step"]))["step"])
        self.assertEqual(drawn["curve"], len(checkpoint.get("curve", [])))
        sections = self.js("[...document.querySelectorAll('section[id]')].map((node) => node.id)")
        for name in ("memory", "checkpoints", "time", "budget", "tables", "stages"):
            self.assertIn(name, sections)

    def test_small(self):
        self.show(self.plans["small"])
        self.check(self.plans["small"])

    def test_ten_billion_parameters(self):
        path = self.show(self.plans["rg10b"])
        self.check(self.plans["rg10b"])
        self.assertLess(path.stat().st_size, PAGE_BYTES_MAX)
        plan = self.plans["rg10b"]
        runs = sum(s["kind"] == "run" for s in plan["schedule"])
        self.assertEqual(self.js("planPage.drawn.streams"), runs + len(plan["streams"]) + len(plan["operations"]))
        self.assertIn("496 ranks of a100-40g on 62 nodes", self.text("#answer"))

    def test_does_not_fit(self):
        plan = copy.deepcopy(self.plans["small"])
        plan["memory"]["budget_bytes"] = plan["memory"]["peak_bytes"] - 1
        self.show(plan)
        self.check(plan)

    def test_days(self):
        plan = self.plans["rg10b"]
        self.show(plan)
        tiles = "[...document.querySelectorAll('.tile')].map((node) => node.textContent)"
        for typed, count in (("1e9", 1e9), ("1,281,167", 1281167), ("2.5 billion", 2.5e9), ("300k", 3e5)):
            self.js(f"(() => {{ const input = document.querySelector('.tile input'); input.value = {json.dumps(typed)};"
                    "input.dispatchEvent(new Event('input')); })()")
            seconds = count / plan["step"]["images_per_second"]
            hours = round(seconds / 3600 * plan["machine"]["ranks"])
            self.assertTrue(any(tile.startswith(f"{hours:,}rank-hours") for tile in self.js(tiles)), typed)
            if seconds >= 86400 and seconds < 730 * 86400:
                self.assertTrue(any(tile.startswith(f"{seconds / 86400:.1f} days") for tile in self.js(tiles)), typed)

    def test_largest_exact_number(self):
        plan = copy.deepcopy(self.plans["small"])
        large = 2**53 - 1
        plan["memory"].update(peak_bytes=large - 64, budget_bytes=large)
        plan["memory"]["by_kind"]["activations"] = large
        plan["memory"]["arena_bytes"] = large - 64
        plan["buffers"].append({"name": "giant", "kind": "activation", "block": 1, "bytes": 2**52 + 1,
                                "offset": 2**52 - 130, "begin": 3, "end": 5})
        self.show(plan)
        self.assertIn(f"{large:,}", self.text("#kinds"))
        self.assertEqual(self.js(f"planPage.bufferAt(4, {2**53 - 130})?.name"), "giant")
        self.assertIsNone(self.js(f"planPage.bufferAt(4, {2**53 - 129})?.name ?? null"))
        self.assertIn(exact(2**52 + 1), self.js("planPage.select(4), document.querySelector('#live .row').title"))

    def test_slices(self):
        """Of slices with an arena each, one is drawn, on top of the others."""
        plan = copy.deepcopy(self.plans["small"])
        arena, slices = plan["memory"]["arena_bytes"], 4
        plan["step"]["slices"] = slices
        plan["memory"]["arena_bytes"] = slices * arena
        plan["memory"]["peak_bytes"] += (slices - 1) * arena
        self.show(plan)
        self.assertEqual(self.js("planPage.baseBytes"), plan["memory"]["peak_bytes"] - arena)
        self.assertIn("one of 4 slices", self.text("#map-note"))
        self.assertIn("in 4 slices a rank", self.text("#answer"))

    def test_given_page(self):
        if PAGE is None:
            self.skipTest("no page named")
        self.browser.open(PAGE)
        self.assertEqual(self.browser.complaints, [])
        self.assertLess(Path(PAGE).stat().st_size, PAGE_BYTES_MAX)
        self.check(self.js("PLAN"))


class Map(PageTest):
    def buffer_at(self, plan, step, offset):
        return next((b["name"] for b in plan["buffers"] if b["begin"] <= step <= b["end"]
                     and b["offset"] <= offset < b["offset"] + b["bytes"]), None)

    def test_lookup(self):
        chance = random.Random(1)
        for plan in self.plans.values():
            self.show(plan)
            arena = plan["memory"]["arena_bytes"]
            asked = [(chance.randrange(len(plan["schedule"])), chance.randrange(arena)) for _ in range(300)]
            asked += [(b["begin"], b["offset"]) for b in plan["buffers"][::29]]
            asked += [(b["end"], b["offset"] + b["bytes"] - 1) for b in plan["buffers"][::29]]
            found = self.js(f"{json.dumps(asked)}.map(([step, at]) => planPage.bufferAt(step, at)?.name ?? null)")
            self.assertEqual(found, [self.buffer_at(plan, *point) for point in asked])

    def test_hover(self):
        plan = self.plans["rg10b"]
        self.show(plan)
        large = sorted(plan["buffers"], key=lambda b: -b["bytes"])[:40:4]
        for axis in ("steps", "time"):
            self.js(f"planPage.axisSet('{axis}')")
            for buffer in large:
                canvas = self.place("#map")
                self.js(f"planPage.map.show((() => {{ const b = planPage.plan.buffers.find((b) => b.name === "
                        f"{json.dumps(buffer['name'])} && b.begin === {buffer['begin']});"
                        f"const at = (e) => planPage.along(e), base = planPage.baseBytes;"
                        "return {x0: at(b.begin), x1: at(b.end + 1), y0: base + b.offset,"
                        "y1: base + b.offset + b.bytes}; })())")
                self.browser.settle()
                inner = self.js("planPage.map.inner")
                self.browser.mouse("mouseMoved", canvas["x"] + inner["left"] + inner["width"] / 2,
                                   canvas["y"] + inner["top"] + inner["height"] / 2)
                tip = self.tip()
                self.assertIn(buffer["name"], tip)
                self.assertIn(exact(buffer["bytes"]), tip)
                self.assertIn(f"{buffer['offset']:,} in the arena", tip)
                self.assertIn(f"steps {buffer['begin']:,} to {buffer['end']:,}", tip)

    def test_live(self):
        plan = self.plans["rg10b"]
        self.show(plan)
        peak = self.js("planPage.peakStep")
        self.assertEqual(self.js("planPage.cursor"), peak)
        for step in (peak, 0, 1000, len(plan["schedule"]) - 1):
            self.js(f"planPage.select({step})")
            live = sorted((b for b in plan["buffers"] if b["begin"] <= step <= b["end"]), key=lambda b: -b["bytes"])
            rows = self.js("[...document.querySelectorAll('#live .row')].map((row) => row.title)")
            self.assertEqual([row.split(": ")[-1] for row in rows], [exact(b["bytes"]) for b in live[:200]])
            self.assertEqual(sum(b["bytes"] for b in live), plan["schedule"][step]["live_bytes"])
            self.assertIn(f"in {len(live):,} buffer", self.text("#live"))

    def view(self):
        self.browser.settle()
        return self.js("({...planPage.map.view})")

    def test_zoom_and_pan(self):
        self.show(self.plans["rg10b"])
        self.js("planPage.axisSet('steps')")
        canvas = self.place("#map")
        x, y, whole = canvas["x"] + canvas["width"] / 2, canvas["y"] + 200, self.view()
        self.browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-240)
        self.assertEqual(self.view(), whole, "without a click the wheel belongs to the page")
        self.place("#map")
        self.browser.click(x, y)
        self.browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-240)
        near = self.view()
        self.assertLess(near["x1"] - near["x0"], 0.8 * (whole["x1"] - whole["x0"]))
        self.assertLess(near["y1"] - near["y0"], 0.8 * (whole["y1"] - whole["y0"]))
        self.browser.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.browser.mouse("mouseMoved", x - 60, y, button="left", buttons=1)
        self.browser.mouse("mouseReleased", x - 60, y, button="left", clickCount=1)
        moved = self.view()
        self.assertGreater(moved["x0"], near["x0"])
        self.assertAlmostEqual(moved["x1"] - moved["x0"], near["x1"] - near["x0"], 6)
        for key, changes in (("+", True), ("ArrowLeft", True), ("ArrowUp", True), ("-", True)):
            before = self.view()
            self.browser.key(key)
            self.assertEqual(self.view() != before, changes, key)
        self.browser.key("0")
        self.assertEqual(self.view(), whole)
        self.browser.key("p")
        self.browser.key(".")
        self.assertEqual(self.js("planPage.cursor - planPage.peakStep"), 1)
        for name in ("zoom in", "move left", "zoom out", "show all"):
            self.js(f"document.querySelector('#map-tools [aria-label=\"{name}\"]').click()")
        self.assertEqual(self.view(), whole)

    def test_click_chooses_the_step(self):
        plan = self.plans["small"]
        self.show(plan)
        self.js("planPage.axisSet('steps')")
        self.browser.settle()
        canvas, inner = self.place("#map"), self.js("planPage.map.inner")
        self.browser.click(canvas["x"] + inner["left"] + inner["width"] * (100.5 / len(plan["schedule"])),
                           canvas["y"] + 90)
        self.assertEqual(self.js("planPage.cursor"), 100)


class Others(PageTest):
    def test_search(self):
        plan = copy.deepcopy(self.plans["rg10b"])
        names = [block["name"] for block in plan["checkpoint"]["blocks"]]
        for items in (plan["buffers"], plan["schedule"]):  # found by its block all the same
            next(item for item in items if item["block"] == names.index("block3-4"))["name"] = "of no telling name"
        self.show(plan)
        for text in ("block3-4", "conv2d", "workspace", "STEM", "nothing holds this"):
            wanted, inside = text.lower(), {i for i, name in enumerate(names) if text.lower() in name}
            hits = self.js(f"planPage.search({json.dumps(text)})")
            self.assertEqual(set(hits["blocks"]), inside)
            self.assertEqual(hits["buffers"], [i for i, b in enumerate(plan["buffers"]) if b["block"] in inside
                                               or wanted in b["name"].lower() or wanted in b["kind"]])
            self.assertEqual(hits["steps"], [i for i, s in enumerate(plan["schedule"]) if s["block"] in inside
                                             or wanted in s["name"].lower() or wanted in s["op"]])
            self.js(f"planPage.searchFor({json.dumps(text)})")
            found = self.text("#found")
            for noun in ("block", "buffer", "step"):
                if hits[noun + "s"]:
                    self.assertIn(f"{len(hits[noun + 's']):,} {noun}", found)
        self.js("planPage.searchFor('block3-4')")
        self.browser.key("Enter", "\r")
        self.assertEqual(self.js("planPage.chosen"), names.index("block3-4"))

    def test_chain(self):
        plan = self.plans["rg10b"]
        self.show(plan)
        blocks = plan["checkpoint"]["blocks"]
        for index in (0, 4, 27, 10):
            column = self.js(f"""(() => {{
                const node = document.querySelectorAll("#chain g[role=button]")[{index}];
                node.scrollIntoView({{block: "center"}});
                const box = node.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()""")
            self.browser.click(*column)
            block, shown = blocks[index], self.text("#block")
            self.assertEqual(self.js("planPage.chosen"), index)
            self.assertIn(exact(block["saved_bytes"]), shown)
            for mode in block["modes"]:
                self.assertIn(mode["name"] + bytes_text(mode["saved_bytes"]), shown)
                self.assertIn(time_text(mode["backward_seconds"]), shown)
        self.browser.key("ArrowRight")
        self.assertEqual(self.js("planPage.chosen"), 11)
        self.assertEqual(self.js("document.activeElement.getAttribute('aria-label').split(',')[0]"), blocks[11]["name"])

    def test_streams(self):
        plan = self.plans["rg10b"]
        self.show(plan)
        canvas = self.place("#streams")
        for kind in ("backward", "gather"):
            span = self.js(f"planPage.spans.filter((s) => s.title.includes({json.dumps(kind)}) && s.row === undefined)"
                           ".sort((a, b) => b.to - b.from - a.to + a.from)[0]")
            self.js(f"planPage.streams.show({{x0: {span['from']}, x1: {span['to']}, y0: 0, y1: 1}})")
            self.browser.settle()
            lane = self.js(f"planPage.lanes[{span['lane']}]")
            self.browser.mouse("mouseMoved", canvas["x"] + canvas["width"] / 2,
                               canvas["y"] + lane["y"] + lane["height"] / 2)
            tip = self.tip()
            self.assertIn(span["title"], tip)
            self.assertIn(time_text((span["to"] - span["from"]) / 1e9), tip)
        self.js("planPage.streams.all()")
        waits = self.js("planPage.waits")
        total = sum(wait["to"] - wait["from"] for wait in waits) / 1e9
        self.assertAlmostEqual(total, plan["step"]["exposed_communication_seconds"], 6)

    def test_run(self):
        plan = self.plans["rg10b"]
        self.show(plan)
        told, shown = plan["simulation"], self.text("#run")
        for part in ("forward", "backward", "update"):
            self.assertIn(time_text(told["step"][f"{part}_seconds"]), shown)
        for kind in told["step"]["traffic"]:
            if kind["count"]:
                self.assertIn(f"{kind['count']}{bytes_text(kind['sent_bytes'])}", shown)
        for text in ("126,008", "443 kW", "44.44 MWh", "76,420", "cluster.flops", "of the vendor"):
            self.assertIn(text, shown)
        del plan["simulation"]
        try:
            self.show(plan)
            self.assertTrue(self.js("document.querySelector('#run').hidden"))
        finally:
            plan["simulation"] = told

    def test_curve(self):
        plan = self.plans["rg10b"]
        self.show(plan)
        box = self.place("#curve svg")
        self.browser.mouse("mouseMoved", box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
        last = plan["checkpoint"]["curve"][-1]
        tip = self.tip()
        self.assertIn(exact(last["budget_bytes"]), tip)
        self.assertIn(time_text(last["time_seconds"]), tip)
        self.assertIn("this plan", self.text("#curve"))
        self.assertIn(bytes_text(plan["memory"]["minimum_budget_bytes"]), self.text("#curve"))

    def test_keyboard_reaches_everything(self):
        self.show(self.plans["small"])
        reached = set()
        for _ in range(60):
            self.browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
            self.browser.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
            reached.add(self.js("document.activeElement.id || document.activeElement.closest('[id]')?.id"))
        for name in ("search", "map", "map-tools", "live", "chain", "block", "streams", "stream-tools", "curve",
                     "answer"):
            self.assertIn(name, reached)


class Robustness(PageTest):
    def test_hostile_names_stay_text(self):
        plan = copy.deepcopy(self.plans["small"])
        name = lambda i: HOSTILE[i % len(HOSTILE)]
        plan["model"].update(name=name(0), family=name(1))
        plan["machine"]["name"] = name(1)
        plan["memory"].update(minimum_set_by=name(0), outside=[{"name": name(1), "bytes": 1, "why": name(0)}])
        plan["memory"]["by_kind"][name(0)] = 64
        plan["checkpoint"]["proof"] = name(0) + name(1)
        plan["machine"]["sources"] = {name(0): {"kind": name(1), "text": name(2)}}
        for i, kind in enumerate(plan["simulation"]["step"]["traffic"]):
            kind["kind"] = name(i)
        for i, block in enumerate(plan["checkpoint"]["blocks"]):
            block.update(name=name(i), mode=name(i + 1), stage=name(i + 2), residency=name(i + 4), offload=True)
            for j, mode in enumerate(block["modes"]):
                mode["name"] = name(i + j)
        for key, fields in (("schedule", ("name", "op", "phase")), ("buffers", ("name", "kind")),
                            ("streams", ("label",)), ("operations", ("mode", "kind"))):
            for i, item in enumerate(plan[key]):
                item.update({field: name(i + j) for j, field in enumerate(fields)})
        for i, unit in enumerate(plan["shard"]["units"]):
            unit["name"] = name(i)
        page = self.show(plan).read_text(encoding="utf-8")
        self.assertEqual(page.count("</script>"), self.template.count("</script>"))
        shown = set()
        for i in range(len(plan["checkpoint"]["blocks"])):
            self.js(f"document.querySelectorAll('#chain g[role=button]')[{i}].dispatchEvent(new MouseEvent('click'))")
            shown.add(self.js("document.querySelector('#block h3').textContent"))
        self.assertEqual(shown, {name(i) for i in range(len(plan["checkpoint"]["blocks"]))})
        for text in HOSTILE:
            self.js(f"planPage.searchFor({json.dumps(text)})")
            self.assertGreater(len(self.js(f"planPage.search({json.dumps(text)}).buffers")), 0)
        for step in range(0, len(plan["schedule"]), 40):
            self.js(f"planPage.select({step})")
        canvas = self.place("#map")
        for x in range(100, int(canvas["width"]), 60):
            self.browser.mouse("mouseMoved", canvas["x"] + x, canvas["y"] + 300)
        self.assertEqual(self.js("document.querySelector('h1').textContent"), name(0))
        self.assertIsNone(self.js("window.hacked ?? null"))
        self.assertEqual(self.js("document.images.length + document.querySelectorAll('main script').length"), 0)

    def absences(self, plan):
        """The plan without one key each: of the whole, of its parts, of every item of its lists."""
        def without(path):
            less = copy.deepcopy(plan)
            part = less
            for key in path[:-1]:
                part = part[key]
            for item in part if isinstance(part, list) else [part]:
                item.pop(path[-1], None)
            return less
        lists = [("checkpoint", "blocks"), ("checkpoint", "curve"), ("shard", "units"), ("operations",), ("schedule",),
                 ("streams",), ("buffers",), ("memory", "outside")]
        for key, part in plan.items():
            yield key, without((key,))
            for inner in part if isinstance(part, dict) else ():
                yield f"{key}.{inner}", without((key, inner))
        for path in lists:
            items = plan
            for key in path:
                items = items[key]
            for key in items[0] if items else ():
                yield f"{'.'.join(path)}[].{key}", without((*path, key))

    def test_absent_keys(self):
        small = self.plans["small"]
        less = {**small, "schedule": small["schedule"][:60],
                "buffers": [b for b in small["buffers"] if b["end"] < 60]}
        for name, plan in self.absences(less):
            with self.subTest(name):
                self.show(plan)
                self.assertGreater(len(self.text("main")), 1000)
                self.assertNotRegex(self.js("document.querySelector('main').innerText"),
                                    r"undefined|\bNaN|\[object|Infinity")

    def test_almost_nothing(self):
        for plan in ({}, None, [], {"schedule": {}, "buffers": 3, "checkpoint": [], "memory": None},
                     {"memory": {"peak_bytes": 5}}, {"schedule": [{}], "buffers": [{}], "operations": [None, {}]},
                     {"schedule": [{"live_bytes": 0, "time_ns": 0}], "buffers": [{"bytes": 0, "offset": 0, "begin": 0,
                                                                               "end": 0}]}):
            with self.subTest(plan=plan):
                self.show(plan)
                self.assertNotRegex(self.js("document.querySelector('main').innerText"), r"undefined|\bNaN|\[object")

    def test_buffers_that_cannot_be_drawn_are_counted(self):
        plan = copy.deepcopy(self.plans["small"])
        plan["buffers"][3]["end"] = len(plan["schedule"])
        del plan["buffers"][4]["offset"]
        self.show(plan)
        self.assertEqual(self.js("planPage.drawn.buffers"), len(plan["buffers"]) - 2)
        self.assertIn("2 buffers", self.text("#map-note"))

    def test_many_blocks(self):
        plan = copy.deepcopy(self.plans["small"])
        block = plan["checkpoint"]["blocks"][1]
        plan["checkpoint"]["blocks"] = [{**block, "name": f"block2-{i}", "stage": "2"} for i in range(300)]
        self.show(plan)
        self.assertEqual(self.js("planPage.drawn.blocks"), 300)
        self.assertLessEqual(self.js("document.documentElement.scrollWidth"), 1280)

    def test_template(self):
        self.assertEqual(self.template.count(sample_plan.MARKER), 1)
        addresses = set(re.findall(r"\w+://[^\s\"'`]+", self.template))
        self.assertEqual(addresses, {"http://www.w3.org/2000/svg"}, "the page asks nobody for anything")
        self.assertIn("default-src 'none'", self.template)
        for number, line in enumerate(self.template.split("\n"), 1):
            self.assertLessEqual(len(line), 120, f"line {number}")
        self.show(self.plans["small"])
        self.assertEqual(self.js("performance.getEntriesByType('resource').length"), 0)


class Looks(PageTest):
    OVERFLOW = """(() => {
      const bad = [], wide = document.documentElement.scrollWidth - innerWidth;
      if (wide > 0) bad.push(`the page is ${wide} px too wide`);
      const seen = (node) => node.getClientRects().length && getComputedStyle(node).visibility !== "hidden";
      for (const node of document.querySelectorAll("body *")) {
        if (!seen(node) || node.closest("svg")) continue;
        const style = getComputedStyle(node), cut = style.textOverflow === "ellipsis" || style.overflowX === "auto";
        if (!cut && style.display !== "inline" && node.scrollWidth > node.clientWidth + 1 && node.clientWidth)
          bad.push(`${node.tagName} ${node.className} holds ${node.scrollWidth - node.clientWidth} px too much: `
                   + node.textContent.slice(0, 40));
      }
      const crossing = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5;
      for (const svg of document.querySelectorAll("main svg")) {
        const texts = [...svg.querySelectorAll("text")].filter((node) => node.textContent);
        const boxes = texts.map((node) => node.getBoundingClientRect()), frame = svg.getBoundingClientRect();
        boxes.forEach((box, i) => {
          if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
            bad.push(`'${texts[i].textContent}' leaves its figure`);
          for (let j = 0; j < i; j++)
            if (crossing(box, boxes[j])) bad.push(`'${texts[i].textContent}' on '${texts[j].textContent}'`);
        });
      }
      for (const group of ["main > *", ".tile", ".pair > *", ".split > *", "nav > *", "td, th"]) {
        const boxes = [...document.querySelectorAll(group)].filter(seen).map((node) => node.getBoundingClientRect());
        boxes.forEach((box, i) => boxes.slice(0, i).forEach((other) => {
          if (crossing(box, other)) bad.push(`two of '${group}' overlap`);
        }));
      }
      return bad;
    })()"""

    def test_nothing_overflows_or_overlaps(self):
        for name, plan in self.plans.items():
            self.show(plan)
            self.js("document.querySelector('details').open = true")
            for width in WIDTHS:
                self.browser.resize(width, 800)
                self.browser.settle()
                self.assertEqual(self.js("document.querySelector('#map').clientWidth - planPage.map.width"), 0)
                for chosen in (1, len(plan["checkpoint"]["blocks"]) - 2):
                    with self.subTest(plan=name, width=width, chosen=chosen):
                        self.js(f"document.querySelectorAll('#chain g[role=button]')[{chosen}]"
                                ".dispatchEvent(new MouseEvent('click'))")
                        self.assertEqual(self.js(self.OVERFLOW), [])

    def test_contrast(self):
        """Text of both schemes reaches the ratio 4.5 of WCAG 2.1, 1.4.3, on every ground it stands on."""
        def luminance(colour):
            parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        for scheme in ("light", "dark"):
            self.browser.media(scheme)
            self.show(self.plans["small"])
            colours = {name: self.js("getComputedStyle(document.documentElement)"
                                     f".getPropertyValue('--{name}').trim()") for name in
                       ("ink", "soft", "warn", "accent", "paper", "ground", "wash")}
            colours = {name: "#" + "".join(2 * c for c in value[1:]) if len(value) == 4 else value
                       for name, value in colours.items()}
            for front, back in (("ink", "paper"), ("ink", "ground"), ("ink", "wash"), ("soft", "paper"),
                                ("soft", "ground"), ("warn", "paper"), ("soft", "wash")):
                light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
                self.assertGreaterEqual((light + 0.05) / (dark + 0.05), 4.5, f"{scheme}: {front} on {back}")
            ground = self.js("getComputedStyle(document.body).backgroundColor")
            self.assertEqual(scheme == "dark", sum(map(int, re.findall(r"\d+", ground)[:3])) < 200)

    def test_prints_light(self):
        self.browser.media("dark")
        self.show(self.plans["small"])
        self.js("dispatchEvent(new Event('beforeprint'))")
        paper = "getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()"
        self.assertEqual(self.js(paper), "#fff")
        path = Path(self.folder.name) / "page.pdf"
        self.browser.print(path)
        self.assertGreater(path.stat().st_size, 20_000)


class Sample(unittest.TestCase):
    """The samples are what they say."""

    def test_consistent(self):
        for size in ("small", "rg10b"):
            plan = sample_plan.plan_make(size)
            self.assertEqual(json.dumps(plan), json.dumps(sample_plan.plan_make(size)))
            buffers = plan["buffers"]
            for step in range(0, len(plan["schedule"]), 7):
                live = sorted((b["offset"], b["bytes"]) for b in buffers if b["begin"] <= step <= b["end"])
                self.assertEqual(sum(size for _, size in live), plan["schedule"][step]["live_bytes"])
                for (low, length), (high, _) in zip(live, live[1:]):
                    self.assertLessEqual(low + length, high)
            self.assertEqual(max(b["offset"] + b["bytes"] for b in buffers), plan["memory"]["arena_bytes"])
        self.assertGreater(len(buffers), 3500)
        self.assertGreater(len(plan["schedule"]), 3500)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--template", type=Path, default=TEMPLATE)
    parser.add_argument("--page", type=Path)
    known, rest = parser.parse_known_args()
    TEMPLATE, PAGE = known.template, known.page
    try:
        unittest.main(argv=[sys.argv[0], *rest])
    except Missing as missing:
        sys.exit(f"page_test: {missing}")
