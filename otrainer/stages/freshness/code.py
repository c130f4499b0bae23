"""What tells the code of a run from the code as it is now, symbol by symbol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.fingerprint import Code, chain
from otrainer.fingerprint.locate import is_own
from otrainer.fingerprint.names import ATTEMPT, IMPORTING, WHOLE
from otrainer.fingerprint.sources import rules
from otrainer.registry.plugins.packages import PREFIX
from otrainer.registry.usage import ROOT_KEY, code_of

if TYPE_CHECKING:
    from otrainer.fingerprint import Fingerprints

Rows = Sequence[Mapping[str, Any]]
Detail = Mapping[str, Any]
TEXT = "<text>"


class SymbolChange(NamedTuple):
    """A changed symbol and the sentence about it; `detour` counts the imports on the way that it tells."""

    symbol: str
    detour: int
    text: str


def code_sentences(old_rows: Rows, new_rows: Rows, old_detail: Detail | None, prints: Fingerprints) -> Iterator[str]:
    """Yield a sentence for each symbol whose code differs, with the chain of names that leads to it from a component.

    Without the detail of the old code, or for code that is not seen through, the component is named instead.
    """
    before = {row["key"]: row["fingerprint"] for row in old_rows}
    # Another key is another value, which is told as such.
    differing = [
        row
        for row in new_rows
        if not row["key"].startswith(PREFIX) and before.get(row["key"], row["fingerprint"]) != row["fingerprint"]
    ]
    if differing and old_detail is not None and old_detail.get("rules", rules()) != rules():
        yield "This version of otrainer reads code in another way."
        return
    found: dict[str, SymbolChange] = {}
    for row in sorted(differing, key=remoteness):
        label = label_of(row["key"])
        whole = SymbolChange(label, 0, f"The code of {label} changed.")
        for told in symbol_changes(row, old_detail, prints) or [whole]:
            if told.symbol not in found or told.detour < found[told.symbol].detour:
                found[told.symbol] = told
    yield from (told.text for told in sorted(found.values(), key=lambda told: told.detour))
    yield from plugin_sentences(old_rows, new_rows)
    yield from package_sentences(old_rows, new_rows)


def remoteness(row: Mapping[str, Any]) -> int:
    """Rank a row by its distance from what the user wrote: chains that begin near there say more."""
    of_component = row["key"] not in (ROOT_KEY, row["plugin"])
    return (0 if of_component else 1) if row["plugin"] else (2 if of_component else 3)


def plugin_sentences(old_rows: Rows, new_rows: Rows) -> Iterator[str]:
    """Yield a sentence for each plugin that came or went and does something of its own."""
    old, new = ([row["key"] for row in rows if row["plugin"] == row["key"]] for rows in (old_rows, new_rows))
    yield from (f"The plugin `{key}`, which acts when imported, is new." for key in new if key not in old)
    yield from (f"The plugin `{key}`, which acted when imported, is gone." for key in old if key not in new)


def packages(rows: Rows) -> dict[str, str]:
    """Return the tracked packages with their versions."""
    targets = (row["target"] for row in rows if row["key"].startswith(PREFIX))
    return {name: version for name, _, version in (target.partition(" ") for target in targets)}


def package_sentences(old_rows: Rows, new_rows: Rows) -> Iterator[str]:
    old, new = packages(old_rows), packages(new_rows)
    for name in dict.fromkeys([*new, *old]):
        if name not in old:
            yield f"The package `{name}` ({new[name]}) is tracked now."
        elif name not in new:
            yield f"The package `{name}` is not tracked any more."
        elif old[name] != new[name]:
            yield f"The tracked package `{name}` was {old[name]}, is {new[name]}."


def symbol_changes(row: Mapping[str, Any], old_detail: Detail | None, prints: Fingerprints) -> list[SymbolChange]:
    """Return every symbol behind a row that changed, is used where it was not, or is not used any more."""
    if old_detail is None:
        return []
    code, old = code_of(row, prints), old_code(old_detail, row["key"])
    # Texts are reached by no name: which of them counted for this row, only those tell that do now.
    texts = {symbol: old_detail["symbols"].get(symbol) for symbol in code.symbols if symbol.endswith(f":{TEXT}")}
    before = {**old.symbols, **{symbol: digest for symbol, digest in texts.items() if digest is not None}}
    moved = {content(*each) for each in code.symbols.items()} & {content(*each) for each in before.items()}
    changed = [
        describe_change(row["key"], symbol, "changed" if symbol in before else "is used now", code, prints)
        for symbol, digest in code.symbols.items()
        if before.get(symbol) != digest and content(symbol, digest) not in moved
    ]
    gone = [
        describe_change(row["key"], symbol, "is not used any more", old, prints)
        for symbol, digest in old.symbols.items()
        if symbol not in code.symbols and content(symbol, digest) not in moved
    ]
    return [*changed, *gone]


def content(symbol: str, digest: str) -> tuple[str, str]:
    """Return what tells a symbol from others: of otrainer's own, its place in the package does not."""
    module, _, name = symbol.partition(":")
    return (name if is_own(module) else symbol), digest


def describe_change(key: str, symbol: str, verb: str, code: Code, prints: Fingerprints) -> SymbolChange:
    names = chain(code, symbol)
    detour = sum(name.endswith(f":{IMPORTING}") for name in names)
    return SymbolChange(symbol, detour, f"{subject(symbol, prints)} {verb} ({way(key, names)}).")


def old_code(detail: Detail, key: str) -> Code:
    """Return what a key of an earlier run reached."""
    roots = tuple(detail["roots"].get(key, ()))
    seen: dict[str, None] = dict.fromkeys(roots)
    waiting = list(seen)
    while waiting:
        for each in detail["uses"].get(waiting.pop(), ()):
            if each not in seen:
                seen[each] = None
                waiting.append(each)
    symbols = {name: detail["symbols"][name] for name in seen if name in detail["symbols"]}
    return Code("", symbols, detail["uses"], roots)


def unparsed(rows: Rows, prints: Fingerprints) -> Iterator[str]:
    """Yield a sentence for each module that rows reach whose text Python cannot read."""
    modules = dict.fromkeys(name.partition(":")[0] for row in rows for name in code_of(row, prints).symbols)
    for module in modules:
        summary = prints.sources.summary(module)
        if summary is not None and any(each.digest == summary.digest for each in summary.statements):
            yield f"`{prints.shown_file(module)}` cannot be parsed."


def label_of(key: str) -> str:
    return "what puts a run together" if key == ROOT_KEY else f"`{key}`"


def way(key: str, names: Sequence[str]) -> str:
    """`loss.huber` -> Huber -> SCALE."""
    steps = [name_in_chain(*each.split(":", 1)) for each in names]
    return " -> ".join(dict.fromkeys([label_of(key), *steps]))


def name_in_chain(module: str, name: str) -> str:
    special = {IMPORTING: f"import {module}", WHOLE: f"all of {module}", TEXT: f"the text of {module}"}
    return special.get(name, name)


def subject(symbol: str, prints: Fingerprints) -> str:
    """Return a symbol as it begins a sentence."""
    module, _, name = symbol.partition(":")
    file = f"`{prints.shown_file(module)}`"
    special = {IMPORTING: f"What {file} does when imported", WHOLE: f"All of {file}", TEXT: f"The text of {file}"}
    special[ATTEMPT] = f"Whether {file} can be imported"
    return special.get(name, f"`{display_symbol(symbol, prints)}`")


def display_symbol(symbol: str, prints: Fingerprints) -> str:
    """`extensions/helper.py: SCALE`."""
    module, _, name = symbol.partition(":")
    special = {IMPORTING: "what it does when imported", WHOLE: "all of it", TEXT: "its text"}
    special[ATTEMPT] = "whether it can be imported"
    return f"{prints.shown_file(module)}: {special.get(name, name)}"
