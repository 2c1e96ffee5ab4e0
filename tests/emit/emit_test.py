"""Emitted trainers as a user meets them: the same bytes for the same spec, no warnings, nothing of a spec escapes its
string, little more than libc to run, the plan's bytes at run time, clean under sanitizers, the same bits for any number
of threads and after any interruption.

usage: emit_test.py --seerc SEERC --folder DIR [CASE...]    (no case: all)
"""
import argparse
import filecmp
import hashlib
import json
import math
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import zlib

SPEC = '''model {{ depths = [1, 1]  widths = [16, 24]  group_widths = [8]  strides = [2, 2] }}
swav {{ prototypes = 12  head = [24, 16]  freeze_prototypes = 2steps }}
views {{ crops = [crop(count = 2, size = 32px), crop(count = 2, size = 16px, scale = 0.05..0.14)] }}
data {{ pictures = "{pictures}" }}
train {{ batch = 6  steps = 6 }}
save {{ every = 2steps }}
evaluate {{ size = 32px  resize = 32px  batch = 4  neighbours = 3 }}
'''


def run(*command, code=0, **options):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if result.returncode != code:
        said = result.stdout[-3000:] + result.stderr[-3000:]
        raise AssertionError(f"{command} gave {result.returncode}, not {code}\n{said}")
    return result


def write_png(path, width, height, pixel):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def make_pictures(folder):
    draw = random.Random(7)
    for kind in ("warm", "cold"):
        (folder / kind).mkdir(parents=True)
        for i in range(10):
            base = [draw.randrange(120, 256) if (c == 0) == (kind == "warm") else draw.randrange(100) for c in range(3)]
            step = draw.randrange(1, 6)
            path = folder / kind / f"{i}.png"
            write_png(path, 40 + i, 36, lambda x, y: [min(255, b + (x * step + y) % 40) for b in base])


class Emit:
    def __init__(self, seerc, folder):
        self.seerc, self.folder = seerc, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.pictures = folder / "pictures"
        make_pictures(self.pictures)
        self.spec = folder / "tiny.seer"
        self.spec.write_text(SPEC.format(pictures=self.pictures))

    def build(self, name, *options, spec=None, **environment):
        out, sources = self.folder / name, self.folder / f"{name}-sources"
        result = run(self.seerc, "build", spec or self.spec, "-o", out, "--keep", sources, *options,
                     env={**os.environ, **environment})
        return out, sources, result

    def train(self, trainer, name, *options, code=0):
        out = self.folder / name
        result = run(trainer, "train", "--out", out, "--quiet", *options, code=code)
        return out, result

    def weights(self, out):
        newest = max((out / "snapshots").iterdir(), key=lambda p: int(re.sub(r"\D", "", p.name)))
        return hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()

    def same_source_bytes(self):
        """The same spec gives the same files, byte for byte, wherever they are written."""
        _, a, _ = self.build("a")
        _, b, _ = self.build("b")
        for path in a.rglob("*"):
            if path.is_file() and "objects" not in path.parts:
                assert filecmp.cmp(path, b / path.relative_to(a), shallow=False), path
        assert str(self.folder) not in (a / "step.c").read_text()

    def no_warnings(self):
        """gcc and clang compile every emitted file without a warning, under the Makefile's -Wall -Wextra -Wpedantic."""
        for compiler in ("gcc", "clang"):
            trainer, sources, _ = self.build(compiler, CC=compiler, CFLAGS="-Werror")
            assert "-Wall -Wextra -Wpedantic" in (sources / "Makefile").read_text()
            run(trainer, "--version")

    def reads_back_to_the_spec(self):
        """Every launch names its op and the line of the spec it came from."""
        _, sources, _ = self.build("lines")
        for path in (sources / "blocks").glob("*.c"):
            text = path.read_text()
            assert len(re.findall(r"^  // .*\(([\w.]+:\d+|built in)\)", text, re.M)) >= 1, path
            assert text.count("seer_launch(") >= 1
        assert re.search(r"tiny\.seer:1", "".join(p.read_text() for p in (sources / "blocks").glob("*.c")))

    def hostile_strings_stay_strings(self):
        """No text of a spec or of its name gets out of its C string."""
        evil = '??/; int main(void) return 9; /* %s $(id) `id` \'x\' //'
        path = self.folder / 'x"; rm -rf y #.seer'
        path.write_text(SPEC.format(pictures=evil))
        trainer, _, _ = self.build("evil", spec=path)
        result = run(trainer, "train", "--out", self.folder / "evil-run", code=1)
        assert "return 9" in result.stdout + result.stderr

    def needs_little_more_than_libc(self):
        trainer, sources, _ = self.build("alone")
        assert not (sources / "runtime/device").exists(), "a trainer for CPUs carries what runs on GPUs"
        needed = re.findall(r"^\s*(\S+?)\.so", run("ldd", trainer).stdout, re.M)
        allowed = {"linux-vdso", "libc", "libm", "libpthread", "ld-linux-x86-64"}
        assert {pathlib.PurePath(name).name for name in needed} <= allowed, needed

    def plan_is_what_runs(self):
        """The trainer's plan is seerc's, page included, and the bytes it allocates are the plan's peak."""
        trainer, _, _ = self.build("planned")
        page = run(self.seerc, "plan", "--html", self.spec).stdout
        assert run(trainer, "plan", "--html").stdout == page
        planned = json.loads(run(self.seerc, "plan", "--json", self.spec).stdout)
        carried = json.loads(run(trainer, "plan", "--json").stdout)
        assert len(carried["checkpoint"]["curve"]) > 2 and json.dumps(carried["memory"]["budget_bytes"]) in page
        planned["checkpoint"].pop("curve"), carried["checkpoint"].pop("curve")  # which `plan --json` leaves out
        assert carried == planned
        out, _ = self.train(trainer, "planned-run")
        for line in (out / "metrics.jsonl").read_text().splitlines():
            assert json.loads(line)["peak_bytes"] == planned["memory"]["peak_bytes"]
        assert planned["memory"]["arena_bytes"] >= planned["memory"]["live_peak_bytes"]

    def budget_is_kept(self):
        """A plan that does not fit is refused with the budget that would do, and that budget does."""
        least = json.loads(run(self.seerc, "plan", "--json", self.spec).stdout)["memory"]["minimum_budget_bytes"]
        result = run(self.seerc, "plan", self.spec, "-D", f"checkpoint.budget={least - 1}", code=1)
        assert f"{least} bytes" in result.stderr and "[budget]" in result.stderr, result.stderr
        run(self.seerc, "plan", self.spec, "-D", f"checkpoint.budget={least}")

    def classes_are_counted(self):
        """`classes = auto` takes the folders of the pictures; pictures that are not here are said to be missing."""
        spec = self.folder / "labelled.seer"
        text = re.sub(r"swav \{.*\}", "supervised { classes = auto }", SPEC.format(pictures=self.pictures))
        text = text.replace("neighbours = 3", f"""neighbours = 3  tasks = "{self.folder / 'tasks.csv'}\"""")
        spec.write_text(re.sub(r"crops = \[.*\]", "crops = [crop(size = 32px)]", text))
        model = json.loads(run(self.seerc, "plan", "--json", spec).stdout)["model"]
        assert model["parameters_total"] - model["parameters_trunk"] == 2 * (24 + 1), model
        trainer, _, _ = self.build("labelled", spec=spec)
        self.train(trainer, "labelled-run")
        self.classifier_is_what_was_trained(trainer)
        self.tasks_are_those_of_the_spec(trainer)
        result = run(self.seerc, "plan", spec, "-D", 'data.pictures="/nowhere"', code=1)
        assert "/nowhere" in result.stderr and "[classes]" in result.stderr, result.stderr

    def tasks_are_those_of_the_spec(self, trainer):
        (self.folder / "tasks.csv").write_text(f"name,train,test\nwarmth,{self.pictures},{self.pictures}\n")
        result = self.folder / "tasks.json"
        result.unlink(missing_ok=True)
        (self.folder / "layers.json").unlink(missing_ok=True)
        run(trainer, "tasks", "--weights", self.folder / "labelled-run", "--epochs", "2", "--out", result)
        (task,) = json.loads(result.read_text())["tasks"]
        assert (task["name"], task["classes"], task["train_pictures"]) == ("warmth", 2, 20), task
        words = ["--weights", self.folder / "labelled-run", "--epochs", "9", "--layers", "s1,avgpool,head", "--views",
                 "2", "--quiet", "--json"]
        (task,) = json.loads(run(trainer, "tasks", *words, "--out", self.folder / "layers.json").stdout)["tasks"]
        probe = json.loads(run(trainer, "probe", *words, "--data", self.pictures, "--test-data", self.pictures).stdout)
        (chosen,) = (row for row in probe["rows"] if row["chosen"])
        assert (task["layer"], task["held_out"]) == (chosen["layer"], chosen["held_out"]) and task["held_out"] > 0, task
        assert all(abs(a - b) < 1e-8 for a, b in zip(task["seeds"], chosen["top1"]["seeds"])), (task, chosen)

    def classifier_is_what_was_trained(self, trainer):
        """Scores of `fairness` are those of the features and of the classifier that `export` writes."""
        def tensors(command, *options):
            path = self.folder / f"labelled.{command}"
            path.unlink(missing_ok=True)
            run(trainer, command, *options, "--out", path, "--quiet")
            data = path.read_bytes()
            (length,) = struct.unpack("<Q", data[:8])
            header = json.loads(data[8:8 + length])
            return {name: data[8 + length + entry["data_offsets"][0]:8 + length + entry["data_offsets"][1]]
                    for name, entry in header.items() if name != "__metadata__"}

        def floats(data):
            return struct.unpack(f"<{len(data) // 4}f", data)

        weights, rows = self.folder / "labelled-run", {}
        features = tensors("features", "--weights", weights, "--data", self.pictures)
        exported = tensors("export", weights)
        # A few steps teach little: larger weights, of both signs, make it sure of itself.
        draw = random.Random(3)
        weight = struct.unpack("<48f", struct.pack("<48f", *(draw.gauss(0, 20) for _ in range(48))))
        bias, path = floats(exported["fc.bias"]), self.folder / "labelled.export"
        path.write_bytes(path.read_bytes().replace(exported["fc.weight"], struct.pack("<48f", *weight)))
        names = features["names"].decode().split("\n")[:-1]
        for i, name in enumerate(names):
            row = floats(features["features"])[24 * i:24 * i + 24]
            cold, warm = (bias[c] + sum(a * b for a, b in zip(weight[24 * c:24 * c + 24], row)) for c in range(2))
            rows[name] = warm - cold
        (self.folder / "names.txt").write_text("cold\nwarm\n")
        (self.folder / "lists.csv").write_text("list,label\nwarm,warm\n")
        (self.folder / "people.csv").write_text("path,gender\n" + "".join(f"{n},{n[-5]}\n" for n in rows))
        result = self.folder / "labelled.json"
        run(trainer, "fairness", "labels", "--weights", path, "--manifest", self.folder / "people.csv", "--by",
            "gender", "--groups", self.folder / "lists.csv", "--label-names", self.folder / "names.txt",
            "--out", result)
        result = json.loads(result.read_text())
        assert result["pictures_used"] == len(rows) == 20
        assert 0 < sum(odds > 0 for odds in rows.values()) < 20, "all alike tells nothing: another seed"
        for group in result["by"][1]["groups"]:
            odds = [rows[name] for name in rows if name[-5] == group["name"]]
            for measure, value in zip(result["measures"], group["values"]):
                if measure["detail"]:
                    continue
                threshold = float(measure["at"].split()[1])
                least = math.log(threshold / (1 - threshold)) if threshold else -math.inf
                assert all(abs(o - least) > 1e-5 for o in odds), "too close to tell: another seed"
                assert abs(value[0] - sum(o >= least for o in odds) / len(odds)) < 1e-6, (measure, group["name"])

    def limits_are_said(self):
        """What target c cannot do yet is refused with what to use instead."""
        for defines in (("train.precision=fp16",), ("train.precision=bf16", 'cluster.machine="a100-40g"')):
            options = [option for define in defines for option in ("-D", define)]
            result = run(self.seerc, "build", self.spec, "-o", self.folder / "never", *options, code=1)
            assert "cannot yet" in result.stderr and "[limitation]" in result.stderr, result.stderr

    def other_processors(self):
        """Every level computes the same thing; a trainer for a processor this is not says so."""
        losses = {}
        for cpu in ("x86-64", "x86-64-v3", "x86-64-v4"):
            trainer, _, _ = self.build(cpu, "--cpu", cpu)
            result = subprocess.run([trainer, "train", "--out", self.folder / f"{cpu}-run", "--quiet"],
                    capture_output=True, text=True)
            if result.returncode == 3:
                assert "--cpu" in result.stderr, result.stderr
                continue
            assert result.returncode == 0, f"{cpu}: {result.returncode} {result.stderr}"
            lines = (self.folder / f"{cpu}-run" / "metrics.jsonl").read_text().splitlines()
            losses[cpu] = [json.loads(line)["loss"] for line in lines]
        first = losses.pop("x86-64")
        for cpu, other in losses.items():
            assert max(abs(a - b) for a, b in zip(first, other)) < 1e-3, (cpu, first, other)
        self.a_processor_with_bf16()

    def a_processor_with_bf16(self):
        """What is built for products in bf16 runs where the processor has them, and else names what it lacks."""
        trainer, _, _ = self.build("bf16", "--cpu", "x86-64-v4+bf16", "-D", "train.precision=bf16")
        result = subprocess.run([trainer, "train", "--out", self.folder / "bf16-run", "--quiet"],
                capture_output=True, text=True)
        has_bf16 = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
        assert result.returncode == (0 if has_bf16 else 3), result.stderr
        assert has_bf16 or "lacks 'avx512" in result.stderr, result.stderr

    def clean_under_sanitizers(self):
        """Training, features and neighbours run under ASan and UBSan; threads and interruptions change no bit."""
        trainer, _, _ = self.build("sane", "--sanitize")
        out, _ = self.train(trainer, "one", "--threads", 1)
        other, _ = self.train(trainer, "four", "--threads", 4, "--decode-threads", 3)
        assert self.weights(out) == self.weights(other)
        broken, _ = self.train(trainer, "broken", "--stop-after", 3, code=75)
        run(trainer, "train", "--resume", broken, "--quiet")
        assert self.weights(out) == self.weights(broken)
        run(trainer, "knn", "--weights", out, "--data", self.pictures)
        run(trainer, "features", "--weights", out, "--data", self.pictures, "--out", self.folder / "f.safetensors")

    def missing_tools_are_named(self):
        """Without make or a C compiler: exit code 3 and how to get them; nothing is left behind."""
        empty = self.folder / "empty"
        empty.mkdir()
        result = run(self.seerc, "build", self.spec, "-o", self.folder / "never", code=3, env={"PATH": str(empty),
                "TMPDIR": str(empty)})
        assert "make" in result.stderr and "apt-get" in result.stderr, result.stderr
        result = run(self.seerc, "build", self.spec, "-o", self.folder / "never", code=3, env={**os.environ,
                "CC": "no-such-compiler", "TMPDIR": str(empty)})
        assert "compiler" in result.stderr, result.stderr
        assert not list(empty.iterdir()) and not (self.folder / "never").exists()
        result = run(self.seerc, "build", self.spec, "-o", self.folder / "x", "--keep", "/dev/null/x", code=3)
        assert "/dev/null/x" in result.stderr, result.stderr


CASES = [name for name, value in vars(Emit).items() if callable(value) and name not in ("__init__", "build",
        "train", "weights")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seerc", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    emit, failed = Emit(options.seerc.resolve(), options.folder.resolve()), 0
    for name in options.cases or CASES:
        try:
            getattr(emit, name)()
            print(f"ok {name}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED {name}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
