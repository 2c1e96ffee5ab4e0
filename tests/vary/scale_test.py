"""`seerc scale` as a user meets it: its networks are what pycls' rules make of their numbers, within every limit; what
is chosen follows from the table, is written as a spec and plans as promised; limits that nobody meets are named.

usage: scale_test.py SEERC FOLDER [ten_billion]
"""
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import unittest
import xml.dom.minidom

SEERC, FOLDER = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
CLUSTER = 'cluster { machine = "a100-40g"  nodes = 2  ranks_per_node = 8  decode_rate = 1e6  read_bandwidth = 1e15 }\n'
CROPS, COUNTS = [96, 48], [2, 3]
BASE = '''use "models/regnety_800mf"
data { pictures = "photos/" }
train { batch = 512  precision = fp16  epochs = 1 }
views { crops = [crop(count = 2, size = 96px, scale = 0.2..1.0), crop(count = 3, size = 48px, scale = 0.05..0.2)] }
''' + CLUSTER
WANTED = ["--parameters", "25e6", "--candidates", "5"]
RELEASED = [(32.280, 74.03), (64.070, 75.25), (127.518, 75.96), (254.385, 77.51), (1863.313, 79.8)]


def seerc(*words, code=0):
    done = subprocess.run([SEERC, *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise AssertionError(f"{words} gave {done.returncode}, not {code}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def scaled(*words, spec="base.seer", code=0):
    return json.loads(seerc("scale", spec, "--json", *words, code=code).stdout)


def stages(net):
    """pycls' generate_regnet and its rule for groups: [[width, group width, depth], ...]."""
    made = []
    for block in range(net["depth"]):
        exponent = round(math.log((net["w0"] + net["wa"] * block) / net["w0"]) / math.log(net["wm"]))
        width = round(net["w0"] * net["wm"] ** exponent / 8) * 8
        if made and made[-1][0] == width:
            made[-1][2] += 1
        else:
            made.append([width, 0, 1])
    for stage in made:
        stage[1] = min(net["group_width"], stage[0])
        stage[0] = round(stage[0] / stage[1]) * stage[1]
    return made


def count(net, size):
    """Parameters of the trunk, and multiply-adds of one picture, block by block."""
    side = math.ceil(size / 2)
    parameters, macs, width = 3 * 32 * 9 + 2 * 32, 3 * 32 * 9 * side ** 2, 32
    for wide, group, depth in stages(net):
        for block in range(depth):
            out, squeezed = (math.ceil(side / 2) if block == 0 else side), round(width / 4)
            convolutions = [(width * wide, side), (wide * group * 9, out), (wide * wide, out)]
            if block == 0 or width != wide:
                convolutions.append((width * wide, out))
            parameters += sum(weights for weights, _ in convolutions) + 2 * wide * len(convolutions)
            parameters += 2 * wide * squeezed + squeezed + wide
            macs += sum(weights * pixels ** 2 for weights, pixels in convolutions) + 2 * wide * squeezed
            width, side = wide, out
    return parameters, macs


def proxy(macs):
    xs = [math.log2(gmac * (2 * 160 ** 2 + 4 * 96 ** 2) / 224 ** 2) for gmac, _ in RELEASED]
    mean, level = sum(xs) / 5, sum(top1 for _, top1 in RELEASED) / 5
    slope = sum((x - mean) * (top1 - level) for x, (_, top1) in zip(xs, RELEASED)) / sum((x - mean) ** 2 for x in xs)
    return level + slope * (math.log2(macs / 1e9) - mean)


class Scale(unittest.TestCase):
    def judge(self, found, counts):
        wanted = found["wanted"]
        for net in found["networks"]:
            macs = sum(times * count(net, size)[1] for times, size in zip(counts, net["sizes"]))
            self.assertEqual((net["parameters"], net["macs"]), (count(net, 224)[0], macs), net)
            self.assertAlmostEqual(net["proxy"], proxy(macs), places=5)
            self.assertEqual(net["in_space"], 12 <= net["depth"] <= 28 and net["wm"] >= 2 and len(stages(net)) == 4)
        offered = [n for n in found["networks"] if n["origin"] in ("found", "plain") and "images_per_second" in n]
        for net in offered:
            self.assertLessEqual(abs(net["parameters"] - wanted["parameters"]),
                                 wanted["tolerance"] * wanted["parameters"])
            if wanted["macs"]:
                self.assertLessEqual(net["macs"], wanted["macs"])
            beaten = any((o["images_per_second"], o["proxy"]) != (net["images_per_second"], net["proxy"])
                         and o["images_per_second"] >= net["images_per_second"] and o["proxy"] >= net["proxy"]
                         for o in offered)
            self.assertEqual(net["pareto"], not beaten, net)
        best = max((n for n in offered if n["proxy"] >= found["floor"] - 1e-6),
                   key=lambda n: (n["images_per_second"], n["proxy"]))
        chosen = [n for n in found["networks"] if n["chosen"]]
        self.assertEqual(chosen, [best])
        return best, offered

    def test_width(self):
        found = scaled(*WANTED)
        _, offered = self.judge(found, COUNTS)
        self.assertGreater(found["tried"], 5000)
        self.assertGreaterEqual(len(offered), 5)
        self.assertEqual({n["depth"] for n in offered}, {14})
        self.assertTrue(all(n["group_width"] % 8 == 0 for n in offered))
        plain = [n for n in offered if n["origin"] == "plain"]
        self.assertEqual(len(plain), 1)
        self.assertEqual(plain[0]["wm"], 2.4)
        self.assertAlmostEqual(found["floor"], plain[0]["proxy"], places=5)
        self.assertEqual([n["name"] for n in found["networks"] if n["origin"] == "base"],
                         ["depth=14 w0=56 wa=38.84 wm=2.4 group_width=16"])
        speeds = [n.get("images_per_second", -1) for n in found["networks"]]
        self.assertEqual(speeds, sorted(speeds, reverse=True))

    def test_released_networks_are_there(self):
        found = scaled("--parameters", "20e6", "--candidates", "2")
        released = {n["name"]: n for n in found["networks"] if n["origin"] == "released"}
        self.assertEqual(set(released), {"regnety_4gf"})  # regnety_3_2gf has 10.4 % fewer
        self.assertEqual(released["regnety_4gf"]["parameters"], 19557656)

    def test_what_is_written_plans_as_promised(self):
        found = scaled(*WANTED, "-o", "chosen.seer", "--svg", "s.svg")
        chosen = [n for n in found["networks"] if n["chosen"]][0]
        plan = json.loads(seerc("plan", "chosen.seer", "--json").stdout)
        self.assertEqual(plan["model"]["parameters_trunk"], chosen["parameters"])
        self.assertAlmostEqual(plan["simulation"]["images_per_second"], chosen["images_per_second"], places=3)
        self.assertEqual(plan["memory"]["peak_bytes"], chosen["peak_bytes"])
        seerc("fmt", "--check", "chosen.seer")
        picture = xml.dom.minidom.parse(str(FOLDER / "s.svg")).documentElement
        marks = len(picture.getElementsByTagName("title"))
        self.assertEqual(marks, len([n for n in found["networks"] if "images_per_second" in n]))

    def test_depth_keeps_widths(self):
        found = scaled("--parameters", "12e6", "--vary", "depth", "--candidates", "3", "--tolerance", "0.05")
        best, offered = self.judge(found, COUNTS)
        self.assertTrue(all(n["depth"] > 14 and n["w0"] == 56 and n["group_width"] == 16 for n in offered))
        self.assertFalse(best["in_space"] and best["depth"] > 28)

    def test_resolution_keeps_the_network(self):
        found = scaled("--vary", "resolution", "--candidates", "4")
        _, offered = self.judge(found, COUNTS)
        self.assertEqual({n["parameters"] for n in found["networks"]}, {5494168})
        sizes = [n["sizes"] for n in offered]
        self.assertEqual(len(sizes), len(set(map(tuple, sizes))))
        self.assertTrue(all(abs(2 * small - large) <= 8 for large, small in sizes), sizes)
        limit = 3 * [n for n in found["networks"] if n["origin"] == "base"][0]["macs"]
        self.judge(scaled("--vary", "resolution", "--candidates", "4", "--macs", str(limit)), COUNTS)

    def test_free_and_limits(self):
        macs = 3e9
        found = scaled(*WANTED, "--vary", "free", "--macs", str(macs), "--group-multiple", "32")
        _, offered = self.judge(found, COUNTS)
        self.assertTrue(all(n["group_width"] % 32 == 0 and 12 <= n["depth"] <= 28 for n in offered))

    def test_limits_that_nobody_meets(self):
        cases = [(["--parameters", "1000"], ["the parameters bind: no network of 0.001 M", "nearest, depth=14 w0=8"]),
                 (["--parameters", "25e6", "--vary", "resolution"], ["parameters bind", "'--vary free' changes both"]),
                 (["--parameters", "25e6", "--macs", "1e6"], ["the multiply-adds bind", "the nearest, depth=14"]),
                 ([*WANTED, "-Dcluster.memory=50MiB", "--candidates", "2"], ["the memory binds: none of the", "takes"])]
        for words, messages in cases:
            done = seerc("scale", "base.seer", *words, code=1)
            for message in messages:
                self.assertIn(message, done.stderr)
        (FOLDER / "stages.seer").write_text('''model { depths = [1, 2]  widths = [32, 64]  group_widths = [8] }
data { pictures = "photos/" }
train { batch = 32  steps = 10 }
''')
        self.assertIn("has explicit stages [scale]", seerc("scale", "stages.seer", code=1).stderr)
        self.assertIn("unknown machine", seerc("scale", "base.seer", "-Dcluster.machine=nothing", code=1).stderr)

    def test_usage(self):
        for words, message in ((["--parameters", "many"], "'--parameters' takes a number"),
                               (["--parameters", "-3"], "'--parameters' takes a number"),
                               (["--tolerance", "2"], "'--tolerance' takes a number from 0 to 0.5"),
                               (["--group-multiple", "1.5"], "take whole numbers"),
                               (["--candidates", "0"], "'--candidates' takes a number"),
                               (["--vary", "height"], "'--vary' takes width|depth|resolution|free")):
            self.assertIn(message, seerc("scale", "base.seer", *words, code=2).stderr)


class TenBillion(unittest.TestCase):
    """From the released 1.3 billion, wider at the same depth, to ten: as fast as the released one or faster."""

    def test_wider_at_constant_depth(self):
        (FOLDER / "large.seer").write_text('''use "models/regnety_256gf"
use "recipes/seer_10b"
data { pictures = "p/" }
cluster { machine = "a100-40g"  nodes = 62  ranks_per_node = 8 }
''')
        found = scaled("--parameters", "9323934872", "--tolerance", "0.01", spec="large.seer")
        nets = {n["name"]: n for n in found["networks"]}
        chosen = [n for n in found["networks"] if n["chosen"]][0]
        released = nets["regnety_10b"]
        self.assertEqual((released["parameters"], released["macs"]),
                         (9323934872, 2 * count(released, 160)[1] + 4 * count(released, 96)[1]))
        self.assertGreaterEqual(chosen["images_per_second"], released["images_per_second"])
        self.assertEqual(chosen["depth"], 27)
        self.assertLess(abs(chosen["parameters"] / released["parameters"] - 1), 0.01)


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "base.seer").write_text(BASE)
    unittest.main(argv=sys.argv[:1], defaultTest="TenBillion" if len(sys.argv) > 3 else "Scale")
