"""Whether the modules that this process imported are those on the disk: Python never looks at a source again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage import process_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.fingerprint import Fingerprints


def refuse_stale(names: Iterable[str], prints: Fingerprints) -> None:
    """Raise ConfigError where a local module that `names` reach was edited after this process had imported it.

    The first call for a module takes its source for what was imported, so call this before and after importing.
    """
    # For each module the spec it was imported by, which a reload replaces, and its statements then.
    seen: dict[str, tuple[Any, list[str]]] = process_memory.get("imported_sources", dict)
    stale = []
    for name in prints.modules(names):
        spec, summary = getattr(sys.modules.get(name), "__spec__", None), prints.sources.summary(name)
        if spec is None or summary is None:
            continue
        now = (spec, [statement.digest_with_docs for statement in summary.statements])
        if seen.setdefault(name, now)[0] is not spec:
            seen[name] = now
        if seen[name] != now:
            stale.append(f"`{prints.shown_file(name)}`")
    if stale:
        raise ConfigError(
            f"{', '.join(stale)} changed after this process had imported {'it' if len(stale) == 1 else 'them'}: what "
            "would be trained is not what the files say.",
            title="edited after import",
            config_path=("imports",),
            hint="Start a new process, or reload the modules by `importlib.reload`.",
        )
