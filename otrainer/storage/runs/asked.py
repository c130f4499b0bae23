"""What the code of a run read and asked when it was imported and built, held against the answers of now."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from otrainer.storage.project import project_root
from otrainer.storage.records import READ, Record, reasons
from otrainer.storage.runs.fields import HASHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from otrainer.storage.stamps import FileStamp


def as_fields(answers: Any, files: Mapping[str, FileStamp | None]) -> dict[str, dict[str, Any]]:
    """Return what was read and asked as run.json has it, as far as there is anything."""
    read = {name: None if stamp is None else list(stamp) for name, stamp in files.items()}
    found = {"files": read, **{name: dict(getattr(answers, name)) for name in HASHED}}
    return {name: facts for name, facts in found.items() if facts}


def other_answers(asked: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is answered otherwise by now, as reasons to train anew."""
    root = project_root()
    yield from reasons(Record(**{name: asked.get(name, {}) for name in HASHED}), {}, root=root)
    for name, stamp in asked.get("files", {}).items():
        yield from read_otherwise(name, stamp, root)


def read_otherwise(name: str, stamp: Any, root: Path) -> Iterator[str]:
    """Yield what happened to a file that was read, or looked for in vain; a large one is not read again each time."""
    from otrainer.storage.data_files import identify  # most runs read no file but those that they declare

    try:
        status = (root / name).stat()
        # What may be no file of ours is looked into only where it may be the one that was read.
        may_be = stamp is not None and stat.S_ISREG(status.st_mode) and status.st_size == stamp[1]
        is_same = may_be and identify(name, root).sha256 == stamp[0]
    except (OSError, ValueError):  # no file has such a name
        if stamp is not None:
            yield f"`{name}` {READ[1]}."
        return
    if not is_same:
        yield f"`{name}` {'is there now' if stamp is None else READ[0]}."
