"""Trainers by the dozen: emitted by seerc as for `seerc build`, compiled faster.

A trainer is thousands of lines that other plans of the same model share: the runtime and the kernels, compiled once for
all plans and kept by content in a cache folder. The rest of a trainer (step, blocks' launches, tables) is put into one
small file, in which each `static` kernel instance of a block function is named by its text. The texts are those that
seerc printed.
"""
import concurrent.futures
import hashlib
import os
import pathlib
import re
import subprocess
import time

CACHE_DAYS = 3
LIBRARIES = ["-ljpeg", "-lpng16", "-lwebp", "-ljansson", "-lxxhash", "-lz", "-lm", "-lpthread"]
SANE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1"]
STRUCT = re.compile(r"^struct (\w+)_pointers \{\n.*?^\};\n", re.M | re.S)
INSTANCE = re.compile(r"^static void (\w+?)_(\d+)\(const void \*arguments, int task, int worker\) \{\n.*?^\}\n",
                      re.M | re.S)
LAUNCH = re.compile(r"(seer_launch\(context, launch \+ \d+, )(\w+),")


def run(*command, code=0, timeout=600, **options):
    """`code` None: any."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    if code is not None and done.returncode != code:
        said = done.stdout[-2000:] + done.stderr[-4000:]
        raise AssertionError(f"{' '.join(map(str, command))} gave {done.returncode}, not {code}\n{said}")
    return done


def digest(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


class Trainers:
    """`sane`: under AddressSanitizer and UndefinedBehaviorSanitizer. Built trainers lie in `folder`."""

    def __init__(self, seerc, folder, cache, sane=False, jobs=2):
        self.seerc, self.folder, self.sane = pathlib.Path(seerc), pathlib.Path(folder), sane
        self.cache = pathlib.Path(cache) / ("sane" if sane else "plain")
        self.jobs = concurrent.futures.ThreadPoolExecutor(jobs)
        self.seconds = {"emit": 0.0, "compile": 0.0}
        self.compiled = 0
        self.cache.mkdir(parents=True, exist_ok=True)
        for old in self.cache.iterdir():
            if old.stat().st_mtime < time.time() - CACHE_DAYS * 86400:
                old.unlink()
        tools = self.folder / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        (tools / "make").write_text("#!/bin/sh\nexit 0\n")
        (tools / "make").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    def emit(self, name, spec, *options):
        """Sources only: what seerc takes for `make` does nothing."""
        sources, began = self.folder / f"{name}-sources", time.monotonic()
        run(self.seerc, "build", spec, "-o", self.folder / "never", "--keep", sources, *options, env=self.environment)
        self.seconds["emit"] += time.monotonic() - began
        return sources

    def build(self, name, spec, *options):
        sources, began = self.emit(name, spec, *options), time.monotonic()
        trainer = self.folder / name
        flags = self.flags(sources)
        carried = self.carried_objects(sources, flags)
        rest_object = trainer.with_suffix(".o")
        (sources / "rest.c").write_text(self.rest(sources))
        self.compile(sources, sources / "rest.c", rest_object, flags["rest"])
        run("cc", *(SANE if self.sane else []), "-o", trainer, rest_object, *carried, *LIBRARIES)
        self.seconds["compile"] += time.monotonic() - began
        return trainer

    def flags(self, sources):
        """The Makefile's, at a level of optimisation that compiles quickly."""
        makefile = (sources / "Makefile").read_text()
        variable = lambda name: re.search(rf"^{name} \??:?= (.*)$", makefile, re.M)[1]
        assert "-ffp-contract=fast" in variable("kernel_flags")
        march = variable("MARCH").split()
        common = ["-std=c11", "-D_GNU_SOURCE", "-I.", *(SANE if self.sane else [])]
        kernel = [flag for flag in variable("kernel_flags").split() if flag not in ("$(MARCH)", "$(OPTIMIZE)")]
        return {"kernels": [*common, *march, *kernel, "-O1"], "runtime": [*common, "-O1"],
                "data": [*common, *march, "-O1"], "rest": [*common, "-O0"]}

    def rest(self, sources):
        """The source of all that is not carried."""
        structs, instances, functions = {}, {}, []
        for block in sorted((sources / "blocks").glob("*.c")):
            functions.append(self.split(block.read_text(), structs, instances))
        texts = [(sources / name).read_text() for name in ("step.c", "program.c", "plan_page.c")]
        return "\n".join(['#include "kernels/kernels.h"\n#include "model.h"\n', *structs.values(), *instances.values(),
                          *functions, *texts])

    @staticmethod
    def split(text, structs, instances):
        """Moves kernel instances out of a block function's file; returns what is left of it."""
        names = {}
        for match in STRUCT.finditer(text):
            assert structs.setdefault(match[1], match[0]) == match[0]
        for match in INSTANCE.finditer(text):
            body = match[0].replace(f"static void {match[1]}_{match[2]}(", "static void INSTANCE(", 1)
            name = names[f"{match[1]}_{match[2]}"] = f"{match[1]}_{digest(body)}"
            instances[name] = body.replace("INSTANCE", name, 1)
        text = INSTANCE.sub("", STRUCT.sub("", text))
        assert "static" not in text, text
        text = LAUNCH.sub(lambda match: f"{match[1]}{names[match[2]]},", text)
        return re.sub(r'^#include "kernels/.*\n', "", text, flags=re.M)

    def carried_objects(self, sources, flags):
        """The objects of runtime and kernels."""
        files = sorted([*(sources / "runtime").rglob("*.c"), *(sources / "kernels").glob("*.c")])
        headers = sorted(path for folder in ("runtime", "kernels") for path in (sources / folder).rglob("*")
                         if path.suffix in (".h", ".def"))
        shared = digest(*(path.read_text() for path in headers))
        objects, new = [], []
        for path in files:
            kind = path.parent.name if path.parent.name in ("data", "kernels") else "runtime"
            objects.append(self.cache / f"{path.stem}-{digest(shared, path.read_text(), *flags[kind])}.o")
            if not objects[-1].exists():
                new.append((path, objects[-1], flags[kind]))
            else:
                objects[-1].touch()
        list(self.jobs.map(lambda job: self.compile(sources, *job), new))
        self.compiled += len(new)
        return objects

    def compile(self, sources, source, output, flags):
        partial = output.with_name(f"{output.stem}.{os.getpid()}.partial.o")
        run("cc", *flags, "-c", "-o", partial, source.relative_to(sources), cwd=sources)
        partial.replace(output)
