"""Names that are logged twice, and monitors that are sure to find nothing, are told at validation; nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from otrainer.registry import build_registry
from otrainer.stages.logged_names import name_mistakes

REGISTRY = build_registry()
SAVES = {"_type_": "cb.model_checkpoint", "save_dir": "x"}
ACCURACY = {"_type_": "metric.torchmetrics", "metric": "Accuracy"}
PLATEAU = {"_type_": "sched_factory.torch", "type": "sched_cls.ReduceLROnPlateau", "interval": "metric"}


def found(**changes: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    """Title, path and suggestions of what is wrong with a config of built-in parts."""
    config = {
        "trainer": {"_type_": "trainer.default", "max_epochs": 2},
        "data": {"_type_": "data.random_regression"},
        "loss": {"_type_": "loss.torch", "fn": {"_type_": "nn.MSELoss"}},
    }
    return [
        (each.title, ".".join(map(str, each.config_path)), each.suggestions)
        for each in name_mistakes({**config, **changes}, REGISTRY)
    ]


def test_two_metrics_that_would_log_under_one_name_are_told() -> None:
    other = {**ACCURACY, "name": "other"}
    assert found(metrics=[ACCURACY, other, ACCURACY]) == [("metrics of one name", "metrics.2", ())]
    twin = {"_type_": "metric.torchmetrics", "_kwargs_": {"metric": "MeanSquaredError", "name": "accuracy"}}
    assert found(metrics=[ACCURACY, twin]) == [("metrics of one name", "metrics.1.name", ())]
    assert found(metrics=[ACCURACY, other, {"_type_": "metric.own"}, {"_type_": "metric.own"}]) == []


def test_a_metric_called_loss_is_told() -> None:
    assert found(metrics=[{**ACCURACY, "name": "loss"}]) == [("name is taken", "metrics.0.name", ())]


MISSPELT = [
    ({"callbacks": [{**SAVES, "monitor": "val_los"}]}, "callbacks.0.monitor", ("val_loss",)),
    ({"callbacks": [SAVES, {"_type_": "cb.early_stopping", "monitor": "loss"}]}, "callbacks.1.monitor", ("val_loss",)),
    ({"scheduler": {**PLATEAU, "monitor": "val_loss "}}, "scheduler.monitor", ("val_loss",)),
    (
        {"callbacks": [{**SAVES, "monitor": "val_acuracy"}], "metrics": [ACCURACY]},
        "callbacks.0.monitor",
        ("val_accuracy",),
    ),
]


MEANS = {"_type_": "trainer.default", "max_epochs": 2, "log_epoch_means": True}
STOPS = {"_type_": "cb.early_stopping", "every": "epoch"}


def test_means_of_training_may_be_watched_where_they_are_logged_with_nothing_to_validate_on() -> None:
    nothing = {"_type_": "data.random_regression", "val_steps_per_epoch": 0}
    watching = [{**STOPS, "monitor": "train_loss"}, {**SAVES, "monitor": "train_loss"}]
    assert found(trainer=MEANS, callbacks=watching, data=nothing) == []
    titles = [title for title, _, _ in found(callbacks=watching)]
    assert titles == ["unknown monitor", "unknown monitor"]


def test_a_misspelt_mean_of_training_is_told_unless_the_loss_may_log_it() -> None:
    watching = [{**STOPS, "monitor": "train_los"}]
    misspelt = ("unknown monitor", "callbacks.0.monitor", ("train_loss",))
    assert found(trainer=MEANS, callbacks=watching) == [misspelt]
    assert found(trainer=MEANS, callbacks=watching, loss={"_type_": "loss.own"}) == []


@pytest.mark.parametrize("every", ["step", "epoch"])
def test_what_steps_log_may_be_watched_by_steps_and_epochs(every: str) -> None:
    assert found(callbacks=[{"_type_": "cb.early_stopping", "monitor": "loss", "every": every}]) == []


@pytest.mark.parametrize(("changes", "path", "near"), MISSPELT)
def test_a_misspelt_monitor_is_told_with_the_nearest_name(changes: Any, path: str, near: tuple[str, ...]) -> None:
    ((title, place, suggestions),) = found(**changes)
    assert (title, place, suggestions[:1]) == ("unknown monitor", path, near)


@pytest.mark.parametrize(
    ("monitor", "near"), [("val_loss/nosy", "val_loss/noisy"), ("val_acc/clean", "val_accuracy/clean")]
)
def test_values_of_several_validation_sets_are_known_by_their_names(monitor: str, near: str) -> None:
    data = {"_type_": "data.dataset", "val": {"clean": {"_type_": "dataset.a"}, "noisy": {"_type_": "dataset.b"}}}
    right = [{**SAVES, "monitor": name} for name in ("val_loss", "val_loss/noisy", "val_accuracy/clean")]
    assert found(data=data, callbacks=right, metrics=[ACCURACY]) == []
    ((title, _, suggestions),) = found(data=data, callbacks=[{**SAVES, "monitor": monitor}], metrics=[ACCURACY])
    assert (title, suggestions[0]) == ("unknown monitor", near)


@pytest.mark.parametrize("metrics", [[], [ACCURACY], [{"_type_": "metric.own"}]])
def test_what_begins_with_train_is_no_value_of_validation(metrics: Any) -> None:
    callbacks = [{**SAVES, "monitor": "train_loss"}]
    expected = [("unknown monitor", "callbacks.0.monitor", ("val_loss",))]
    assert found(callbacks=callbacks, metrics=metrics) == expected
    assert found(callbacks=callbacks, metrics=metrics, loss={"_type_": "loss.own"}) == expected


NO_VALIDATION = [
    {"_type_": "data.random_regression", "val_steps_per_epoch": 0},
    {"_type_": "data.dataset", "train": {"_type_": "dataset.own"}},
    {"_type_": "data.dataset", "train": {"_type_": "dataset.own"}, "val": None},
]


@pytest.mark.parametrize("data", NO_VALIDATION)
def test_nothing_can_be_watched_where_there_are_no_data_for_it(data: Any) -> None:
    stopping = {"_type_": "cb.early_stopping"}
    assert found(data=data, callbacks=[SAVES, stopping]) == [("nothing to watch", "callbacks.1", ())]
    assert found(data=data, scheduler={**PLATEAU, "monitor": "val_loss"}) == [
        ("nothing to watch", "scheduler.monitor", ())
    ]
    assert found(data=data, callbacks=[SAVES]) == []


MAY_BE = {
    "a loss of one's own": {"loss": {"_type_": "loss.own"}},
    "a metric of one's own": {"metrics": [{"_type_": "metric.own"}]},
    "a callback of one's own": {"callbacks": [{**SAVES, "monitor": "val_bleu"}, {"_type_": "cb.own"}]},
    "a trainer of one's own": {"trainer": {"_type_": "trainer.own"}},
    "a trainer by its path": {"trainer": {"_target_": "extensions.own.Trainer"}},
    "no validation at all": {"trainer": {"_type_": "trainer.default", "max_epochs": 2, "val_every_n_epochs": 5}},
    "one value of several": {
        "metrics": [{**ACCURACY, "name": "bleu"}], "callbacks": [{**SAVES, "monitor": "val_bleu_2"}],
    },
    "a callback of one's own and no data": {
        "data": NO_VALIDATION[0], "callbacks": [{**SAVES, "monitor": "train_x"}, {"_type_": "cb.own"}],
    },
    "a metric of one's own and no data": {"data": NO_VALIDATION[0], "metrics": [{"_type_": "metric.own"}]},
}  # fmt: skip


@pytest.mark.parametrize("why", MAY_BE)
def test_nothing_is_said_where_a_part_may_log_it(why: str) -> None:
    assert found(**{"callbacks": [{**SAVES, "monitor": "val_bleu"}], **MAY_BE[why]}) == []


@pytest.mark.parametrize(
    "odd", [3, "x", [], [[]], {}, {"_type_": 3}, None, [{}, {}], [{"_kwargs_": 3, "_type_": "cb.early_stopping"}]]
)
@pytest.mark.parametrize("section", ["trainer", "data", "metrics", "callbacks", "scheduler", "loss"])
def test_what_is_no_component_is_left_to_others(section: str, odd: Any) -> None:
    assert found(**{section: odd}) in ([], [("nothing to watch", "callbacks.0", ())])
