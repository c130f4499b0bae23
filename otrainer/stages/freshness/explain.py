"""Explain what each stage would do now, value by value and symbol by symbol, without executing any.

Each verdict begins with what `decide` says of the stage, and adds what the stages before it would leave.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.fingerprint.unfollowed import variable_shown
from otrainer.registry.static_source import definition_in, tree_of
from otrainer.registry.usage import code_of
from otrainer.stages.built import PLUGINS, RESOLVED, configured_run_dir, written_places
from otrainer.stages.freshness.decide import FAILS, NO_CONFIG, RUNS, UNTOLD, Verdict
from otrainer.stages.freshness.now import Now
from otrainer.stages.freshness.training import explain_training
from otrainer.stages.freshness.values import is_same, value_sentences
from otrainer.storage.records import NOT_RUN
from otrainer.storage.runs.run_json import read_run_or_none

# Places that are told.
MOST = 6

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.errors import ConfigError
    from otrainer.fingerprint import Fingerprints
    from otrainer.storage.experiments import Experiment


def explain(experiment: Experiment, root: Path) -> tuple[dict[str, Verdict], ConfigError | None]:
    """Return what becomes of each stage up to `fit`, each as the ones before it would leave things, by their names.

    Beside it stands the error of a config that does not resolve.
    """
    now = Now(experiment, root)
    verdicts = {"resolve": explain_resolve(now), "manifest": explain_manifest(now), "validate": explain_validate(now)}
    fit = explain_training(now, verdicts["validate"])
    verdicts["fit"] = fit._replace(notes=(*fit.notes, *not_followed(now)))
    return verdicts, now.error


def not_followed(now: Now) -> tuple[str, ...]:
    """Return what the code of the experiment uses that does not count, once for each place."""
    rows = now.validated["code"] if now.validated else ()
    seen = now.manifest.get("seen", ()) if now.manifest else ()
    every = dict.fromkeys(each for row in rows for each in code_of(row, now.prints).unfollowed)
    record = now.record("validate")
    counted = {*(record.env if record else ()), *variables_of_run(now)}
    seen = {*seen, *map(variable_shown, counted)}
    found = [each.text for each in every if not each.counts(seen)]
    more = f"And {len(found) - MOST} more places, which `{now.experiment.built('manifest.json')}` lists."
    return (*found[:MOST], *([more] if len(found) > MOST else ()))


def variables_of_run(now: Now) -> Iterable[str]:
    """Return the variables that the code of the run in the directory read when it was imported and built."""
    run_dir = configured_run_dir(now.experiment, now.root)
    run = None if run_dir is None else read_run_or_none(run_dir)
    env: Iterable[str] = run.get("asked", {}).get("env", ()) if run else ()
    return env


def explain_resolve(now: Now) -> Verdict:
    decided = now.decided["resolve"]
    if now.config is None:
        return decided._replace(word=FAILS)
    if decided.is_up_to_date or now.old is None:
        return decided
    before, places = written_places(now.experiment, now.root), now.config.source_map
    values = tuple(value_sentences(now.old["config"], now.config.data, places, before))
    return Verdict(RUNS, (*decided.reasons, *values), () if values else ("No value differs.",))


def explain_manifest(now: Now) -> Verdict:
    decided = now.decided["manifest"]
    if not decided.is_up_to_date or not now.differs(PLUGINS):
        return decided
    old = now.old["config"] if now.old else {}
    new = now.config.data if now.config and now.old else {}
    # The sections that decide about plugins.
    changed = [f"`{name}` changed." for name in ("imports", "settings") if not is_same(old.get(name), new.get(name))]
    return Verdict.because(*changed or ["`plugins.json` would be another."])


def explain_validate(now: Now) -> Verdict:
    if now.config is None:
        return Verdict(UNTOLD, (NO_CONFIG,))
    decided = now.decided["validate"]
    if decided.reasons == (NOT_RUN,):
        return decided
    used = [row["key"] for row in now.validated["code"]] if now.validated else []
    code = manifest_changes(now.manifest, used, now.prints) if now.lists_anew() else code_changes(now)
    return Verdict.because(*dict.fromkeys([*decided.reasons, *config_changes(now, now.config.data), *code]))


def config_changes(now: Now, config: dict[str, Any]) -> Iterator[str]:
    """Yield what differs from the config that was validated."""
    known = now.validated or now.old
    before, places = written_places(now.experiment, now.root), now.config.source_map if now.config else None
    values = list(value_sentences(known["config"], config, places, before)) if known else []
    yield from values
    if not values and now.differs(RESOLVED):
        reordered = known and list(known["config"]) != list(config)
        yield "The sections come in another order." if reordered else "`resolved.json` would be another."


def code_changes(now: Now) -> Iterator[str]:
    """Yield what differs between the manifest as it is and as it was when it was validated last."""
    if now.manifest is None or now.validated is None:
        return
    rows = rows_of(now.manifest)
    for row in now.validated["code"]:
        if row["key"] in rows and rows[row["key"]]["fingerprint"] != row["fingerprint"]:
            yield f"The code of `{row['key']}` changed."


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
