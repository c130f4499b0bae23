"""Limit how much a config may ask for, as whoever runs otrainer says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import cache
from typing import Final

from otrainer.errors import ConfigError, nearest
from otrainer.storage.canonical_json import MOST_LEVELS

VARIABLE: Final = "OTRAINER_LIMITS"
COUNT: Final = re.compile(r"[0-9]+(_[0-9]+)*", re.ASCII)
MOST: Final = {"depth": 1_000}  # of what a process can hold on its stack; the others end with the memory
LARGEST: Final = 10**12
FRAMES_PER_LEVEL: Final = 8  # what a step that goes down a tree takes of Python's stack, at most
STEPS_PER_NODE: Final = 10
ROOM: Final = 1_000  # and what the caller and the way to the tree take


@dataclass(frozen=True, slots=True)
class Limits:
    """What a config may take, set by whoever runs otrainer and never by the config.

    With the defaults resolving takes seconds and a few hundred MB at worst, whatever the files hold.
    Raises ValueError where a limit is no whole number from 1 to 10**12, or `depth` is above 1,000.
    """

    depth: int = 200
    """Collections nested in each other."""
    nodes: int = 200_000
    """Values of one config, its files together and as it is resolved; each use of an alias or a template counts."""
    aliases: int = 10_000
    """Uses of anchors in one file."""
    file_size: int = 8_388_608
    """Bytes of all files of one config; where PyYAML lacks libyaml, one file has at most a thirty-second of it."""
    includes: int = 5_000
    """Entries of `defaults` in all files of one config."""
    string: int = 1_000_000
    """Characters of one string that `${...}` are part of."""
    text: int = 33_554_432
    """Characters of a resolved config's values and of the paths to them."""
    mistakes: int = 1_000
    """Mistakes that one step of resolving tells; those beyond are only counted."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), MOST.get(field.name, LARGEST)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"`{field.name}` is a whole number from 1 to {most:,}, not {value!r}")

    @property
    def steps(self) -> int:
        """Nodes that may be made or looked at on the way to the resolved config."""
        return STEPS_PER_NODE * self.nodes


DEFAULTS: Final = Limits()
NAMES: Final = tuple(field.name for field in fields(Limits))


def limits_in_force(environ: AnyMapping[str, str] = os.environ) -> Limits:
    """Return the limits by default and by OTRAINER_LIMITS, such as `nodes=2000000,depth=100`.

    Raises ConfigError where that is not `NAME=COUNT` with commas between, each name once.
    """
    return limits_of(environ.get(VARIABLE, ""))


@cache
def limits_of(given: str) -> Limits:
    """Parse the variable's text, which is asked for many times."""
    values: dict[str, int] = {}
    for entry in given.split(",") if given.strip() else ():
        name, equals, count = (part.strip() for part in entry.partition("="))
        if name not in NAMES:
            raise refused(f"There is no limit `{name[:60]}`.", nearest(name, NAMES))
        if name in values:
            raise refused(f"`{name}` is given twice.")
        if not equals or not COUNT.fullmatch(count) or len(count) > len(f"{LARGEST:_}"):
            raise refused(f"`{name}` is a whole number such as `{name}={getattr(DEFAULTS, name)}`.")
        values[name] = int(count)
    try:
        return Limits(**values)
    except ValueError as error:
        raise refused(f"{error}.") from None


def refused(message: str, suggestions: tuple[str, ...] = ()) -> ConfigError:
    hint = f"{VARIABLE} holds limits such as `nodes=2000000,depth=100`; there are {', '.join(NAMES)}."
    return ConfigError(f"In {VARIABLE}: {message}", title="invalid limits", suggestions=suggestions, hint=hint)


@contextmanager
def room_for(depth: int) -> Iterator[None]:
    """Let this process go down trees of that depth inside the block, however deep the caller is."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, ROOM + FRAMES_PER_LEVEL * depth))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextmanager
def room_beyond() -> Iterator[None]:
    """Let this process go down resolved trees, where configs may be deeper than by default."""
    depth = limits_in_force().depth
    with room_for(depth) if depth > DEFAULTS.depth else nullcontext():
        yield


def room_for_files() -> AbstractContextManager[None]:
    """Let this process go down whatever a run.json may hold, whoever wrote it, as deep as any file of ours is read."""
    return room_for(MOST_LEVELS)


def or_raise(hint: str, limit: str) -> str:
    """Add to the next step that whoever runs otrainer may raise the limit."""
    return f"{hint} If it has to be that much, raise `{limit}` in {VARIABLE}."
