"""What plugins add to Python's search for modules, noted as they are imported, and what of it a plugin needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.fingerprint.search_path import SearchPath, add, search_path
from otrainer.storage import process_memory
from otrainer.storage.installed import is_installed

if TYPE_CHECKING:
    from otrainer.fingerprint.locate import Locator


@contextmanager
def search_noted(plugin: str) -> Iterator[None]:
    """Note what the block, which imports a plugin and asks it to register, adds to the search."""
    before, known = list(sys.path), packages_now().items()
    try:
        with additions_noted(plugin):
            yield
    finally:
        add(SearchPath(*added_to(before), tuple(each for each in packages_now().items() if each not in known)))


@contextmanager
def additions_noted(module: str) -> Iterator[None]:
    """Note which entries of `sys.path` the block, which runs `module`, adds."""
    before = list(sys.path)
    try:
        yield
    finally:
        additions_of(module).update(each for each in sys.path if each not in before)


def additions_of(module: str) -> set[str]:
    """Return the entries that `module` added in this process."""
    known: dict[str, set[str]] = process_memory.get("search additions", dict)
    return known.setdefault(module, set())


def needed_by(modules: Mapping[str, Path], locator: Locator) -> SearchPath:
    """Return what of all that was added to the search these modules are found by, or added themselves.

    In what they added they may be found by now, or once they are moved. So it is the same for an experiment whatever
    other plugins this process has imported, and in which order.
    """
    added = search_path()
    entries = {folder for top in {name.partition(".")[0] for name in modules} for folder in locator.entries(top)}
    theirs = {each for name in modules for each in additions_of(name)}
    front, back = (
        tuple(each for each in side if each in theirs or Path(each).absolute() in entries)
        for side in (added.front, added.back)
    )
    above = {name.rpartition(".")[0] for name in modules}
    return SearchPath(tuple(front), tuple(back), tuple(each for each in added.packages if each[0] in above))


def added_to(before: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the entries of `sys.path` that were not there before: those in front of all others, and the rest."""
    new = [each for each in dict.fromkeys(sys.path) if each not in before]
    place = next((index for index, each in enumerate(sys.path) if each in before), len(sys.path))
    front = [each for each in new if sys.path.index(each) < place]
    return tuple(front), tuple(each for each in new if each not in front)


def packages_now() -> dict[str, tuple[str, ...]]:
    """Return the folders of each package that is imported from a file which is not installed, and has more than one."""
    found = {}
    for name, module in list(sys.modules.items()):
        folders: Any = getattr(module, "__path__", None)
        file: Any = getattr(module, "__file__", None)
        has_more = isinstance(folders, list) and len(folders) > 1 and isinstance(file, str)
        if has_more and not is_installed(Path(file)):
            found[name] = tuple(map(str, folders))
    return found
