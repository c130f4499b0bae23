"""What differs between two experiments or runs: value by value, with the places that set them; data and versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.config.source_map import SourceMap
from otrainer.errors import ConfigPath, dotted
from otrainer.registry.plugins.packages import installed
from otrainer.storage.canonical_json import read_json
from otrainer.storage.runs.fields import has, is_list_of, is_mapping_of, is_text, is_whole
from otrainer.storage.runs.files import FINGERPRINTS, SOURCES

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = 60
# Packages whose other versions change numbers most likely come first.
TELLING = ("python", "torch", "numpy", "otrainer")
MOST_DRIFTED = 4


class Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()


class Keys(tuple[str, ...]):
    """The keys of a mapping where only their order differs."""

    __slots__ = ()


class Change(NamedTuple):
    """One value on both sides; the paths differ where an element of a list moved. ABSENT stands where there is none."""

    old_path: ConfigPath
    new_path: ConfigPath
    old: Any
    new: Any


def changes(old: Any, new: Any, old_path: ConfigPath = (), new_path: ConfigPath = ()) -> Iterator[Change]:
    """Yield every difference, in the order of `new`, then what is gone; an element put into a list is one change.

    The order of keys counts below the top, since it decides in which order things are made.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*new, *(key for key in old if key not in new)]:
            below = (old.get(key, ABSENT), new.get(key, ABSENT), (*old_path, key), (*new_path, key))
            yield from changes(*below)
        order, now = (Keys(key for key in side if key in other) for side, other in ((old, new), (new, old)))
        if new_path and order != now:
            yield Change(old_path, new_path, order, now)
    elif (
        isinstance(old, list)
        and isinstance(new, list)
        and any(isinstance(each, Mapping | list) for each in [*old, *new])
    ):
        yield from list_changes(old, new, old_path, new_path)
    elif not is_same(old, new):
        yield Change(old_path, new_path, old, new)


def list_changes(old: list[Any], new: list[Any], old_path: ConfigPath, new_path: ConfigPath) -> Iterator[Change]:
    """Yield the differences of lists whose elements are aligned as a person would: what is the same stays together."""
    matcher = SequenceMatcher(None, [text_of(each) for each in old], [text_of(each) for each in new], autojunk=False)
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            continue
        for offset in range(max(old_to - old_from, new_to - new_from)):
            before, after = old_from + offset, new_from + offset
            here = old[before] if before < old_to else ABSENT
            there = new[after] if after < new_to else ABSENT
            yield from changes(here, there, (*old_path, before), (*new_path, after))


def is_same(old: Any, new: Any) -> bool:
    """Return whether two values, or flat lists of them, are written alike: NaN is NaN, and 1 is not 1.0."""
    if old is ABSENT or new is ABSENT:
        return old is new
    return text_of(old) == text_of(new)


def text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def display(value: Any) -> str:
    """Return a value on one line, cut where it is long."""
    if value is ABSENT:
        return "nothing"
    text = f"keys: {', '.join(value)}" if isinstance(value, Keys) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def origin(places: SourceMap | None, path: ConfigPath) -> str:
    """`file:line` of a value; empty where it is not known."""
    at = places.locate(path) if places is not None else None
    return f"{at.file}:{at.line}" if at is not None else ""


def value_sentences(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    places: SourceMap | None,
    old_places: SourceMap | None = None,
) -> Iterator[str]:
    """Yield a sentence for each value that differs."""
    return (sentence(change, places, old_places) for change in changes(old, new))


def sentence(change: Change, places: SourceMap | None, old_places: SourceMap | None = None) -> str:
    """`run.seed` was 0, is 1 (file:line)."""
    gone = change.new is ABSENT
    at = origin(old_places, change.old_path) if gone else origin(places, change.new_path)
    place = f" ({at})" if at else ""
    return f"`{dotted(change.old_path if gone else change.new_path)}` {what_happened(change.old, change.new)}{place}."


def what_happened(old: Any, new: Any) -> str:
    if new is ABSENT:
        return f"was {display(old)}, is gone"
    if old is ABSENT:
        return f"is new: {display(new)}"
    if isinstance(new, Keys):
        return f"has its keys in another order: {', '.join(new)}"
    return f"was {display(old)}, is {display(new)}"


def data_sentences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each data file that differs."""
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old:
            yield f"The data file `{name}` is new."
        elif name not in new:
            yield f"The data file `{name}` is not used any more."
        elif old[name] != new[name]:
            yield f"The data file `{name}` changed."


def version_drift(old: Mapping[str, str]) -> Iterator[str]:
    """Yield which packages were others when a run was trained; they do not count."""
    first = [name for name in TELLING if name in old]
    now = ((name, old[name], version_now(name)) for name in dict.fromkeys([*first, *old]))
    drifted = [f"{name} was {then}, is {found or 'gone'}" for name, then, found in now if then != found]
    more = f"; {len(drifted) - MOST_DRIFTED} more" if len(drifted) > MOST_DRIFTED else ""
    if drifted:
        yield f"Other versions: {'; '.join(drifted[:MOST_DRIFTED])}{more}. These alone do not retrain."


def version_now(package: str) -> str | None:
    if package == "python":
        return platform.python_version()
    found = installed(package)
    return found.version if found is not None else None


def run_detail(run_dir: Path) -> Mapping[str, Any] | None:
    """Return what the code of a run was made of; None where that is not there, or damaged."""
    detail: Mapping[str, Any] | None = kept_in(run_dir / FINGERPRINTS)
    return detail if IS_DETAIL(detail) else None


def run_places(run_dir: Path) -> SourceMap | None:
    """Return where the values of a run's config were written then; None where that is not known."""
    sources = kept_in(run_dir / SOURCES)
    return SourceMap.from_json(sources["places"]) if ARE_PLACES(sources) else None


def kept_in(path: Path) -> Any:
    """Return what a run keeps, whoever wrote it; None where it is not there, or is no JSON."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def is_row(value: Any) -> bool:
    """Return whether a value says where another one was written: its file, and two places of which one may lack."""
    if not isinstance(value, list) or len(value) != 5 or not isinstance(value[0], str):
        return False
    return all(map(is_whole, value[1:3])) and all(each is None or is_whole(each) for each in value[3:])


USES = is_mapping_of(is_list_of(is_text))
IS_DETAIL = has({"roots": USES, "symbols": is_mapping_of(is_text), "uses": USES}, rules=is_text)
ARE_PLACES = has({"places": is_mapping_of(is_row)})
