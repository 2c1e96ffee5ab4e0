#!/usr/bin/env python3
"""Checks house rules over the tree: `check.py RULE TREE` prints one line per fault and exits 1 when there is one.

`check.py selftest` writes small trees with a known fault each and demands that the rule finds it, and none in
a good tree.
Rules are the functions in RULES; each takes the tree and yields faults as text.
"""
import os
import re
import signal
import sys
import tempfile

C_SUFFIXES = (".c", ".h", ".def", ".l", ".y")
TEXT_SUFFIXES = C_SUFFIXES + (".py", ".md", ".seer", ".txt", ".cmake", ".in", ".csv")
MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 80
MAX_COLUMNS = 120

# Who may include whom. A layer is a folder; the longest prefix wins.
LAYERS = {
    "compiler/base": {"compiler/base"},
    "lang": {"lang", "compiler/base"},
    "compiler/graph": {"compiler/graph", "compiler/base"},
    "compiler/passes": {"compiler/passes", "compiler/graph", "compiler/base"},
    "compiler/plan": {"compiler/plan", "compiler/graph", "compiler/base"},
    "compiler/simulate": {"compiler/simulate", "compiler/plan", "compiler/graph", "compiler/base"},
    "compiler/data": {"compiler/data", "compiler/base", "runtime"},
    "codegen": {"codegen", "compiler/plan", "compiler/graph", "compiler/base"},
    "codegen/kernels": {"codegen/kernels", "runtime"},
    "codegen/templates": {"codegen/templates", "codegen/kernels", "runtime"},
    "compiler/driver": {"compiler", "compiler/driver", "compiler/base", "compiler/graph", "compiler/passes",
                        "compiler/plan", "compiler/simulate", "compiler/data", "lang", "codegen", "runtime"},
    "runtime": {"runtime"},
}
LAYER_EXCEPTIONS = {("compiler/passes", "lang/spec.h"): ("build_model.c", "build_model.h"),
                    ("codegen", "codegen/kernels/c/sizes.h"): None,  # sizes that the emitter and the kernels share
                    ("codegen", "codegen/kernels/c/tuning.h"): None,
                    ("codegen", "codegen/kernels/c/tuning.def"): None,
                    ("codegen", "runtime/program.h"): None}          # what a trainer tells the runtime about itself

# Tools of the tests read numbers that the tests wrote.
BANNED_OUTSIDE_TESTS = ("atoi", "atol", "atof")
BANNED = ("strcpy", "strncpy", "strcat", "strncat", "sprintf", "vsprintf", "strtok", "gets", "alloca", "rand", "srand",
          "tmpnam", "mktemp", "system")
FOLDERS = ("lang", "compiler/base", "compiler/graph", "compiler/passes", "compiler/plan", "compiler/simulate",
           "compiler/data", "compiler/driver", "codegen", "codegen/kernels/c", "runtime", "runtime/data",
           "runtime/plan_page", "specs/models", "specs/recipes", "specs/machines", "examples", "docs", "scripts",
           "tests/lang", "tests/graph", "tests/ops", "tests/plan", "tests/exact", "tests/page", "tests/emit",
           "tests/train", "tests/cli", "tests/faults", "tests/fuzz", "tests/style", "tests/bench")
WITH_README = ("lang", "compiler", "codegen", "runtime", "specs", "examples", "docs", "scripts", "tests")


def files(tree, suffixes):
    for folder, names, members in os.walk(tree):
        names[:] = sorted(n for n in names if not n.startswith((".", "build", "demo-run", "__pycache__")))
        for member in sorted(members):
            path = os.path.relpath(os.path.join(folder, member), tree)
            if member.endswith(suffixes):
                yield path


def read(tree, path):
    with open(os.path.join(tree, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def ours(path):
    """Sources written by hand: specs that tests feed to the compiler, and other test data, follow no style."""
    data = path.endswith((".seer", ".txt")) or "/corpus/" in path or "/golden/" in path
    return not (path.startswith("tests/") and data)


def without_comments_and_strings(text):
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


def numbered(text):
    return enumerate(text.split("\n"), 1)


def layers(tree):
    for path in files(tree, (".c", ".h", ".l", ".y")):
        own = max((layer for layer in LAYERS if path.startswith(layer + "/")), key=len, default=None)
        if own is None:
            continue
        for line, text in numbered(read(tree, path)):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', text)
            if not match or "/" not in match.group(1):
                continue
            target = match.group(1)
            if (own, target) in LAYER_EXCEPTIONS:
                allowed = LAYER_EXCEPTIONS[own, target]
                if allowed is None or os.path.basename(path) in allowed:
                    continue
            layer = max((layer for layer in LAYERS if target.startswith(layer + "/")), key=len, default=None)
            if layer is not None and layer not in LAYERS[own]:
                yield f"{path}:{line}: {own} must not include {target}"


def openings(tree):
    for path in files(tree, C_SUFFIXES + (".py", ".seer")):
        if not ours(path):
            continue
        lines = [text for text in read(tree, path).split("\n") if not text.startswith("#!")]
        first = next((text for text in lines if text.strip() not in ("", "%{", "%top{")), "")
        if not first.startswith(("//", "/*", "# ", '"""')):
            yield f"{path}:1: does not open with a comment on what it is for"
        if re.match(r"^(//|/\*|#)\s*[-=*#/]{4,}", first):
            yield f"{path}:1: opens with a banner"


def lengths(tree):
    for path in files(tree, C_SUFFIXES + (".py",)):
        if not ours(path):
            continue
        lines = read(tree, path).split("\n")
        if len(lines) > MAX_FILE_LINES:
            yield f"{path}: {len(lines)} lines, more than {MAX_FILE_LINES}"
        start = None
        for line, text in enumerate(lines, 1):
            if re.match(r"^[A-Za-z_].*\(", text) and not text.rstrip().endswith(";"):
                start = line
            elif text.startswith("}") and start is not None:
                if line - start + 1 > MAX_FUNCTION_LINES:
                    yield f"{path}:{start}: a function of {line - start + 1} lines, more than {MAX_FUNCTION_LINES}"
                start = None


def text(tree):
    # Spelled in pieces, so that this file does not find itself.
    unfinished = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    machine = re.compile(r"(?<![\w.}])/(wo" + r"rk|ho" + r"me|ro" + r"ot)/")
    for path in files(tree, TEXT_SUFFIXES + tuple(sorted(script_names(tree)))):
        if not ours(path):
            continue
        content = read(tree, path)
        if content and not content.endswith("\n"):
            yield f"{path}: no newline at the end"
        for line, here in numbered(content):
            if unfinished.search(here):
                yield f"{path}:{line}: unfinished work belongs in an issue"
            if machine.search(here):
                yield f"{path}:{line}: a path of one machine"
            if path.endswith((".md", ".csv")):
                continue
            if len(here) > MAX_COLUMNS and not path.endswith(".def"):  # a table has one row per line
                yield f"{path}:{line}: {len(here)} columns, more than {MAX_COLUMNS}"
            if here != here.rstrip():
                yield f"{path}:{line}: trailing space"
            if "\t" in here:
                yield f"{path}:{line}: a tab"


def script_names(tree):
    folder = os.path.join(tree, "scripts")
    return {"scripts/" + name for name in os.listdir(folder)} if os.path.isdir(folder) else set()


def banned(tree):
    for path in files(tree, (".c", ".h", ".l", ".y")):
        names = BANNED if path.startswith("tests/") else BANNED + BANNED_OUTSIDE_TESTS
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")
        for line, here in numbered(without_comments_and_strings(read(tree, path))):
            for match in pattern.finditer(here):
                yield f"{path}:{line}: '{match.group(1)}' is banned"


def exits(tree):
    for path in files(tree, (".c", ".h", ".l", ".y")):
        if os.path.basename(path) in ("main.c", "main.h") or path.startswith("tests/"):
            continue
        for line, here in numbered(without_comments_and_strings(read(tree, path))):
            if re.search(r"(?<![\w.>])(exit|quick_exit)\s*\(", here):
                yield f"{path}:{line}: 'exit' outside of main.c"
            if re.search(r"(?<![\w.>])abort\s*\(", here) and os.path.basename(path) not in ("bug.c", "bug.h"):
                yield f"{path}:{line}: 'abort' outside of BUG()"


def headers(tree):
    """A block of declarations, between blank lines, has a comment in it unless the block before had one for both."""
    for path in files(tree, (".h",)):
        if path.startswith("tests/") or not ours(path):
            continue
        content = read(tree, path)
        guard = re.search(r"^#ifndef (\w+_H)\n#define \1$", content, re.M)
        if not guard and not re.search(r"^#pragma once", content, re.M) and not path.startswith("codegen/"):
            yield f"{path}: no include guard"
        bare = 0
        for block in re.split(r"\n\s*\n", content):
            declares = re.search(r"^[A-Za-z_][\w \*]*\**\w+\([^;{]*\)[^;{]*;", block, re.M)
            if not declares:
                continue
            bare = 0 if "//" in block or "/*" in block else bare + 1
            if bare > 2:
                name = re.search(r"(\w+)\(", declares.group())
                yield f"{path}: '{name.group(1)}' and its neighbours are not documented"
                break


def folders(tree):
    for folder in FOLDERS:
        path = os.path.join(tree, folder)
        if not os.path.isdir(path) or not os.listdir(path):
            yield f"{folder}: missing or empty"
    for folder in WITH_README:
        path = os.path.join(folder, "README.md")
        if not os.path.isfile(os.path.join(tree, path)):
            yield f"{path}: missing"
        elif len(read(tree, path).split("\n")) > 61:
            yield f"{path}: more than a screen"
    examples = os.path.join(tree, "examples")
    for example in sorted(os.listdir(examples)) if os.path.isdir(examples) else []:
        if os.path.isdir(os.path.join(examples, example)):
            for name in (f"{example}.seer", "README.md"):
                if not os.path.isfile(os.path.join(examples, example, name)):
                    yield f"examples/{example}/{name}: missing"


def links(tree):
    """What a page points to exists: markdown links, and paths of this tree in backquotes."""
    quoted = re.compile(r"`((?:tests|scripts|specs|examples|docs|lang|compiler|codegen|runtime)/[\w./-]+)`")
    for path in files(tree, (".md",)):
        for line, here in numbered(read(tree, path)):
            for target in re.findall(r"\]\(([^)#]+)", here):
                if "://" not in target and not os.path.exists(os.path.join(tree, os.path.dirname(path), target)):
                    yield f"{path}:{line}: link to '{target}', which is not there"
            for target in quoted.findall(here):
                if not os.path.exists(os.path.join(tree, target)):
                    yield f"{path}:{line}: names '{target}', which is not there"


def scripts(tree):
    for path in sorted(script_names(tree)):
        if path.endswith(".md"):
            continue
        if not os.access(os.path.join(tree, path), os.X_OK):
            yield f"{path}: not executable"
        lines = read(tree, path).split("\n")
        if not lines[0].startswith("#!/usr/bin/env "):
            yield f"{path}:1: no '#!/usr/bin/env' line"
        if len(lines) < 2 or not lines[1].startswith("# ") and not lines[1].startswith('"""'):
            yield f"{path}:2: does not open with a comment on what it is for"


RULES = {rule.__name__: rule
         for rule in (layers, openings, lengths, text, banned, exits, headers, folders, links, scripts)}

GOOD = {"lang/check.c": '// Checks.\n#include "compiler/base/diag.h"\nint check(void) { return 0; } // strcpy(a, b)\n'}
FAULTS = {
    "layers": {"lang/check.c": '// Checks.\n#include "compiler/graph/graph.h"\n'},
    "openings": {"lang/check.c": "int x;\n"},
    "lengths": {"lang/check.c": "// Checks.\nint lang_check(void) {\n" + "  x();\n" * 90 + "}\n"},
    "text": {"lang/check.c": "// Checks. TO" + "DO more\n"},
    "banned": {"lang/check.c": "// Checks.\nvoid f(char *a) { strcpy(a, a); }\n"},
    "exits": {"lang/check.c": "// Checks.\nvoid f(void) { exit(1); }\n"},
    "headers": {"lang/check.h": "// Checks.\n#ifndef A_H\n#define A_H\n\n" + "int a(int);\n\n" * 3 + "#endif\n"},
    "folders": {"lang/check.c": "// Checks.\n"},
    "links": {"docs/a.md": "see [b](b.md)\n"},
    "scripts": {"scripts/run": "echo\n"},
}


def write_tree(tree, content):
    for path, text_of_file in content.items():
        os.makedirs(os.path.join(tree, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(tree, path), "w", encoding="utf-8") as file:
            file.write(text_of_file)


def selftest():
    bad = []
    for name, rule in RULES.items():
        with tempfile.TemporaryDirectory() as tree:
            write_tree(tree, FAULTS[name])
            if not list(rule(tree)):
                bad.append(f"rule '{name}' does not find its fault")
        with tempfile.TemporaryDirectory() as tree:
            write_tree(tree, GOOD)
            if name != "folders" and list(rule(tree)):
                bad.append(f"rule '{name}' finds a fault in a good tree")
    return bad


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.argv[1:] == ["selftest"]:
        faults = selftest()
    elif len(sys.argv) == 3 and sys.argv[1] in RULES:
        faults = list(RULES[sys.argv[1]](sys.argv[2]))
    else:
        sys.exit(f"usage: check.py {'|'.join(RULES)} TREE, or check.py selftest")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
