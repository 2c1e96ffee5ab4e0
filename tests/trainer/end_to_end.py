# Trains the tiny programs for real: determinism, resume, stopping, locks, damaged and foreign snapshots, bad input.
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from common import (events_read, metrics_read, pictures_make, run, safetensors_read, snapshot_bytes, snapshot_steps)

BUILD = os.path.abspath(sys.argv[1])
TINY = os.path.join(BUILD, "tiny")
STEPS = 24


class Trainer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="seer-trainer-")
        cls.data = pictures_make(os.path.join(cls.root, "pictures"))
        cls.whole = cls.train(cls, "whole")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def folder(self, name):
        return os.path.join(self.root, name)

    def train(self, name, *words, program="tiny", **how):
        out = os.path.join(self.root, name)
        words = words if "--steps" in words or "--epochs" in words else ("--steps", STEPS, *words)
        self.done = run(os.path.join(BUILD, program), "--data", self.data, "--out", out, "--save-every", 5,
                        "--no-report", *words, **how)
        return out

    def copy(self, name, source=None):
        shutil.copytree(source or self.whole, self.folder(name))
        return self.folder(name)

    def fails(self, code, *words, program="tiny", says=(), **how):
        done = run(os.path.join(BUILD, program), *words, expect=code, **how)
        for text in says:
            self.assertIn(text, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        return done

    def test_learns_and_records(self):
        lines = metrics_read(self.whole)
        self.assertEqual([line["step"] for line in lines], list(range(1, STEPS + 1)))
        for line in lines:
            for key in ("loss", "learning_rate", "images_per_second", "peak_bytes", "resident_bytes", "epoch",
                        "seconds",
                        "loader_wait", "prototype_entropy", "quarantined"):
                self.assertIsInstance(line[key], (int, float), key)
        self.assertAlmostEqual(lines[0]["learning_rate"], 0.01)
        self.assertEqual(snapshot_steps(self.whole), [20, 24])
        long = metrics_read(self.train("long", "--steps", 300))
        mean = lambda part: sum(line["loss"] for line in part) / len(part)
        self.assertLess(mean(long[-50:]), 0.95 * mean(long[:20]))
        for name in ("spec.seer", "plan.json", "run.json", "lock", "prototypes.json"):
            self.assertTrue(os.path.exists(os.path.join(self.whole, name)), name)

    def test_snapshot_is_read_by_others(self):
        tensors, metadata = safetensors_read(os.path.join(self.whole, "snapshots/step-24/model.safetensors"))
        self.assertEqual(tensors["embed.weight"].shape, (16, 192))
        self.assertEqual(sorted(tensors), ["embed.weight", "embed.weight.velocity", "input.running_mean",
                                           "prototypes.weight",
                                           "prototypes.weight.velocity"])
        self.assertGreater(abs(tensors["embed.weight.velocity"]).max(), 0)
        self.assertEqual(metadata["format"], "pt")
        manifest = json.load(open(os.path.join(self.whole, "snapshots/step-24/manifest.json")))
        self.assertEqual((manifest["step"], manifest["position"]), (24, 24 * 8))

    def test_prototypes_are_frozen_at_first(self):
        early = safetensors_read(os.path.join(self.train("early", "--save-every", 2, "--keep", 99),
                                              "snapshots/step-2/model.safetensors"))[0]
        later = safetensors_read(os.path.join(self.folder("early"), "snapshots/step-4/model.safetensors"))[0]
        self.assertEqual(abs(early["prototypes.weight.velocity"]).max(), 0)
        self.assertGreater(abs(later["prototypes.weight.velocity"]).max(), 0)
        self.assertAlmostEqual(float((early["prototypes.weight"][0] ** 2).sum()), 1, 5)

    def test_events_agree_with_metrics(self):
        (path,) = [name for name in os.listdir(self.whole) if name.startswith("events.out.tfevents.")]
        scalars, versions, starts = events_read(os.path.join(self.whole, path))
        self.assertEqual((versions, starts), (["brain.Event:2"], []))
        lines = metrics_read(self.whole)
        self.assertEqual([step for step, _ in scalars], [line["step"] for line in lines])
        for (_, values), line in zip(scalars, lines):
            self.assertAlmostEqual(values["train/loss"], line["loss"], 5)
            self.assertAlmostEqual(values["train/learning_rate"], line["learning_rate"], 6)

    def test_threads_and_decode_threads_change_no_bit(self):
        for threads, decode in ((1, 1), (4, 3)):
            out = self.train("threads%d" % threads, "--threads", threads, "--decode-threads", decode)
            for step in (20, 24):
                self.assertEqual(snapshot_bytes(out, step), snapshot_bytes(self.whole, step))
            self.assertEqual([line["loss"] for line in metrics_read(out)],
                             [line["loss"] for line in metrics_read(self.whole)])

    def test_the_sandbox_changes_no_bit(self):
        out = self.train("sandboxed", "--decode-threads", 2, program="tiny_sandboxed")
        self.assertEqual(snapshot_bytes(out, 24), snapshot_bytes(self.whole, 24))
        files = {}
        for program in ("tiny", "tiny_sandboxed"):
            trainer, path = os.path.join(BUILD, program), self.folder(program + ".safetensors")
            run(trainer, "features", "--weights", out, "--data", self.data, "--out", path, "--quiet")
            run(trainer, "report", out)
            with open(path, "rb") as file, open(os.path.join(out, "report.html")) as page:
                files[program] = file.read(), page.read()
        self.assertEqual(files["tiny"], files["tiny_sandboxed"])

    def test_a_decoder_that_leaves_the_sandbox_is_named(self):
        plant = {"LD_PRELOAD": os.path.join(BUILD, "libseer_plant.so"),
                 "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
        out = self.train("free", env=plant)
        self.assertEqual(snapshot_bytes(out, 24), snapshot_bytes(self.whole, 24))
        done = self.fails(1, "--data", self.data, "--out", self.folder("taken"), "--steps", STEPS, "--no-report",
                          program="tiny_sandboxed", env=plant,
                          says=["tiny_sandboxed: error: " + self.data, "system call 'openat'", "data.sandbox"])
        self.assertRegex(done.stderr, r"error: \S+/\d\d\.jpg: while it was decoded")

    def test_seed_changes_the_run(self):
        out = self.train("seeded", "--seed", 2)
        self.assertNotEqual(snapshot_bytes(out, 24), snapshot_bytes(self.whole, 24))

    def test_resume_is_bit_for_bit(self):
        for stop in (1, 5, 7, 13, 23):
            out = self.train("resume%d" % stop, "--stop-after", stop, expect=75)
            self.assertIn("stopped on --stop-after at step %d" % stop, self.done.stderr)
            run(TINY, "--resume", out, "--save-every", 5, "--no-report", "--threads", 1 + stop % 3)
            self.assertEqual(snapshot_bytes(out, 24), snapshot_bytes(self.whole, 24), "stopped at %d" % stop)
            losses = [(line["step"], line["loss"], line["learning_rate"]) for line in metrics_read(out)]
            self.assertEqual(losses, [(line["step"], line["loss"],
                                       line["learning_rate"]) for line in metrics_read(self.whole)])

    def test_resume_cuts_metrics_back(self):
        out = self.copy("cut")
        shutil.rmtree(os.path.join(out, "snapshots/step-24"))
        with open(os.path.join(out, "metrics.jsonl"), "a") as lines:
            lines.write('{"step": 25, "lo')
        run(TINY, "--resume", out, "--no-report")
        self.assertEqual([line["step"] for line in metrics_read(out)], list(range(1, STEPS + 1)))
        starts = [events_read(os.path.join(out, name))[2] for name in os.listdir(out) if name.startswith("events.")]
        self.assertIn([20], starts)
        self.assertEqual(snapshot_bytes(out, 24), snapshot_bytes(self.whole, 24))

    def test_accumulation_resumes_bit_for_bit(self):
        whole = self.train("accumulated", program="tiny_accumulate")
        tensors, _ = safetensors_read(os.path.join(whole, "snapshots/step-24/model.safetensors"))
        self.assertNotIn("embed.weight.accumulator", tensors)
        out = self.train("accumulated-parts", "--stop-after", 9, program="tiny_accumulate", expect=75)
        run(os.path.join(BUILD, "tiny_accumulate"), "--resume", out, "--no-report")
        self.assertEqual(snapshot_bytes(out, 24), snapshot_bytes(whole, 24))
        self.assertEqual(len(metrics_read(out)), STEPS)

    def test_signals_stop_with_a_snapshot(self):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            out = self.folder("signal%d" % number)
            trainer = subprocess.Popen([TINY, "--data", self.data, "--out", out, "--steps", "100000000",
                                        "--save-every", "100000000"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            deadline = time.time() + 30
            while time.time() < deadline and not (os.path.exists(os.path.join(out, "metrics.jsonl")) and
                                                  os.path.getsize(os.path.join(out, "metrics.jsonl")) > 1000):
                time.sleep(0.01)
            trainer.send_signal(number)
            _, errors = trainer.communicate(timeout=30)
            self.assertEqual(trainer.returncode, 75, errors)
            (step,) = snapshot_steps(out)
            self.assertIn("at step %d of 100000000, snapshot written" % step, errors)
            self.assertIn("--resume", errors)
            self.assertEqual(metrics_read(out)[-1]["step"], step)
            run(TINY, "check", out)

    def test_lock_keeps_a_second_run_out(self):
        out = self.folder("locked")
        trainer = subprocess.Popen([TINY, "--data", self.data, "--out", out, "--steps", "100000000"],
                                   stdout=subprocess.DEVNULL)
        try:
            while not os.path.exists(os.path.join(out, "metrics.jsonl")):
                time.sleep(0.01)
            for words in (("--data", self.data, "--out", out), ("--resume", out)):
                self.fails(1, *words, says=["is in use by another run (process %d on" % trainer.pid, "note:"])
        finally:
            trainer.kill()
            trainer.wait()
        run(TINY, "--resume", out, "--stop-after", 2, expect=75)  # a killed run leaves no lock behind

    def test_folders(self):
        self.fails(1, "--data", self.data, "--out", self.whole, says=["already holds a run", "--resume"])
        self.fails(1, "--resume", self.folder("nowhere"), says=["there is no run folder", "nowhere"])
        self.fails(1, "--resume", cwd=self.root, says=["there is no run to resume"])
        self.fails(2, "--resume", self.whole, "--out", self.folder("b"), says=["name two folders"])
        self.fails(1, "--resume", self.whole, "--seed", 99, says=["was started with --seed 1"])
        done = run(TINY, "--resume", self.whole, "--no-report")
        self.assertIn("is complete: 24 steps", done.stdout)
        out = self.folder("fresh")  # requeued before the first snapshot: start over
        run(TINY, "--data", self.data, "--out", out, "--resume", "--steps", 3, "--no-report")
        self.assertEqual(snapshot_steps(out), [3])
        beside = self.folder("beside")
        os.makedirs(beside)
        for number in (1, 2):
            run(TINY, "--data", self.data, "--steps", 2, "--no-report", cwd=beside)
            self.assertTrue(os.path.isdir(os.path.join(beside, "tiny-run%d" % number)))
        done = run(TINY, "--resume", cwd=beside)
        self.assertIn("tiny-run2", done.stdout)

    def test_a_longer_run_after_the_end(self):
        out = self.copy("longer")
        done = run(TINY, "--resume", out, "--steps", 30, "--no-report")
        self.assertIn("changes from 24 to 30 steps", done.stdout)
        self.assertEqual(snapshot_steps(out)[-1], 30)

    def damaged(self, name, harm, reason):
        out = self.copy(name)
        harm(os.path.join(out, "snapshots/step-24"))
        self.fails(1, "check", out, says=["1 of 2 snapshots"])
        done = run(TINY, "--resume", out, "--no-report")
        self.assertIn("step-24", done.stderr)
        self.assertIn(reason, done.stderr)
        self.assertIn("resuming '%s' at step 20" % out, done.stdout)
        self.assertEqual(snapshot_bytes(out, 24), snapshot_bytes(self.whole, 24))
        self.assertTrue(os.path.isdir(os.path.join(out, "snapshots/step-24.damaged")))
        run(TINY, "check", out)

    def test_damaged_snapshots_are_named_and_skipped(self):
        weights, manifest = "model.safetensors", "manifest.json"

        def flip(name, at, bit=4):
            def harm(folder):
                path = os.path.join(folder, name)
                data = bytearray(open(path, "rb").read())
                data[at] ^= 1 << bit
                open(path, "wb").write(data)
            return harm

        def cut(name, by):
            def harm(folder):
                path = os.path.join(folder, name)
                os.truncate(path, max(0, os.path.getsize(path) - by))
            return harm

        def grown(folder):
            open(os.path.join(folder, weights), "ab").write(b"x")

        cases = {
            "flip-data": (flip(weights, -7), "does not match its checksum"),
            "flip-header": (flip(weights, 20), "does not match its checksum"),
            "flip-length": (flip(weights, 0), "does not match its checksum"),
            "flip-manifest": (flip(manifest, 0), "damaged"),
            "cut-one": (cut(weights, 1), "bytes"),
            "cut-all": (cut(weights, 1 << 30), "bytes"),
            "cut-manifest": (cut(manifest, 30), "damaged"),
            "no-manifest": (lambda folder: os.remove(os.path.join(folder, manifest)), "cannot read"),
            "no-weights": (lambda folder: os.remove(os.path.join(folder, weights)), "cannot read"),
            "grown": (grown, "bytes"),
        }
        for name, (harm, reason) in cases.items():
            with self.subTest(name):
                self.damaged(name, harm, reason)

    def test_every_flipped_bit_of_a_header_is_caught(self):
        out = self.copy("bits")
        path = os.path.join(out, "snapshots/step-24/model.safetensors")
        data = open(path, "rb").read()
        for at in list(range(0, 64, 3)) + [len(data) // 2, len(data) - 1]:
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            open(path, "wb").write(changed)
            self.fails(1, "check", out)
        open(path, "wb").write(data)
        run(TINY, "check", out)

    def test_all_snapshots_damaged(self):
        out = self.copy("all-damaged")
        for step in (20, 24):
            os.truncate(os.path.join(out, "snapshots/step-%d/model.safetensors" % step), 100)
        self.fails(1, "--resume", out, says=["step-20", "step-24", "no snapshot of", "note:"])

    def test_another_model(self):
        self.fails(1, "--resume", self.whole, program="tiny_wide",
                   says=["is of another model", "'embed.weight' is [16, 192] there and [32, 192] in this trainer",
                         "note:"])
        self.assertEqual(snapshot_steps(self.whole), [20, 24])
        self.fails(1, "--data", self.data, "--out", self.folder("other"), "--weights", self.whole, program="tiny_wide",
                   says=["does not fit this trainer", "of another shape: 2",
                         "'embed.weight' is [16, 192], wanted [32, 192]"])
        self.fails(2, "--data", self.data, "--new-head", says=["'--new-head'", "--weights"])

    def test_weights_start_a_run(self):
        out = self.train("warm", "--weights", self.whole, "--steps", 1)
        self.assertIn("weights: 3 tensors", self.done.stdout)
        warm, _ = safetensors_read(os.path.join(out, "snapshots/step-1/model.safetensors"))
        old, _ = safetensors_read(os.path.join(self.whole, "snapshots/step-24/model.safetensors"))
        self.assertLess(abs(warm["embed.weight"] - old["embed.weight"]).max(), 0.05)
        self.fails(1, "--data", self.data, "--out", self.folder("w"), "--weights", os.path.join(self.data,
                                                                                                "blue/00.jpg"),
                   says=["no sound safetensors file"])

    def test_divergence_is_caught_before_the_update(self):
        out = self.folder("diverging")
        done = self.fails(1, "--data", self.data, "--out", out, "--steps", 50, "--save-every", 100,
                          program="tiny_diverging",
                          says=["is not finite in step", "first in '", "tiny.seer:", "not applied",
                                "note: lower the learning rate"])
        for step in snapshot_steps(out):
            tensors, _ = safetensors_read(os.path.join(out, "snapshots/step-%d/model.safetensors" % step))
            self.assertTrue(all((abs(values) < 3.5e38).all() for values in tensors.values()), done.stderr)
        self.assertTrue(all(abs(line["loss"]) < 1e39 for line in metrics_read(out)))

    def test_supervised_and_its_labels(self):
        out = self.train("supervised", program="tiny_supervised")
        self.assertNotIn("prototype_entropy", metrics_read(out)[0])
        flat = self.folder("flat")
        os.makedirs(os.path.join(flat, "a"))
        for number in range(4):
            for extra in "abcd":
                picture = os.path.join(self.data, "blue/%02d.png" % (2 * number + 1))
                shutil.copy(picture, os.path.join(flat, "a", "%s%d.png" % (extra, number)))
            os.makedirs(os.path.join(flat, "class%d" % number))
            shutil.copy(os.path.join(self.data, "blue/01.png"), os.path.join(flat, "class%d" % number, "x.png"))
        self.fails(1, "--data", flat, "--out", self.folder("flat-run"), "--steps", 20, program="tiny_supervised",
                   says=["was built for labels 0 to 2", "note:"])

    def test_bad_input(self):
        empty = self.folder("empty")
        os.makedirs(empty)
        few = self.folder("few")
        os.makedirs(few)
        shutil.copy(os.path.join(self.data, "blue/00.jpg"), few)
        self.fails(1, "--data", empty, "--out", self.folder("x1"), says=["empty"])
        self.fails(1, "--data", self.folder("absent"), "--out", self.folder("x2"), says=["absent"])
        self.fails(1, "--data", few, "--out", self.folder("x3"), says=["1 pictures, fewer than one batch of 8",
                                                                       "note:"])
        self.fails(1, "--out", self.folder("x4"), says=["no pictures are named", "--data"])
        self.fails(2, "--dta", self.data, says=["did you mean '--data'"])
        self.fails(3, "--data", self.data, "--out", "/proc/seer-run", says=["'/proc/seer-run'"])
        open(self.folder("file"), "w").close()
        self.fails(3, "--data", self.data, "--out", self.folder("file"), says=["Not a directory"])
        if os.getuid() != 0:
            closed = self.folder("closed")
            os.makedirs(closed, 0o500)
            self.fails(3, "--data", self.data, "--out", os.path.join(closed, "run"), says=["Permission denied",
                                                                                           "--out"])

    def test_undecodable_pictures_do_not_stop_a_run(self):
        data = self.folder("some-bad")
        shutil.copytree(self.data, data)
        for number in range(3):
            open(os.path.join(data, "blue", "bad%d.jpg" % number), "wb").write(b"\xff\xd8\xff no picture")
        out = self.folder("some-bad-run")
        run(TINY, "--data", data, "--out", out, "--steps", 20, "--no-report")
        listed = [json.loads(line) for line in open(os.path.join(out, "quarantine.jsonl"))]
        self.assertEqual(len(listed), 3)
        self.assertEqual(metrics_read(out)[-1]["quarantined"], 3)

    def test_an_older_processor_is_named(self):
        newest = os.path.join(BUILD, "tiny_newest")
        if json.loads(run(TINY, "doctor", "--json").stdout)["cpu"].startswith("x86-64-v4"):
            run(newest, "bench", "--steps", 1)
            return
        for words in (["--data", self.data, "--out", self.folder("newest")], ["bench"], ["doctor"]):
            self.fails(3, *words, program="tiny_newest", says=["lacks 'avx512f'", "seerc build --cpu x86-64-v"])
        self.assertFalse(os.path.exists(self.folder("newest/run.json")))

    def test_a_changed_data_set_is_named(self):
        data, out = self.folder("growing"), self.folder("growing-run")
        shutil.copytree(self.data, data)
        run(TINY, "--data", data, "--out", out, "--steps", 9, "--stop-after", 2, "--no-report", expect=75)
        shutil.copy(os.path.join(data, "blue/00.jpg"), os.path.join(data, "blue/new.jpg"))
        done = run(TINY, "--resume", out, "--no-report")
        self.assertIn("the data set holds 37 pictures, 36 when the run began", done.stderr)

    def test_quiet_prints_nothing(self):
        self.train("quiet", "--quiet", "--steps", 3)
        self.assertEqual(self.done.stdout + self.done.stderr, "")

    def test_terminal_gets_a_bar(self):
        import pty
        parent, child = pty.openpty()
        trainer = subprocess.Popen([TINY, "--data", self.data, "--out", self.folder("bar"), "--steps", "50",
                                    "--no-report"],
                                   stdout=child, stderr=subprocess.DEVNULL)
        trainer.wait(timeout=60)
        os.close(child)
        seen = b""
        while True:
            try:
                piece = os.read(parent, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        self.assertIn("50/50", seen.decode())
        self.assertIn("img/s", seen.decode())
        self.assertIn("█", seen.decode())

    def test_resident_memory_is_flat(self):
        lines = metrics_read(self.train("soak", "--steps", 6000, "--save-every", 500))
        with open(TINY, "rb") as program:
            sanitized = b"__asan_init" in program.read()  # whose allocator keeps freed memory for a while
        self.assertLess(lines[-1]["resident_bytes"] - lines[1000]["resident_bytes"], 1 << (26 if sanitized else 20))

    def test_small_commands(self):
        plan = json.loads(run(TINY, "plan", "--json").stdout)
        self.assertEqual(plan["model"]["parameters_total"], 3200)
        self.assertIn("parameters", run(TINY, "plan").stdout)
        page = run(TINY, "plan", "--html").stdout
        self.assertEqual(page.count("<"), 3)
        begin, end = page.index("PLAN = ") + 7, page.index(";")
        self.assertEqual(json.loads(page[begin:end]), plan)
        self.fails(2, "plan", "--html", "--json", says=["two answers"])
        bench = json.loads(run(TINY, "bench", "--steps", 5, "--json").stdout)
        self.assertGreater(bench["images_per_second"], 0)
        self.assertGreaterEqual(bench["step_seconds_median"], bench["step_seconds_min"])
        self.assertTrue(json.loads(run(TINY, "doctor", "--json").stdout)["ok"])
        self.assertIn("can run this trainer", run(TINY, "doctor").stdout)
        self.assertIn("usage:", run(TINY, "--help").stdout)
        self.assertIn("--save-every", run(TINY, "train", "--help").stdout)
        self.assertNotIn("--save-every", run(TINY, "bench", "--help").stdout)
        self.assertIn("0.1.0", run(TINY, "--version").stdout)

    def test_poison(self):
        for program in ("tiny", "tiny_accumulate", "tiny_supervised"):
            found = json.loads(run(os.path.join(BUILD, program), "bench", "--poison", "--json").stdout)
            self.assertIn(found["arena_bytes"] - found["touched_bytes"], range(64), program)
            blocks = ("state", "arena", "ring", "snapshot")
            self.assertEqual(found["peak_bytes"], sum(found[block + "_bytes"] for block in blocks))
            self.assertGreater(found["resident_bytes"], found["state_bytes"] + found["arena_bytes"])
        self.fails(70, "bench", "--poison", program="tiny_stale", says=["depends on what the arena held"])
        self.fails(70, "bench", "--poison", program="tiny_beyond", says=["touched", "of an arena of"])

    def test_checks(self):
        self.fails(1, "check", self.data, says=["holds no snapshot"])
        report = json.loads(run(TINY, "check", self.whole, "--json").stdout)
        self.assertEqual([snapshot["verdict"] for snapshot in report["snapshots"]], ["sound", "sound"])


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=sys.argv[:1] + sys.argv[2:])
