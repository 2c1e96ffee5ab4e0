"""`seerc sweep` as a user meets it: results that are those of the runs, whatever ends a sweep and when; variants that
fail; what is refused; seeds; tasks of Slurm's arrays.

usage: sweep_test.py SEERC FOLDER quick|long
"""
import html.parser
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
import unittest
import xml.dom.minidom

SEERC, FOLDER, KIND = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3]
PICTURES, SIDE, LABELS, STEPS = 96, 12, 3, 24
SPEC = '''model { depths = [1]  widths = [16]  group_widths = [8]  strides = [2] }
supervised { classes = 3 }
views { crops = [crop(count = 1, size = 12px, scale = 0.5..1.0)] }
data { pictures = "pictures.idx"  labels = "labels.idx"  decode_threads = 1  max_pixels = 1000px }
train { batch = 8  steps = 24 }
save { every = 5steps }
evaluate { size = 12px  resize = 12px  batch = 16 }
'''
OVER = ["--over", "model.widths=[8],[16]", "--over", "schedule.peak=0.05,0.5"]
# Of two runs of one variant these differ.
CLOCK = ("images_per_second", "seconds", "resident_bytes")


def idx(dimensions, values):
    return bytes([0, 0, 8, len(dimensions)]) + b"".join(d.to_bytes(4, "big") for d in dimensions) + bytes(values)


def pictures_write():
    """Squares whose brightness tells their label, under noise."""
    draw = random.Random(1)
    labels = [i % LABELS for i in range(PICTURES)]
    pixels = [min(255, 70 * label + draw.randrange(60)) for label in labels for _ in range(SIDE * SIDE)]
    (FOLDER / "pictures.idx").write_bytes(idx([PICTURES, SIDE, SIDE], pixels))
    (FOLDER / "labels.idx").write_bytes(idx([PICTURES], labels))


def sweep(*words, code=0, **options):
    done = subprocess.run([SEERC, "sweep", *map(str, words)], cwd=FOLDER, capture_output=True, text=True, **options)
    if done.returncode != code:
        raise AssertionError(f"{words} gave {done.returncode}, not {code}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def results(out, code=0):
    """What the folder says, without what a clock has measured."""
    found = json.loads(sweep("--collect", out, "--json", code=code).stdout)
    for variant in found["variants"]:
        for key in CLOCK:
            variant.pop(key, None)
    for row in found["rows"]:
        for key in ("images_per_second", "images_per_second_deviation", "speed_front"):
            row.pop(key)
    return found


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


class Parsed(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.words = [], []
        self.feed(text)
        if self.open:
            raise AssertionError(f"left open: {self.open}")

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "href") and not value.startswith(("#", "data:")):
                raise AssertionError(f"the page refers to {value}")
        if tag not in ("meta", "path", "circle", "rect", "image", "line", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.words.append(data)


class Sweep(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        (FOLDER / "small.seer").write_text(SPEC)
        pictures_write()
        # Stopped as soon as its trainers are built: what other tests begin with.
        stopped = sweep("small.seer", *OVER, "-o", "built", "--minutes", "1e-6", code=75)
        assert "the same command goes on" in stopped.stderr, stopped.stderr
        cls.copy("whole")
        cls.said = sweep("small.seer", *OVER, "-o", "whole")
        cls.wanted = results("whole")

    @classmethod
    def copy(cls, name, of="built"):
        """A folder of trainers and no step, to be run in."""
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        shutil.copytree(FOLDER / of, FOLDER / name)
        return FOLDER / name

    def test_results_are_those_of_the_runs(self):
        self.assertEqual([v["state"] for v in self.wanted["variants"]], ["done"] * 4)
        self.assertNotIn("building", self.said.stderr)
        for variant in self.wanted["variants"]:
            folder = FOLDER / "whole" / variant["folder"]
            lines = metrics(folder / "run")
            self.assertEqual((len(lines), variant["step"], variant["steps"]), (STEPS, STEPS, STEPS))
            self.assertAlmostEqual(variant["loss"], statistics.mean(line["loss"] for line in lines[-20:]), 9)
            # Nobody asked for neighbours, and the pictures have labels: after the last step.
            looks = [line["knn_accuracy"] for line in lines if "knn_accuracy" in line]
            self.assertEqual(looks, [variant["knn_accuracy"]])
            words = [word for key, value in variant["values"].items() for word in ("-D", f"{key}={value}")]
            plan = json.loads(subprocess.run([SEERC, "plan", "small.seer", "--json", *words], cwd=FOLDER, check=True,
                                             capture_output=True).stdout)
            self.assertEqual(variant["parameters_trunk"], plan["model"]["parameters_trunk"])
            self.assertEqual(variant["parameters_total"], plan["model"]["parameters_total"])
            self.assertEqual(variant["macs"], plan["model"]["macs_by_size"]["12"])
            self.assertEqual(variant["peak_bytes"], plan["memory"]["peak_bytes"])
            self.assertEqual(variant["planned_bytes"], plan["memory"]["peak_bytes"])
            self.assertEqual(variant["peak_bytes"], lines[-1]["peak_bytes"])
        rows = self.wanted["rows"]
        best = [row for row in rows if row["best"]]
        self.assertEqual([row["knn_accuracy"] for row in best], [max(row["knn_accuracy"] for row in rows)])
        small = [v for v in self.wanted["variants"] if v["values"]["model.widths"] == "[8]"]
        self.assertTrue(any(row["size_front"] for row in rows if row["values"]["model.widths"] == "[8]"))
        self.assertLess(small[0]["parameters_trunk"], self.wanted["variants"][-1]["parameters_trunk"])

    def test_table_page_and_lines_say_the_same(self):
        table = self.said.stdout.splitlines()
        self.assertRegex(table[0], r"^ +widths +peak +loss +kNN % +images/s +memory +trunk +multiply-adds +front$")
        lines = [json.loads(line) for line in (FOLDER / "whole/sweep.jsonl").read_text().splitlines()]
        page = Parsed((FOLDER / "whole/sweep.html").read_text())
        for row, line, variant in zip(table[1:5], lines, self.wanted["variants"]):
            self.assertIn(f" {variant['loss']:.4f}  {100 * variant['knn_accuracy']:.2f} ", row)
            self.assertEqual(row.startswith("*"), variant["values"] == self.best_values())
            self.assertEqual(variant, {key: value for key, value in line.items() if key not in CLOCK})
            self.assertIn(f"{variant['loss']:.4f}", page.words)
            self.assertIn(f"{100 * variant['knn_accuracy']:.2f}", page.words)
        xml.dom.minidom.parse(str(FOLDER / "whole/sweep.svg"))
        self.assertIn("default-src 'none'", (FOLDER / "whole/sweep.html").read_text())
        again = sweep("small.seer", *OVER, "-o", "whole")
        self.assertEqual(again.stdout, self.said.stdout)
        self.assertNotIn("begins", again.stderr)

    def best_values(self):
        return next(row["values"] for row in self.wanted["rows"] if row["best"])

    def killed(self, name, wait, number, whole=False, **options):
        """A sweep that gets a signal after a while; with its trainers where `whole`."""
        process = subprocess.Popen([SEERC, "sweep", "small.seer", *OVER, "-o", name, "--jobs", "2"], cwd=FOLDER,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        wait(process)
        victims = [process.pid]
        if whole:
            found = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            victims += [int(child) for child in found]
        for victim in victims:
            os.kill(victim, number)
        said = process.communicate(timeout=120)
        return process.returncode, said[1]

    def test_what_is_killed_at_any_point_ends_alike(self):
        draw = random.Random(7)
        for turn in range(4 if KIND == "quick" else 24):
            name = str(self.copy(f"killed{turn}").name)
            for _ in range(2):
                seconds, whole = draw.uniform(0, 0.8), draw.random() < 0.5
                self.killed(name, lambda _: time.sleep(seconds), signal.SIGKILL, whole=whole)
            sweep("small.seer", *OVER, "-o", name)
            self.assertEqual(results(name), self.wanted)
            shutil.rmtree(FOLDER / name)

    @unittest.skipIf(KIND == "quick", "builds again and again")
    def test_what_is_killed_while_it_builds_ends_alike(self):
        for stage in (1, 2, 4):
            name = f"unbuilt{stage}"

            def wait(process):
                for line in process.stderr:
                    if f"building {stage} of" in line:
                        break
                time.sleep(1)

            code, _ = self.killed(name, wait, signal.SIGKILL)
            self.assertEqual(code, -signal.SIGKILL)
            sweep("small.seer", *OVER, "-o", name)
            self.assertEqual(results(name), self.wanted)
            self.assertEqual(list((FOLDER / name).rglob("*.part")) + list((FOLDER / name).glob("build")), [])

    def begun(self, process):
        """Waits for a step of some trainer."""
        for _ in range(600):
            if any(path.stat().st_size for path in FOLDER.glob("stopped*/*/run/metrics.jsonl")):
                return
            time.sleep(0.02)
        raise AssertionError("no trainer began")

    def test_stopped_with_snapshots(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.copy("stopped")
            shutil.rmtree(FOLDER / "stopped_before", ignore_errors=True)
            code, said = self.killed("stopped", self.begun, number)
            self.assertEqual(code, 75, said)
            self.assertIn("the same command goes on", said)
            found = results("stopped")
            self.assertGreater(found["left"], 0)
            for variant in found["variants"]:
                run = FOLDER / "stopped" / variant["folder"] / "run"
                if variant["state"] == "begun" and variant["step"]:
                    self.assertTrue((run / f"snapshots/step-{variant['step']}").exists(), list(run.rglob("*")))
            sweep("small.seer", *OVER, "-o", "stopped")
            self.assertEqual(results("stopped"), self.wanted)

    def test_a_second_sweep_keeps_out(self):
        self.copy("stopped")
        other = []

        def wait(process):
            self.begun(process)
            other.append(sweep("small.seer", *OVER, "-o", "stopped", code=1))

        self.killed("stopped", wait, signal.SIGTERM)
        self.assertIn("in use by another sweep", other[0].stderr)

    def test_variants_that_fail_are_rows(self):
        over = ["--over", "schedule.peak=0.5,10000", "--over", "model.group_widths=[8],[7]", "-o", "failing"]
        self.copy("failing", of="built")
        shutil.rmtree(FOLDER / "failing")
        done = sweep("small.seer", *over, code=1)
        self.assertIn("3 of 4 variants failed", done.stderr)
        states = {tuple(v["values"].values()): v for v in results("failing", code=1)["variants"]}
        self.assertEqual({key: v["state"] for key, v in states.items()},
                         {("0.5", "[8]"): "done", ("0.5", "[7]"): "refused", ("10000", "[8]"): "failed",
                          ("10000", "[7]"): "refused"})
        self.assertIn("7", states["0.5", "[7]"]["reason"])
        self.assertRegex(states["10000", "[8]"]["reason"], "not finite|NaN|nan")
        self.assertIn(states["10000", "[8]"]["reason"], done.stdout)
        Parsed((FOLDER / "failing/sweep.html").read_text())
        # What diverged would do so again.
        log = FOLDER / "failing" / states["10000", "[8]"]["folder"] / "log"
        before = log.read_text()
        self.assertNotIn("begins", sweep("small.seer", *over, code=1).stderr)
        self.assertEqual(log.read_text(), before)

    def test_a_killed_trainer_is_tried_again(self):
        self.copy("stopped")

        def kill_one(process):
            self.begun(process)
            trainers = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(trainers[0]), signal.SIGKILL)

        code, said = self.killed("stopped", kill_one, 0)
        self.assertEqual(code, 1, said)
        self.assertIn("killed by signal 9", said)
        sweep("small.seer", *OVER, "-o", "stopped")
        self.assertEqual(results("stopped"), self.wanted)

    def test_seeds_are_joined(self):
        over = ["--over", "model.widths=[8]", "--over", "train.seed=1,2,3", "-o", "seeds"]
        done = sweep("small.seer", *over, "--steps", 12, "--jobs", 3)
        found = results("seeds")
        self.assertEqual(len(found["rows"]), 1)
        row = found["rows"][0]
        losses = [variant["loss"] for variant in found["variants"]]
        self.assertEqual(len(set(losses)), 3)
        self.assertAlmostEqual(row["loss"], statistics.mean(losses), 9)
        self.assertAlmostEqual(row["loss_deviation"], statistics.stdev(losses), 9)
        self.assertIn(f"{statistics.mean(losses):.4f} ± {statistics.stdev(losses):.4f}", done.stdout)
        self.assertIn("3 seeds", done.stdout)
        for variant in found["variants"]:
            run = json.loads((FOLDER / "seeds" / variant["folder"] / "run/run.json").read_text())
            self.assertEqual((run["seed"], run["steps"]), (variant["values"]["train.seed"], 12))

    def test_a_sweep_grows_and_does_not_change(self):
        self.copy("grown", of="whole")
        before = {path: path.stat().st_mtime_ns for path in (FOLDER / "grown").glob("*/run/metrics.jsonl")}
        done = sweep("small.seer", *OVER[:-1], "schedule.peak=0.05,0.5,0.2", "-o", "grown")
        self.assertEqual(done.stderr.count("building"), 2)
        found = results("grown")
        self.assertEqual(len(found["variants"]), 6)
        self.assertEqual(before, {path: path.stat().st_mtime_ns for path in before})
        kept = [v for v in found["variants"] if v["values"]["schedule.peak"] != "0.2"]
        self.assertEqual([(v["values"], v["loss"]) for v in kept],
                         [(v["values"], v["loss"]) for v in self.wanted["variants"]])
        # Asked for less, it still shows what there is.
        less = sweep("small.seer", "--over", "model.widths=[8]", "--over", "schedule.peak=0.2", "-o", "grown", "--json")
        self.assertEqual(len(json.loads(less.stdout)["variants"]), 6)
        (FOLDER / "other.seer").write_text(SPEC)
        for words, told in ((["small.seer", *OVER, "--steps", 9], "its --steps is that of the spec, not '9'"),
                            (["small.seer", *OVER[:2]], "its list of keys is"),
                            (["small.seer", *OVER, "-D", "train.batch=16"],
                             "spec of 'widths=[8] peak=0.05', by its hash"),
                            (["small.seer", *OVER, "--data", "pictures.idx"], "its --data is none"),
                            (["other.seer", *OVER], "its spec is 'small', not 'other'")):
            said = sweep(*words, "-o", "grown", code=1).stderr
            self.assertIn("holds another sweep", said)
            self.assertIn(told, said)

    def test_what_is_refused(self):
        (FOLDER / "taken").mkdir(exist_ok=True)
        (FOLDER / "taken/mine.txt").write_text("mine")
        (FOLDER / "broken.seer").write_text("model { depths = [1 }")
        for words, code, told in (
                (["small.seer"], 2, "--over"),
                (["small.seer", "--over", "model.width=[8],[16]"], 1, "did you mean 'widths'"),
                (["small.seer", "--over", "train.batch=8,many"], 1, "train.batch"),
                (["small.seer", "--over", "train.batch=8,0"], 1, "train.batch"),
                (["small.seer", "--over", "train.batch="], 2, "empty value"),
                (["small.seer", "--over", "train.batch"], 2, "SECTION.KEY=V1,V2"),
                (["small.seer", "--over", "train.batch=8", "--over", "train.batch=16"], 2, "given twice"),
                (["small.seer", *OVER, "--jobs", "0"], 2, "--jobs"),
                (["small.seer", *OVER, "--steps", "x"], 2, "--steps"),
                (["small.seer", *OVER, "--minutes", "-1"], 2, "--minutes"),
                (["small.seer", *OVER, "--emit", "pbs"], 2, "'pbs'"),
                (["small.seer", *OVER, "--labels", "labels.idx"], 2, "--data"),
                (["-", *OVER], 2, "standard input"),
                (["broken.seer", *OVER], 1, "broken.seer:1"),
                (["small.seer", *OVER, "-o", "taken"], 1, "'taken' is there"),
                (["small.seer", *OVER, "-o", "small.seer/x"], 3, "cannot make folder"),
                (["--collect", "taken"], 1, "no folder of a sweep"),
                (["--collect", "nowhere"], 1, "no folder of a sweep")):
            said = sweep(*words, code=code).stderr
            self.assertIn(told, said, words)
        self.assertEqual((FOLDER / "taken/mine.txt").read_text(), "mine")
        self.assertFalse((FOLDER / "small.sweep").exists())

    def test_what_the_machine_lacks(self):
        nothing = dict(os.environ, PATH=str(FOLDER))
        said = sweep("small.seer", *OVER, "-o", "no_make", code=3, env=nothing).stderr
        self.assertIn("make", said)
        self.copy("ranks")
        for path in (FOLDER / "ranks").glob("*/built.json"):
            built = json.loads(path.read_text())
            path.write_text(json.dumps({**built, "ranks_per_node": 2}))
        said = sweep("small.seer", *OVER, "-o", "ranks", code=3, env=nothing).stderr
        self.assertIn("there is no 'mpirun'", said)
        for path in (FOLDER / "ranks").glob("*/built.json"):
            built = json.loads(path.read_text())
            path.write_text(json.dumps({**built, "nodes": 2}))
        said = sweep("small.seer", *OVER, "-o", "ranks", code=1).stderr
        self.assertIn("for 2 nodes", said)

    def test_tasks_of_slurm(self):
        self.copy("array")
        done = sweep("small.seer", *OVER, "-o", "array", "--emit", "sbatch", "--jobs", 3)
        self.assertIn("4 tasks: sbatch array/sweep.sbatch", done.stderr)
        script = (FOLDER / "array/sweep.sbatch").read_text()
        for line in ("#SBATCH --array=0,1,2,3%3", "#SBATCH --ntasks=1", "#SBATCH --output=array/%x-%A_%a.log"):
            self.assertIn(line + "\n", script)
        subprocess.run(["bash", "-n", FOLDER / "array/sweep.sbatch"], check=True)
        tools = FOLDER / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "srun").write_text('#!/bin/bash\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n')
        (tools / "srun").chmod(0o755)

        def task(number, *words, code=0):
            environment = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", SLURM_JOB_ID="7",
                               SLURM_ARRAY_JOB_ID="7", SLURM_CPUS_PER_TASK="1", SLURM_ARRAY_TASK_ID=str(number),
                               SLURM_RESTART_COUNT="100", SEER_RUN="nowhere", SEER_TRAINER="nowhere")
            done = subprocess.run(["bash", "array/sweep.sbatch", *words], cwd=FOLDER, env=environment,
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            return done

        self.assertIn("no variant", task(9, code=2).stderr)
        self.assertIn("4 of 4 variants are not done", sweep("--collect", "array").stderr)
        # A task that is stopped, as before a time limit, goes on when it is submitted again.
        task(0, "--stop-after", "9", code=75)
        found = results("array")["variants"]
        self.assertEqual([v["state"] for v in found], ["begun", "waiting", "waiting", "waiting"])
        for number in range(4):
            task(number)
        self.assertEqual(results("array"), self.wanted)
        # A name that would do harm, were it not made plain.
        harm = "a'b; touch harm #$(touch harm)"
        self.copy(harm)
        sweep("small.seer", *OVER, "-o", harm, "--emit", "sbatch")
        environment = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", SLURM_JOB_ID="7", SLURM_ARRAY_TASK_ID="0")
        subprocess.run(["bash", f"{harm}/sweep.sbatch"], cwd=FOLDER, env=environment, check=True)
        self.assertEqual(results(harm)["done"], 1)
        self.assertFalse((FOLDER / "harm").exists())
        # Nothing is left for the same command.
        self.assertNotIn("tasks", sweep("small.seer", *OVER, "-o", "array", "--emit", "sbatch").stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
