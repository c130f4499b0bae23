"""What a run, or a data worker of it, imports first in its middle is what was validated, or it is another run."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.engine.data.workers import workers_call
from otrainer.errors import ConfigError
from otrainer.registry.plugins.from_source import loaded, project_finder
from otrainer.registry.plugins.in_workers import ImportsTold, told_in
from otrainer.storage.canonical_json import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otrainer.fingerprint import Fingerprints
    from otrainer.stages.plan import Plan


@contextmanager
def workers_tell() -> Iterator[Path]:
    """Let data workers that are made ready within tell what they import; the folder where they do, once they did."""
    finder = project_finder()
    folder = Path(tempfile.gettempdir(), f"otrainer-{uuid.uuid4().hex}")
    try:
        with workers_call(ImportsTold(folder, frozenset(finder.roots if finder else ()))):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class LateImports:
    """The modules of a plan with their code as a training begins, when only some of them are imported.

    Data workers leave what they import in `elsewhere`.
    """

    def __init__(self, plan: Plan, prints: Fingerprints, elsewhere: Path) -> None:
        self.prints, self.elsewhere = prints, elsewhere
        names = [*(plan.config.get("imports") or ()), *(row["target"].partition(":")[0] for row in plan.code)]
        self.modules = self.prints.modules(names)
        self.waiting = {name for name in self.modules if name not in sys.modules}
        self.before = {name: self.code_of(self.prints.sources.summary(name)) for name in self.modules}
        self.found: dict[str, str] = {}

    def changed(self) -> dict[str, str]:
        """Return the files of modules that were imported since with another code than they had, and that code."""
        here = self.waiting & sys.modules.keys() & loaded().keys()
        self.waiting -= here
        for name, source in [*((name, loaded()[name]) for name in sorted(here)), *told_in(self.elsewhere)]:
            if name in self.modules:
                now = self.code_of(self.prints.sources.from_content(source, self.modules[name], name))
                if now != self.before[name]:
                    self.found[self.prints.shown_file(name)] = now
        return self.found

    def code_of(self, summary: object) -> str:
        """Return what tells a module's code from another one; comments do not count."""
        return digest([each.digest_with_docs for each in getattr(summary, "statements", ())])


def refuse_late(changed: dict[str, str]) -> None:
    """Raise ConfigError where a run imported in its middle what had been edited since it was validated."""
    if changed:
        files, them = ", ".join(f"`{name}`" for name in changed), "it" if len(changed) == 1 else "them"
        raise ConfigError(
            f"{files} changed before this run, or a data worker of it, imported {them}, in its middle: what was "
            "trained is not what was validated.",
            title="changed meanwhile",
            config_path=("imports",),
            hint="Run the same command again, which trains anew; import at the top of a module what it needs.",
        )
