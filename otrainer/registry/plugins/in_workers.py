"""What data workers import on their own is told to the process that trains: it must be what was validated there.

A worker that is a fork imports what nobody had imported before; any other one imports all that its dataset is made of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from otrainer.fingerprint.locate import is_local, is_own
from otrainer.registry.plugins.from_source import load_from_source, loaded, project_finder
from otrainer.storage import process_memory


@dataclass(frozen=True)
class ImportsTold:
    """Called in a data worker, lets it leave each source that it imports from then on below `folder`.

    A worker that is no fork has imported the modules of its dataset by then: these are told as their files are.
    """

    folder: Path
    roots: frozenset[Path]

    def __call__(self) -> None:
        is_fork = project_finder() is not None
        process_memory.put("loaded_sources", LeftBelow(loaded(), self.folder))
        for root in sorted(self.roots):
            load_from_source(root)
        if not is_fork:
            for name, path in sorted(self.imported()):
                with suppress(OSError):
                    loaded()[name] = path.read_bytes()

    def imported(self) -> Iterator[tuple[str, Path]]:
        """Yield the modules below the roots that this process has imported, with their files."""
        for name, module in list(sys.modules.items()):
            path = Path(getattr(module, "__file__", None) or "-")
            below = any(path.is_relative_to(root) for root in self.roots)
            if below and not is_own(name) and is_local(name, path):
                yield name, path


class LeftBelow(dict[str, bytes]):
    """The sources by their modules, those that are added left as files below `folder`, each once."""

    def __init__(self, before: dict[str, bytes], folder: Path) -> None:
        super().__init__(before)
        self.folder = folder

    def __setitem__(self, name: str, source: bytes) -> None:
        super().__setitem__(name, source)
        content = name.encode() + b"\n" + source
        file = self.folder / sha256(content).hexdigest()
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not file.exists():
                begun = file.with_suffix(f".{os.getpid()}")
                begun.write_bytes(content)
                begun.replace(file)


def told_in(folder: Path) -> list[tuple[str, bytes]]:
    """Return the modules that workers imported, with their sources as these were then; in any order."""
    files = [file for file in folder.iterdir() if not file.suffix] if folder.is_dir() else []
    parts = [file.read_bytes().partition(b"\n") for file in sorted(files)]
    return [(name.decode(), source) for name, _, source in parts]
