"""`doit diff`: an experiment against another or a run: each value with both origins, then code, data and versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otrainer.config import resolve_config
from otrainer.diagnostics.say import in_a_line
from otrainer.errors import ConfigError, dotted
from otrainer.fingerprint.sources import rules
from otrainer.registry.effects import CHECKED_BEFORE
from otrainer.registry.usage import code_behind, listed_in
from otrainer.stages.built import MANIFEST, VALIDATED, as_left
from otrainer.stages.definition import detail, fingerprints, search_as_left
from otrainer.stages.fit.provenance import versions
from otrainer.stages.freshness.code import display_symbol
from otrainer.stages.freshness.counting import Compared
from otrainer.stages.freshness.values import changes, display, origin, run_detail, run_places
from otrainer.storage.data_files import identify
from otrainer.storage.experiments import find_experiment
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import find_run
from otrainer.storage.runs.run_json import read_run

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.commands import Question
    from otrainer.config import SourceMap
    from otrainer.storage.experiments import Experiment


@dataclass
class Side:
    """One of two that are compared; what is not known of it is None."""

    name: str
    config: Mapping[str, Any]
    places: SourceMap | None
    symbols: Mapping[str, str] | None = None
    rules: str = ""
    code: Sequence[Mapping[str, Any]] = ()
    data: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def diff(question: Question) -> str:
    """Return the differences of the experiment to what WITH names.

    Raises ConfigError where WITH names nothing, several experiments are named, or one of them does not resolve.
    """
    if not question.variables.get("WITH"):
        hint = "Add `WITH=` and an experiment, a run's folder, or the definition of a kept run (`doit runs` shows it)."
        raise ConfigError("There is nothing to compare with.", title="WITH is missing", hint=hint)
    if len(question.experiments) != 1:
        names = ", ".join(each.name for each in question.experiments)
        hint = f"Name one by EXP and the other by WITH, as in `doit diff EXP={names.replace(', ', ' WITH=', 1)}`."
        raise ConfigError(f"EXP names several experiments: {names}.", title="several experiments", hint=hint)
    here = side_of_experiment(question.experiments[0], question.root)
    there = other_side(question.variables["WITH"], question.root)
    lines = [*value_lines(here, there), *code_lines(here, there, question.root), *other_lines(here, there)]
    return "\n".join(map(in_a_line, [f"{here.name} | {there.name}", *(lines or ["No difference."])]))


def other_side(text: str, root: Path) -> Side:
    """Return what WITH means: an experiment, else a run. Raises ConfigError that knows the names of both."""
    try:
        experiment = find_experiment(text, root)
    except ConfigError as no_experiment:
        try:
            run_dir = find_run(text, root)
        except ConfigError as no_run:
            if no_run.findings[0].title == "ambiguous run":
                raise
            raise ConfigError(
                f"There is neither an experiment nor a run `{text}`.",
                title="unknown experiment or run",
                suggestions=tuple(dict.fromkeys([*no_experiment.suggestions, *no_run.suggestions])),
                hint="`doit list` shows all experiments, `doit runs` all runs; four letters of a definition do.",
            ) from None
        return side_of_run(run_dir, root)
    return side_of_experiment(experiment, root)


def side_of_experiment(experiment: Experiment, root: Path) -> Side:
    """Return an experiment as its files are now, with its code and data as far as it was validated before."""
    config = resolve_config(root / experiment.file, root=root)
    side = Side(experiment.name, config.data, config.source_map, rules=rules())
    manifest, validated = as_left(experiment, MANIFEST, root), as_left(experiment, VALIDATED, root)
    search_as_left(experiment, root)
    try:
        prints = fingerprints(root)
        side.code = code_behind(config.data, listed_in(manifest), prints)
        side.symbols = detail(side.code, prints)["symbols"]
        side.data = {name: identity(name, root) for name in validated["data_files"]}
    except (KeyError, TypeError):
        pass  # not validated yet, or with other components: its values can be compared
    return side


def identity(name: str, root: Path) -> dict[str, Any]:
    """Return the identity of a data file as it is now; one that is gone has none."""
    try:
        stamp = identify(name, root)
    except OSError:
        return {}
    return {"sha256": stamp.sha256, "size": stamp.size}


def side_of_run(run_dir: Path, root: Path) -> Side:
    run = read_run(run_dir)
    assert run is not None  # noqa: S101 - it was found by its run.json
    code = run_detail(run_dir) or {}
    symbols, its_rules = code.get("symbols"), code.get("rules", rules())
    name = display_path(run_dir, root)
    return Side(name, run["config"], run_places(run_dir), symbols, its_rules, run["code"], run["data"], run["versions"])


def value_lines(here: Side, there: Side) -> Iterator[str]:
    """Yield each differing value: its path, and whether it does not count, then either side with its origin."""
    compared = Compared(here.config, there.config, here.code, there.code)
    for change in changes(here.config, there.config):
        moved = change.old_path != change.new_path
        where = f"{dotted(change.old_path)}{f' | {dotted(change.new_path)}' if moved else ''}"
        idle = change.new_path[0] not in CHECKED_BEFORE and not compared.counts(change)
        yield f"{where} (does not retrain)" if idle else where
        old, new = (change.old, here.places, change.old_path), (change.new, there.places, change.new_path)
        for value, places, path in (old, new):
            at = origin(places, path) if repr(value) != "nothing" else ""
            yield f"  {display(value)}{f'  # {at}' if at else ''}"


def code_lines(here: Side, there: Side, root: Path) -> Iterator[str]:
    if here.symbols is None or there.symbols is None:
        without = here.name if here.symbols is None else there.name
        yield f"code: not compared, since that of {without} is not known (`doit validate EXP={without}` finds it)"
        return
    if here.rules != there.rules:
        yield "code: not compared, since this version of otrainer reads it in another way"
        return
    prints = fingerprints(root)
    for symbol in sorted({*here.symbols, *there.symbols}):
        if here.symbols.get(symbol) != there.symbols.get(symbol):
            only = here.name if symbol not in there.symbols else there.name if symbol not in here.symbols else ""
            yield f"code: {display_symbol(symbol, prints)}{f' (only {only})' if only else ''}"


def other_lines(here: Side, there: Side) -> Iterator[str]:
    """Yield the data files that differ, where both sides know them, and the packages of other versions."""
    if here.data is not None and there.data is not None:
        for name in sorted({*here.data, *there.data}):
            if here.data.get(name) != there.data.get(name):
                yield f"data: {name}"
    if there.versions:
        now = here.versions or versions()
        for package in dict.fromkeys([*now, *there.versions]):
            if now.get(package) != there.versions.get(package):
                yield f"version: {package} {now.get(package, 'none')} | {there.versions.get(package, 'none')}"
