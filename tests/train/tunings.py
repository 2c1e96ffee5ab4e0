"""Tunings with every parameter of the kernels' table at a bound, for tests: none of them may make a wrong trainer."""
import pathlib
import re

TABLE = pathlib.Path(__file__).resolve().parents[2] / "codegen/kernels/c/tuning.def"


def rows():
    """(name, default with 8 lanes, with 16, least, most, unit) of each parameter."""
    found = re.findall(r"^TUNING\((\w+), (\d+), (\d+), (\d+), (\d+), (\d+),", TABLE.read_text(), re.M)
    return [(name, *map(int, numbers)) for name, *numbers in found]


def text_at(bound, lanes):
    """The text of a tuning file; bound: 'least' or 'most'."""
    values = [f"{row[0]} = {row[3 if bound == 'least' else 4]}" for row in rows()]
    return "\n".join([f"cpu = {'x86-64-v4' if lanes == 16 else 'x86-64'}", f"lanes = {lanes}", *values]) + "\n"
