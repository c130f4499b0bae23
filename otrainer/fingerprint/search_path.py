"""Which folders plugins add to Python's search for modules, known before they are imported as it is afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otrainer.storage import process_memory
from otrainer.storage.project import display_path


@dataclass(frozen=True)
class SearchPath:
    """Folders that come before those of `sys.path`, and after them, and where the parts of packages lie, by name."""

    front: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    packages: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.front or self.back or self.packages)

    def around(self, entries: Iterable[str]) -> list[str]:
        """Return the entries of `sys.path`, whether these folders were added to them by now or not."""
        added = {*self.front, *self.back}
        return [*self.front, *(each for each in entries if each not in added), *self.back]

    def and_then(self, other: SearchPath) -> SearchPath:
        """Return these folders with those that `other` adds to them: the latest one in front is the first."""
        front = [*(each for each in other.front if each not in self.front), *self.front]
        back = [*self.back, *(each for each in other.back if each not in self.back)]
        return SearchPath(tuple(front), tuple(back), tuple({**dict(self.packages), **dict(other.packages)}.items()))

    def to_json(self, root: Path) -> dict[str, Any]:
        """Return it as plain data, with what lies in the project from its `root` on."""
        packages = {name: [display_path(each, root) for each in folders] for name, folders in self.packages}
        sides = {"front": self.front, "back": self.back}
        found = {side: [display_path(each, root) for each in folders] for side, folders in sides.items()}
        return {**found, "packages": dict(sorted(packages.items()))}

    @classmethod
    def from_json(cls, data: Any, root: Path) -> SearchPath:
        """Take that back. Raises TypeError, KeyError or AttributeError for other data."""
        front, back = (tuple(str(root / each) for each in data[side]) for side in ("front", "back"))
        packages = [(name, tuple(str(root / each) for each in folders)) for name, folders in data["packages"].items()]
        return cls(front, back, tuple(packages))


def search_path() -> SearchPath:
    """Return all that is added to the search in this process, or was said to be added before."""
    return process_memory.get("search path", SearchPath)


def add(more: SearchPath) -> None:
    """Look for modules in these folders too from now on."""
    if more:
        process_memory.put("search path", search_path().and_then(more))
