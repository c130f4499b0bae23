"""loss.torch: any loss of torch, on the tensors that its paths pick, with class weights where it takes them."""

from __future__ import annotations

import inspect
import warnings
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


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "MultiMarginLoss"])
def test_class_weights_may_be_whole_numbers(name: str) -> None:
    outputs, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 2])
    loss = TorchLoss(getattr(torch.nn, name)(weight=tensor([1, 1, 2])))(outputs=outputs, targets={"y": labels})

    assert torch.equal(loss.loss, getattr(torch.nn, name)(weight=torch.tensor([1.0, 1.0, 2.0]))(outputs, labels))


def test_a_loss_takes_its_parameters_from_an_older_checkpoint_and_not_its_configuration() -> None:
    class Learnt(torch.nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.register_buffer("scale", torch.tensor(scale))

    loss = TorchLoss(Learnt(3.0))
    loss.load_state_dict({"weight": torch.tensor([5.0])})

    assert {key: float(value) for key, value in loss.fn.state_dict().items()} == {"weight": 5.0, "scale": 3.0}  # type: ignore[attr-defined]


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


def is_two_sided(cls: type[torch.nn.Module]) -> bool:
    """Whether a loss compares a prediction with a target, and is built without arguments."""
    needed = [each.default for each in inspect.signature(cls).parameters.values()]
    return inspect.Parameter.empty not in needed and [*inspect.signature(cls.forward).parameters][2:] == ["target"]


TWO_SIDED = sorted(name for name in dir(torch.nn) if name.endswith("Loss") and is_two_sided(getattr(torch.nn, name)))


@pytest.mark.parametrize("name", TWO_SIDED)
def test_no_loss_of_torch_broadcasts_a_prediction_and_a_target(name: str) -> None:
    """Whichever losses this torch has: what they do not refuse themselves is refused here."""
    loss = TorchLoss(getattr(torch.nn, name)())
    for prediction, target in ((torch.rand(4, 1), torch.rand(4)), (torch.rand(4, 3), torch.rand(1, 3))):
        with warnings.catch_warnings(action="ignore"), pytest.raises((ConfigError, ValueError, RuntimeError)):
            loss(outputs=prediction, targets=target)


def test_what_differs_by_more_than_a_dimension_of_one_is_told_so() -> None:
    loss = TorchLoss(torch.nn.L1Loss())
    with pytest.raises(ConfigError, match=r"float32 \[4, 3\] and the target float64 \[3\]: nn.L1Loss would") as error:
        loss(outputs=torch.zeros(4, 3), targets=torch.zeros(3).double())

    assert error.value.findings[0].hint == "Let the model give the target's shape, or the data the prediction's."
    with pytest.raises(ConfigError) as error:
        loss(outputs=torch.zeros(3), targets=torch.zeros(3, 1))
    assert error.value.findings[0].hint.startswith("Squeeze the target, or unsqueeze the prediction")
