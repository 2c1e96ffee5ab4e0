"""Trainers by the dozen: emitted by seerc as for `seerc build`, compiled faster.

A trainer is thousands of lines that other plans of the same model share: the runtime, and each kernel at each shape.
So every `static` kernel instance of a block function becomes a function of its own, named by its text, and is compiled
once for all plans, as the runtime is; the rest of a trainer (step, blocks' launches, tables) is one small file. The
texts are those that seerc printed. Objects are kept by content in a cache folder.
"""
import concurrent.futures
import hashlib
import os
import pathlib
import re
import subprocess
import time

CACHE_DAYS = 3
GROUP = 16  # kernel instances in a file: their headers are read once
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
        kernels, rest = self.kernel_objects(sources, flags)
        runtime = self.runtime_objects(sources, flags)
        rest_object = trainer.with_suffix(".o")
        (sources / "rest.c").write_text(rest)
        self.compile(sources, sources / "rest.c", rest_object, flags["rest"])
        run("cc", *(SANE if self.sane else []), "-o", trainer, rest_object, *runtime, *kernels, *LIBRARIES)
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
        return {"kernel": [*common, *march, *kernel, "-O1"], "runtime": [*common, "-O1"],
                "data": [*common, *march, "-O1"], "rest": [*common, *march, *kernel, "-O0"]}

    def kernel_objects(self, sources, flags):
        """The objects of all kernel instances, and the source of the rest."""
        headers = {path.name: path.read_text() for path in sorted((sources / "kernels").glob("*.h"))}
        runtime = (sources / "runtime/program.h").read_text()
        structs, instances, functions = {}, {}, []
        for block in sorted((sources / "blocks").glob("*.c")):
            functions.append(self.split(block.read_text(), structs, instances))
        known = digest(runtime, *headers.values(), *flags["kernel"])
        entries = {name: self.cache / f"{name}-{known}" for name in instances}  # each names its object
        groups = {}
        for name in sorted(name for name, entry in entries.items() if not entry.exists()):
            groups.setdefault(instances[name][0], []).append(name)
        groups = [names[i:i + GROUP] for names in groups.values() for i in range(0, len(names), GROUP)]
        list(self.jobs.map(lambda names: self.compile_instances(
            sources, headers, structs, {name: instances[name] for name in names}, entries, flags["kernel"]), groups))
        objects = sorted({self.cache / entry.read_text() for entry in entries.values()})
        for path in [*entries.values(), *objects]:
            path.touch()
        declared = "".join(f"void {name}(const void *arguments, int task, int worker);\n" for name in sorted(entries))
        texts = [(sources / name).read_text() for name in ("step.c", "program.c", "plan_page.c")]
        return objects, "\n".join(['#include "model.h"\n', *structs.values(), declared, *functions, *texts])

    @staticmethod
    def split(text, structs, instances):
        """Moves kernel instances out of a block function's file; returns what is left of it."""
        names = {}
        for match in STRUCT.finditer(text):
            assert structs.setdefault(match[1], match[0]) == match[0]
        for match in INSTANCE.finditer(text):
            body = match[0].replace(f"static void {match[1]}_{match[2]}(", "void INSTANCE(", 1)
            name = names[f"{match[1]}_{match[2]}"] = f"{match[1]}_{digest(body)}"
            instances[name] = (match[1], body.replace("INSTANCE", name, 1))
        text = INSTANCE.sub("", STRUCT.sub("", text))
        assert "static" not in text
        text = LAUNCH.sub(lambda match: f"{match[1]}{names[match[2]]},", text)
        return re.sub(r'^#include "kernels/.*\n', "", text, flags=re.M)

    def compile_instances(self, sources, headers, structs, instances, entries, flags):
        """Instances of one kernel as one object; their entries are written once it is there."""
        kernel = next(iter(instances.values()))[0]
        defining = [header for header, text in headers.items() if re.search(rf"\bvoid {kernel}\(", text)]
        assert len(defining) == 1, (kernel, defining)
        name = f"{kernel}-{digest(*(entries[name].name for name in instances))}"
        source, output = sources / f"{name}.c", self.cache / f"{name}.o"
        declared = "".join(f"void {name}(const void *arguments, int task, int worker);\n" for name in instances)
        source.write_text(f'#include "runtime/program.h"\n#include "kernels/{defining[0]}"\n\n{structs[kernel]}'
                          + declared + "".join(body for _, body in instances.values()))
        self.compile(sources, source, output, flags)
        for instance in instances:
            partial = entries[instance].with_suffix(f".{os.getpid()}.partial")
            partial.write_text(output.name)
            partial.replace(entries[instance])
        self.compiled += len(instances)

    def runtime_objects(self, sources, flags):
        files = sorted((sources / "runtime").rglob("*.c"))
        headers = sorted([*(sources / "runtime").rglob("*.h"), *(sources / "runtime").rglob("*.def")])
        shared = digest(*(path.read_text() for path in headers))
        objects, new = [], []
        for path in files:
            kind = "data" if path.parent.name == "data" else "runtime"
            objects.append(self.cache / f"{path.stem}-{digest(shared, path.read_text(), *flags[kind])}.o")
            if not objects[-1].exists():
                new.append((path, objects[-1], flags[kind]))
            else:
                objects[-1].touch()
        list(self.jobs.map(lambda job: self.compile(sources, *job), new))
        return objects

    def compile(self, sources, source, output, flags):
        partial = output.with_name(f"{output.stem}.{os.getpid()}.partial.o")
        run("cc", *flags, "-c", "-o", partial, source.relative_to(sources), cwd=sources)
        partial.replace(output)
