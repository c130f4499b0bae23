"""Compose a run: build all that a plan names, under the settings of the run."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from otrainer.engine.fitted import refuse_unfitted
from otrainer.engine.numerics import numerics
from otrainer.engine.parts import Parts
from otrainer.engine.seed import seed_everything
from otrainer.engine.starting.load import start_from
from otrainer.engine.starting.section import sources_in
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError
from otrainer.model import assemble, compile_model
from otrainer.model.build import build_module
from otrainer.model.lazy import has_lazy
from otrainer.registry import Built, build_registry, instantiate_value, load_plugins
from otrainer.registry.build.secrets import require_secrets
from otrainer.registry.plugins.build_reads import BuildTracker
from otrainer.stages.checks import COMPONENTS
from otrainer.stages.failures import Origins
from otrainer.storage.project import project_root
from otrainer.storage.watch_reads import tracking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from otrainer.errors import Places
    from otrainer.stages.plan import Plan


BUILT = ("model", *COMPONENTS)


@dataclass(frozen=True)
class Composed:
    """A run's settings, its trainer, the parts that this fits, and what all of it came from.

    `reads` saw what the parts read and asked when they were built.
    """

    settings: RunSettings
    trainer: Any
    parts: Parts
    origins: Origins
    reads: BuildTracker

    def fit(self, run: RunSettings, **instead: Any) -> None:
        """Fit the parts, or some `instead` of them. Raises ConfigError for whatever a part raises, chained to it."""
        if run.resume_from is None:
            start_as_given(self.trainer, self.parts.model, run)
        try:
            self.trainer.fit(**vars(replace(self.parts, **instead)), run=run)
        except (Exception, SystemExit) as error:
            told = self.origins.explain(error)
            if told is error:
                raise
        else:
            return
        raise told  # out here, where nothing chains it to an error whose text may hold a secret


def start_as_given(trainer: Any, model: nn.Module, run: RunSettings) -> None:
    """Let a model start from the weights that the config names, if any, whatever trains it.

    Where a width is to be inferred, `trainer.default` does that once it is; raises ConfigError for other trainers.
    """
    refuse_unfitted(trainer, model)
    sources = sources_in(run.config)
    if not sources:
        return
    if not has_lazy(model):
        start_from(model, sources)
    elif not getattr(trainer, "infers_widths", False):
        message = "The model's widths are inferred from a batch, so it cannot start from weights before it trains."
        hint = "Write the widths in the model, in place of null, or let the trainer extend `trainer.default`."
        raise ConfigError(message, title="lazy width unknown", config_path=("weights",), hint=hint)


def settings_of(plan: Plan) -> RunSettings:
    """Return the settings of a plan's run."""
    return RunSettings.of({**plan.config["run"], "config": plan.config, "definition": plan.definition})


@contextmanager
def composed(plan: Plan, places: Places | None = None) -> Iterator[Composed]:
    """Build everything that a plan names, under its settings, which hold as long as the block. All code here counts."""
    settings = settings_of(plan)
    with numerics(settings):
        with tracking(reads := BuildTracker(project_root(), known={*plan.data_files, plan.run_dir})):
            built = build_parts(plan, settings.seed, places)
        yield Composed(settings, *built, reads)


def build_parts(plan: Plan, seed: int, places: Places | None = None) -> tuple[Any, Parts, Origins]:
    """Return the trainer, the parts that it fits, and their origins.

    Initial weights depend on the seed and the config alone. Raises ConfigError for every secret that is not set, before
    any plugin runs.
    """
    registry, made = build_registry(), list[Built]()
    require_secrets({name: value for name, value in plan.config.items() if name in BUILT})
    load_plugins(plan.config.get("imports"), registry=registry, settings=plan.allowed)

    def built(section: str) -> Any:
        value = plan.config.get(section)
        return instantiate_value(value, registry=registry, settings=plan.allowed, config_path=(section,), built=made)

    seed_everything(seed)
    ir = compile_model(plan.config["model"], registry=registry, settings=plan.allowed)
    parts = Parts(
        model=assemble(ir, registry, plan.allowed, build=partial(build_module, built=made)),
        datamodule=built("data"),
        io=built("io"),
        loss=built("loss"),
        optimizer_factory=built("optimizer"),
        scheduler_factory=built("scheduler"),
        metrics=built("metrics"),
        callbacks=built("callbacks"),
        loggers=built("loggers"),
        registry=registry,
    )
    return built("trainer"), parts, Origins(plan.config, ir, made, places)
