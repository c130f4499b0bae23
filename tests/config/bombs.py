"""Configs that are small and ask for much, are large, or are none: how each is made, and what becomes of it.

A case is a name, the title of the first finding (or `resolved`), and the files. Those of `corpus/` are files as they are.
"""

# fmt: off
from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

Made = Mapping[str, str] | None
HEAD = "schema_version: 1\nmodel: {}\n"
CORPUS = Path(__file__).with_name("corpus")
DEEP, MANY = 40_000, 300_000
PRIME = 2**61 - 1  # integers that differ by it have one hash

CASES: dict[str, Callable[[Path], Made]] = {}
EXPECTED: dict[str, str | list[str]] = {}
SLOW_PARSER: list[str] = []  # those that PyYAML's own parser is tried with as well


def case(title: str | list[str], name: str, *, both: bool = False) -> Callable[[Callable[[Path], Made]], None]:
    """A case whose files a function makes; `both` parsers are tried where the parser is what it is about."""
    def add(make: Callable[[Path], Made]) -> None:
        assert name not in CASES
        CASES[name], EXPECTED[name] = make, title
        if both:
            SLOW_PARSER.append(name)
    return add


def written(folder: Path, **files: str | bytes) -> None:
    for stem, content in files.items():
        (folder / f"{stem}.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())


def whole(title: str, name: str, content: str | bytes, env: Made = None, **files: str) -> None:
    """A case that is one file as it is given, and perhaps files beside it."""
    case(title, name, both=True)(lambda folder: written(folder, exp=content, **files) or env)


def text(title: str, name: str, body: str, env: Made = None, *, both: bool = False, **files: str) -> None:
    """The same below the two lines that every config has."""
    case(title, name, both=both)(lambda folder: written(folder, exp=HEAD + body, **files) or env)


def rows(form: str, count: int, start: int = 0) -> str:
    """`form` with K, the number of each row, and P, that before it."""
    return "".join(form.replace("K", str(k)).replace("P", str(k - 1)) for k in range(start, count))


# Nesting
text("nested too deep", "deep flow lists", "a: " + "[" * DEEP + "]" * DEEP, both=True)
text("nested too deep", "deep flow lists, never closed", "a: " + "[" * DEEP, both=True)
text("nested too deep", "deep flow lists over lines", "a: " + "[\n" * DEEP + "]" * DEEP, both=True)
text("nested too deep", "deep flow mappings", "a: " + "{a: " * DEEP + "}" * DEEP, both=True)
text("nested too deep", "deep flow mappings as keys", "a: " + "{" * DEEP + "}" * DEEP, both=True)
text("nested too deep", "deep flow pairs", "a: " + "[a: " * DEEP + "]" * DEEP, both=True)
text("nested too deep", "deep block lists", "a:\n " + "- " * DEEP + "1", both=True)
text("nested too deep", "deep block keys", "a:\n " + "? " * DEEP + "1", both=True)
text("nested too deep", "deep block mappings", "".join(" " * k + "a:\n" for k in range(500)), both=True)
text("nested too deep", "deep containers", "a: " + "{_merge_: replace, _value_: " * 8_000 + "1" + "}" * 8_000, both=True)
text("nested too deep", "deep by aliases", "a0: &a0 [1]\n" + rows("aK: &aK [*aP]\n", 5_000, 1))
text("config too large", "deep by references", "a0: [1]\n" + rows("aK: ['${aP}']\n", 5_000, 1))
text("config too large", "deep by templates", "templates:\n  t0: {x: 1}\n" + rows("  tK: {x: {_template_: tP}}\n", 5_000, 1))
text("value does not fit its cast", "deep json", "a: ${env:json:J}\n", {"J": "[" * DEEP + "]" * DEEP})
text("value does not fit its cast", "deep json objects", "a: ${env:json:J}\n", {"J": '{"a":' * DEEP + "1" + "}" * DEEP})
text("value does not fit its cast", "deep json by default", "a: '${env:json:J," + "[" * DEEP + "]" * DEEP + "}'\n")
text("resolved", "as deep as can be", "a: " + "[" * 198 + "'${b}'" + "]" * 198 + "\nb: 1\n", both=True)
text("resolved", "containers as deep as can be", "a: " + "{_merge_: replace, _value_: [" * 98 + "1" + "]}" * 98 + "\n")
text("resolved", "appended lists as deep as can be", "a: " + "{_merge_: append, _value_: [" * 98 + "1" + "]}" * 98 + "\n")
text("resolved", "keyed lists as deep as can be", "defaults: [b.yaml]\na: " + "{_merge_: keyed, key: k, _value_: [{k: 1, v: " * 65 + "1"
     + "}]}" * 65 + "\n", b="a: " + "[{k: 1, v: " * 65 + "[]" + "}]" * 65 + "\n")
text("resolved", "a long chain of templates", "templates:\n  t0: {x: 1}\n" + rows("  tK: {_template_: tP}\n", 3_000, 1) + "a: {_template_: t2999}\n")
text("resolved", "piles on piles", "defaults: [b.yaml]\ntemplates: {t: {x: [1]}}\na: {_template_: t, x: {_merge_: append, _value_: [2]}}\n",
     b="defaults: [c.yaml]\na: {_template_: t, x: {_merge_: append, _value_: [3]}}\n", c="a: {_template_: t, x: {_merge_: append, _value_: [4]}}\n")
case("resolved", "piles through a chain of files")(lambda folder: written(
    folder, exp=f"{HEAD}templates: {{t: {{x: [1]}}}}\ndefaults: [f0.yaml]\na: {{_template_: t}}\n",
    **{f"f{k}": (f"defaults: [f{k + 1}.yaml]\n" if k < 150 else "") + "a: {_template_: t, x: {_merge_: append, _value_: [2]}}\n" for k in range(151)}))

# Multiplication
text("config too large", "billion laughs", "a0: &a0 [lol]\n" + rows("aK: &aK [" + "*aP, " * 10 + "]\n", 30, 1), both=True)
text("config too large", "aliases of a long text", "a: &a " + "x" * MANY + "\nb: [" + "*a, " * 9_000 + "]\n")
text("config too large", "more aliases than there may be", "a: &a 1\nb: [" + "*a, " * 20_000 + "]\n", both=True)
text("string too long", "strings that double", "a0: xxxxxxxx\n" + rows("aK: ${aP}${aP}\n", 60, 1))
text("config too large", "long strings many times", "a: " + "x" * 900_000 + "\n" + rows("bK: y${a}\n", 1_000))
text("config too large", "lists that double", "a0: [1, 2]\n" + rows("aK: ['${aP}', '${aP}']\n", 60, 1))
text("config too large", "references to a long text", "a: " + "x" * MANY + "\nb: [" + "'${a}', " * 10_000 + "]\n")
text("config too large", "references to a long number", "a: " + "9" * 1_000 + "\nb: [" + "'${a}', " * 40_000 + "]\n")
text("config too large", "references to a large tree", "a: [" + "1, " * 5_000 + "]\nb: [" + "'${a}', " * 5_000 + "]\n")
text("config too large", "templates that multiply", "templates:\n  t0: {x: 1}\n" + rows("  tK: {a: {_template_: tP}, b: {_template_: tP}}\n", 60, 1))
text("config too large", "a chain of large templates", "templates:\n  t0: {" + rows("kK: 1, ", 3_000) + "}\n" + rows("  tK: {_template_: tP, x: K}\n", 3_000, 1))
text("config too large", "large templates many times", "templates:\n  t0: {" + rows("kK: 1, ", 3_000) + "}\na: [" + "{_template_: t0, x: 1}, " * 3_000 + "]\n")
text("config too large", "json many times", "a: [" + "'${env:json:J}', " * 3_000 + "]\n", {"J": "[" + "{}," * 9_000 + "1]"})
text("config too large", "long json texts many times", "a: [" + "'${env:json:J}', " * 9_000 + "]\n", {"J": '"' + "x" * 120_000 + '"'})
text("config too large", "long variables many times", "a: [" + "'x${env:J}', " * 9_000 + "]\n", {"J": "x" * 120_000})
text("config too large", "variables that look like secrets", "a: [" + "'${env:J}', " * 9_000 + "]\n", {"J": "${secret:A}" * 10_000})
text("config too large", "long keys above many", "a: {" + f"{'k' * 1_000}: {{" * 50 + "x: [" + "1, " * 20_000 + "]" + "}" * 51 + "\n")
text("config too large", "many indices", "a: " + "[" * 190 + "1, " * 90_000 + "]" * 190 + "\n")
text("key too long", "a long key that is used often", "a: &k '" + "k" * MANY + "'\nb: {" + "*k : 1, " * 9_000 + "}\n")

# Size
text("config too large", "many values", "a: [" + "1, " * 700_000 + "]\n")
text("config too large", "many empty mappings", "a: [" + "{}, " * MANY + "]\n")
text("config too large", "a string of too many expressions", "a: 1\nb: '" + "${a}" * 2_000_000 + "'\n")
text("resolved", "a string of many expressions", "a: 1\nb: '" + "${a}" * 20_000 + "'\n")
text("resolved", "a string of escapes", "b: '" + "$${" * 50_000 + "'\n")
text("not a plain value", "a string of many mistakes", "b: '" + "${env:json:J,[[],[],[]]}" * 10_000 + "'\n")
text("unknown path", "a long path", "b: ${a" + ".a" * 100_000 + "}\n")
text("unknown path", "a path of blanks", "b: '${a" + " " * 100_000 + ".b}'\n")
text("invalid expression", "blanks in a path", "b: '${" + "a " * 100_000 + "]}'\n")
text("invalid expression", "braces", "b: '" + "${{" * 80_000 + "'\n")
text("invalid expression", "closed braces", "b: '" + "${{}" * 60_000 + "'\n")
text("invalid expression", "json quotes", "b: '" + '${env:json:A,"\\' * 20_000 + "'\n")
text("invalid expression", "colons", "b: '${env" + ":a" * 100_000 + "}'\n")
text("resolved", "a chain of references", rows("kK: ${kP}\n", 9_000, 1) + "k0: 1\n")
text("reference cycle", "a cycle of references", rows("kK: ${kP}\n", 9_000, 1) + "k0: ${k8999}\n")
text("file too large", "comments without end", "# a comment\n" * 800_000)
text("resolved", "a long comment", "#" * 50_000 + "\n", both=True)
text("resolved", "blank lines", "\n" * 50_000, both=True)
text("resolved", "a long plain scalar", "a: " + "x " * 20_000, both=True)
text("resolved", "a long quoted scalar", 'a: "' + "\\x41 " * 10_000 + '"', both=True)
text("resolved", "a scalar of many lines", "a:\n" + "  x\n" * 10_000, both=True)
text("resolved", "a long block scalar", "a: |\n" + "  x\n" * 10_000, both=True)
text("resolved", "a long anchor", "a: &" + "x" * 50_000 + " 1", both=True)
text("unknown tag", "a long tag", "a: !" + "x" * 50_000 + " 1", both=True)
text("unknown alias", "long anchors", rows(f"aK: &{'x' * 5_000}K 1\n", 30) + f"b: *{'x' * 5_000}y\n", both=True)
whole("too many directives", "directives", rows("%TAG !aK! x\n", 10_000) + f"---\n{HEAD}")
whole("too many directives", "directives of a second document", f"{HEAD}...\n" + rows("%TAG !aK! x\n", 10_000) + "---\n")

# Hashes and numbers
text("resolved", "numbers of one hash", "a: {_merge_: keyed, key: n, _value_: [" + ", ".join(f"{{n: {k * PRIME + 7}}}" for k in range(9_000)) + "]}\n")
text("number too long", "a number without end", "a: " + "9" * 100_000 + "\n", both=True)
text("number too large", "the digits of a float", "a: " + "9" * 100_000 + "e5\n")
text("number too large", "exponents without end", "a: [1e" + "9" * 100_000 + ", 1e-" + "9" * 100_000 + "]\n")
text("value does not fit its tag", "long floats by tag", "a: [!!float 0x" + "f" * 900 + ", !!float " + "9" * 900 + ", !!float -" + "9" * 900 + "]\n")
text("resolved", "infinities", "a: [.inf, -.inf, .nan, -.INF]\nb: 'x${a[0]}${a[2]}'\n")
text("value does not fit its cast", "an int of many digits", "a: ${env:int:J}\n", {"J": "9" * 100_000})
text("value does not fit its cast", "floats of many digits", "a: ['${env:float:J}', '${env:float:K}']\n", {"J": "9" * 100_000, "K": "0x" + "f" * 900})
text("value does not fit its cast", "json of many digits", "a: ${env:json:J}\n", {"J": "[" + "9" * 100_000 + "]"})
text("value does not fit its cast", "json with a long key", "a: ${env:json:J}\n", {"J": '{"' + "k" * 100_000 + '": 1}'})
text("value does not fit its cast", "json that is none", "a: ${env:json:J}\n", {"J": "NaN"})
text("resolved", "halves of surrogate pairs", "a: ${env:json:J}\nb: ${env:S}\n", {"J": '"\\ud800"', "S": "\udcff"})
text("resolved", "odd keys by json", "a: ${env:json:J}\n", {"J": '{"__proto__": 1, "_type_": [1], "_merge_": {}, "_template_": 2, "${x}": "${y}", "": 0}'})

# Many mistakes
text("unknown path", "many unknown paths", rows("some_long_name_K: ${some_long_nome_K}\n", 9_000))
text("unknown template", "many unknown templates", "templates: {" + rows("some_long_name_K: 1, ", 2_000) + "}\n" + rows("aK: {_template_: some_long_nome_K}\n", 2_000))
text("duplicate key", "many doubled keys", "a: 1\n" * 20_000)
text("key is no string", "many odd keys", "1: 1\n" * 20_000)
text("unknown tag", "many unknown tags", "a: [" + "!x 1, " * 20_000 + "]\n")
text("resolved", "many unknown sections", rows("sectoin_K: 1\n", 9_000))
text("unknown setting", "many unknown settings", "settings:\n" + rows("  stricdK: 1\n", 5_000))
text("resolved", "many unknown keys of run", "run:\n" + rows("  namaK: 1\n", 5_000))
text("element without its key", "many elements without a key", "a: {_merge_: keyed, key: name, _value_: [" + "{nome: 1, naem: 2}, " * 9_000 + "]}\n")
text("unknown merge mode", "many faulty containers", "a: [" + "{_merge_: apend, _value_: 1}, " * 9_000 + "]\n")
text("missing variable", "deep mistakes", "a: " + "[" * 190 + "'${env:GONE}', " * 5_000 + "]" * 190 + "\n")
text("unknown path", "an unknown path among many keys", "b: ${p.nothing_of_this_nome}\np: {" + rows("nothing_of_this_name_K: 1, ", 40_000) + "}\n")
whole("missing file", "many missing files", f"defaults: [{rows('baseK.yaml, ', 500)}]\n{HEAD}")

# Includes
text("resolved", "diamonds", "defaults: [f0.yaml, g0.yaml]\n", **{
    f"{name}{k}": (f"defaults: [f{k + 1}.yaml, g{k + 1}.yaml]\n" if k < 100 else "") + f"params: {{{name}: {k}}}\n" for k in range(101) for name in "fg"})
text("config too large", "two files many times", "defaults: [" + "b.yaml, c.yaml, " * 1_000 + "]\n", b="p: {" + rows("kK: 1, ", 3_000) + "}\n", c="p: {" + rows("kK: 2, ", 3_000) + "}\n")
text("config too large", "more entries than there may be", "defaults: [" + "b.yaml, " * 9_000 + "]\n", b="p: 1\n")
text("config too large", "a large base below a long chain", "defaults: [c0.yaml]\n", c300=rows("kK: 1\n", 9_000), **{f"c{k}": f"defaults: [c{k + 1}.yaml]\nx: {k}\n" for k in range(300)})
text("reference cycle", "mistakes below a long chain", "defaults: [c0.yaml]\n", c300=rows("kK: ${kK}\n", 1_000), **{f"c{k}": f"defaults: [c{k + 1}.yaml]\n" for k in range(300)})
whole("include cycle", "itself", f"defaults: [exp.yaml]\n{HEAD}")
whole("entry is no path", "odd entries", f"defaults: [\"a\\0b\", '', null, 1, [a], {{a: b}}]\n{HEAD}")
whole("entry is no path", "a path of 5,000 characters", f"defaults: [{'a' * 5_000}]\n{HEAD}")
whole("unreadable file", "a name of 3,000 characters", f"defaults: [{'a' * 3_000}]\n{HEAD}")
whole("missing file", "a path of many steps", f"defaults: [{'a/' * 2_000}b.yaml]\n{HEAD}")
whole("not a file", "a path of many dots", f"defaults: [{'../' * 1_300}]\n{HEAD}")
whole("not a file", "folders", f"defaults: [., .., /, ./, '../..', /proc, /dev]\n{HEAD}")
whole("not a file", "devices", f"defaults: [/dev/zero, /dev/null, /dev/urandom, /dev/full, /dev/tty, /dev/stdin, /dev/ptmx]\n{HEAD}")
whole("file changes", "files of the system", f"defaults: [/proc/self/environ, /proc/self/maps, /proc/cpuinfo, /proc/self/mem, /proc/self/pagemap, /proc/kcore]\n{HEAD}")
whole("missing file", "an address", f"defaults: ['http://example.org/a.yaml', 'file:///etc/passwd', '~/x.yaml']\n{HEAD}")


@case("not a file", "a pipe")
def _(folder: Path) -> Made:
    os.mkfifo(folder / "pipe.yaml")
    return written(folder, exp=f"defaults: [pipe.yaml]\n{HEAD}")


@case("not a file", "the experiment is a pipe")
def _(folder: Path) -> Made:
    return os.mkfifo(folder / "exp.yaml")


@case("not a file", "the experiment is a folder")
def _(folder: Path) -> Made:
    return (folder / "exp.yaml").mkdir()


@case("not a file", "the experiment is a device")
def _(folder: Path) -> Made:
    return (folder / "exp.yaml").symlink_to("/dev/zero")


@case("missing file", "no experiment")
def _(folder: Path) -> Made:
    return None


@case("not a file", "a socket")
def _(folder: Path) -> Made:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.yaml")
    return written(folder, exp=f"defaults: [s.yaml]\n{HEAD}")


@case("unreadable file", "a loop of links")
def _(folder: Path) -> Made:
    (folder / "a.yaml").symlink_to("b.yaml")
    (folder / "b.yaml").symlink_to("a.yaml")
    return written(folder, exp=f"defaults: [a.yaml]\n{HEAD}")


@case("include cycle", "itself by a link")
def _(folder: Path) -> Made:
    (folder / "link.yaml").symlink_to("exp.yaml")
    return written(folder, exp=f"defaults: [link.yaml]\n{HEAD}")


@case("include cycle", "itself by a linked folder")
def _(folder: Path) -> Made:
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to("..")
    return written(folder, exp=f"defaults: [deep/up/deep/up/exp.yaml]\n{HEAD}")


@case("include cycle", "itself by its parent")
def _(folder: Path) -> Made:
    return written(folder, exp=f"defaults: [../{folder.name}/./exp.yaml]\n{HEAD}")


@case("missing file", "a link that leads nowhere")
def _(folder: Path) -> Made:
    (folder / "a.yaml").symlink_to("gone.yaml")
    return written(folder, exp=f"defaults: [a.yaml]\n{HEAD}")


@case("file too large", "a sparse file")
def _(folder: Path) -> Made:
    written(folder, big="", exp=f"defaults: [big.yaml]\n{HEAD}")
    return os.truncate(folder / "big.yaml", 2**40)


@case("file too large", "files that are large together")
def _(folder: Path) -> Made:
    for k in range(9):
        written(folder, **{f"f{k}": "x: 1\n" + "#" * 1_000_000})
    return written(folder, exp=f"defaults: [{rows('fK.yaml, ', 9)}]\n{HEAD}")


if os.geteuid():  # root may read everything

    @case("unreadable file", "an unreadable file")
    def _(folder: Path) -> Made:
        written(folder, a=HEAD, exp=f"defaults: [a.yaml]\n{HEAD}")
        return (folder / "a.yaml").chmod(0)

    @case("unreadable file", "a folder that may not be entered")
    def _(folder: Path) -> Made:
        (folder / "closed").mkdir(mode=0)
        return written(folder, exp=f"defaults: [closed/a.yaml]\n{HEAD}")


# Encodings
whole("not UTF-8", "UTF-16 with a mark", HEAD.encode("utf-16"))
whole("invalid YAML", "UTF-16 without one", HEAD.encode("utf-16-le"))
whole("not UTF-8", "UTF-32", HEAD.encode("utf-32"))


def files() -> Iterator[tuple[str, str | list[str]]]:
    """The files of the corpus, each with what becomes of it: where the parsers differ, libyaml's comes first."""
    yield from json.loads((CORPUS / "expected.json").read_text()).items()


def copied(source: Path) -> Callable[[Path], Made]:
    return lambda folder: written(folder, exp=source.read_bytes())


for _name, _title in files():
    case(_title, _name, both=True)(copied(CORPUS / f"{_name}.yaml"))
