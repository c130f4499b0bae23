"""log.json_lines: rows for programs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from otrainer.components.loggers.array_files import write_arrays
from otrainer.components.loggers.own_rows import drop_own, drop_zeros
from otrainer.components.loggers.row import row_text
from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT, TEXT
from otrainer.storage.atomic import naming, sync_file
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root
from otrainer.storage.runs.ownership import refuse_links


class JsonLinesLogger:
    """Append a JSON object a row to `path`: `{"step", "stage", <name>: <value>, ...}`; what is not finite is null.

    After a resume the file goes on where the checkpoint left it: rows of steps that are trained again are dropped, as
    is what a power cut left of rows, and those of others stay. In a file outside of the run's folder each row also says
    its `run`, by that folder. Through a link inside of it nothing is written.

    Matrices and curves that metrics compute go into `arrays/STAGE-STEP.npz` in the run's folder.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._file: IO[bytes] | None = None
        self._keep: int | None = None
        self._run: str | None = None
        self._out_dir: Path | None = None
        self._stages = {"train", "val", "metrics"}
        self._is_on_disk = True

    def log_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Learn in which folder the run is: a file elsewhere may have rows of other runs. What is too many goes now."""
        out_dir = (hparams.get("run") or {}).get("out_dir")
        self._out_dir = None if out_dir is None else Path(out_dir)
        if out_dir is not None:
            refuse_links(linked_in(Path(out_dir), self.path), ("loggers",))
        if out_dir is not None and not self.path.resolve().is_relative_to(Path(out_dir).resolve()):
            self._run = str(out_dir)
        self._drop_spare()

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int, stage: str) -> None:
        self._stages.add(stage)
        head = {"step": step, "stage": stage, **({} if self._run is None else {"run": self._run})}
        self._write(row_text(head, metrics).encode())

    def log_arrays(self, arrays: Mapping[str, Any], *, step: int, stage: str) -> None:
        if self._out_dir is not None:
            write_arrays(self._out_dir, arrays, step=step, stage=stage)

    def _write(self, row: bytes) -> None:
        """Append a row as a whole, or nothing of it; raises OSError where there is no room."""
        file = self._open()
        before = file.seek(0, os.SEEK_END)
        row = row if ends_line(file, before) else b"\n" + row
        written = 0
        self._is_on_disk = False
        try:
            while written < len(row):
                written += file.write(row[written:])
        except OSError as error:
            if file.seek(0, os.SEEK_END) == before + written:  # nobody has appended since
                file.truncate(before)
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _open(self) -> IO[bytes]:
        if self._file is None:
            refuse_outside(self.path, project_root(), ("loggers",))
            with naming(str(self.path)):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                refuse_what_keeps_no_rows(self.path)
                if self._keep is None and self.path.exists():
                    drop_zeros(self.path)
                self._file = self.path.open("a+b", buffering=0)
            self._drop_spare()
        return self._file

    def _drop_spare(self) -> None:
        """Drop the rows of steps that are trained again; other loggers of this file have not added any yet."""
        if self._keep is not None and self.path.exists():
            refuse_outside(self.path, project_root(), ("loggers",))
            with naming(str(self.path)):
                refuse_what_keeps_no_rows(self.path)
                drop_own(self.path, self._keep, self._run, self._stages)
        self._keep = None

    def state_dict(self) -> dict[str, Any]:
        self._seal()
        # Rows of a stretch before that are too many go once the folder of the run is known, and count already.
        size = self.path.stat().st_size if self.path.exists() else 0
        return {"bytes": size if self._keep is None else self._keep, "stages": sorted(self._stages)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        refuse_misfits(state, {"bytes": COUNT, "stages?": [TEXT]})
        self._keep = state["bytes"]
        self._stages.update(state.get("stages", ()))

    def _seal(self) -> None:
        """Put the rows on the disk: a checkpoint that counts them, and a run that is complete, may not outlive them."""
        if self._file is not None and not self._is_on_disk:
            sync_file(self._file, self.path)
            self._is_on_disk = True

    def close(self) -> None:
        """Close the file; where nothing was logged since a resume, rows that are too many go now."""
        self._drop_spare()
        self._seal()
        if self._file is not None:
            self._file.close()
            self._file = None


def linked_in(folder: Path, path: Path) -> Iterator[Path]:
    """Yield `path` and the folders above it as far as they lie in `folder`, where a link would lead out of it again."""
    inside, top = (Path(os.path.abspath(each)) for each in (path, folder))  # noqa: PTH100 - resolve() follows links
    yield from (each for each in (inside, *inside.parents) if each != top and each.is_relative_to(top))


def refuse_what_keeps_no_rows(path: Path) -> None:
    """Raise OSError for what neither ends nor is read again, as a pipe, whose reader training would wait for."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not (path.is_file() or path.is_char_device()):
        raise OSError(errno.EINVAL, "it is neither a file nor a device")


def ends_line(file: IO[bytes], size: int) -> bool:
    """Return whether a file of this size is empty or ends with a newline: a row that was cut off does not."""
    if size == 0:
        return True
    file.seek(size - 1)
    return file.read(1) == b"\n"
