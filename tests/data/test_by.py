"""`seerc data stats --by`: shares, intervals, entropy, countries and distances, against NumPy and the zone database."""
import collections
import csv
import io
import itertools
import json
import math
import os
import random
import sys

import numpy as np

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "page"))
from common import expect, finish, scratch
from parsed import page_read
from shards import archive, seerc, write

Z = 1.959963984540054


def close(got, wanted, what):
    if wanted is None or got is None:
        expect(got is None and wanted is None, f"{what}: {got}, not {wanted}")
    else:
        expect(abs(got - wanted) <= 1e-9 * max(1, abs(wanted)), f"{what}: {got}, not {wanted}")


def interval(count, n):
    """Where the score test does not reject at 5 %: the roots of (count/n - p)^2 = Z^2 p (1 - p) / n."""
    share = count / n
    roots = np.roots([1 + Z * Z / n, -2 * share - Z * Z / n, share * share])
    return sorted(np.clip(roots.real, 0, 1))


def entropy(counts):
    shares = np.array(counts) / sum(counts)
    return float(-(shares * np.log(shares)).sum() / math.log(len(shares))) if len(shares) > 1 else 0.0


def data(root, name, columns, rows):
    """A manifest over members of one archive; None: no value."""
    count = max(len(rows), 1)
    if not os.path.exists(f"{root}/{count}.tar"):
        archive(f"{root}/{count}.tar", [(f"{i}.jpg", b"\xff\xd8\xff") for i in range(count)])
    out = io.StringIO()
    csv.writer(out).writerows([["path", *columns]] + [[f"{count}.tar:{i}.jpg", *("" if v is None else v for v in row)]
                                                      for i, row in enumerate(rows)])
    write(f"{root}/{name}.csv", out.getvalue())
    return f"{root}/{name}.csv"


def by(columns, source, *arguments):
    return json.loads(seerc("stats", "--json", "--by", columns, *arguments, source))


def check_share(got, count, n, what):
    low, high = interval(count, n)
    expect(got["count"] == count, f"{what}: {got['count']} pictures, not {count}")
    for name, wanted in (("share", count / n), ("low", low), ("high", high)):
        close(got[name], wanted, f"{what}: {name}")


def check_column(got, values, what):
    """`values`: one a picture, as they are to be counted."""
    counts, n = collections.Counter(v for v in values if v is not None), len(values)
    expect([(v["value"], v["count"]) for v in got["values"]] == sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])),
           f"{what}: {got['values']}")
    for value in got["values"]:
        check_share(value, counts[value["value"]], n, f"{what} {value['value']}")
    check_share(got["unknown"], values.count(None), n, f"{what} unknown")
    expect(got["distinct"] == len(counts), f"{what}: {got['distinct']} values")
    close(got["normalised_entropy"], entropy(list(counts.values())) if counts else None, f"{what}: entropy")


def check_counts(root):
    generator = random.Random(7)
    countries = ["FR"] * 9 + ["fr", "FRA", "de", "DEU", "US", "usa", "BR", "XX", "Europe", "uk", None, None]
    genders = ["female", "male", "male", "a, b\nc", None]
    rows = [(generator.choice(countries), generator.choice(genders), generator.choice([None, 0, -0.0, 1.5, 20, 1e300]),
             generator.choice(["x", "y", None])) for _ in range(1000)]
    source = data(root, "m", ["country", "gender", "age", "label"], rows)
    seerc("index", source, "-o", f"{root}/m.index")
    one = {"fr": "FR", "FRA": "FR", "de": "DE", "DEU": "DE", "usa": "US"}
    ages = {0: "0", -0.0: "0", 1.5: "1.5", 20: "20", 1e300: "1e+300"}
    counted = [(one.get(c, c), g, ages.get(a), label) for c, g, a, label in rows]
    names = ("country", "gender", "age", "label")
    for place in (source, f"{root}/m.index"):
        got = by("country,gender,age,label", place)
        expect(got["pictures"] == 1000 and [c["column"] for c in got["columns"]] == list(names), f"columns: {got}")
        for i, column in enumerate(got["columns"]):
            check_column(column, [row[i] for row in counted], names[i])
        country = got["columns"][0]
        expect(country["countries"] == 4, f"{country['countries']} countries")
        none = collections.Counter(row[0] for row in counted if row[0] in ("XX", "Europe", "uk"))
        others = {v["value"]: v["count"] for v in country["not_iso_3166"]}
        expect(others == none, f"no codes: {others}")
        expect({v.get("name") for v in country["values"]} == {"France", "Germany", "United States", "Brazil", None},
               "names of countries")
        wanted = collections.Counter(counted)
        both = got["combinations"]
        expect({tuple(v["value"]): v["count"] for v in both["values"]} == wanted and both["distinct"] == len(wanted),
               "combinations")
        order = [v["count"] for v in both["values"]]
        expect(order == sorted(order, reverse=True), "the most frequent combination first")
        for value in both["values"]:
            check_share(value, wanted[tuple(value["value"])], 1000, f"combination {value['value']}")
    pair = by("gender,country", source)["combinations"]["values"]
    wanted = collections.Counter((row[1], row[0]) for row in counted)
    expect({tuple(v["value"]): v["count"] for v in pair} == wanted, "a pair")
    expect("combinations" not in by("gender", source), "one column has no combinations")
    return source, counted


def check_edges(root):
    all_one = by("c", data(root, "one", ["c"], [("v",)] * 5))["columns"][0]
    check_column(all_one, ["v"] * 5, "one value")
    expect(all_one["values"][0]["high"] == 1 and all_one["unknown"]["low"] == 0, "certain shares")
    some = data(root, "none", ["c", "d"], [(None, "x")] + [(None, None)] * 4)
    told = seerc("stats", "--by", "c", some, code=1)
    expect("there is no column 'c'" in told and "d, label" in told, f"a column without values: {told}")
    nothing = by("label", some)["columns"][0]
    check_column(nothing, [None] * 5, "no labels")
    seerc("index", data(root, "single", ["country"], [("fr",)]), "-o", f"{root}/single.index")
    seerc("split", f"{root}/single.index", "--parts", "a=0.5,b=0.5")
    empty = [by("country", f"{root}/{name}.index") for name in "ab"]
    expect(sorted(part["pictures"] for part in empty) == [0, 1], f"a part without pictures: {empty}")
    many = data(root, "many", ["n"], [(i,) for i in range(65600)])
    expect("more than 65,536 different numbers" in seerc("stats", "--by", "n", many, code=1), "many numbers")


def check_countries(root):
    """Every code of the zone database, in either case; those of three letters against iso-codes where it is there."""
    zones = "/usr/share/zoneinfo/iso3166.tab"
    codes = [line.split("\t")[0] for line in open(zones, encoding="utf-8") if line[0] != "#"] \
        if os.path.exists(zones) else []
    for code in codes[::2]:
        codes.append(code.lower())
    got = by("country", data(root, "zones", ["country"], [(code,) for code in codes or ["FR"]]))["columns"][0]
    expect(got["countries"] == (249 if codes else 1) and got["not_iso_3166"] == [], f"codes of two letters: {got}")
    pairs = {"FRA": "FR", "DEU": "DE", "CHE": "CH", "ZAF": "ZA", "GBR": "GB", "CHN": "CN", "KOR": "KR", "AUT": "AT"}
    table = "/usr/share/iso-codes/json/iso_3166-1.json"
    if os.path.exists(table):
        with open(table, encoding="utf-8") as file:
            pairs = {entry["alpha_3"]: entry["alpha_2"] for entry in json.load(file)["3166-1"]}
    for three, two in list(pairs.items()):
        pairs[three.lower()] = two
    got = by("country", data(root, "three", ["country"], [(three,) for three in pairs]))["columns"][0]
    expect({v["value"]: v["count"] for v in got["values"]} == collections.Counter(pairs.values()), f"three: {got}")
    others = ["UK", "EU", "XX", "ZZZ", "F", "FRAN", "f r", "192", "(unknown)"]
    got = by("country", data(root, "others", ["country"], [(code,) for code in others]))["columns"][0]
    expect(got["countries"] == 0 and {v["value"] for v in got["not_iso_3166"]} == set(others), f"no codes: {got}")
    plain = by("nation", data(root, "plain", ["nation"], [("fr",), ("FR",)]))["columns"][0]
    expect(plain["distinct"] == 2 and "countries" not in plain, "codes in another column are words")


def check_reference(root, source, counted):
    counts = collections.Counter(row[0] for row in counted if row[0])
    known = sum(counts.values())
    weights = {"FR": 67.5, "DE": 83, "US": 331, "CN": 1411.0, "IN": 1380, "XX": 0, "Europe": 5, "uk": 1}
    write(f"{root}/r.csv", "name,Count,value\r\n" + "".join(
        f'"n, {v}",{w},{ {"FR": "fra", "CN": "chn"}.get(v, v)}\r\n' for v, w in weights.items()))
    got = by("country", source, "--reference", f"{root}/r.csv")["reference"]
    values = sorted(set(counts) | set(weights))
    p = np.array([counts[v] / known for v in values])
    q = np.array([weights.get(v, 0) / sum(weights.values()) for v in values])
    close(got["total_variation"], float(np.abs(p - q).sum() / 2), "total variation")
    expect(got["kl_divergence"] is None and got["known"] == known, "infinite divergence")
    expect(set(got["absent_in_data"]) == {"CN", "IN"} and set(got["absent_in_reference"]) == {"BR", "XX"},
           f"absent: {got['absent_in_data']}, {got['absent_in_reference']}")
    expect([v["value"] for v in got["values"]][:4] == [v for v, _ in sorted(counts.items(),
                                                                         key=lambda kv: (-kv[1], kv[0]))][:4], "order")
    expect({v["value"] for v in got["values"]} == set(values), "values of both sides")
    for value in got["values"]:
        i = values.index(value["value"])
        close(value["share"], p[i], f"share of {value['value']}")
        close(value["reference"], q[i], f"reference of {value['value']}")
        close(value["ratio"], p[i] / q[i] if q[i] > 0 else None, f"ratio of {value['value']}")
    weights = {v: i + 1 for i, v in enumerate(sorted(counts))} | {"CN": 3}
    write(f"{root}/s.tsv", "country\tshare\tcount\n" + "".join(f"{v}\t{w * 0.01}\t7\n" for v, w in weights.items()))
    got = by("country", source, "--reference", f"{root}/s.tsv")["reference"]
    p = np.array([counts[v] / known for v in weights])
    q = np.array([*weights.values()]) / sum(weights.values())
    close(got["kl_divergence"], float(sum(a * math.log(a / b) for a, b in zip(p, q) if a > 0)), "divergence")
    got_country = got
    same = "value,count\n" + "".join(f"{v},{c}\n" for v, c in counts.items())
    write(f"{root}/same.csv", same)
    got = by("country", source, "--reference", f"{root}/same.csv")["reference"]
    close(got["kl_divergence"], 0.0, "divergence of the same")
    close(got["total_variation"], 0.0, "distance of the same")
    two = by("gender,country", source, "--reference", f"{root}/s.tsv")["reference"]
    expect(two == got_country, f"the reference of one of two columns: {two}")
    told = seerc("stats", "--by", "gender,country", "--reference", f"{root}/same.csv", source, code=1)
    expect("line 1" in told and "'country,share'" in told, f"a reference of neither column: {told}")
    text = seerc("stats", "--by", "country", "--reference", f"{root}/r.csv", source)
    for part in ("compared with", "infinite", "absent in the data: CN, IN", "absent in the reference: ", "4 countries"):
        expect(part in text, f"'{part}' is not in {text}")
    for name, (table, place, what) in {
            "header.csv": ("a,b\n", "line 1", "no column of values"),
            "number.csv": ("value,share\nFR,x\n", "line 2", "no number"),
            "negative.csv": ("value,share\nFR,-1\n", "line 2", "no number"),
            "nan.csv": ("value,share\nFR,1\nDE,nan\n", "line 3", "no number"),
            "hex.csv": ("value,share\nFR,0x10\n", "line 2", "no number"),
            "huge.csv": ("value,share\nFR,1e999\n", "line 2", "no number"),
            "fields.csv": ("value,share\nFR,1,2\n", "line 2", "as many fields"),
            "void.csv": ("value,share\n,1\n", "line 2", "no value"),
            "twice.csv": ("value,share\nFR,1\nDE,1\nfra,1\n", "line 4", "stands in a line before"),
            "zero.csv": ("value,share\nFR,0\n", "", "has no shares"), "empty.csv": ("", "", "has no shares"),
            "rows.jsonl": ("{}", "", "no table")}.items():
        write(f"{root}/{name}", table)
        told = seerc("stats", "--by", "country", "--reference", f"{root}/{name}", source, code=1)
        expect(place in told and what in told and name in told, f"{name}: {told}")
    expect("No such file" in seerc("stats", "--by", "country", "--reference", f"{root}/gone", source, code=1), "gone")


def check_text(root, source, counted):
    """What a terminal shows is what JSON says, rounded; at most 50 rows, and no control characters."""
    text = seerc("stats", "--by", "country,gender", source)
    counts = collections.Counter(row[0] for row in counted)
    for value, count in counts.items():
        low, high = interval(count, 1000)
        row = f"{count:>12}  {count / 10:6.2f} %  {100 * low:6.2f} to {100 * high:6.2f}  {value or '(unknown)'}"
        expect(row in text, f"'{row}' is not in {text}")
    expect("no codes of ISO 3166-1: " in text and "a, b?c" in text and "combinations: " in text, f"text: {text}")
    pairs = itertools.product("abcdefgh", repeat=2)
    text = seerc("stats", "--by", "c", data(root, "long", ["c"], [("".join(pair),) for pair in pairs]))
    expect("and 14 more; --json has all" in text and len(text.splitlines()) == 56, f"a long table: {text}")


def check_page(root, source, counted):
    """The page says what --json says; a value is text, whatever it holds; combinations without pictures are told."""
    page_path = f"{root}/page.html"
    told = json.loads(seerc("stats", "--json", "--by", "gender,label", "--html", page_path, source))
    page = page_read(page_path)
    columns = [table[1:] for table in page.tables if table[0][:2] == ["value", "pictures"]]
    for rows, column in zip(columns, told["columns"], strict=True):
        values = [*column["values"], {"value": None} | column["unknown"]]
        shown = [[v["value"] or "unknown", str(v["count"]), f"{100 * v['share']:.1f} %",
                  f"{100 * v['low']:.2f} to {100 * v['high']:.2f} %", ""] for v in values]
        expect(rows == shown, f"shares of {column['column']}: {rows}, not {shown}")
        expect(f"{column['normalised_entropy']:.3f}" in page.text, f"evenness of {column['column']}")
    heat = next(table for table in page.tables if table[0][0] == "" and len(table[0]) > 1)
    counts = collections.Counter((row[1], row[3]) for row in counted)
    for row in heat[1:]:
        for label, cell in zip(heat[0][1:], row[1:], strict=True):
            expect(int(cell) == counts[row[0], label], f"{row[0]}, {label}: {cell}")
    expect("Every combination of the values that occur has pictures." in page.text, "no combination is missing")
    hostile = ["<img src=x onerror=alert(1)>", "</td></table><script>", "a&amp;b", '"\'', "\u2028\x01é"]
    rows = [(word, str(i % 2)) for i, word in enumerate(hostile * 3)] + [(hostile[0], "2")] * 4
    seerc("stats", "--by", "x<y,label", "--html", page_path, data(root, "hostile", ["x<y", "label"], rows))
    page = page_read(page_path)
    expect("<script" not in page.raw and "<img" not in page.raw, "values are text")
    shown = {row[0]: int(row[1]) for row in page.tables[0][1:]}
    wanted = collections.Counter(word.replace("\x01", "\ufffd") for word, _ in rows)
    expect(shown == {"unknown": 0} | wanted, f"hostile values: {shown}")
    expect("4 of 15 combinations of values that occur have no picture" in page.text, "missing combinations are counted")
    expect("</td></table><script>, 2: none, 0.6 expected" in page.text, "and named")
    seerc("stats", "--by", "country,gender,label", "--html", page_path, "--reference", f"{root}/s.tsv", source)
    page = page_read(page_path)
    listed = next(table for table in page.tables if table[0][0] == "combination")
    expect(int(listed[1][1]) == max(collections.Counter((row[0], row[1], row[3]) for row in counted).values()),
           f"the most frequent combination: {listed[1]}")
    expect("Compared with" in page.text and "Absent from the data: 1 value" in page.text, "a reference of one of three")
    seerc("stats", "--by", "country", "--html", page_path, f"{root}/a.index")
    expect(" of 249countries" in page_read(page_path).text, "a page of one picture, or of none")
    expect("cannot" in seerc("stats", "--by", "country", "--html", f"{root}/no/page.html", source, code=3), "no folder")


def check_command_line(source):
    for arguments, part in ((("--by", ""), "takes columns"), (("--by", "a,,b"), "takes columns"),
                            (("--by", "a,"), "takes columns"), (("--by", "a,a"), "each once"),
                            (("--by", "a,b,c,d,e,f,g,h,i"), "at most 8"), (("--reference", "x"), "needs a column"),
                            (("--html", "x"), "needs columns"),
                            (("--json", "--reference", "x"), "needs a column")):
        expect(part in seerc("stats", *arguments, source, code=2), f"{arguments}")
    expect("no option '--by'" in seerc("list", "--by", "country", source, code=2), "list has no --by")
    told = seerc("stats", "--by", "nationality", source, code=1)
    expect("no column 'nationality'" in told and "age, country, gender, label" in told, f"no such column: {told}")


with scratch() as folder:
    manifest, seen = check_counts(folder)
    check_edges(folder)
    check_countries(folder)
    check_reference(folder, manifest, seen)
    check_text(folder, manifest, seen)
    check_page(folder, manifest, seen)
    check_command_line(manifest)
finish("by")
