"""Modules that a run imports first in its middle: they hold what was validated, or the run is another one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.registry.plugins.from_source import loaded
from otrainer.storage.canonical_json import digest

if TYPE_CHECKING:
    from otrainer.fingerprint import Fingerprints
    from otrainer.stages.plan import Plan


class LateImports:
    """The project's modules that are not imported as a training begins, with their code as it is then."""

    def __init__(self, plan: Plan, prints: Fingerprints) -> None:
        self.prints = prints
        names = [*(plan.config.get("imports") or ()), *(row["target"].partition(":")[0] for row in plan.code)]
        modules = self.prints.modules(names)
        self.waiting = {name: path for name, path in modules.items() if name not in sys.modules}
        self.before = {name: self.code_of(self.prints.sources.summary(name)) for name in self.waiting}
        self.found: dict[str, str] = {}

    def changed(self) -> dict[str, str]:
        """Return the files of modules that were imported since with another code than they had, and that code."""
        for name in [name for name in self.waiting if name in sys.modules and name in loaded()]:
            path = self.waiting.pop(name)
            now = self.code_of(self.prints.sources.from_content(loaded()[name], path, name))
            if now != self.before[name]:
                self.found[self.prints.shown_file(name)] = now
        return self.found

    def code_of(self, summary: object) -> str:
        """Return what tells a module's code from another one; comments do not count."""
        return digest([each.digest_with_docs for each in getattr(summary, "statements", ())])


def refuse_late(changed: dict[str, str]) -> None:
    """Raise ConfigError where a run imported in its middle what had been edited since it was validated."""
    if changed:
        files = ", ".join(f"`{name}`" for name in changed)
        raise ConfigError(
            f"{files} changed before this run imported {'it' if len(changed) == 1 else 'them'}, in its middle: what "
            "was trained is not what was validated.",
            title="changed meanwhile",
            config_path=("imports",),
            hint="Run the same command again, which trains anew; import at the top of a module what it needs.",
        )
