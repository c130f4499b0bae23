"""Say of a failure in which stage it came, and at which batch: a message about a batch may mean either stage's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import ConfigError, Finding

# "rehearsal" is a first batch of validation that is tried before training.
WORDS = {"rehearsal": "in validation, tried before the first step", "val": "in validation", "train": "in training"}
TOLD = "It failed "


@dataclass
class ToldStage:
    """Where a stage is: the number of its batch, from 0, or None where it is at none of them, and its set, if named."""

    stage: str
    batch: int | None = None
    name: str = ""

    @property
    def words(self) -> str:
        named = f", set `{self.name}`" if self.name else ""
        return WORDS[self.stage] + named + ("" if self.batch is None else f", batch {self.batch:,} (counted from 0)")


@contextmanager
def told_stage(stage: str, batch: int | None = None) -> Iterator[ToldStage]:
    """Add to what the block raises that it was in `stage`, at `batch`; set `batch` of what it yields to go on.

    A ConfigError says so in its message, any other exception in a note. What a block within has told of stays as it is,
    and so does an interruption.
    """
    where = ToldStage(stage, batch)
    try:
        yield where
    except TrainingInterrupted:
        raise
    except ConfigError as error:
        told = ConfigError.of(with_words(finding, where.words) for finding in error.findings)
        raise told.with_traceback(error.__traceback__) from error.__cause__
    except Exception as error:
        if stage_of(error) is None:
            error.add_note(where.words)
        raise


def with_words(finding: Finding, words: str) -> Finding:
    if TOLD in finding.message:
        return finding
    text: dict[str, Any] = {"message": f"{finding.message}\n{TOLD}{words}."}
    return replace(finding, **text)


def note_of(error: BaseException) -> str:
    """Return the note on `error` that tells of its stage, nothing where there is none."""
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
    return next((note for note in notes if note.startswith(tuple(WORDS.values()))), "")


def stage_of(error: BaseException) -> str | None:
    """Return the stage that a note on `error` tells of, None where there is no such note."""
    return next((stage for stage, words in WORDS.items() if note_of(error).startswith(words)), None)
