"""Whether the modules that this process imported are those on the disk: Python never looks at a source again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.registry.plugins.from_source import loaded
from otrainer.storage import process_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.fingerprint import Fingerprints
    from otrainer.fingerprint.summary import Summary


def digests(summary: Summary) -> list[str]:
    return [statement.digest_with_docs for statement in summary.statements]


def refuse_stale(names: Iterable[str], prints: Fingerprints) -> None:
    """Raise ConfigError where a local module that `names` reach was edited after this process had imported it.

    The first call for a module that lies outside of the project takes its source for what was imported, so call this
    before and after importing.
    """
    # For each module the spec it was imported by, which a reload replaces, and its statements then.
    seen: dict[str, tuple[Any, list[str]]] = process_memory.get("imported_sources", dict)
    stale = []
    for name in prints.modules(names):
        spec, summary = getattr(sys.modules.get(name), "__spec__", None), prints.sources.summary(name)
        if spec is None or summary is None:
            continue
        content = loaded().get(name)
        path = prints.file_of(name)
        held = summary if content is None or path is None else prints.sources.from_content(content, path, name)
        if name not in seen or seen[name][0] is not spec:
            seen[name] = (spec, digests(held))
        if seen[name][1] != digests(summary):
            stale.append(f"`{prints.shown_file(name)}`")
    if stale:
        raise ConfigError(
            f"{', '.join(stale)} changed after this process had imported {'it' if len(stale) == 1 else 'them'}: what "
            "would be trained is not what the files say.",
            title="edited after import",
            config_path=("imports",),
            hint="Start a new process, or reload the modules by `importlib.reload`.",
        )
