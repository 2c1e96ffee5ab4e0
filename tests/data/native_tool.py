"""Builds data_tool of the code that a trainer of this machine has: compiled for its processor, as `seerc build` does.

usage: native_tool.py SEERC FOLDER   makes FOLDER/data_tool, and leaves the trainer's sources in FOLDER
"""
import pathlib
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SPEC = """model { family = regnetx depths = [1] widths = [8] group_widths = [8] stem_width = 8 }
swav { prototypes = 8 head = [16, 8] freeze_prototypes = 0 }
data { pictures = "pictures" }
views { crops = [crop(count = 2, size = 32px)] }
train { batch = 8 steps = 1 }
"""


def build(seerc, folder):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    spec, sources, tool = folder / "tool.seer", folder / "sources", folder / "data_tool"
    spec.write_text(SPEC)
    subprocess.run([seerc, "build", spec, "--keep", sources, "-o", folder / "trainer"], check=True)
    makefile = "include Makefile\nprint:\n\t@echo $(objects)\n\t@echo $(libraries)\n"
    told = subprocess.run(["make", "-s", "-f", "-", "print"], input=makefile, cwd=sources, check=True,
                          capture_output=True, text=True).stdout.splitlines()
    objects = [name for name in told[0].split() if not name.endswith("runtime/main.o")]
    subprocess.run(["cc", "-std=gnu11", "-O2", "-I.", HERE / "data_tool.c", *objects, "-o", tool,
                    *shlex.split(told[1])], cwd=sources, check=True)
    return tool


if __name__ == "__main__":
    build(*sys.argv[1:])
