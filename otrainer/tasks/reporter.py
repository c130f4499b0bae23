"""Report what doit does: a line for each stage, and each failure once.

doit exits with 0 if all went well, with 1 if anything failed (a mistake in a config included), with 128 + its number
after a signal: 130 for SIGINT, 143 for SIGTERM. With `doit validate FORMAT=json` stdout is one document, written at the
end unless a signal ends doit, and everything that people read goes to stderr.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from doit.exceptions import BaseFail, TaskFailed, UnmetDependency  # type: ignore[import-untyped]  # doit ships no types
from doit.reporter import ConsoleReporter  # type: ignore[import-untyped]  # doit ships no types

from otrainer.errors import Finding
from otrainer.storage.lasting_streams import Lasting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from otrainer.diagnostics.deduplicate import Deduplicator
    from otrainer.tasks.interrupts import Interrupts

LONG = ("fit", "resume", "evaluate", "verify-resume")
STDOUT, STDERR = 1, 2


class Document:
    """Takes stdout for itself: whatever this process, its workers and their plugins print there lands on stderr."""

    def __init__(self, form: str, root: Path) -> None:
        self.form, self.root = form, root
        self.files: Mapping[str, str] = {}
        sys.stdout.flush()
        self._stdout = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)

    def write(self, findings: Iterable[Finding]) -> None:
        """Write the document; nothing comes after it."""
        from otrainer.diagnostics.documents import document

        text = document(self.form, findings, self.root, self.files)
        with os.fdopen(self._stdout, "w", encoding="utf-8") as out:
            Lasting(out, stops=True).write(text)


class StageFailed(TaskFailed):  # type: ignore[misc]  # doit ships no types
    """A stage ended badly, and its findings say how."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        super().__init__("a stage failed")
        self.findings = tuple(findings)


class StageReporter(ConsoleReporter):  # type: ignore[misc]  # doit ships no types
    """`.  fit:x` when a stage executes, `-- fit:x` when it is up to date; groups and answers have no such line.

    Findings wait until all checks are through, so that a mistake in a file that a hundred experiments include is told
    once; but they are not held back by a training.
    """

    interrupts: Interrupts
    document: Document | None = None

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        # doit asks for stdout when it is imported, before there is one that lasts.
        super().__init__(sys.stdout if outstream in (None, sys.__stdout__) else outstream, options)
        self.failed = False

    @cached_property
    def gathered(self) -> Deduplicator:
        from otrainer.diagnostics.deduplicate import Deduplicator

        return Deduplicator()

    def execute_task(self, task: Any) -> None:
        if task.name.partition(":")[0] in LONG:
            self.tell()
        if not (task.meta and task.meta.get("query")):
            super().execute_task(task)

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        self.failed = True
        if not isinstance(fail, UnmetDependency):  # what it waited for has told its own failure
            self.gathered.add(fail.findings if isinstance(fail, StageFailed) else [unforeseen(task, fail)])
        self.interrupts.stop_if_asked()

    def add_success(self, task: Any) -> None:
        self.interrupts.stop_if_asked()

    def complete_run(self) -> None:
        if self.runtime_errors:
            self.gathered.add(Finding(message, "doit cannot go on") for message in self.runtime_errors)
        self.tell()
        self.interrupts.stop_if_asked()
        if self.document:
            self.document.write(self.gathered.all())
        if self.failed:
            raise SystemExit(1)  # doit itself would tell failures from errors, and give 2 where a stage was left out

    def tell(self) -> None:
        """Show on stderr, after what was said before, the findings that are new."""
        if "gathered" not in self.__dict__:
            return
        from otrainer.diagnostics.drawing import show

        fresh, repeated = self.gathered.take_new()
        if fresh or repeated:
            self.outstream.flush()
            show(fresh, repeated, sys.stderr)


def unforeseen(task: Any, fail: BaseFail) -> Finding:
    """Turn doit's own failure of a task into a finding."""
    return Finding(fail.message, "task failed", details=fail.get_msg().strip(), doing=f"running `{task.name}`")
