"""cb.lr_monitor: the learning rate of each group of parameters, and what else schedules move, as rows of a file."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from otrainer.components.loggers.json_lines import JsonLinesLogger
from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import MAPPING_OR_NONE, NUMBER, Each
from otrainer.engine.rates import named_rates, rate_names
from otrainer.errors import check_positive, check_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otrainer.engine.state import RunContext
    from otrainer.protocols import LossOutput

log = logging.getLogger("otrainer")

STAGE = "rates"


class LrMonitor:
    """Append the learning rates that steps were taken with, `lr` and `lr_<group>`, to a file.

    Loggers have them already, in the row of each step that is logged: this is for another rhythm, and for more. A row
    comes after each optimizer step, or each `every_n_steps` of them, at the end of each `every_n_epochs`, of its last
    step, or with the first step after each `every_n_minutes` of an attempt. With `momentum` rows have `momentum`, or
    `beta1` and `beta2`, of each group too, and with `weight_decay` that. Rows go to `path`, by default to `rates.jsonl`
    in the run's folder; a resume drops those of steps that are trained again.
    """

    only_looks = True

    def __init__(
        self,
        every_n_steps: int | None = None,
        every_n_epochs: int | None = None,
        momentum: bool = False,
        weight_decay: bool = False,
        path: str | None = None,
        every_n_minutes: float | None = None,
    ) -> None:
        check_whole("every_n_steps", every_n_steps, optional=True)
        check_whole("every_n_epochs", every_n_epochs, optional=True)
        check_positive("every_n_minutes", every_n_minutes)
        given = {"every_n_steps": every_n_steps, "every_n_epochs": every_n_epochs, "every_n_minutes": every_n_minutes}
        if len(asked := [name for name, every in given.items() if every is not None]) > 1:
            raise ValueError(f"rows come by {asked[0]} or by {asked[1]}: let one of them be null")
        self.every_n_steps = every_n_steps if asked else 1
        self.every_n_epochs, self.every_n_minutes, self.path = every_n_epochs, every_n_minutes, path
        self._due = 0.0
        self.momentum, self.weight_decay = momentum, weight_decay
        # What the step under way is taken with, beside rates: after it the schedule moves on.
        self._beside: dict[str, float] = {}
        self._rows: JsonLinesLogger | None = None
        self._kept: dict[str, Any] | None = None

    def on_fit_start(self, ctx: RunContext) -> None:
        """Open the file, and drop what a stop left of steps that are trained again."""
        self._rows = JsonLinesLogger(self.path or f"{ctx.run.out_dir}/rates.jsonl")
        if self._kept is not None:
            self._rows.load_state_dict(self._kept)
        self._due = time.monotonic() + 60 * (self.every_n_minutes or 0)
        self._rows.log_hparams({"run": {"out_dir": ctx.run.out_dir}})
        if self.momentum and not any({"momentum", "betas"} & group.keys() for group in ctx.optimizer.param_groups):
            log.warning("cb.lr_monitor: the optimizer has neither momentum nor betas, so no row has any")

    def on_train_batch_end(self, ctx: RunContext, batch: Any, output: LossOutput) -> None:
        """Look at what the step under way is taken with."""
        if self.momentum or self.weight_decay:
            groups = ctx.optimizer.param_groups
            self._beside = {
                f"{what}{name.removeprefix('lr')}": value
                for name, group in zip(rate_names(groups), groups, strict=True)
                for what, value in self._asked_of(group)
            }

    def on_train_step_end(self, ctx: RunContext) -> None:
        """Write a row where steps or minutes are counted."""
        if self.every_n_minutes is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + 60 * self.every_n_minutes
            self._write(ctx)
        if self.every_n_steps is not None and ctx.state.global_step % self.every_n_steps == 0:
            self._write(ctx)

    def on_train_epoch_end(self, ctx: RunContext) -> None:
        """Write a row where epochs are counted."""
        if self.every_n_epochs is not None and (ctx.state.epoch + 1) % self.every_n_epochs == 0:
            self._write(ctx)

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        """Close the file."""
        self._close()

    def on_fit_end(self, ctx: RunContext) -> None:
        """Close the file."""
        self._close()

    def _asked_of(self, group: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        if self.momentum and "momentum" in group:
            yield "momentum", float(group["momentum"])
        if self.momentum:
            yield from ((f"beta{number}", float(beta)) for number, beta in enumerate(group.get("betas", ()), 1))
        if self.weight_decay and "weight_decay" in group:
            yield "weight_decay", float(group["weight_decay"])

    def _write(self, ctx: RunContext) -> None:
        rates = named_rates(ctx.optimizer, getattr(ctx.last_train_logs, "rates", ()))
        if self._rows is not None:
            self._rows.log_metrics({**rates, **self._beside}, step=ctx.state.global_step, stage=STAGE)

    def _close(self) -> None:
        if self._rows is not None:
            self._rows.close()

    def state_dict(self) -> dict[str, Any]:
        rows = self._kept if self._rows is None else self._rows.state_dict()
        return {"rows": rows, "beside": dict(self._beside)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        refuse_misfits(state, {"rows": MAPPING_OR_NONE, "beside": Each(NUMBER)})
        self._kept, self._beside = state["rows"], dict(state["beside"])
