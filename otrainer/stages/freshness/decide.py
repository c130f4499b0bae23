"""Decide whether a stage has to run, and say why: from its own record, or from what its run directory says.

This is the one place that decides: doit asks it, the reason line of `doit train` and `doit why` begin with its answer.
It is asked each time that nothing has to be done, so it imports neither torch nor yaml, and its facts are named tuples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.errors import ConfigError
from otrainer.stages.artifacts import current
from otrainer.stages.built import KEYS, RECEIPT, VALIDATED, artifact, named_in, record_path, run_in, why_not_shared
from otrainer.storage.experiments import ALL, all_experiments
from otrainer.storage.records import Record, every_reason, why_stale
from otrainer.storage.runs.evaluations import checkpoint_of, found_in, predictions_of, read_evaluations
from otrainer.storage.runs.run_json import judge, read_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otrainer.storage.experiments import Experiment
    from otrainer.storage.runs.evaluations import Asked
    from otrainer.storage.stamps import FileStamp

UP_TO_DATE, RUNS, FAILS, UNTOLD = "up to date", "would run", "would fail", "cannot be told"
MANIFEST, FIT, RESUME, SCHEMA, EVALUATE = "manifest", "fit", "resume", "schema", "evaluate"
TRAINING = (FIT, RESUME)
NOT_TRAINED = "It was not trained yet."
STILL_COMPLETE = "Nothing would be trained: the run is complete."
NOT_EVALUATED = "It was not evaluated on `{split}` with `{checkpoint}` yet."
NO_CONFIG = "The config does not resolve."


class Looks(NamedTuple):
    """What was found for one experiment and holds for the next, as long as nothing that takes its time runs between.

    `records` has what became of a manifest's record, by its device, inode and time, `files` the small ones that were
    read.
    """

    records: dict[tuple[int, int, int], str | None]
    files: dict[str, FileStamp]

    @classmethod
    def none(cls) -> Looks:
        return cls({}, {})


class Verdict(NamedTuple):
    """What becomes of a stage, in words; the reasons, and what else there is to say.

    `more` is where all reasons are found if they are too many to be shown, `begins_from` the checkpoint that a
    training begins from by its config, if any.
    """

    word: str = UP_TO_DATE
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    more: str = ""
    begins_from: str | None = None

    @property
    def is_up_to_date(self) -> bool:
        return self.word == UP_TO_DATE

    @classmethod
    def because(cls, *reasons: str | None) -> Verdict:
        """Return the verdict on a stage that runs if there is any reason; None is none."""
        found = tuple(reason for reason in reasons if reason is not None)
        return cls(RUNS if found else UP_TO_DATE, found)

    @classmethod
    def refused(cls, error: ConfigError) -> Verdict:
        """Return the verdict on a stage that fails with `error`."""
        return cls(FAILS, tuple(each.message for each in error.findings), tuple(each.hint for each in error.findings))


def decide(
    stage: str, experiment: Experiment, root: Path, *, every: bool = False, looks: Looks | None = None
) -> Verdict:
    """Return whether a stage has to run as the stages before it left things, with the first reason, or with `every`.

    Unless there are `every`, files that were only touched are noted, so that they are not read again each time.
    `looks` keeps what was found for the next experiment.
    """
    if stage in TRAINING:
        validated = artifact(experiment, VALIDATED, root)
        run = run_in(validated)
        if run is None:
            return Verdict.because(NOT_TRAINED)
        verdict, named = decide_training(stage, experiment, root, **run), named_in(validated)
        return verdict if named is None else verdict._replace(begins_from=named)
    record, held_against = record_path(stage, experiment, root), {"root": root, **current(stage, root)}
    if every:
        verdict = Verdict.because(*every_reason(record, {}, **held_against))
    else:
        verdict = Verdict.because(first_reason(stage, record, held_against, looks))
    if stage == MANIFEST and verdict.is_up_to_date:
        return Verdict.because(why_not_shared(experiment, root))
    return Verdict.because(why_of_others(root)) if stage == SCHEMA and verdict.is_up_to_date else verdict


def first_reason(stage: str, record: Path, held_against: dict[str, Any], looks: Looks | None) -> str | None:
    """Return the first reason why the stage of a record has to run; from an earlier look where there was one."""
    read = None if looks is None else looks.files
    try:
        status = record.stat() if looks is not None and stage == MANIFEST else None
    except OSError:
        status = None
    if looks is None or status is None:
        return why_stale(record, **held_against, read=read)
    written = status.st_dev, status.st_ino, status.st_mtime_ns
    if written not in looks.records:
        looks.records[written] = why_stale(record, **held_against, read=read)
    return looks.records[written]


def decide_training(stage: str, experiment: Experiment, root: Path, run_dir: str, definition: str) -> Verdict:
    """Return whether `fit` or `resume` has to run, where the validated run would be the one of `definition`."""
    try:
        reason, gone = judge(root / run_dir, definition)
    except ConfigError as error:
        return Verdict.refused(error)
    receipt = experiment.built(RECEIPT)
    if reason is None and stage == FIT and not (root / receipt).exists():
        return Verdict(RUNS, (f"`{receipt}` is gone.",), (STILL_COMPLETE,))
    return Verdict.because(reason)._replace(notes=(complete_without(gone),) if gone else ())


def decide_evaluation(experiment: Experiment, root: Path, asked: Asked) -> Verdict:
    """Return whether a checkpoint of the run has to be evaluated, as training left it."""
    from otrainer.stages.freshness.evaluated import differences, made_of  # it looks into configs, as no training does

    trained, validated = decide(RESUME, experiment, root), artifact(experiment, VALIDATED, root)
    if not trained.is_up_to_date:
        return Verdict(UNTOLD, trained.reasons)
    run_dir = root / validated["run_dir"]
    try:
        name, path = checkpoint_of(run_dir, read_run(run_dir) or {}, asked.checkpoint, root)
        found = found_in(read_evaluations(run_dir), asked.split, name)
        if found is None:
            return Verdict.because(NOT_EVALUATED.format(split=asked.split, checkpoint=name))
        now = made_of(validated, path, root)
    except ConfigError as error:
        return Verdict.refused(error)
    except OSError as error:
        return Verdict(FAILS, (f"`{error.filename}`: {error.strerror}.",))
    reasons = list(differences(found["made_of"], now, found["file"]))
    if asked.predictions and not reasons:
        kept = predictions_of(asked.split, name, asked.predictions)
        if found.get("predictions") != kept or not (run_dir / kept).is_file():
            reasons = [f"Its outputs were not kept as {asked.predictions}."]
    return Verdict.because(*reasons)


def complete_without(gone: Sequence[str]) -> str:
    """Say that a run has lost checkpoints which it can do without."""
    more = f" and {len(gone) - 1} more were" if gone[1:] else " was"
    return f"`{gone[0]}`{more} deleted; the run is complete without {'them' if gone[1:] else 'it'}."


def is_trained(experiment: Experiment, root: Path) -> bool:
    """Return whether the run directory holds a complete run of the validated definition."""
    return decide(RESUME, experiment, root).is_up_to_date


def why_of_others(root: Path) -> str | None:
    """Return why the schema is not made of just the experiments that there are; None if it is."""
    there = {experiment.built(KEYS).as_posix() for experiment in all_experiments(root)}
    made_of = {name for name in Record.read(record_path(SCHEMA, ALL, root)).files if name.endswith(f"/{KEYS}")}
    return None if there == made_of else "There are other experiments than those that it was made of."
