"""metric.torchmetrics: any class by name, one instance a stage, fed by path."""

from __future__ import annotations

import pytest
import torch

from otrainer.components.metrics import TorchMetric
from otrainer.errors import ConfigError

CLASSES = {"task": "multiclass", "num_classes": 3}
RIGHT = {"outputs": torch.eye(3), "targets": {"y": torch.tensor([0, 1, 2])}}
WRONG = {"outputs": torch.eye(3), "targets": {"y": torch.tensor([1, 2, 0])}}


def test_training_and_validation_do_not_mix_and_a_reset_begins_anew() -> None:
    metric = TorchMetric("Accuracy", kwargs=CLASSES)
    metric.update(**RIGHT, stage="train")
    metric.update(**WRONG, stage="val")

    assert metric.compute() == {"train_accuracy": 1.0, "val_accuracy": 0.0}
    metric.reset()
    assert metric.compute() == {}
    metric.update(**RIGHT, stage="val")
    assert metric.compute() == {"val_accuracy": 1.0}


def test_paths_pick_the_tensors_and_the_name_is_the_users() -> None:
    metric = TorchMetric("MeanAbsoluteError", pred_path=["out", 0], target_path=["deep", "y"], name="mae")
    outputs, targets = {"out": [torch.zeros(2)], "other": None}, {"deep": {"y": torch.ones(2)}}
    metric.update(outputs=outputs, targets=targets, stage="val")

    assert metric.compute() == {"val_mae": 1.0}


def test_names_reach_into_modules_and_results_of_several_values_are_named_each() -> None:
    metric = TorchMetric("classification.MulticlassRecall", kwargs={"num_classes": 3, "average": "none"})
    metric.update(**RIGHT, stage="val")

    assert metric.compute() == {f"val_multiclass_recall_{index}": 1.0 for index in range(3)}


def test_its_state_can_be_kept_and_loaded() -> None:
    metric, other = TorchMetric("Accuracy", kwargs=CLASSES), TorchMetric("Accuracy", kwargs=CLASSES)
    metric.update(**WRONG, stage="train")
    metric.update(**RIGHT, stage="train")
    other.load_state_dict(metric.state_dict())
    other.update(**RIGHT, stage="train")

    assert other.compute() == {"train_accuracy": pytest.approx(2 / 3)}
    assert metric.compute() == {"train_accuracy": 0.5}


def test_an_unknown_name_comes_with_the_nearest_ones() -> None:
    with pytest.raises(ConfigError, match="no metric `Acuracy`") as error:
        TorchMetric("Acuracy")

    assert error.value.suggestions[0] == "Accuracy"


def test_several_targets_need_a_path() -> None:
    metric = TorchMetric("Accuracy", kwargs=CLASSES)
    with pytest.raises(ConfigError, match="`target_path` must say which"):
        metric.update(outputs=torch.eye(3), targets={"y": 1, "z": 2}, stage="train")
