"""A leaf of another kind is one mistake that names part and key, in each part, before any part sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from campaigns.kinds import changed, resume

from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.file_format import write_container
from otrainer.errors import ConfigError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    resume(folder, epochs=1)
    return load_checkpoint(folder / "c/last.pt")


HUGE, META = torch.zeros(1).expand(1 << 40), torch.zeros(3, device="meta")
ODD: list[tuple[tuple[Any, ...], Any, str]] = [
    (("train_state", "global_step"), "2", r"`train_state\.global_step` is a text, not a whole number from 0"),
    (("train_state", "epoch"), -1, r"`train_state\.epoch` is -1"),
    (("train_state", "micro_step_in_epoch"), 2**70, "a very large number"),
    (("train_state", "global_step"), float("nan"), "is nan"),
    (("train_state", "epoch_complete"), [], "not true or false"),
    (("meta", "built"), None, r"`meta\.built` is None, not a mapping"),
    (("rng", "torch"), torch.zeros(3), r"`rng\.torch` is a tensor of float32 \[3\]"),
    (("rng", "python"), {}, r"`rng\.python` has no `version`"),
    (("callbacks", 0), 3, r"`callbacks\[0\]` is 3, not a mapping"),
    (("loggers",), "x", "`loggers` is a text, not a list"),
    (("data",), {"module": None}, "`data` has no `train`"),
    (("flags", "model"), {"training": {"": 1}}, "`flags` is a mapping, not true or false"),
    (("flags",), None, "`flags` is None, not true or false"),
    (("scaler",), {"scale": -1.0}, r"`scaler\.scale` is -1\.0"),
    (("scheduler", "last_epoch"), -3, "`last_epoch` is -3"),
    (("scheduler", "gamma"), "0.1", "`gamma` is a text, not a number"),
    (("optimizer", "param_groups", 0, "lr"), "0.1", r"`param_groups\[0\]\.lr` of the checkpoint is a text"),
    (("optimizer", "param_groups", 0, "params"), None, r"param_groups\[0\]\.params` is None"),
    (("optimizer", "state", 0, "exp_avg"), [0.0], r"`exp_avg` of `model\.0\.weight` is a list"),
    (("optimizer", "state", 0, "exp_avg"), torch.zeros(16, 4, dtype=torch.int64), "tensor of int64"),
    (("optimizer", "state", 0, "exp_avg"), torch.zeros(16, 4).to_sparse(), "tensor"),
    (("optimizer", "state", 0, "step"), torch.tensor(-1.0), "`step` of"),
    (("optimizer", "state", 0, "step"), torch.tensor(float("nan")), "`step` of"),
    (("optimizer", "state", 0), {"step": torch.tensor(2.0)}, r"has no `exp_avg`"),
    (("model", "0.weight"), "x", r"`0\.weight` is \[16, 4\] here and a `str` there"),
    (("model", "0.weight"), torch.zeros(16, 4, dtype=torch.int32), r"int32 \[16, 4\] there"),
    (("model", "0.weight"), torch.zeros(16, 4).to_sparse(), "sparse float32"),
    (("model", "0.weight"), HUGE, r"`model.*` is a tensor of more numbers than are stored"),
    (("loss",), {"attributes": {"a": META}}, r"`loss\.attributes\.a` is a tensor without numbers"),
    (("loggers", 0, "state", "state_dict"), {}, "`JsonLinesLogger` is not what that takes"),
    (("loggers", 0, "state", "state_dict", "bytes"), -1, r"`state_dict\.bytes` is -1, not a whole number from 0"),
    (("loggers", 0, "state", "state_dict", "stages", 0), torch.zeros(3), r"`state_dict\.stages\[0\]` is a tensor"),
    (("callbacks", 0, "state", "state_dict", "steps"), "x", r"`state_dict\.steps` is a text, not a list"),
    (("data", "train", "generators"), "x", r"`data\.train\.generators` is a text, not a mapping"),
    (("data", "train", "beside", "generators"), True, r"`data\.train\.beside\.generators` is True, not a mapping"),
    (("data", "train", "generators", "now"), {"a": 1}, r"`data\.train\.generators\.now\.a` is 1, not a mapping"),
    (("logs", "train", "rows", 0, "loss"), torch.zeros(3), r"`logs\.train\.rows\[0\]\.loss` is a tensor.* one number"),
    (("loss", "attributes"), {"fn": -1}, "`fn` is -1 there, and is called"),
    (("optimizer", "param_groups", 0, "betas"), torch.zeros(3), r"`param_groups\[0\]\.betas` .* not 2 numbers"),
    (("optimizer", "param_groups", 0, "amsgrad"), -1, r"`param_groups\[0\]\.amsgrad` .* is -1, not true or false"),
    (("optimizer", "param_groups", 0, "amsgrad"), True, "With `amsgrad`, group 0 needs `max_exp_avg_sq`"),
    (("optimizer", "state", 1), (), r"state of `model\.0\.bias` is a tuple, not a mapping"),
    (("parameters", "shapes", 0), (), r"`parameters\.shapes` are of other parameters"),
    (("meta", "built", "parameters"), -1, r"`meta\.built\.parameters` is -1, not lists of names"),
    (("parameters", "names"), 7, r"`parameters\.names` is 7"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "told"), ODD)
def test_a_leaf_of_another_kind_is_told_with_its_part_and_key(
    tmp_path: Path, saved: dict[str, Any], place: tuple[Any, ...], value: Any, told: str
) -> None:
    with (tmp_path / "odd.pt").open("wb+") as stream:
        write_container(stream, changed(saved, place, value))
    with pytest.raises(ConfigError, match=told):
        resume(tmp_path, epochs=2, resume_from=str(tmp_path / "odd.pt"))


def test_several_are_told_together(tmp_path: Path, saved: dict[str, Any]) -> None:
    with (tmp_path / "odd.pt").open("wb+") as stream:
        write_container(stream, {**saved, "loss": 3, "callbacks": None})
    with pytest.raises(ConfigError, match=r"`callbacks` is None, not a list; `loss` is 3, not"):
        load_checkpoint(tmp_path / "odd.pt")
