"""loss.torch: any loss of torch, on the tensors that its paths pick, with class weights where it takes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from otrainer.components.loss import TorchLoss
from otrainer.components.tensors import tensor
from otrainer.errors import ConfigError
from otrainer.registry import build_registry, instantiate_value

OUT, TARGET = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])


def built(spec: dict[str, Any]) -> Any:
    return instantiate_value(spec, registry=build_registry())


def test_the_only_output_and_the_only_target_need_no_path() -> None:
    expected = torch.nn.functional.cross_entropy(OUT, TARGET)
    loss = TorchLoss(torch.nn.CrossEntropyLoss())

    assert loss(outputs=OUT, targets={"y": TARGET}).loss == expected
    assert loss(outputs={"logits": OUT}, targets=TARGET).loss == expected


def test_paths_pick_the_tensors() -> None:
    loss = TorchLoss(torch.nn.CrossEntropyLoss(), pred_path=["heads", 1], target_path=["b"])

    assert loss(outputs={"heads": (None, OUT)}, targets={"a": None, "b": TARGET}).loss.ndim == 0


@pytest.mark.parametrize(
    ("outputs", "targets", "path"),
    [
        ({"a": OUT, "b": OUT}, TARGET, ("loss",)),
        (OUT, {"a": TARGET, "b": TARGET}, ("loss",)),
    ],
)
def test_several_values_need_a_path(outputs: Any, targets: Any, path: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="must say which one to use") as error:
        TorchLoss(torch.nn.CrossEntropyLoss())(outputs=outputs, targets=targets)

    assert error.value.config_path == path


def test_class_weights_come_from_the_config() -> None:
    weight = {"_type_": "tensor", "data": [1.0, 2.0, 3.0]}
    loss = built({"_type_": "loss.torch", "fn": {"_type_": "nn.CrossEntropyLoss", "weight": weight}})
    expected = torch.nn.functional.cross_entropy(OUT, TARGET, weight=torch.tensor([1.0, 2.0, 3.0]))

    assert loss(outputs=OUT, targets=TARGET).loss == expected


def test_a_loss_keeps_its_own_parameters_and_not_its_configuration() -> None:
    class Learnt(torch.nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.register_buffer("scale", torch.tensor(scale))

    first, second = TorchLoss(Learnt(2.0)), TorchLoss(Learnt(3.0))
    with torch.no_grad():
        first.fn.weight.fill_(5.0)  # type: ignore[attr-defined]  # it is a Learnt
    second.load_state_dict(first.state_dict())

    assert {key: float(value) for key, value in second.fn.state_dict().items()} == {"weight": 5.0, "scale": 3.0}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        ([1, 2], None, torch.int64),
        ([[1.5]], None, torch.float32),
        ([1], "float64", torch.float64),
        (1, "bool", torch.bool),
    ],
)
def test_tensors_have_the_dtype_of_their_numbers_or_the_one_asked_for(data: Any, dtype: Any, expected: Any) -> None:
    assert tensor(data, dtype).dtype == expected


def test_what_is_no_tensor_is_told() -> None:
    with pytest.raises(ConfigError) as error:
        built({"_type_": "tensor", "data": [1], "dtype": "flaot32"})
    assert (error.value.config_path, error.value.suggestions[0]) == (("dtype",), "float32")
    with pytest.raises(ConfigError, match="nested lists of numbers of one shape"):
        built({"_type_": "tensor", "data": [[1], [1, 2]]})
