"""Summaries of sources, kept for other processes: a project's in its `build`, those of this package beside the package.

What Python compiles of a source lies in `__pycache__`, or where PYTHONPYCACHEPREFIX says. A summary of otrainer's own
source is kept next to that, so that no project has to parse them anew: whoever may write there may as well change the
code that Python runs. Where that cannot be written, or PYTHONDONTWRITEBYTECODE asks for nothing of the kind, it is kept
as a project's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.fingerprint.summary import Summary, summary_of_json
from otrainer.storage.atomic import write_atomic
from otrainer.storage.project import PACKAGE_FOLDER
from otrainer.storage.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

# A summary is the same under every Python that can parse the source, and those after the one that did can.
VERSION = list(sys.version_info[:2])
OWN_SOURCES = f"{PACKAGE_FOLDER}{os.sep}"


def find(mark: str, source: Path, folder: Path | None) -> Summary | None:
    """Return the summary that was kept as `mark`, which tells the content and the rules, or None."""
    for place in places(mark, source, folder):
        # Not there, or not as it was written: made anew.
        with suppress(OSError, ValueError):
            seal, _, text = read_regular(place).partition(b"\n")
            if seal == sealed(text):
                version, of, data = json.loads(text)
                if version <= VERSION and of == mark:
                    return summary_of_json(data)
    return None


def keep(made: Summary, mark: str, source: Path, folder: Path | None) -> None:
    """Keep a summary in the first place that takes it."""
    text = json.dumps([VERSION, mark, made]).encode()
    for place in places(mark, source, folder, writing=True):
        with suppress(OSError):  # what cannot be kept is only parsed once more
            write_atomic(place, sealed(text) + b"\n" + text, durable=False)
            return


def places(mark: str, source: Path, folder: Path | None, *, writing: bool = False) -> Iterator[Path]:
    """Yield where the summary of `source` may lie; `folder` is the project's, if it has one."""
    if folder is None:
        return
    if str(source).startswith(OWN_SOURCES) and not (writing and sys.dont_write_bytecode):
        with suppress(NotImplementedError):  # a Python that compiles nothing to files
            yield Path(cache_from_source(str(source))).with_suffix(".summary.json")
    yield folder / f"{mark}.json"


def sealed(text: bytes) -> bytes:
    """Return what stands before a text that is kept, and tells whether any byte of it is another by now."""
    return hashlib.sha256(text).hexdigest().encode()
