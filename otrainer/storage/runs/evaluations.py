"""What a run's checkpoints came to on parts of the data: evaluation.json in its folder, one entry for each of them.

Whoever wrote that file may have meant something else by its name: what does not read as ours is left alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.errors import ConfigError, nearest
from otrainer.storage.canonical_json import read_json, write_json
from otrainer.storage.project import display_path
from otrainer.storage.runs.ownership import refuse_links

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed import StrPath

EVALUATIONS = "evaluation.json"
KIND, VERSION = "otrainer.evaluations", 1
SPLITS = ("val", "test", "train")
BEST, LAST = "best", "last"
# In the run's folder: arrays that were kept of an evaluation.
FORMS = ("npz", "parquet")
PREDICTIONS = re.compile(rf"predictions/[\w.+-]+\.({'|'.join(FORMS)})")
ODD = re.compile(r"[^\w.+-]+")
TEXTS, COUNTS, MAPPINGS = ("split", "checkpoint", "file"), ("step", "batches"), ("values", "made_of")


class Asked(NamedTuple):
    """What is to be evaluated: a split of the data, a checkpoint by name or path, and in what form outputs are kept.

    Without a form none are.
    """

    split: str = SPLITS[0]
    checkpoint: str = ""
    predictions: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Asked:
        """Return what the variables of a command line ask for."""
        split = variables.get("SPLIT") or SPLITS[0]
        form = {"0": "", "1": FORMS[0]}.get(kept := variables.get("PREDICTIONS", ""), kept)
        return cls(split, variables.get("CHECKPOINT", ""), form)

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def checkpoint_of(run_dir: Path, run: Mapping[str, Any], asked: str, root: Path) -> tuple[str, Path]:
    """Return the checkpoint that is asked for, by the name of an evaluation, and its path.

    Without a name it is the best one, where the run has one, else the last. Raises ConfigError where there is none.
    """
    by_name = {Path(output).stem: run_dir / output for output in run["outputs"] if output.endswith(".pt")}
    name = asked.removesuffix(".pt") or next((each for each in (BEST, LAST) if each in by_name), "")
    if name in by_name:
        return name, by_name[name]
    if not asked and by_name:
        return list(by_name.items())[-1]
    if asked and (root / asked).is_file():
        return display_path(asked, root), root / asked
    shown = display_path(run_dir, root)
    there = f"It has {', '.join(by_name)}." if by_name else "It has saved none."
    hint = "Name one of these, or the path of a file." if by_name else "Add a cb.model_checkpoint, or name a file."
    raise ConfigError(
        f"`{shown}` has no checkpoint `{asked or LAST}`. {there}",
        title="checkpoint not found",
        suggestions=nearest(asked, by_name) if asked else (),
        hint=hint,
    )


def read_evaluations(run_dir: StrPath) -> list[dict[str, Any]]:
    """Return the evaluations in a run's folder; those that do not read as ours are left out."""
    try:
        data = read_json(Path(run_dir) / EVALUATIONS)
    except (OSError, ValueError):
        return []
    if not is_ours(data):
        return []
    return [each for each in data["evaluations"] if is_evaluation(each)]


def found_in(evaluations: Iterable[dict[str, Any]], split: str, checkpoint: str) -> dict[str, Any] | None:
    return next((each for each in evaluations if (each["split"], each["checkpoint"]) == (split, checkpoint)), None)


def keep_evaluation(run_dir: Path, entry: Mapping[str, Any]) -> None:
    """Write an evaluation beside the others, in the place of an earlier one of its split and checkpoint.

    Raises ConfigError where something else has the name of the file, OSError where it cannot be written. Call it under
    the lock of the run.
    """
    refuse_foreign_evaluations(run_dir)
    which = (entry["split"], entry["checkpoint"])
    others = [each for each in read_evaluations(run_dir) if (each["split"], each["checkpoint"]) != which]
    ordered = sorted([*others, dict(entry)], key=lambda each: (each["split"], each["checkpoint"]))
    write_json(run_dir / EVALUATIONS, {"kind": KIND, "version": VERSION, "evaluations": ordered})


def remove_predictions(run_dir: Path, split: str, checkpoint: str) -> None:
    """Remove what was kept of an earlier evaluation, which speaks of other weights, data or code than the one to come.

    Raises OSError where it cannot be removed.
    """
    earlier = found_in(read_evaluations(run_dir), split, checkpoint) or {}
    if PREDICTIONS.fullmatch(str(earlier.get("predictions"))):
        (run_dir / str(earlier["predictions"])).unlink(missing_ok=True)


def refuse_foreign_evaluations(run_dir: Path) -> None:
    """Raise ConfigError where a link, or a file that is none of ours, has the name of the file of evaluations."""
    path = run_dir / EVALUATIONS
    refuse_links((path,))
    try:
        data = read_json(path)
    except FileNotFoundError:
        return
    except ValueError:
        data = None
    if not is_ours(data):
        message = f"`{display_path(path)}` is no file of evaluations, and one would take its place."
        raise ConfigError(message, title="name taken", hint="Move what is there.")


def predictions_of(split: str, checkpoint: str, form: str) -> str:
    """Return where the outputs of an evaluation are kept in one of the forms, from the run's folder."""
    return f"predictions/{split}-{ODD.sub('_', checkpoint)}.{form}"


def files_of_evaluations(run_dir: StrPath) -> list[str]:
    """Return which files in a run's folder are of its evaluations."""
    found = read_evaluations(run_dir)
    kept = [str(each["predictions"]) for each in found if PREDICTIONS.fullmatch(str(each.get("predictions")))]
    return [EVALUATIONS, *kept] if found else []


def is_ours(data: Any) -> bool:
    return isinstance(data, dict) and data.get("kind") == KIND and isinstance(data.get("evaluations"), list)


def is_evaluation(data: Any) -> bool:
    """Return whether the fields of an entry are what they have to be."""
    return (
        isinstance(data, dict)
        and all(isinstance(data.get(name), str) for name in TEXTS)
        and all(is_count(data.get(name)) for name in COUNTS)
        and all(isinstance(data.get(name), dict) for name in MAPPINGS)
        and all(value is None or is_number(value) for value in data["values"].values())
    )


def is_count(value: Any) -> bool:
    return is_number(value) and value >= 0


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
