"""Values that schedulers and callbacks watch, by the name under which validation logs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otrainer.engine.epoch_means import PREFIX
from otrainer.errors import ConfigError, ConfigPath, nearest

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

MODES = ("min", "max")
LOSS = "val_loss"  # logged by validation alone


def monitored(ctx: RunContext, name: str, config_path: ConfigPath, key: str = "monitor") -> float:
    """Return the latest validation value called `name`, as `key` says, or the mean of a training value of this epoch.

    Raises ConfigError that lists what there is.
    """
    means = getattr(ctx, "epoch_means", None)
    logs = {**ctx.last_val_logs, **(means.values() if means is not None else {})}
    if name in logs:
        return float(logs[name])
    raise unknown_monitor(name, logs, config_path, key)


def is_mean(ctx: RunContext, name: str) -> bool:
    """Return whether a value is the mean of one of training over an epoch, where these are logged."""
    return getattr(ctx, "epoch_means", None) is not None and name.startswith(PREFIX)


def is_of_now(ctx: RunContext, name: str) -> bool:
    """Return whether a value that is watched is new: a mean of training at its epoch's end, another one validated."""
    return ctx.state.epoch_trained if is_mean(ctx, name) else ctx.validated


def trained(ctx: RunContext, name: str, config_path: ConfigPath) -> float:
    """Return what the last optimizer step logged as `name`; raises ConfigError that lists what there is."""
    logs = ctx.last_train_logs
    if name in logs:
        return float(logs[name])
    logged = ", ".join(f"`{key}`" for key in logs)
    hint = "Name a value that each step logs, such as `loss`; those of validation are watched `every: validation`."
    if name.startswith(PREFIX):
        hint = "Means over an epoch, such as `train_loss`, are there with `log_epoch_means: true` in `trainer`."
    raise ConfigError(
        f"`monitor: {name}` names a value that training did not log. It logged {logged}.",
        title="unknown monitor",
        config_path=(*config_path, "monitor"),
        suggestions=nearest(name, logs),
        hint=hint,
    )


def unknown_monitor(name: str, logs: Mapping[str, Any], config_path: ConfigPath, key: str = "monitor") -> ConfigError:
    """Report a value that is watched and that validation does not log, with what there is."""
    path = (*config_path, key)
    if not logs or name == LOSS:
        message = f"`{name}` is watched, and there are no data to validate on."
        hint = f"Give the run validation data, or leave out what watches `{name}`."
        return ConfigError(message, title="nothing to watch", config_path=path, hint=hint)
    logged = ", ".join(f"`{key}`" for key in logs)
    return ConfigError(
        f"`{key}: {name}` names a value that validation did not log. It logged {logged}.",
        title="unknown monitor",
        config_path=path,
        suggestions=nearest(name, logs),
        hint="Name a value that validation logs, such as `val_loss`.",
    )


def place_of(callback: Any, ctx: RunContext) -> ConfigPath:
    """Return the path of the config at which a callback is listed, as far as it is one of the run."""
    return next((("callbacks", at) for at, each in enumerate(ctx.callbacks) if each is callback), ("callbacks",))


def check_mode(mode: str) -> None:
    """Raise ValueError unless `mode` is `min` or `max`."""
    if mode not in MODES:
        raise ValueError(f"mode is `min` (less is better) or `max`, not `{mode}`")


def improves(value: float, best: float | None, mode: str, min_delta: float = 0.0) -> bool:
    """Return whether `value` is better than `best` by more than `min_delta`; NaN never is."""
    if best is None:
        return value == value
    return value < best - min_delta if mode == "min" else value > best + min_delta
