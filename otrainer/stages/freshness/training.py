"""Explain what training would do now: nothing, begin, go on, or bring an earlier run back; and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.registry.effects import Known
from otrainer.registry.usage import code_behind, keys_in, listed_in
from otrainer.stages.definition import define
from otrainer.stages.fit.going_on import named_step, to_go_on_from
from otrainer.stages.fit.start import refuse_taken
from otrainer.stages.freshness.code import code_sentences, unparsed
from otrainer.stages.freshness.counting import Compared, idle_sentences
from otrainer.stages.freshness.decide import FAILS, FIT, NO_CONFIG, NOT_TRAINED, RUNS, UNTOLD, Verdict, decide_training
from otrainer.stages.freshness.values import (
    data_sentences,
    run_detail,
    run_places,
    sentence,
    version_drift,
)
from otrainer.storage.data_files import identify
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import archived_runs, fits, left_behind
from otrainer.storage.runs.run_json import (
    UNFINISHED,
    asked_otherwise,
    is_of,
    read_run,
    read_run_or_none,
    refuse_foreign,
    refuse_if_written,
    refuse_within,
)

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.stages.freshness.now import Now

Run = Mapping[str, Any]
Rows = list[dict[str, Any]]
Data = dict[str, dict[str, Any]]

# Sections whose components declare no data files.
WITHOUT_FILES = ("run", "optimizer", "scheduler", "imports", "settings", "params", "model")


def explain_training(now: Now, validate: Verdict) -> Verdict:
    """Return the verdict on `fit`, after the one on `validate`."""
    if now.config is None:
        return Verdict(UNTOLD, (NO_CONFIG,))
    try:
        training, known = Training(now, now.config), now.validated
        if known and validate.is_up_to_date:
            return training.decided(known["definition"], known["code"], known["data_files"])
        return training.foreseen()
    except (KeyError, TypeError):  # the config lacks what it needs
        return unvalidated(now)
    except ConfigError as error:
        return Verdict.refused(error)


def unvalidated(now: Now) -> Verdict:
    return Verdict(UNTOLD, (f"`doit validate EXP={now.experiment.name}` has to be run first.",))


class Training:
    """An experiment whose config resolves, beside the run in its directory."""

    def __init__(self, now: Now, config: ResolvedConfig) -> None:
        self.now, self.root = now, now.root
        self.config, self.places = config.data, config.source_map
        self.out_dir: str = self.config["run"]["out_dir"]
        self.run_dir = self.root / self.out_dir

    @cached_property
    def run(self) -> Run | None:
        """The run in the directory. Raises ConfigError where it is damaged."""
        return read_run(self.run_dir)

    @property
    def more(self) -> str:
        return f"`doit diff EXP={self.now.experiment.name} WITH={self.out_dir}` shows all"

    def foreseen(self) -> Verdict:
        """Return the verdict by the definition that `validate` would find, as far as that can be told."""
        rows = self.code_now()
        data = None if rows is None else self.data_now(rows)
        if rows is None or data is None:
            return self.unvalidated(rows)
        if broken := tuple(unparsed(rows, self.now.prints)):
            return Verdict(UNTOLD, broken)
        try:
            definition = define(self.config, rows, data, self.root)
        except OSError as error:
            return Verdict(FAILS, (f"`{error.filename}`: {error.strerror}.",))
        return self.decided(definition, rows, data)

    def decided(self, definition: str, rows: Rows, data: Data) -> Verdict:
        """Return the verdict on training under `definition`. Raises ConfigError where it would be refused."""
        verdict = decide_training(FIT, self.now.experiment, self.root, self.out_dir, definition)
        idle = tuple(self.idle(self.run, rows)) if self.run else ()
        drift = tuple(version_drift(self.run["versions"])) if self.run else ()
        notes = (*verdict.notes, *idle, *drift)
        if verdict.word != RUNS or verdict.notes:
            return verdict._replace(notes=notes)
        self.refuse_in_place()
        if self.run is not None and is_of(self.run, definition):
            return Verdict(RUNS, (f"{verdict.reasons[0]}{self.going_on(self.run)}",), notes)
        found = tuple(self.differences(self.run, rows, data)) if self.run is not None else ()
        archived = tuple(self.archived(definition))
        if not archived:
            refuse_taken(self.config, self.out_dir, self.root)
        return Verdict(RUNS, found or verdict.reasons, (*archived, *notes), self.more)

    def refuse_in_place(self) -> None:
        """Raise ConfigError where training may not write into the run directory."""
        refuse_if_written(self.run_dir)
        if self.run is None:
            refuse_foreign(self.run_dir, self.out_dir)
            refuse_within(self.run_dir, self.out_dir)

    def unvalidated(self, rows: Rows | None) -> Verdict:
        """Return the verdict where a component is new: what it declares is known only once it was validated."""
        self.refuse_in_place()
        if self.run is None:
            refuse_taken(self.config, self.out_dir, self.root)
            return Verdict.because(NOT_TRAINED)
        found = tuple(self.differences(self.run, rows, None))
        return Verdict(RUNS, found, more=self.more) if found else unvalidated(self.now)

    def going_on(self, run: Run) -> str:
        """Say from where an unfinished run would go on."""
        if run["state"] not in UNFINISHED:
            return ""
        if paths := to_go_on_from(run, self.config, self.out_dir, self.root):
            step = named_step(paths[0]) or run["global_step"] or run["lineage"].get("global_step") or 0
            return f" It continues from step {step:,}."
        return " It begins anew, since it has no checkpoint."

    def archived(self, definition: str) -> Iterator[str]:
        """Say which earlier run would come back."""
        runs = archived_runs(self.run_dir)
        if path := next((path for path in runs if fits(path, definition, complete=True)), None):
            yield f"Nothing would be trained: the finished run in `{display_path(path, self.root)}` comes back."
            return
        yield from left_behind(self.run_dir, definition, self.root)
        if path := next((path for path in runs if fits(path, definition, complete=False)), None):
            step = (read_run(path) or {}).get("global_step") or 0
            yield f"The run in `{display_path(path, self.root)}` comes back, and continues from step {step:,}."

    def differences(self, run: Run, rows: Rows | None, data: Data | None) -> Iterator[str]:
        """Yield what tells `run` from the one that would be trained, as far as that is known."""
        before = run_places(self.run_dir)
        yield from (sentence(each, self.places, before) for each in self.compared(run, rows).counting())
        if rows is not None:
            yield from code_sentences(run["code"], rows, run_detail(self.run_dir), self.now.prints)
        if data is not None:
            yield from data_sentences(run["data"], data)
        yield from asked_otherwise(run)

    def idle(self, run: Run, rows: Rows | None) -> Iterator[str]:
        """Yield what `run` was trained with otherwise, and need not be trained anew for."""
        return idle_sentences(self.compared(run, rows).idle(), self.places, run_places(self.run_dir))

    def compared(self, run: Run, rows: Rows | None) -> Compared:
        return Compared(run["config"], self.config, run["code"], run["code"] if rows is None else rows)

    def code_now(self) -> Rows | None:
        """Return the rows of the code as sources are now; None where neither manifest nor run knows a key."""
        known = {row["key"]: Known.of_row(row) for row in self.run["code"]} if self.run else {}
        try:
            lookup = known.__getitem__ if self.now.manifest is None else listed_in(self.now.manifest)
            return code_behind(self.config, lookup, self.now.prints)
        except (KeyError, TypeError):
            return None

    def data_now(self, rows: Rows) -> Data | None:
        """Return the identities of declared files as they are now; None where others may be declared."""
        if self.now.declares_anew():
            return self.data_as_asked(rows)
        sections = [name for name in self.config if name not in WITHOUT_FILES]
        sections += ["model"] if self.layers_may_declare(rows) else []
        for config, code, names in self.declared_before():
            is_alike = not names or Compared(config, self.config, code, rows).same_in(sections)
            # One of them may be gone, which the last one's code read and an earlier one's did not.
            if is_alike and (found := self.identities(names)) is not None:
                return found
        return None

    def data_as_asked(self, rows: Rows) -> Data | None:
        """Return the identities of the files of an earlier run whose code would get the same answers again, if any.

        A run whose files are as they were for it goes before others. What is no longer as the validated run had it, and
        only that run's code asked for, when it was imported, built or said its files, is nothing to an earlier one.
        """
        sections, other = [name for name in self.config if name not in WITHOUT_FILES], None
        definition = self.now.validated["definition"] if self.now.validated else None
        validated = [run for run in self.runs() if run["definition"] == definition]
        for run in self.runs():
            otherwise = (*asked_otherwise(run), *asked_otherwise(run, "declared"))
            if run.get("asked") is None or otherwise:
                continue
            asked = [each.get(name) or {} for each in (run, *validated) for name in ("asked", "declared")]
            read = {name for each in (run, *validated) for name in each["data"]}
            if self.now.declares_anew(read.union(*(facts for each in asked for facts in each.values()))):
                continue
            if Compared(run["config"], self.config, run["code"], rows).same_in(sections):
                found = self.identities(run["data"])
                if found == run["data"]:
                    return found
                other = other or found
        return other

    def runs(self) -> Iterator[Run]:
        """Yield the run in the directory and those that are kept, newest first."""
        yield from (run for run in (self.run, *map(read_run_or_none, archived_runs(self.run_dir))) if run is not None)

    def layers_may_declare(self, rows: Rows | None) -> bool:
        """Return whether some layer of the model is the user's own."""
        layers = {key for _, _, key in keys_in({"model": self.config.get("model")})}
        used = [row for row in rows or () if row["key"] in layers]
        return any(row["plugin"] or not row["target"].startswith(("torch.", "otrainer.")) for row in used)

    def declared_before(self) -> Iterator[tuple[Mapping[str, Any], Rows, Iterable[str]]]:
        """Yield the configs whose data files are known, with the rows of their code, and these."""
        if self.now.validated is not None:
            yield self.now.validated["config"], self.now.validated["code"], self.now.validated["data_files"]
        for each in self.runs():
            yield each["config"], each["code"], each["data"]

    def identities(self, names: Iterable[str]) -> Data | None:
        try:
            stamps = {name: identify(name, self.root) for name in names}
        except OSError:
            return None
        return {name: {"sha256": stamp.sha256, "size": stamp.size} for name, stamp in stamps.items()}
