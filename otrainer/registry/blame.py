"""Which line of the user's own code is behind an exception."""

from __future__ import annotations

import site
import sysconfig
import traceback
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from traceback import FrameSummary

from otrainer.errors import SourceLocation
from otrainer.registry.origin import shown_path


def place_of_failure(cause: BaseException) -> SourceLocation | None:
    """The innermost line in code of the user's own; for a syntax error the place that Python cannot read."""
    if isinstance(cause, SyntaxError) and cause.filename and cause.lineno:
        return SourceLocation(shown_path(cause.filename), cause.lineno, max(1, cause.offset or 1))
    own = [frame for frame in traceback.extract_tb(cause.__traceback__) if is_own(frame.filename)]
    return place_of_frame(own[-1]) if own else None


def place_of_frame(frame: FrameSummary) -> SourceLocation:
    return SourceLocation(shown_path(frame.filename), frame.lineno or 1, (frame.colno or 0) + 1)


def is_own(file: str) -> bool:
    """Whether a file is neither otrainer's, nor installed, nor Python's own."""
    path = Path(file)
    return path.is_absolute() and not any(path.is_relative_to(folder) for folder in foreign_folders())


@lru_cache(maxsize=1)
def foreign_folders() -> tuple[Path, ...]:
    return tuple(dict.fromkeys(folders()))


def folders() -> Iterator[Path]:
    yield Path(__file__).parents[1]
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_path(name))
    yield from map(Path, site.getsitepackages())
