"""What training would do now: nothing, begin, go on, or bring an earlier run back; and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.registry.usage import code_behind, listed_in
from otrainer.stages.definition import define
from otrainer.stages.fit.start import is_there, last_checkpoint, refuse_taken
from otrainer.stages.freshness.code import code_sentences, unparsed
from otrainer.stages.freshness.run import data_sentences, run_detail, run_places, value_sentences, version_drift
from otrainer.stages.freshness.verdict import FAILS, RUNS, UNTOLD, UP_TO_DATE, Verdict
from otrainer.storage.data_files import identify
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import archived_runs, fits
from otrainer.storage.runs.lock import refuse_if_locked
from otrainer.storage.runs.run_json import (
    UNFINISHED,
    read_run,
    read_run_or_none,
    refuse_foreign,
    refuse_within,
    why_unfinished,
)

if TYPE_CHECKING:
    from otrainer.stages.freshness.forecast import Forecast

Run = Mapping[str, Any]
Rows = list[dict[str, Any]]
Data = dict[str, dict[str, Any]]

# Sections whose components declare no data files.
WITHOUT_FILES = ("run", "optimizer", "scheduler", "imports", "settings", "params", "model")
NEW = "It was not trained yet."


def fit_verdict(forecast: Forecast) -> Verdict:
    """The verdict on training, after those on the stages before it."""
    if forecast.config is None:
        return Verdict(UNTOLD, ["The config does not resolve."])
    try:
        return Outlook(forecast, forecast.config.data, forecast.config.data["run"]["out_dir"]).verdict()
    except (KeyError, TypeError):
        return unlisted(forecast)
    except ConfigError as error:
        return Verdict(FAILS, [each.message for each in error.findings], [each.hint for each in error.findings])


def unlisted(forecast: Forecast) -> Verdict:
    return Verdict(UNTOLD, [f"`doit validate EXP={forecast.experiment.name}` has to be run first."])


class Outlook:
    """An experiment whose config resolves, and the run in its directory."""

    def __init__(self, forecast: Forecast, config: Mapping[str, Any], out_dir: str) -> None:
        self.forecast, self.config, self.root = forecast, config, forecast.root
        self.out_dir, self.run_dir = out_dir, forecast.root / out_dir

    def verdict(self) -> Verdict:
        """Raises ConfigError where training would be refused, KeyError where the config lacks what it needs."""
        refuse_if_locked(self.run_dir)
        run = read_run(self.run_dir)
        if run is None:
            refuse_foreign(self.run_dir, self.out_dir)
            refuse_within(self.run_dir, self.out_dir)
        rows, data = self.code_now(run), self.data_now(run)
        if rows is None or data is None:
            return self.unvalidated(run, rows)
        if broken := list(unparsed(rows, self.forecast.prints)):
            return Verdict(UNTOLD, broken)
        try:
            definition = define(self.config, rows, data, self.root)
        except OSError as error:
            return Verdict(FAILS, [f"`{error.filename}`: {error.strerror}."])
        drift = list(version_drift(run["versions"])) if run else []
        if run is not None and run["definition"] == definition:
            return self.same(run, definition, drift)
        found = [NEW] if run is None else list(self.differences(run, rows, data)) or ["Its definition changed."]
        kept = list(self.kept(definition))
        if not kept:
            refuse_taken(self.config, self.out_dir, self.root)
        return Verdict(RUNS, found, [*kept, *drift], self.more)

    @property
    def more(self) -> str:
        return f"`doit diff EXP={self.forecast.experiment.name} WITH={self.out_dir}` shows all"

    def same(self, run: Run, definition: str, drift: list[str]) -> Verdict:
        """Where the run that is there has the same definition."""
        left = why_unfinished(self.run_dir, definition)
        if left is not None:
            return Verdict(RUNS, [f"{left}{self.going_on(run)}"], drift)
        receipt = self.forecast.experiment.built("fit.json")
        if not (self.root / receipt).exists():
            return Verdict(RUNS, [f"`{receipt}` is gone."], ["Nothing would be trained: the run is complete.", *drift])
        return Verdict(UP_TO_DATE, [], drift)

    def going_on(self, run: Run) -> str:
        """From where an unfinished run would go on."""
        if run["state"] not in UNFINISHED:
            return ""
        if is_there(last_checkpoint(self.config, self.out_dir, self.root)):
            return f" It continues from step {run['global_step']:,}."
        return " It begins anew, since it has no checkpoint."

    def kept(self, definition: str) -> Iterator[str]:
        """Which kept run would come back."""
        for path in archived_runs(self.run_dir):
            if fits(path, definition, complete=True):
                yield f"Nothing would be trained: the finished run in `{display_path(path, self.root)}` comes back."
                return
        for path in archived_runs(self.run_dir):
            if fits(path, definition, complete=False):
                step = (read_run(path) or {})["global_step"]
                yield f"The run in `{display_path(path, self.root)}` comes back, and continues from step {step:,}."
                return

    def unvalidated(self, run: Run | None, rows: Rows | None) -> Verdict:
        """Where a component is new, what it declares is known only once it was validated."""
        if run is None:
            refuse_taken(self.config, self.out_dir, self.root)
            return Verdict(RUNS, [NEW])
        found = list(self.differences(run, rows, None))
        return Verdict(RUNS, found, more=self.more) if found else unlisted(self.forecast)

    def differences(self, run: Run, rows: Rows | None, data: Data | None) -> Iterator[str]:
        """What tells the run that is there from the one that would be trained, as far as that is known."""
        assert self.forecast.config is not None  # noqa: S101 - there is none of this where it does not resolve
        places = self.forecast.config.source_map
        yield from value_sentences(run["config"], self.config, places, run_places(self.run_dir))
        if rows is not None:
            yield from code_sentences(run["code"], rows, run_detail(self.run_dir), self.forecast.prints)
        if data is not None:
            yield from data_sentences(run["data"], data)

    def code_now(self, run: Run | None) -> Rows | None:
        """The rows of the code as sources are now; None where neither manifest nor run knows a key."""
        known = {row["key"]: (row["target"], row["plugin"]) for row in run["code"]} if run else {}
        try:
            lookup = known.__getitem__ if self.forecast.manifest is None else listed_in(self.forecast.manifest)
            return code_behind(self.config, lookup, self.forecast.prints)
        except (KeyError, TypeError):
            return None

    def data_now(self, run: Run | None) -> Data | None:
        """The identities of the files that were declared, as they are now; None where others may be declared."""
        if self.forecast.declares_anew():
            return None
        sections = [name for name in self.config if name not in WITHOUT_FILES]
        for config, names in self.declared_before(run):
            if not names or all(config.get(name) == self.config.get(name) for name in sections):
                return self.identities(names)
        return None

    def declared_before(self, run: Run | None) -> Iterator[tuple[Mapping[str, Any], Iterable[str]]]:
        """The configs whose data files are known, with these."""
        if self.forecast.validated is not None:
            yield self.forecast.validated["config"], self.forecast.validated["data_files"]
        for each in (run, *map(read_run_or_none, archived_runs(self.run_dir))):
            if each is not None:
                yield each["config"], each["data"]

    def identities(self, names: Iterable[str]) -> Data | None:
        try:
            stamps = {name: identify(name, self.root) for name in names}
        except OSError:
            return None
        return {name: {"sha256": stamp.sha256, "size": stamp.size} for name, stamp in stamps.items()}
