"""log.json_lines: rows for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from otrainer.diagnostics.redaction.values import masked
from otrainer.errors import ConfigError
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root


class JsonLinesLogger:
    """Append a JSON object a row to `path`: `{"step", "stage", <name>: <value>, ...}`.

    After a resume the file goes on where the checkpoint left it: rows of steps that are trained again are dropped.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._file: IO[bytes] | None = None
        self._keep: int | None = None

    def log_metrics(self, metrics: Mapping[str, float], *, step: int, stage: str) -> None:
        row = json.dumps({"step": step, "stage": stage, **metrics}, ensure_ascii=False)
        self._open().write(f"{masked(row)}\n".encode())

    def _open(self) -> IO[bytes]:
        if self._file is None:
            refuse_outside(self.path, project_root(), ("loggers",))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            if self._keep is not None and self._file.tell() > self._keep:
                refuse_foreign_rows(self.path, self._keep)
                self._file.truncate(self._keep)
        return self._file

    def state_dict(self) -> dict[str, Any]:
        return {"bytes": self._open().seek(0, 2)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._keep = state["bytes"]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = self._keep = None


def refuse_foreign_rows(path: Path, start: int) -> None:
    """Raise ConfigError unless all lines of a file from byte `start` on are rows; the last one may be cut off."""
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read().split(b"\n")
    if not all(map(is_row, lines[:-1])):
        message = f"`{path}` holds something else than rows behind those of the checkpoint, which would be dropped."
        hint = "Move what is there, or name another `path`."
        raise ConfigError(message, title="not only rows", config_path=("loggers",), hint=hint)


def is_row(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and {"step", "stage"} <= set(row)
