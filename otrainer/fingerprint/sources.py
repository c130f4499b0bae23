"""Summaries of local modules: parsed once as long as a file is the same, in this process and across processes."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.fingerprint import kept
from otrainer.fingerprint.locate import Locator, parents
from otrainer.storage import process_memory
from otrainer.storage.contents import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otrainer.fingerprint.summary import Statement, Summary

HERE = Path(__file__).parent
# Those that only follow summaries; all other files here decide what a summary says.
FOLLOWING = ("__init__.py", "graph.py", "identity.py", "kept.py", "looked_for.py", "names.py", "sources.py")
RULES = sorted({path.name for path in HERE.iterdir() if path.suffix in (".py", ".txt")} - {*FOLLOWING})


class Sources:
    """The sources of local modules as they are when they are first asked for."""

    def __init__(self, cache_folder: Path | None = None) -> None:
        self.locator = Locator()
        self.cache_folder = cache_folder
        self._summaries: dict[str, Summary | None] = {}
        self._closures: dict[tuple[str, ...], dict[str, Path]] = {}

    def summary(self, module: str) -> Summary | None:
        """Return the summary of a local module; None for one that is not local."""
        if module not in self._summaries:
            path = self.locator.source(module)
            self._summaries[module] = None if path is None else self.read(path, module)
        return self._summaries[module]

    def is_current(self) -> bool:
        """Return whether every source that was read is still the same, and none is found elsewhere, or anew."""
        now = Sources(self.cache_folder)
        return self.locator.agrees(now.locator) and all(now.summary(name) is it for name, it in self._summaries.items())

    def read(self, path: Path, module: str) -> Summary | None:
        summaries: dict[tuple[str, str, str], Summary] = process_memory.get("summaries", dict)
        try:
            known = (str(path), module, content_hash(path))
            if known not in summaries:
                content = path.read_bytes()
                known = (str(path), module, hashlib.sha256(content).hexdigest())
                summaries[known] = self.from_content(content, path, module)
        except OSError:
            return None  # gone between two looks: importing it will say so
        return summaries[known]

    def from_content(self, content: bytes, path: Path, module: str) -> Summary:
        """Return the summary of a file's content, from the cache where it was parsed before."""
        is_package = path.name == "__init__.py"
        mark = hashlib.sha256(f"{rules()} {module} {is_package} ".encode() + content).hexdigest()[:40]
        if (known := kept.find(mark, path, self.cache_folder)) is not None:
            return known
        from otrainer.fingerprint.summary import summary_of

        made = summary_of(content, module, is_package=is_package)
        if made.is_read:  # a newer Python may read what this one cannot
            kept.keep(made, mark, path, self.cache_folder)
        return made

    def closure(self, names: list[str]) -> dict[str, Path]:
        """Return the modules `names` and all local ones that they import at any time, with their files, sorted."""
        if (asked := tuple(names)) not in self._closures:  # of a thousand experiments, most ask for the same
            self._closures[asked] = self._followed(names)
        return dict(self._closures[asked])

    def _followed(self, names: list[str]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            summary = self.summary(name) if name not in found else None
            path = self.locator.source(name)
            if summary is None or path is None:
                continue
            found[name] = path
            waiting += parents(name)
            waiting += self.imports(name)
        return dict(sorted(found.items()))

    def imports(self, module: str) -> list[str]:
        """Return the names of all that a module may import at any time, whether it is there or not."""
        summary = self.summary(module)
        return [name for each in (summary.statements if summary else ()) for name in self.imports_of(each)]

    def imports_of(self, statement: Statement) -> Iterator[str]:
        yield from (*statement.modules, *statement.later)
        yield from (what for kind, what, _ in statement.opaque if kind == "import")
        for star in statement.stars:
            listing = self.summary(star)
            for each in listing.statements if listing else ():
                yield from (f"{star}.{text}" for text in each.shows if text.isidentifier())


@cache
def rules() -> str:
    """Return a hash of the rules by which summaries are made: others make others."""
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in RULES)).hexdigest()
