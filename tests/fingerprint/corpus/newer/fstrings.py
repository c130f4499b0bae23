"""Syntax of Python 3.12: anything inside the fields of f-strings."""
LIMIT = 3
BESIDE = 4
items = ["a", "b"]
SAME = f"{"a"}{f"{f"{"deep"}"}"}{items[0]}{ {"x": "y"}["x"] }"
BACKSLASH = f"{"\n".join(items)}{'\t'}{"\N{DIGIT ONE}"}"
COMMENTED = f"{
    LIMIT  # a comment with } in it
    + 1
}{
    # before
    "b"
    "c"!r
    :>{
        LIMIT
    }}"
DEBUG = f"{"a" = }{"a"=!s:{LIMIT}}{LIMIT  # seen
=}"


def text(x):
    return f"{', '.join(f"{each!r:>{LIMIT}}" for each in x)}"
