"""Where the source of a module lies, and whether it is local; nothing is imported to find it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.machinery import FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path

from otrainer.fingerprint.search_path import search_path
from otrainer.storage.installed import is_installed

OWN = "otrainer"


class Locator:
    """Finds the sources of local modules as Python finds them; each name is looked for once.

    That is by all finders of `sys.meta_path`, in the folders of `sys.path` and in those that plugins add to it: before
    a plugin that adds one is imported just as after it.
    """

    def __init__(self) -> None:
        self._added = search_path()
        self._packages = dict(self._added.packages)
        self._tops: dict[str, ModuleSpec | None] = {}
        self._local: dict[str, Path | None] = {}
        self._folders: dict[str, list[str] | None] = {}
        self._below: dict[str, list[str]] = {}

    def agrees(self, now: Locator) -> bool:
        """Return whether `now`, a new look, finds all that was looked for, also in vain, just so again."""
        return (
            all(now.source(name) == path for name, path in self._local.items())
            and all(now._search_path(package) == folders for package, folders in self._folders.items())
            and all(now.all_modules(package) == names for package, names in self._below.items())
        )

    def source(self, name: str) -> Path | None:
        """Return the source file of a module that is not installed nor Python's own; otrainer's own count as local."""
        if name not in self._local:
            path = self._find(name)
            # What lies in an archive, as Python's own modules may, is not looked into.
            self._local[name] = path if path is not None and is_local(name, path) and path.is_file() else None
        return self._local[name]

    def file(self, name: str) -> Path | None:
        """Return the file of any module, installed ones and Python's own included; None for one without."""
        return self._find(name)

    def holds(self, name: str) -> bool:
        """Return whether `name` is a folder without `__init__.py` in which local modules may lie."""
        return self._find(name) is None and self._search_path(name) is not None

    def is_bare(self, name: str) -> bool:
        """Return whether importing `name` finds nothing but such a folder, and not one that is installed."""
        return self.holds(name) and any(is_local(name, Path(each, "x.py")) for each in self._search_path(name) or ())

    def is_package(self, name: str) -> bool:
        return self._search_path(name) is not None

    def entries(self, top: str) -> list[Path]:
        """Return the folders of the search in which a module that is in no package, or parts of it, lie."""
        spec = self._top(top)
        if spec is None:
            return []
        if spec.submodule_search_locations is not None:
            return [Path(folder).absolute().parent for folder in spec.submodule_search_locations]
        return [Path(spec.origin).absolute().parent] if spec.has_location and spec.origin else []

    def folders_of(self, name: str) -> list[Path]:
        """Return the folders, none of them installed, in which a module may be found: that of a package in its own."""
        package = name.rpartition(".")[0]
        path = self._search_path(package) or () if package else self._added.around(sys.path)
        return [folder for folder in map(Path.absolute, map(Path, path)) if is_local(name, folder / "x.py")]

    def folders_below(self, package: str) -> list[Path]:
        """Return the folders in which the modules of `all_modules` lie."""
        files = [path for name in self.all_modules(package) if (path := self.source(name)) is not None]
        own = self.folders_of(f"{package}.") if self.is_package(package) else []
        return sorted({*own, *(path.parent for path in files)})

    def modules_in(self, package: str) -> list[str]:
        """Return the modules right below a package."""
        return [name for name in self.all_modules(package) if name.rpartition(".")[0] == package]

    def all_modules(self, package: str) -> list[str]:
        """Return every module below a package, and itself, sorted; those beside a module that is in no package."""
        if package not in self._below:
            self._below[package] = self._modules_below(package)
        return self._below[package]

    def _modules_below(self, package: str) -> list[str]:
        path = self.source(package)
        if path is None and not self.holds(package):
            return []
        if path is not None and not self.is_package(package):
            beside = sorted(each.stem for each in path.parent.glob("*.py"))
            return [name for name in beside if name.isidentifier() and self.source(name) is not None]
        found = [package] if path is not None else []
        for folder in self._search_path(package) or ():
            for path in sorted(Path(folder).rglob("*.py")):
                parts = path.relative_to(folder).with_suffix("").parts
                name = ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])
                if all(part.isidentifier() for part in parts) and self.source(name) is not None:
                    found.append(name)
        return list(dict.fromkeys(found))

    def _find(self, name: str) -> Path | None:
        package, _, last = name.rpartition(".")
        if name.partition(".")[0] in sys.builtin_module_names:
            return None
        if package:
            folders = self._search_path(package)
            return next((Path(found) for folder in folders or () if (found := in_folder(folder, last))), None)
        spec = self._top(name)
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None

    def _top(self, name: str) -> ModuleSpec | None:
        """Return where Python would find a module that is in no package."""
        if name not in self._tops:
            self._tops[name] = found_by_finders(name, self._added.around(sys.path))
        return self._tops[name]

    def _search_path(self, package: str) -> list[str] | None:
        """Return the folders in which submodules of `package` lie; None where it is no package."""
        if package not in self._folders:
            self._folders[package] = self._package_folders(package)
        return self._folders[package]

    def _package_folders(self, package: str) -> list[str] | None:
        if package in self._packages:
            return list(self._packages[package])
        if "." not in package:
            spec = self._top(package)
            folders = None if spec is None else spec.submodule_search_locations
            return None if folders is None else list(map(str, folders)) or None
        found = self._find(package)
        if found is not None:
            return [str(found.parent)] if found.name == "__init__.py" else None
        above, _, last = package.rpartition(".")
        candidates = [Path(folder, last) for folder in self._search_path(above) or ()]
        return [str(folder) for folder in candidates if folder.is_dir()] or None


def found_by_finders(name: str, folders: list[str]) -> ModuleSpec | None:
    """Return what the first of Python's finders that knows a module says of it; the usual one looks in `folders`.

    Our own is one of these, and says what the usual one says.
    """
    for finder in sys.meta_path:
        if finder is FrozenImporter or is_own(type(finder).__module__):
            continue
        spec = None
        with suppress(Exception):  # of somebody's finder, which fails at an import too, and is told there
            spec = PathFinder.find_spec(name, folders) if finder is PathFinder else finder.find_spec(name, None)
        if spec is not None:
            return spec
    return None


def in_folder(folder: str, name: str) -> str | None:
    """Return the source of the module `name` in `folder`; a package goes before a file, as Python has it."""
    module = os.path.join(folder, name)
    return next((path for path in (os.path.join(module, "__init__.py"), f"{module}.py") if os.path.isfile(path)), None)


def is_own(name: str) -> bool:
    """Return whether a module belongs to otrainer itself."""
    return name.partition(".")[0] == OWN


def is_local(name: str, path: Path) -> bool:
    if path.suffix != ".py":
        return False
    return is_own(name) or not is_installed(path)


def parents(name: str) -> list[str]:
    """Return the packages around a module, outermost first: their `__init__` runs before it."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def absolute(level: int, module: str | None, package: str) -> str:
    """Return the module that `from ..module import x` names inside `package`."""
    if not level:
        return module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
