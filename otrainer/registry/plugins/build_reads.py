"""What the parts of a run asked and read in the project while they were built, so that another answer trains anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from otrainer.registry.plugins.import_reads import is_input
from otrainer.registry.plugins.variables import Tracker
from otrainer.storage.project import display_path
from otrainer.storage.records import Record

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass
class BuildTracker(Tracker):
    """Sees what is read and asked in the project, but for what is `known` to count anyway, or lies in it."""

    known: Collection[str] = ()

    def opened(self, path: str) -> None:
        if self.counts(path):
            super().opened(path)

    def listed(self, path: str) -> None:
        if self.counts(path):
            super().listed(path)

    def asked(self, path: str) -> None:
        if self.counts(path):
            super().asked(path)

    def counts(self, path: str) -> bool:
        """Return whether a path is an input of the run that nothing else accounts for."""
        name = PurePath(display_path(path, self.root))
        return is_input(name) and not any(each.as_posix() in self.known for each in (name, *name.parents))

    def answers(self) -> Record:
        """Return what was read and asked as a record has it; what the run wrote itself is as it left it."""
        self.settle()
        files = {name: stamp for name, stamp in self.files.items() if name not in self.written}
        kinds = {name: kind for name, kind in self.kinds.items() if files.get(name) is None}
        return Record(files=files, env=dict(self.env), listings=dict(self.listings), kinds=kinds)
