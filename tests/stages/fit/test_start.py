"""Where a run goes on from, and what keeps it from that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otrainer.engine.checkpoint.writer import write_checkpoint
from otrainer.errors import ConfigError
from otrainer.stages.fit.start import continued


def test_a_checkpoint_that_cannot_be_read_is_no_damaged_one_and_nothing_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mounted folder that comes back later would else cost the steps since the checkpoint before."""
    last, state = tmp_path / "last.pt", {"model": {}, "train_state": {"global_step": 1}}
    write_checkpoint(state, (last,))
    write_checkpoint(state, (last,))

    def refuse(path: Any, *_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("otrainer.engine.checkpoint.file_format.open", refuse, raising=False)
    with pytest.raises(ConfigError, match=r"last.pt` cannot be read: Permission denied") as error:
        continued([last, tmp_path / "previous.pt"], last, {"global_step": 2, "lineage": []}, tmp_path)

    assert error.value.findings[0].title == "checkpoint cannot be read"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]
