"""Data workers end with the run that they load for, however it ended."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest
import torch
from support import fit, small_model

from otrainer.components.data import DatasetDataModule


class Samples:
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.full((4,), float(index)), "y": torch.ones(1)}


@pytest.mark.parametrize("fails", [False, True])
def test_no_worker_outlives_its_run(fails: bool) -> None:
    class Fail:
        def on_train_step_end(self, ctx: Any) -> None:
            if fails and ctx.state.global_step == 3:
                raise KeyError

    others = set(multiprocessing.active_children())  # of loaders that nobody has collected yet
    kept: list[Any] = []
    try:
        data = DatasetDataModule(Samples(), Samples(), batch_size=4, num_workers=2)
        fit(small_model(), data, trainer={"max_epochs": 2}, callbacks=[Fail()])
    except KeyError as error:
        kept.append(error)  # with all frames of the run

    assert len(kept) == fails
    assert set(multiprocessing.active_children()) <= others
