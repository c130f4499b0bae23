"""What tells a run from the one that would be trained now: values, code by symbol, data, and versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from otrainer.artifacts import read_json
from otrainer.config.source_map import SourceMap
from otrainer.definition import NOT_DEFINING
from otrainer.keepsakes import FINGERPRINTS, SOURCES
from otrainer.queries.changes import changes, sentence
from otrainer.registry.fingerprint import chain
from otrainer.registry.usage import ROOT_KEY, code_of

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.registry.fingerprint import Fingerprints

Rows = Sequence[Mapping[str, Any]]
# Packages whose other versions change numbers; the rest is told by `doit diff`.
TELLING = ("python", "torch", "numpy", "otrainer")


def value_sentences(
    old: Mapping[str, Any], new: Mapping[str, Any], places: SourceMap | None, old_places: SourceMap | None = None
) -> Iterator[str]:
    """A sentence for each value that differs and decides what is trained."""
    for change in changes(old, new):
        path = change.new_path or change.old_path
        if path[0] not in NOT_DEFINING:
            yield sentence(change, places, old_places)


def code_sentences(
    old_rows: Rows, new_rows: Rows, old_detail: Mapping[str, Any] | None, prints: Fingerprints
) -> Iterator[str]:
    """A sentence for each symbol whose code differs, with the chain of names that leads to it."""
    before = {row["key"]: row["fingerprint"] for row in old_rows}
    told: set[str] = set()
    for row in new_rows:
        if row["key"] not in before or before[row["key"]] == row["fingerprint"]:
            continue  # another key is another value, which is told as such
        found = [each for each in symbol_changes(row, old_detail, prints) if each[0] not in told]
        told |= {symbol for symbol, _ in found}
        yield from (text for _, text in found)
        if not found and not told:
            yield f"The code of `{label(row['key'])}` changed."
    gone = [key for key in before if key not in {row["key"] for row in new_rows}]
    yield from (f"`{key}` does nothing of its own any more." for key in gone if "." in key and key in plugins(old_rows))


def plugins(rows: Rows) -> set[str]:
    return {row["key"] for row in rows if row["plugin"] == row["key"]}


def symbol_changes(
    row: Mapping[str, Any], old_detail: Mapping[str, Any] | None, prints: Fingerprints
) -> Iterator[tuple[str, str]]:
    """Each changed symbol behind a row, and the sentence about it."""
    if old_detail is None:
        return
    code = code_of(row, prints)
    old = old_reach(old_detail, row["key"])
    for symbol, digest in code.symbols.items():
        if old.get(symbol) != digest:
            verb = "changed" if symbol in old else "is new"
            names = [label(row["key"]), *(each.partition(":")[2] for each in chain(code, symbol))]
            yield symbol, f"`{shown_symbol(symbol, prints)}` {verb} ({' -> '.join(dict.fromkeys(names))})."
    for symbol in old:
        if symbol not in code.symbols:
            yield symbol, f"`{shown_symbol(symbol, prints)}` is not reached any more ({label(row['key'])})."


def old_reach(detail: Mapping[str, Any], key: str) -> dict[str, str]:
    """The symbols that a key of an earlier run reached, with their digests."""
    seen: dict[str, None] = dict.fromkeys(detail["roots"].get(key, ()))
    waiting = list(seen)
    while waiting:
        for each in detail["uses"].get(waiting.pop(), ()):
            if each not in seen:
                seen[each] = None
                waiting.append(each)
    return {name: detail["symbols"][name] for name in seen if name in detail["symbols"]}


def label(key: str) -> str:
    return "how otrainer puts a run together" if key == ROOT_KEY else key


def shown_symbol(symbol: str, prints: Fingerprints) -> str:
    """`extensions/helper.py: SCALE`."""
    module, _, name = symbol.partition(":")
    what = {"<import>": "what it does when imported", "<module>": "all of it", "<text>": "its text"}.get(name, name)
    return f"{prints.shown_file(module)}: {what}"


def data_sentences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old:
            yield f"The data file `{name}` is new."
        elif name not in new:
            yield f"The data file `{name}` is not used any more."
        elif old[name] != new[name]:
            yield f"The data file `{name}` changed."


def version_drift(old: Mapping[str, str]) -> Iterator[str]:
    """Packages that were others when a run was trained; they are told, and do not count."""
    import platform

    for package in TELLING:
        try:
            now = platform.python_version() if package == "python" else version(package)
        except PackageNotFoundError:
            continue
        if package in old and old[package] != now:
            yield f"{package} was {old[package]}, is {now}; this alone does not retrain."


def run_detail(run_dir: Path) -> Mapping[str, Any] | None:
    """What the code of a run was made of; None where that is not there, or damaged."""
    try:
        detail: Mapping[str, Any] = read_json(run_dir / FINGERPRINTS)
        return detail if {"roots", "symbols", "uses"} <= detail.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def run_places(run_dir: Path) -> SourceMap | None:
    """Where the values of a run's config were written then."""
    try:
        return SourceMap.from_json(read_json(run_dir / SOURCES)["places"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
