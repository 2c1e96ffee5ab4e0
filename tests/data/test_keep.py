"""`data.keep`: random conditions against an evaluation of our own, over indices, folders, archives and IDX files."""
import collections
import csv
import gzip
import io
import json
import os
import random
import struct
import subprocess
import sys

from common import expect, finish, scratch
from shards import archive, listed, picture, seerc, write

KEEP_TOOL = sys.argv[5]
SANITIZE = sys.argv[6] == "1"
CONDITIONS = 400 if SANITIZE else 3000
CODES = {"FRA": "FR", "DEU": "DE", "USA": "US", "BRA": "BR"}
EU = ("Austria AT Belgium BE Bulgaria BG Croatia HR Cyprus CY Czechia CZ Denmark DK Estonia EE Finland FI France FR "
      "Germany DE Greece GR Hungary HU Ireland IE Italy IT Latvia LV Lithuania LT Luxembourg LU Malta MT Netherlands "
      "NL Poland PL Portugal PT Romania RO Slovakia SK Slovenia SI Spain ES Sweden SE").split()[1::2]
COLUMNS = {"country": ["FR", "fr", "fra", "DE", "DEU", "US", "usa", "BR", "XX", "in", "unknown", None],
           "skin tone": ["light", "dark", "I, II", 'a "b"', None],
           "year": [1980, 1990, 2000.5, -3, 0, None], "mixed": ["7", "07", "7.5", "x", "-1e1", None]}
BUILT_IN = ("label", "width", "height", "bytes")


def country(word):
    return CODES.get(word.upper(), word.upper() if word.upper() in ("FR", "DE", "US", "BR", "IN") else word)


def spelled(word):
    try:
        return float(word)
    except ValueError:
        return None


def quoted(word):
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Maker:
    """Random conditions as text, with what they mean: functions of a picture to True, False or None (unknown)."""

    def __init__(self, generator, columns):
        self.random, self.columns = generator, columns

    def column(self, name):
        return name if name.isidentifier() and self.random.random() < 0.8 else quoted(name)

    def word(self, value):
        reserved = value in ("and", "or", "not", "in", "unknown", "use", "let", "eu")
        return value if value.isidentifier() and not reserved and self.random.random() < 0.6 else quoted(value)

    def term(self):
        name = self.random.choice(list(self.columns))
        values = [v for v in self.columns[name] if v is not None]
        left, choice = self.column(name), self.random.random()
        if choice < 0.12:
            wanted = self.random.random() < 0.5
            return f"{left} {'==' if wanted else '!='} unknown", lambda row: (row[name] is None) == wanted
        numbers = isinstance(values[0], (int, float)) or (name == "mixed" and self.random.random() < 0.5)
        if numbers:
            return self.number_term(name, left, [spelled(str(v)) or 0 for v in values])
        same = country if name == "country" else str
        if name == "country" and choice < 0.3:
            negated = self.random.random() < 0.5
            return f"{left} {'not in' if negated else 'in'} eu", lambda row: (
                None if row[name] is None else (country(row[name]) in EU) != negated)
        chosen = [self.random.choice(values + ["FRA", "De"]) for _ in range(self.random.randint(1, 4))]
        return self.among(name, left, [self.word(w) for w in chosen], {same(w) for w in chosen},
                          lambda value: same(value))

    def number_term(self, name, left, values):
        value = self.random.choice(values) + self.random.choice([0, 0, 0, 0.5, -1])
        known = lambda row: spelled(str(row[name])) if row[name] is not None else None  # noqa: E731
        relation = self.random.choice(["<", "<=", ">", ">=", "in"])
        if relation == "in":
            chosen = [self.random.choice(values) for _ in range(self.random.randint(1, 3))]
            return self.among(name, left, [f"{c:g}" for c in chosen], set(chosen), lambda v: spelled(str(v)))
        compare = {"<": lambda a: a < value, "<=": lambda a: a <= value, ">": lambda a: a > value,
                   ">=": lambda a: a >= value}[relation]
        return f"{left}{self.random.choice(['', ' '])}{relation} {value:g}", lambda row: (
            None if known(row) is None else compare(known(row)))

    def among(self, name, left, texts, values, told):
        negated = self.random.random() < 0.4
        if len(texts) == 1 and self.random.random() < 0.7:
            text = f"{left} {'!=' if negated else '=='} {texts[0]}"
        else:
            text = f"{left} {'not in' if negated else 'in'} [{', '.join(texts)}]"
        return text, lambda row: None if row[name] is None or told(row[name]) is None else (
            (told(row[name]) in values) != negated)

    def condition(self, depth, least=0):
        """`least`: 0 anything may stand here, 1 no `or`, 2 neither `and`."""
        choice = self.random.random()
        if depth == 0 or choice < 0.25:
            return self.term()
        if choice < 0.4:
            text, means = self.condition(depth - 1, 2)
            return f"not {text}", lambda row: None if means(row) is None else not means(row)
        joint = "or" if choice < 0.7 else "and"
        level = 0 if joint == "or" else 1
        (a, means_a), (b, means_b) = self.condition(depth - 1, level), self.condition(depth - 1, level + 1)
        text = f"{a} {joint} {b}"

        def means(row):
            values, decides = (means_a(row), means_b(row)), joint == "or"
            return decides if decides in values else None if None in values else not decides
        return (f"({text})" if level < least or self.random.random() < 0.1 else text), means


def ask(conditions, *patterns, threads=2):
    run = subprocess.run([KEEP_TOOL, str(threads), *patterns], input="\n".join(conditions), capture_output=True,
                         text=True)
    if run.returncode != 0 or run.stderr:
        raise SystemExit(f"keep_tool ended with {run.returncode}: {run.stderr[-3000:]}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def check_conditions(what, rows, columns, patterns, count, seed):
    """`rows`: by name, what is known of a picture."""
    maker = Maker(random.Random(seed), columns)
    made = [maker.condition(maker.random.randint(0, 5)) for _ in range(count)]
    results = collections.Counter()
    for (text, means), got in zip(made, ask([text for text, _ in made], *patterns, threads=seed % 3 + 1)):
        values = {name: means(row) for name, row in rows.items()}
        kept = [name for name, value in values.items() if value]
        results[bool(kept)] += 1
        if not kept:
            expect("no picture is kept" in got.get("error", ""), f"{what}: {text}: {got}")
            continue
        expect(got.get("names") == kept, f"{what}: {text}: {got}, not {kept}")
        wanted = [len(kept), len(rows), list(values.values()).count(None)]
        expect([got.get(n) for n in ("kept", "pictures", "unknown")] == wanted, f"{what}: {text}: counts {got}")
    expect(all(results[kind] > count / 20 for kind in (True, False)), f"{what}: conditions of one kind only: {results}")


def make_pictures(root, generator, count):
    rows, members = {}, []
    for i in range(count):
        size = generator.choice([(8, 8), (24, 16), (16, 30)])
        label = generator.choice(["cat", "dog", "not"])
        name = f"{label}/{i:03}.jpg" if i % 10 else f"{i:03}.jpg"
        content = picture(i, size) if i % 17 else b"\xff\xd8\xff"  # of these nothing tells the size
        write(f"{root}/folder/{name}", content)
        members.append((name, content))
        rows[name] = {"label": label if i % 10 else None, "bytes": len(content)}
        rows[name] |= {"width": size[0] if i % 17 else None, "height": size[1] if i % 17 else None}
    archive(f"{root}/a.tar", members)
    return rows


def check_sources(root, count):
    generator = random.Random(5)
    rows = make_pictures(root, generator, 120)
    by_size = {"label": ["cat", "dog", "bird", None], "width": [8, 16, 24, 100, None], "height": [8, 16, 30, None],
               "bytes": [row["bytes"] for row in rows.values()][:9]}
    in_order = dict(sorted((f"{root}/folder/{name}", row) for name, row in rows.items()))
    check_conditions("folder", in_order, by_size, [f"{root}/folder"], count // 10, 1)
    in_tar = {f"{root}/a.tar:{name}": row for name, row in sorted(rows.items())}
    check_conditions("archive", in_tar, by_size, [f"{root}/a.tar"], count // 10, 2)

    table = [{c: generator.choice(values) for c, values in COLUMNS.items()} for _ in rows]
    out = io.StringIO()
    csv.writer(out).writerows([["path", "label", *COLUMNS]] + [
        [f"folder/{name}", row["label"] or "", *("" if line[c] is None else line[c] for c in COLUMNS)]
        for (name, row), line in zip(rows.items(), table)])
    write(f"{root}/m.csv", out.getvalue())
    seerc("index", f"{root}/m.csv", "-o", f"{root}/m.index")
    told = {f"{root}/folder/{name}": row | line for (name, row), line in zip(rows.items(), table)}
    indexed = {os.path.normpath(entry["shard"]): told[os.path.normpath(entry["shard"])]
               for entry in listed(f"{root}/m.index")}
    expect(len(indexed) == len(rows), "every picture is indexed")
    check_conditions("index", indexed, COLUMNS | by_size, [f"{root}/m.index"], count, 3)
    # Several sets at once: files first, then indices; a column must be in each of them.
    seerc("split", f"{root}/m.index", "--parts", "x=0.5,y=0.5", "-o", root)
    parts = [{entry["shard"]: told[os.path.normpath(entry["shard"])] for entry in listed(f"{root}/{part}.index")}
             for part in "xy"]
    check_conditions("two indices", {**parts[0], **parts[1]}, COLUMNS | by_size,
                     [f"{root}/x.index", f"{root}/y.index"], count // 10, 4)
    check_conditions("archive and index", {**in_tar, **parts[0]}, by_size, [f"{root}/a.tar", f"{root}/x.index"],
                     count // 10, 5)
    return told, indexed


def check_idx(root):
    with gzip.open(f"{root}/digits.gz", "wb") as file:
        file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, 5, 4, 6) + bytes(5 * 24))
    got = ask(["width == 6 and height == 4 and bytes == 24", "label == unknown", "width == 4"], f"{root}/digits.gz")
    expect([g.get("kept") for g in got] == [5, 5, None], f"IDX: {got}")


def check_errors(root):
    cases = {"county == FR": "has not", "year == old": "compares it with a word", "width == wide": "with a word",
             "country == FR and": "expected a value", "country < FR": "compares numbers"}
    for text, wanted in cases.items():
        got = ask([text], f"{root}/m.index")[0]
        expect(wanted in got.get("error", got.get("wrong", "")), f"{text}: {got}")
    expect("country, mixed, skin tone, year, label, width" in ask(["county == FR"], f"{root}/m.index")[0]["error"],
           "the columns are named")
    got = ask(["country == FR"], f"{root}/folder")[0]
    expect("seerc data index" in got.get("error", ""), f"no index: {got}")
    got = ask(["all"], f"{root}/m.index")[0]
    expect(len(got["names"]) == 120, "all")


def check_commands(root, told, indexed):
    """--keep of list, stats and split."""
    def wanted(row):
        return None not in (row["country"], row["width"]) and country(row["country"]) not in EU and row["width"] >= 16

    def unsure(row):
        if row["width"] is None:
            return row["country"] is None or country(row["country"]) not in EU
        return row["width"] >= 16 and row["country"] is None

    condition = "country not in eu and width >= 16px"
    kept = [name for name, row in indexed.items() if wanted(row)]
    for source in (f"{root}/m.index", f"{root}/m.csv"):
        text = seerc("list", "--json", "--keep", condition, source)
        got = [os.path.normpath(json.loads(line)["shard"]) for line in text.splitlines() if line.startswith("{")]
        expect(got == kept, f"list --keep of {source}: {got}")
        unknown = sum(map(unsure, indexed.values()))
        note = f"kept {len(kept)} of 120: {120 - len(kept) - unknown} dropped, {unknown} of unknown country or width"
        expect(note in text, f"list --keep says: {text[-200:]}")
    stats = json.loads(seerc("stats", "--json", "--keep", condition, f"{root}/m.index").partition("seerc:")[0])
    expect(stats["pictures"] == len(kept), f"stats --keep: {stats}")
    expect(stats["bytes"] == sum(told[name]["bytes"] for name in kept), "stats --keep: bytes")
    by = json.loads(seerc("stats", "--json", "--by", "country", "--keep", condition,
                          f"{root}/m.index").partition("seerc:")[0])
    counts = collections.Counter(country(told[name]["country"]) for name in kept)
    expect({v["value"]: v["count"] for v in by["columns"][0]["values"]} == counts, f"stats --by --keep: {by}")
    expect(by["columns"][0]["unknown"]["count"] == 0, "stats --by --keep: unknown")
    seerc("split", "--keep", condition, "--parts", "some=1", "-o", root, f"{root}/m.index")
    expect([os.path.normpath(entry["shard"]) for entry in listed(f"{root}/some.index")] == kept, "split --keep")
    whole, some = ({e["shard"]: e for e in listed(f"{root}/{name}.index")} for name in ("m", "some"))
    expect(all(whole[shard] == entry for shard, entry in some.items()), "split --keep keeps what is told")
    seerc("verify", f"{root}/some.index")
    none = json.loads(seerc("stats", "--json", "--keep", "width > 1000", f"{root}/m.index").partition("seerc:")[0])
    expect(none["pictures"] == 0, "stats of none")
    seerc("list", "--keep", "country <", f"{root}/m.index", code=1)
    seerc("pack", "--keep", "width > 3", root, "-o", f"{root}/none", code=2)


def check_order():
    """An index of more than a block, by one and by several threads."""
    with scratch() as root:
        count = 40000
        archive(f"{root}/a.tar", [(f"{i:05}.jpg", b"\xff\xd8\xff") for i in range(count)])
        years = [i * 7919 % 1013 for i in range(count)]
        write(f"{root}/m.csv", "path,year\n" + "".join(f"a.tar:{i:05}.jpg,{years[i]}\n" for i in range(count)))
        seerc("index", f"{root}/m.csv", "-o", f"{root}/m.index")
        for threads in (1, 3, 8):
            got = ask(["year < 3", "year >= 3", "year == 1012 or bytes > 3"], f"{root}/m.index", threads=threads)
            for result, keeps in zip(got, (lambda y: y < 3, lambda y: y >= 3, lambda y: y == 1012)):
                wanted = [f"{root}/a.tar:{i:05}.jpg" for i in range(count) if keeps(years[i])]
                expect(result["names"] == wanted, f"{threads} threads: {result['kept']} of {len(wanted)}")


with scratch() as folder:
    folder = os.path.realpath(folder)
    pictures = check_sources(folder, CONDITIONS)
    check_idx(folder)
    check_errors(folder)
    check_commands(folder, *pictures)
check_order()
finish("conditions")
