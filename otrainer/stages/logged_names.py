"""Find before training which metrics would log under one name, and which monitors name what no validation can log.

What is told is sure: where a part of the user's may log something, nothing is known, and training looks itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.components.metrics import snake_case
from otrainer.errors import ConfigPath, Finding, nearest
from otrainer.stages.named_sets import named_sets

if TYPE_CHECKING:
    from otrainer.registry import Registry

OURS = "metric.torchmetrics"
MEAN = "train_"  # what means of training values over an epoch begin with
MEAN_LOSS = f"{MEAN}loss"
DEFAULTS = {"cb.early_stopping": "val_loss", "cb.model_checkpoint": None}  # what is watched where nothing is said


class Watched(NamedTuple):
    """A name that is watched, and the place that says so."""

    name: str
    path: ConfigPath


def name_mistakes(config: Mapping[str, Any], registry: Registry) -> Iterator[Finding]:
    """Yield metrics of one name, and monitors that are sure to find nothing."""
    metrics = specs_of(config, "metrics")
    yield from taken_names(metrics)
    callbacks = specs_of(config, "callbacks")
    acting = [*callbacks, *specs_of(config, "trainer")]  # of the user's, they may log what they like
    if not validates(config) or not all(is_ours(spec, registry) for spec in acting):
        return
    only_ours = all(spec.get("_type_") == OURS for spec in metrics)
    all_known = only_ours and all(is_ours(spec, registry) for spec in specs_of(config, "loss"))
    nothing = only_ours and lacks_validation(config)
    logged = list(dict.fromkeys(["val_loss", *(f"val_{name}" for name in map(logged_name, metrics) if name)]))
    logged += [f"{value}/{name}" for name in named_sets(config.get("data")) for value in logged]
    means = next(iter(specs_of(config, "trainer")), {}).get("log_epoch_means") is True
    for each in watched(config, callbacks):
        if means and each.name.startswith(MEAN) and each.path[0] == "callbacks":
            finding = judged_mean(each) if all(is_ours(spec, registry) for spec in specs_of(config, "loss")) else None
        else:
            finding = judged(each, [] if nothing else logged, all_known=all_known)
        if finding:
            yield finding


def specs_of(config: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    """Return a section's specs, with arguments under `_kwargs_` beside the others."""
    value = config.get(section)
    specs = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, Mapping)]
    return [{**spec, **spec["_kwargs_"]} if isinstance(spec.get("_kwargs_"), Mapping) else spec for spec in specs]


def is_ours(spec: Mapping[str, Any], registry: Registry) -> bool:
    key = spec.get("_type_")
    return isinstance(key, str) and key in registry and registry.get_module(key).at is None


def logged_name(spec: Mapping[str, Any]) -> str | None:
    """Return the name under which a built-in metric logs, None for one whose name the config does not show."""
    if spec.get("_type_") != OURS or "_args_" in spec or not isinstance(spec.get("metric"), str):
        return None
    name = spec.get("name") or snake_case(spec["metric"].rpartition(".")[2])
    return name if isinstance(name, str) else None


def taken_names(metrics: list[Mapping[str, Any]]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, spec in enumerate(metrics):
        if (name := logged_name(spec)) is None:
            continue
        path = ("metrics", index, "name") if "name" in spec else ("metrics", index)
        hint = "Give one of them a `name` of its own."
        if first.setdefault(name, index) != index:
            yield Finding(f"Two metrics would log as `{name}`.", "metrics of one name", path, hint=hint)
        elif name == "loss":
            message = "A metric would log as `val_loss`, which is what the loss itself logs."
            yield Finding(message, "name is taken", path, hint="Give the metric another `name`.")


def validates(config: Mapping[str, Any]) -> bool:
    """Return whether any epoch is validated; else nothing is ever looked at."""
    trainer = next(iter(specs_of(config, "trainer")), {})
    epochs, every = trainer.get("max_epochs"), trainer.get("val_every_n_epochs", 1)
    if any(trainer.get(name) is not None for name in ("val_every_n_steps", "val_every_n_minutes")):
        return True
    if epochs is None and any(trainer.get(name) is not None for name in ("max_steps", "max_time")):
        return True
    return (every if isinstance(every, int) else 1) <= (epochs if isinstance(epochs, int) else 1)


def lacks_validation(config: Mapping[str, Any]) -> bool:
    """Return whether the arguments of built-in data say that there is no part to validate on."""
    data = next(iter(specs_of(config, "data")), {})
    if data.get("_type_") == "data.dataset":
        split = data.get("split")
        splits = bool(data.get("fold")) or (isinstance(split, Mapping) and bool(split.get("val")))
        return data.get("val") is None and not splits and "_args_" not in data
    return data.get("_type_") == "data.random_regression" and data.get("val_steps_per_epoch") == 0


def watched(config: Mapping[str, Any], callbacks: list[Mapping[str, Any]]) -> Iterator[Watched]:
    """Yield what built-in callbacks and the scheduler watch."""
    for index, spec in enumerate(callbacks):
        name = spec.get("monitor", DEFAULTS.get(str(spec.get("_type_"))))
        if isinstance(name, str) and "_args_" not in spec and not is_of_steps(spec, name):
            yield Watched(name, ("callbacks", index, "monitor") if "monitor" in spec else ("callbacks", index))
    for spec in specs_of(config, "scheduler"):
        name = spec.get("monitor")
        if spec.get("_type_") == "sched_factory.torch" and spec.get("interval") == "metric" and isinstance(name, str):
            yield Watched(name, ("scheduler", "monitor"))


def is_of_steps(spec: Mapping[str, Any], name: str) -> bool:
    """Return whether a built-in callback watches a value that steps log, which is known once there is one."""
    if spec.get("_type_") != "cb.early_stopping":
        return False
    return spec.get("every") == "step" or (spec.get("every") == "epoch" and not name.startswith(MEAN))


def judged_mean(each: Watched) -> Finding | None:
    """Return what is wrong with the name of a mean over an epoch, where the loss is one of ours and logs nothing."""
    if each.name == MEAN_LOSS:
        return None
    message = f"`{each.name}` is watched, and epochs log `{MEAN_LOSS}` alone of training."
    hint = "The means over an epoch are those of the loss, and of what it logs."
    return Finding(message, "unknown monitor", each.path, suggestions=nearest(each.name, [MEAN_LOSS]), hint=hint)


def judged(each: Watched, logged: list[str], *, all_known: bool) -> Finding | None:
    """Return what is wrong with a name that is watched, if it is sure that no validation logs it."""
    name, path = each
    if not logged:
        message = f"`{name}` is watched, and there are no data to validate on."
        hint = "Give the run validation data, or watch nothing."
        return Finding(message, "nothing to watch", path, hint=hint)
    listed = ", ".join(f"`{known}`" for known in logged)
    if name.startswith("train"):
        message = f"`{name}` is watched, and what begins with `train` is not logged by validation."
        near = nearest(f"val{name.removeprefix('train')}", logged, most=1) or ("val_loss",)
        hint = f"Validation logs {listed}. Epochs log `{MEAN_LOSS}` with `log_epoch_means: true` in `trainer`."
        return Finding(message, "unknown monitor", path, suggestions=near, hint=hint)
    if not all_known or any(name == known or name.startswith(f"{known}_") for known in logged):
        return None
    message = f"`{name}` is watched, and validation does not log it. It logs {listed}."
    hint = "Name one of these, or add a metric that logs it."
    return Finding(message, "unknown monitor", path, suggestions=nearest(name, logged), hint=hint)
