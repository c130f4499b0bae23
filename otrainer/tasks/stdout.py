"""`doit validate FORMAT=json`: stdout is one document, and everything that people read goes to stderr."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from otrainer.errors import Finding

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
        with suppress(BrokenPipeError), os.fdopen(self._stdout, "w", encoding="utf-8") as out:
            out.write(text)
