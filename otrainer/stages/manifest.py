"""The stage `manifest`: list every component that there is, with a fingerprint of its code."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.fingerprint.looked_for import looked_for, walked
from otrainer.fingerprint.search_path import search_path
from otrainer.registry import build_registry
from otrainer.registry.describe.interface import interface_of
from otrainer.registry.manifest import manifest_of
from otrainer.registry.plugins.import_reads import asked_by, read_by, seen_by
from otrainer.registry.plugins.search_notes import needed_by
from otrainer.stages.artifacts import current, encoded, keep
from otrainer.stages.built import KEYS, MANIFEST, PLUGINS, as_left, record_path
from otrainer.stages.definition import SEARCH, look
from otrainer.stages.outcome import Outcome
from otrainer.stages.resolve import resolved
from otrainer.stages.shared import is_made, note_made, share_made, shared_manifest
from otrainer.storage.module_search import EVERY, search_of
from otrainer.storage.project import display_path
from otrainer.storage.records import Record, stamp_files, why_stale

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.config import ResolvedConfig
    from otrainer.fingerprint import Fingerprints
    from otrainer.registry import Registry
    from otrainer.storage.experiments import Experiment

PACKAGE = ("otrainer.stages.fit.train", "otrainer.stages.manifest", "otrainer.stages.validate")


def manifest(experiment: Experiment, root: Path) -> Outcome:
    """Run the plugins, and write what the registry then holds to manifest.json; keys.json is for editors.

    There is one for all experiments with the same plugins, and its record says of which state of the sources it is.
    A process takes one look at the sources for all of them: an edit after it makes the record stale.
    """
    shared = shared_manifest(experiment, root)
    if not is_made(shared, root):
        if why_stale(record_path("manifest", shared, root), root=root, **current("manifest", root)) is not None:
            keep(shared, root, "manifest", *made_manifest(resolved(experiment, root), root))
        note_made(shared, root)
    share_made(shared, experiment, root)
    return Outcome()


def made_manifest(config: ResolvedConfig, root: Path) -> tuple[dict[str, bytes], Record]:
    from otrainer.stages.checks import load_registry  # torch comes with it
    from otrainer.stages.trials import all_mistakes

    registry, plugins = build_registry(), config.data.get("imports") or ()
    names = [*PACKAGE, *own_modules(registry), *plugins]
    before = stamp_files(look(root).modules(names).values(), root)
    try:
        load_registry(config, registry)
    except ConfigError as error:
        raise ConfigError.of(all_mistakes(config)) from error
    prints = look(root)  # another one where plugins added to the search for modules
    modules = prints.modules(names)
    files = stamp_files({**walked(modules, prints.sources), **modules}.values(), root)
    read = read_by(modules)
    listed = manifest_of(registry, prints, seen_by(modules))
    artifacts = {MANIFEST: listed, KEYS: interface_of(registry, built_in=False)}
    if added := needed_by(modules, prints.sources.locator):
        artifacts[MANIFEST][SEARCH] = added.to_json(root)
    record = asked_by(modules)._replace(files={**files, **before, **read}, search=searched(modules, prints, root))
    return encoded("manifest", artifacts), record


def searched(modules: Mapping[str, Path], prints: Fingerprints, root: Path) -> dict[str, Any]:
    """Return where imports of these modules look for which names, as a record keeps it."""
    locator, added = prints.sources.locator, search_path()
    tops = {name.partition(".")[0] for name in modules}
    used = {str(folder) for top in tops for folder in locator.entries(top)}
    there = set(sys.path) - {str(root), *added.front, *added.back}
    found = looked_for(modules, prints.sources)
    folders = {display_path(folder, root): names for folder, names in found.items()}
    named = {name for folder, names in found.items() if str(folder) in sys.path for name in names if name != EVERY}
    return search_of(folders, used & there, root, named)


def read_sources(experiment: Experiment, root: Path) -> None:
    """Parse the sources that `manifest` will ask for, which finds the result under `build`: for a process that waits.

    What is wrong with them, `manifest` says.
    """
    if (plugins := as_left(experiment, PLUGINS, root)) is not None:
        with suppress(OSError, ValueError):
            look(root).modules([*PACKAGE, *plugins["imports"]])


def own_modules(registry: Registry) -> list[str]:
    """Return the modules in which built-in components are defined, which nothing else imports before they are used."""
    entries = [registry.get_module(key).factory for key in registry.list_modules()]
    entries += [registry.op_entry(name).factory for name in registry.list_ops()]
    targets = dict.fromkeys(target.partition(":")[0] for target in entries if isinstance(target, str))
    return [name for name in targets if name.startswith("otrainer.")]
