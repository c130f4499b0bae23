"""Represent an exception by what it says and what led to it."""

from __future__ import annotations

import linecache
import re
from dataclasses import dataclass
from itertools import takewhile

from otrainer.diagnostics.exceptions.misspelt import name_meant
from otrainer.diagnostics.exceptions.traceback import Step, steps_of
from otrainer.errors import did_you_mean

MOST_LINES = 30
# What torch makes of an exception in another process or thread: of the same type, with its traceback for a message.
ELSEWHERE = re.compile(r"(?s)Caught \S+ (?P<where>in .*?)\.\nOriginal (?P<text>.*)")
FRAME = re.compile(r'  File "(?P<file>[^"\n]*)", line (?P<line>\d+), in (?P<function>.*)')
BEGINNING = "Traceback (most recent call last):\n"
# Between two exceptions of a printed traceback, with what the first one is to the second.
LINKS = {
    "\n\nThe above exception was the direct cause of the following exception:\n\n": "because of",
    "\n\nDuring handling of the above exception, another exception occurred:\n\n": "while handling",
}
LINK = re.compile(f"({'|'.join(map(re.escape, LINKS))})")


@dataclass(frozen=True)
class Raised:
    """An exception as a report needs it: its type, its message with its notes, and its way, outermost line first.

    `led_by` is the exception that it came of, and how; `where` says so if it was raised in another process.
    """

    kind: str
    text: str
    steps: tuple[Step, ...]
    led_by: tuple[str, Raised] | None = None
    where: str = ""

    @classmethod
    def of(cls, error: BaseException, *, within: frozenset[int] = frozenset()) -> Raised:
        """Describe `error`; one that crossed a process is read from its text."""
        text = text_of(error)
        elsewhere = ELSEWHERE.match(text)
        if elsewhere and (found := from_text(elsewhere["text"], elsewhere["where"], steps_of(error))).kind:
            return found
        near = did_you_mean(name_meant(error))
        said = f"{shortened(text).removesuffix('.')}.{near}" if near else shortened(text)
        return cls(type(error).__name__, said, steps_of(error), led_by(error, within | {id(error)}))

    @property
    def summary(self) -> str:
        """Type and message, as Python writes them."""
        return f"{self.kind}: {self.text}".removesuffix(": ")


def led_by(error: BaseException, within: frozenset[int]) -> tuple[str, Raised] | None:
    for how, earlier in (("because of", error.__cause__), ("while handling", error.__context__)):
        hidden = how == "while handling" and error.__suppress_context__
        if earlier is not None and not hidden and id(earlier) not in within:
            return how, Raised.of(earlier, within=within)
    return None


def text_of(error: BaseException) -> str:
    """Return the message of `error`, its notes, and for a group a line for each exception in it."""
    try:
        text = str(error.msg) if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ that fails shall not hide the error
        text = "(its text cannot be read)"
    notes = getattr(error, "__notes__", ())
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    lines = [f"- {type(each).__name__}: {text_of(each)}" for each in inside]
    return "\n".join([text, *lines, *map(str, notes if isinstance(notes, list | tuple) else ())])


def shortened(text: str) -> str:
    lines = text.strip("\n").splitlines()
    return "\n".join([*lines[:MOST_LINES], f"({len(lines) - MOST_LINES} more lines)"] if lines[MOST_LINES:] else lines)


def from_text(text: str, where: str, around: tuple[Step, ...]) -> Raised:
    """Parse the last exception of a printed traceback, which came out at `around`, and those that led to it."""
    first, *rest = LINK.split(text)
    found = one_from(first, None, where, around)
    for link, part in zip(rest[::2], rest[1::2], strict=True):
        found = one_from(part, (LINKS[link], found), where, around)
    return found


def one_from(text: str, led: tuple[str, Raised] | None, where: str, around: tuple[Step, ...]) -> Raised:
    lines = text.removeprefix(BEGINNING).splitlines()
    ways = list(takewhile(lambda line: line.startswith("  "), lines))
    kind, _, words = "\n".join(lines[len(ways) :]).strip("\n").partition(": ")
    steps = tuple(step_from(match) for match in map(FRAME.fullmatch, ways) if match)
    return Raised(kind.rpartition(".")[2], shortened(words), (*around, *steps), led, where)


def step_from(match: re.Match[str]) -> Step:
    source = linecache.getline(match["file"], int(match["line"]))
    column = len(source) - len(source.lstrip()) + 1
    return Step(match["file"], int(match["line"]), column, match["function"])
