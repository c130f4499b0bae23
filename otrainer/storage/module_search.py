"""Where modules were looked for, there or not: one that Python would find first by now is noticed before any import."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otrainer.storage import process_memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

PYTHONPATH = "PYTHONPATH"
# In place of names: whatever module there is, as for code that walks through a package.
EVERY = "*"
INIT = "__init__.py"
CACHE = "__pycache__"
# Finders of Python's own, of setuptools for `distutils`, and ours.
USUAL = ("_frozen_importlib", "_frozen_importlib_external", "_distutils_hack", "otrainer")


def search_of(
    folders: Mapping[str, Iterable[str]], used: Iterable[str], root: Path, tops: Collection[str] = ()
) -> dict[str, Any]:
    """Return a search as a record keeps it: for each folder the names that were looked for, and what was found.

    `folders` are named as records name paths; `used` are those entries of `sys.path` that something was found by, and
    `tops` are the names of modules that lie in no package, which finders are asked for.
    """
    return {
        "hooked": [" ".join(sorted(tops)), hooked(tops)],
        "path": python_path(os.environ, root),
        "used": sorted(used),
        "folders": {
            folder: [" ".join(sorted(names)), modules_there(root / folder, names)]
            for folder, names in sorted((folder, set(names)) for folder, names in folders.items())
        },
    }


def python_path(environ: Mapping[str, str], root: Path) -> list[str]:
    """Return the folders that PYTHONPATH names, the project's own aside: workers have it in front."""
    named = (os.path.join(root, each) for each in environ.get(PYTHONPATH, "").split(os.pathsep) if each)
    return [each for each in map(os.path.normpath, named) if each != str(root)]


def modules_there(folder: str | os.PathLike[str], names: Collection[str]) -> list[str]:
    """Return what a folder holds by which a module of one of these names could be found, sorted.

    A package's folder stands with its `__init__.py`, one without it with a slash behind its name.
    """
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    every = EVERY in names
    found = []
    for entry in entries:
        stem, dot, suffix = entry.partition(".")
        if stem not in names and not (every and stem.isidentifier() and stem != CACHE):
            continue
        if dot:
            if suffix == "py" or suffix.endswith("so"):
                found.append(entry)
        elif os.path.isfile(os.path.join(folder, entry, INIT)):
            found.append(f"{entry}/{INIT}")
        elif os.path.isdir(os.path.join(folder, entry)):
            found.append(f"{entry}/")
    return sorted(found)


def search_reasons(
    search: Mapping[str, Any], root: Path, environ: Mapping[str, str], known: Collection[str]
) -> Iterator[str]:
    """Yield why modules may be found elsewhere now; of `known` files somebody else tells that they are gone."""
    if search["path"] != python_path(environ, root):
        yield f"`{PYTHONPATH}` names other folders."
    yield from hook_reasons(*search["hooked"])
    there = set(sys.path)
    yield from (f"`{each}` is not on Python's path any more." for each in search["used"] if each not in there)
    for folder, (names, before) in search["folders"].items():
        now = modules_there(os.path.join(root, folder), set(names.split(" ")))
        if now != before:
            yield from (f"`{at(folder, each)}` is there now." for each in now if each not in before)
            gone = (at(folder, each) for each in before if each not in now and f"{each}{INIT}" not in now)
            yield from (f"`{each}` is gone." for each in gone if each not in known)


def at(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def finders_at_start() -> list[Any]:
    """Return the finders that extend Python's search before anything of the project runs, as editable installs do.

    They are those of the first call in a process: what plugins add later, others that only look do not have.
    """
    return process_memory.get("finders at start", lambda: [each for each in sys.meta_path if not is_usual(each)])


def is_usual(finder: Any) -> bool:
    return str(getattr(finder, "__module__", "")).partition(".")[0] in USUAL


def hooked(names: Iterable[str]) -> dict[str, str]:
    """Return where such finders find modules of these names, as far as they find any."""
    found: dict[str, str] = {}
    for name in sorted(names):
        for finder in finders_at_start():
            with suppress(Exception):  # of somebody's finder, which fails at an import too, and is told there
                if name not in found and (spec := finder.find_spec(name, None)) is not None:
                    found[name] = str(spec.origin or list(spec.submodule_search_locations or ()))
    return found


def hook_reasons(names: str, before: Mapping[str, str]) -> Iterator[str]:
    """Yield which modules finders find now and did not before, or elsewhere, or not any more."""
    now = hooked(names.split())
    for name in sorted({*before, *now}):
        if name not in now:
            yield f"The module `{name}` is not found any more by what is installed to find it."
        elif now[name] != before.get(name):
            how = "elsewhere" if name in before else "in another way"
            yield f"The module `{name}` is found {how} now: {now[name]}."
