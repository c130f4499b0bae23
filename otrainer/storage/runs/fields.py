"""What each field of a run.json may be: whoever reads one may rely on that, whoever wrote it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

SCHEMA = 1
STATES = ("running", "interrupted", "failed", "complete")
# Beyond what any counter, size or time in nanoseconds comes to.
LARGEST = 2**63
# What the code of a run asked, each as a record has it: variables, names in folders, what paths lead to, files.
HASHED = ("env", "listings", "kinds")
SHOWN = 40
MOST_TOLD = 4


def flaw(data: Any) -> str | None:
    """Say what keeps `data` from being a run.json of ours, in a few words."""
    if not isinstance(data, dict):
        return "it holds no mapping"
    if data.get("schema") != SCHEMA:
        return f"its schema is {shown(data.get('schema'))}, not {SCHEMA}"
    if data.get("state") not in STATES:
        return f"its state is {shown(data.get('state'))}"
    if missing := [key for key in FIELDS if key not in data]:
        return f"it lacks {', '.join(f'`{key}`' for key in missing)}"
    told = list(islice(misfits(data), MOST_TOLD + 1))
    return f"{'; '.join(told[:MOST_TOLD])}{'; and more' if told[MOST_TOLD:] else ''}" if told else None


def misfits(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with each field."""
    for key, (fits, what) in (FIELDS | OPTIONAL).items():
        if key in data and not fits(data[key]):
            yield f"`{key}` is {shown(data[key])}, not {what}"


def shown(value: Any) -> str:
    """Return a value in a few characters, none of which acts on a terminal."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) >= LARGEST:
        return "a very large number"
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_whole(value: Any) -> bool:
    """Return whether a value counts something; a trainer of one's own may count in floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < LARGEST and (isinstance(value, int) or value.is_integer())


def is_seconds(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < LARGEST and math.isfinite(value)


def optional(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def is_mapping_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def has(required: Mapping[str, Callable[[Any], bool]], /, **free: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check of a mapping with what is `required`, and of what is `free` to be there."""

    def fits(value: Any) -> bool:
        if not isinstance(value, dict) or not required.keys() <= value.keys():
            return False
        return all(check(value[key]) for key, check in {**required, **free}.items() if key in value)

    return fits


def are_outputs(value: Any) -> bool:
    """Return whether a value maps paths from a run's folder to marks."""
    is_mapping = isinstance(value, dict)
    return is_mapping and all(is_file_name(name) and name[0] != "/" and is_mark(mark) for name, mark in value.items())


def is_mark(mark: Any) -> bool:
    """Return whether a value is a file's size, mtime_ns and checksum."""
    if not isinstance(mark, list) or [type(each) for each in mark] != [int, int, str]:
        return False
    return bool(0 <= mark[0] < LARGEST and -LARGEST < mark[1] < LARGEST)


def is_stamp(stamp: Any) -> bool:
    """Return whether a value is a file's stamp: a hash and five numbers."""
    return isinstance(stamp, list) and [type(each) for each in stamp] == [str, int, int, int, int, int]


def is_file_name(text: Any) -> bool:
    """Return whether a text may name a file: a name that the system takes may be an odd one."""
    try:
        return isinstance(text, str) and bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a character
        return False


def is_config(value: Any) -> bool:
    """Return whether a value has the form of a config as far as it is read again: its run, its lists of components."""
    lists = dict.fromkeys(("callbacks", "loggers"), optional(is_list_of(has({}))))
    return has({}, run=has({}, out_dir=is_file_name), **lists)(value)


def is_lineage(value: Any) -> bool:
    """Return whether a value tells of a parent, of its own parent before it, and so on."""
    while isinstance(value, dict) and has({}, parent=is_text, global_step=optional(is_whole))(value):
        if "before" not in value:
            return True
        value = value["before"]
    return False


CODE = {"key": is_text, "target": is_text, "plugin": optional(is_text), "fingerprint": is_text}
ARE_STAMPS = is_mapping_of(optional(is_stamp))
ARE_ANSWERS = has({}, files=ARE_STAMPS, **dict.fromkeys(HASHED, is_mapping_of(optional(is_text))))
DATA = {"sha256": is_text, "size": is_whole}
TEXT, TEXT_OR_NULL = (is_text, "a text"), (optional(is_text), "a text or null")
COUNT_OR_NULL = (optional(is_whole), "a whole number or null")
# Each field in its order, with what it is in words.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "schema": (is_whole, "a whole number"),
    "name": TEXT,
    "experiment": TEXT_OR_NULL,
    "state": TEXT,
    "definition": TEXT,
    "global_step": COUNT_OR_NULL,
    "epoch": COUNT_OR_NULL,
    "metrics": (has({}), "a mapping of names to values"),
    "outputs": (are_outputs, "a mapping of paths to sizes, times and checksums"),
    "started": TEXT_OR_NULL,
    "ended": TEXT_OR_NULL,
    "wall_s": (optional(is_seconds), "a number of seconds or null"),
    "pid": COUNT_OR_NULL,
    "host": TEXT_OR_NULL,
    "lineage": (is_lineage, "a mapping that tells of a parent"),
    "versions": (is_mapping_of(optional(is_text)), "a mapping of packages to versions"),
    "git": (optional(has({})), "a mapping or null"),
    "device": TEXT_OR_NULL,
    "code": (is_list_of(has(CODE)), "a list of keys with their targets and fingerprints"),
    "data": (is_mapping_of(has({}, **DATA)), "a mapping of files to their sha256 and size"),
    "config": (is_config, "a config"),
}
# What runs of earlier versions have not.
OPTIONAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "files": (is_list_of(is_text), "a list of paths"),
    "metrics_step": COUNT_OR_NULL,
    "rows": (is_mapping_of(is_whole), "a mapping of paths to sizes"),
    "asked": (ARE_ANSWERS, "what code asked"),
    "declared": (ARE_ANSWERS, "what was asked to say which files there are"),
}
