"""metric.torchmetrics: any class by name, one instance a stage, fed by path."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import torchmetrics
from torchmetrics import classification, wrappers

from otrainer.components.metrics import TorchMetric, flat, snake_case
from otrainer.engine.arrays import Array
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


def of_classes(name: str = "Accuracy") -> Any:
    return getattr(classification, f"Multiclass{name}")(3, average=None if name == "Precision" else "macro")


# Wrappers and collections, with what they are made of, and the kind of what they see.
HOLDERS: dict[str, tuple[dict[str, Any], str]] = {
    "wrappers.BootStrapper": ({"base_metric": of_classes(), "num_bootstraps": 3}, "classes"),
    "wrappers.ClasswiseWrapper": ({"metric": of_classes("Precision")}, "classes"),
    "wrappers.MinMaxMetric": ({"base_metric": of_classes()}, "classes"),
    "wrappers.MultioutputWrapper": ({"base_metric": torchmetrics.MeanSquaredError(), "num_outputs": 3}, "numbers"),
    "wrappers.Running": ({"base_metric": torchmetrics.MeanSquaredError(), "window": 2}, "numbers"),
    "MetricCollection": ({"metrics": [of_classes(), of_classes("Recall"), of_classes("AUROC")]}, "classes"),
    "PearsonCorrCoef": ({"num_outputs": 3}, "numbers"),
    "SpearmanCorrCoef": ({"num_outputs": 3}, "numbers"),
}


def batch(kind: str, seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    outputs = torch.randn(9, 3).softmax(-1)
    return {"outputs": outputs, "targets": torch.randint(0, 3, (9,)) if kind == "classes" else torch.randn(9, 3)}


def through_a_file(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", HOLDERS)
def test_one_that_is_stopped_anywhere_comes_to_what_torchmetrics_itself_does(name: str) -> None:
    kwargs, kind = HOLDERS[name]
    metric: Any = TorchMetric(name, kwargs=kwargs, name="m")
    plain = getattr(torchmetrics, name) if "." not in name else getattr(wrappers, name.partition(".")[2])
    plain = plain(**{key: value.clone() if hasattr(value, "clone") else value for key, value in kwargs.items()})
    for seed in range(5):
        metric.update(**batch(kind, seed), stage="val")
        metric.update(**batch(kind, seed + 9), stage="train")
        metric, before = TorchMetric(name, kwargs=kwargs, name="m"), metric
        metric.load_state_dict(through_a_file(before.state_dict()))
        data = batch(kind, seed)
        plain.update(data["outputs"], data["targets"])

    found = {key: value for key, value in metric.compute().items() if key.startswith("val_m")}
    assert len(found) >= 1
    assert found == flat("val_m", plain.compute())
    assert not any("__" in key for key in metric.compute())


def test_metrics_in_another_are_written_as_mappings_at_any_depth() -> None:
    mae = {"metric": "wrappers.MinMaxMetric", "args": [{"metric": "MeanAbsoluteError"}]}
    kwargs = {"metrics": {"mse": {"metric": "MeanSquaredError", "kwargs": {"squared": False}}, "mae": mae}}
    metric = TorchMetric("MetricCollection", kwargs=kwargs, name="of")
    metric.update(outputs=torch.ones(4), targets=torch.full((4,), 3.0), stage="val")

    assert metric.compute() == {"val_of_mse": 2.0, "val_of_raw": 2.0, "val_of_min": 2.0, "val_of_max": 2.0}
    assert "args" in mae, "what the config says stays as it is"


def test_values_of_classes_go_by_the_names_that_a_wrapper_gives_them() -> None:
    recall = {"metric": "classification.MulticlassRecall", "kwargs": {"num_classes": 3, "average": "none"}}
    kwargs = {"metric": recall, "labels": ["cat", "dog", "bird"]}
    metric = TorchMetric("wrappers.ClasswiseWrapper", kwargs=kwargs, name="by")
    metric.update(**RIGHT, stage="val")
    assert metric.compute() == {f"val_by_multiclassrecall_{name}": 1.0 for name in ("cat", "dog", "bird")}


def test_an_unknown_metric_in_another_is_told_at_its_place() -> None:
    with pytest.raises(ConfigError, match="no metric `Acuracy`") as error:
        TorchMetric("MetricCollection", kwargs={"metrics": {"a": {"metric": "Acuracy"}}})
    assert error.value.config_path == ("kwargs", "metrics", "a", "metric")


def test_matrices_curves_and_long_rows_are_arrays_and_short_rows_are_numbers() -> None:
    """A point more on a curve, in the next validation, must not make another kind of it."""
    found = flat("m", {"matrix": torch.eye(2), "roc": (torch.ones(2), torch.ones(3)), "row": torch.ones(2)})
    assert {name: type(value) for name, value in found.items()} == {
        "m_matrix": Array, "m_roc_0": Array, "m_roc_1": Array, "m_row_0": float, "m_row_1": float
    }  # fmt: skip
    assert isinstance(flat("m", torch.ones(33))["m"], Array)
    assert len(flat("m", torch.ones(32))) == 32
    assert isinstance(flat("m", torch.ones(0))["m"], Array)


def test_metrics_in_another_are_not_shared_by_training_and_validation() -> None:
    metric = TorchMetric("wrappers.MinMaxMetric", kwargs={"base_metric": of_classes()}, name="m")
    metric.update(**RIGHT, stage="train")
    metric.update(**WRONG, stage="val")

    assert (metric.compute()["train_m_raw"], metric.compute()["val_m_raw"]) == (1.0, 0.0)
    metric.reset()
    assert metric.compute() == {}


def test_what_earlier_checkpoints_hold_is_loaded() -> None:
    metric = TorchMetric("MeanSquaredError")
    metric.load_state_dict(
        {
            stage: {"updates": 2, "values": {"sum_squared_error": torch.tensor(6.0), "total": torch.tensor(3)}}
            for stage in ("train", "val")
        }
    )

    assert metric.compute() == {"train_mean_squared_error": 2.0, "val_mean_squared_error": 2.0}


def test_no_name_has_two_underscores_in_a_row_and_none_is_lost() -> None:
    assert flat("val_m", {"_a": 1, "b": torch.tensor([2, 3]), "_": 4}) == {
        "val_m_a": 1,
        "val_m_b_0": 2,
        "val_m_b_1": 3,
        "val_m__": 4,
    }
    assert flat("val_m_", {"a": 1}) == {"val_m_a": 1}
    assert flat("val_m", {"a": 1, "_a": 2}) == {"val_m_a": 1, "val_m__a": 2}
    names = [name for name, value in vars(classification).items() if isinstance(value, type)]
    names += ["R2Score", "BLEUScore", "SacreBLEUScore", "CHRFScore", "PearsonCorrCoef", "KLDivergence", "MeanIoU"]
    assert not [name for name in names if "__" in snake_case(name)]
    assert [snake_case(name) for name in ("R2Score", "MulticlassF1Score", "BLEUScore", "MulticlassAUROC")] == [
        "r2_score",
        "multiclass_f1_score",
        "bleu_score",
        "multiclass_auroc",
    ]


def test_whole_numbers_stay_whole_and_lists_are_named_by_their_places() -> None:
    value = {"true": torch.tensor(3), "share": torch.tensor(0.5), "deep": [{"a": 1}]}
    assert flat("m", value) == {
        "m_true": 3, "m_share": 0.5,
        "m_deep_0_a": 1,
    }  # fmt: skip
    assert type(flat("m", torch.tensor(3))["m"]) is int
