"""What the code of a run asked its surroundings: which files, folders and variables, and with which answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otrainer.registry.plugins.import_reads import asked_by, together
from otrainer.storage.runs.asked import as_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from otrainer.fingerprint import Fingerprints
    from otrainer.registry.plugins.build_reads import BuildTracker
    from otrainer.stages.plan import Plan


def asked_by_code(plan: Plan, parts: BuildTracker, prints: Fingerprints) -> Callable[[], dict[str, Any]]:
    """Return what says what the code of a run asked: its plugins when they were imported, its parts when they were
    built. These read files besides; what plugins read counts with their code.
    """
    plugins = asked_by(prints.modules(plan.config.get("imports") or ()))

    def asked() -> dict[str, Any]:
        built = parts.answers()
        return as_fields(together(plugins, built), built.files)

    return asked
