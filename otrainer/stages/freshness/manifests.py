"""What would be another in a manifest, as far as the sources tell without being run."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.registry.static_source import definition_in, tree_of

if TYPE_CHECKING:
    from otrainer.fingerprint import Fingerprints


def rows_of(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the rows of components and ops by the keys that the code of a run has."""
    return {**manifest["modules"], **{f"op:{name}": row for name, row in manifest["ops"].items()}}


def manifest_changes(manifest: Mapping[str, Any] | None, used: Collection[str], prints: Fingerprints) -> Iterator[str]:
    """Yield a sentence for each component whose code or docstring is another one; those that are `used` come first."""
    if manifest is None:
        yield "The manifest is made anew."
        return
    rows = rows_of(manifest)
    changed: set[str | None] = set()
    for key in sorted(rows, key=lambda key: key not in used):
        row = rows[key]
        if prints.registered(row["plugin"], key, row["target"]).digest != row["fingerprint"]:
            changed.add(row["plugin"])
            yield f"The code of `{key}`{'' if key in used else ', which is not used here,'} changed."
        elif row["plugin"] and docstring_changed(row, prints):
            changed.add(row["plugin"])
            yield f"The docstring of `{key}` changed."
    for plugin, digest in manifest["plugins"].items():
        # What a plugin registers is part of how it registers.
        if plugin not in changed and prints.register_of(plugin).digest != digest:
            yield f"What `{plugin}` registers changed."


def docstring_changed(row: Mapping[str, Any], prints: Fingerprints) -> bool:
    """Tell whether the first line of a target's docstring differs from the manifest's."""
    module, _, name = row["target"].partition(":")
    tree = tree_of(prints.file_of(module)) if row["doc"] else None
    node = definition_in(tree.body, name) if tree else None
    doc = ast.get_docstring(node) if node else None
    return doc is not None and doc.splitlines()[0] != row["doc"]
