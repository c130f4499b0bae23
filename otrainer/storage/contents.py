"""What sources hold, by content: a process reads each again only once it looks different, or is too young to tell."""

from __future__ import annotations

from pathlib import Path

from otrainer.storage import process_memory
from otrainer.storage.stamps import FileStamp


def content_hash(path: Path) -> str:
    """Return the sha256 of what a file holds now. Raises OSError where it cannot be read."""
    seen: dict[str, FileStamp] = process_memory.get("contents", dict)
    stamp = seen.get(str(path))
    if stamp is None or not stamp.tells(path.stat()):
        stamp = seen[str(path)] = FileStamp.of(path)
    return stamp.sha256
