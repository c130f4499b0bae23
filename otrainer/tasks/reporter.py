"""What doit prints: a line for each stage, and each failure once, as it was drawn.

doit exits with 0 if all went well, with 1 if anything failed (a mistake in a config included), with 130 after SIGINT
and with 143 after SIGTERM.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from doit.exceptions import BaseFail, TaskFailed, UnmetDependency  # type: ignore[import-untyped]  # doit ships no types
from doit.reporter import ConsoleReporter  # type: ignore[import-untyped]  # doit ships no types

if TYPE_CHECKING:
    from otrainer.tasks.interrupts import Interrupts


class StageFailed(TaskFailed):  # type: ignore[misc]  # doit ships no types
    """A stage ended badly; the message is a drawn diagnostic."""


class StageReporter(ConsoleReporter):  # type: ignore[misc]  # doit ships no types
    """`.  fit:x` when a stage executes, `-- fit:x` when it is up to date; groups and answers have no such line."""

    interrupts: Interrupts

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self.failed = False
        self.told: dict[str, str] = {}

    def execute_task(self, task: Any) -> None:
        if not (task.meta and task.meta.get("query")):
            super().execute_task(task)

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        self.failed = True
        if not isinstance(fail, UnmetDependency):  # what it waited for has told its own failure
            report = fail.message if isinstance(fail, StageFailed) else f"{task.name} ── {fail.get_msg().strip()}"
            first = self.told.setdefault(report, task.name)
            # One mistake in a file that a hundred experiments include is one mistake.
            self.tell(report if first == task.name else f"{task.name} ── the same as in {first}")
        self.interrupts.stop_if_asked()

    def add_success(self, task: Any) -> None:
        self.interrupts.stop_if_asked()

    def complete_run(self) -> None:
        for message in self.runtime_errors:
            self.tell(message)
        self.interrupts.stop_if_asked()
        if self.failed:
            raise SystemExit(1)  # doit itself would tell failures from errors, and give 2 where a stage was left out

    def tell(self, text: str) -> None:
        """Write to stderr, after what was said before."""
        self.outstream.flush()
        print(text, file=sys.stderr, flush=True)
