"""What an exception says, and which lines of the user's own code are behind it."""

from __future__ import annotations

import errno
import linecache
import re
import site
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile, zip_longest
from pathlib import Path
from types import FrameType

from otrainer.errors import Finding, SourceLocation
from otrainer.project import shown_path

MOST_LINES = 30
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
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
class Step:
    """A line on the way of an exception, with its frame where that is at hand; `column` counts from 1."""

    file: str
    line: int
    column: int
    function: str
    frame: FrameType | None = field(default=None, compare=False, repr=False)

    @property
    def place(self) -> SourceLocation:
        return SourceLocation(shown_path(self.file), self.line, self.column)

    @property
    def is_own(self) -> bool:
        """Whether it is in the user's code."""
        return is_own(self.file)


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
        """What there is to know of `error`; of one that crossed a process, what its text tells."""
        text = text_of(error)
        elsewhere = ELSEWHERE.match(text)
        if elsewhere and (found := from_text(elsewhere["text"], elsewhere["where"], steps_of(error))).kind:
            return found
        return cls(type(error).__name__, shortened(text), steps_of(error), led_by(error, within | {id(error)}))

    @property
    def said(self) -> str:
        """Type and message, as Python writes them."""
        return f"{self.kind}: {self.text}".removesuffix(": ")


def led_by(error: BaseException, within: frozenset[int]) -> tuple[str, Raised] | None:
    for how, earlier in (("because of", error.__cause__), ("while handling", error.__context__)):
        hidden = how == "while handling" and error.__suppress_context__
        if earlier is not None and not hidden and id(earlier) not in within:
            return how, Raised.of(earlier, within=within)
    return None


def text_of(error: BaseException) -> str:
    """The message of `error`, its notes, and for a group a line for each exception in it."""
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


def steps_of(error: BaseException) -> tuple[Step, ...]:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    traced = getattr(error, "real_stack", None)  # torch's compiler tells in it which lines it was at
    beyond = traced if isinstance(traced, traceback.StackSummary) else ()
    found = [*traceback.extract_tb(error.__traceback__), *beyond]
    return tuple(
        Step(line.filename, line.lineno or 1, column_of(line), line.name, frame)
        for line, frame in zip_longest(found, frames)
    )


def column_of(line: traceback.FrameSummary) -> int:
    """The column from 1 in characters, which Python counts in bytes."""
    source = linecache.getline(line.filename, line.lineno or 1).encode()
    return len(source[: line.colno or 0].decode(errors="replace")) + 1


def from_text(text: str, where: str, around: tuple[Step, ...]) -> Raised:
    """The last exception of a printed traceback, with those before it as what led to it; it came out at `around`."""
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


def cannot_write(error: BaseException) -> Finding | None:
    """What is said of a disk that is full, broken or read-only, which is no fault of the code that writes."""
    if not isinstance(error, OSError) or error.errno not in DISK_ERRORS:
        return None
    return Finding(f"`{error.filename}`: {error.strerror}.", title="cannot write")


def place_of_failure(cause: BaseException) -> SourceLocation | None:
    """The innermost line in code of the user's own; for a syntax error the place that Python cannot read."""
    if isinstance(cause, SyntaxError) and cause.filename and cause.lineno:
        return SourceLocation(shown_path(cause.filename), cause.lineno, max(1, cause.offset or 1))
    own = [step for step in Raised.of(cause).steps if step.is_own]
    return own[-1].place if own else None


def is_own(file: str) -> bool:
    """Whether a file is neither otrainer's, nor installed, nor Python's own."""
    path = Path(file)
    return path.is_absolute() and not any(path.is_relative_to(folder) for folder in foreign_folders())


@lru_cache(maxsize=1)
def foreign_folders() -> tuple[Path, ...]:
    return tuple(dict.fromkeys(folders()))


def folders() -> Iterator[Path]:
    yield Path(__file__).parent
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_path(name))
    yield from map(Path, site.getsitepackages())
