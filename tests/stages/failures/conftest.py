"""Runs that fail: an experiment's YAML and a plugin, trained in this process, and what comes of it drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from otrainer.config import resolve_config
from otrainer.engine.signals import StopRequest
from otrainer.errors import ConfigError
from otrainer.stages.fit.compose import composed
from otrainer.stages.plan import Plan

# Eight samples of four numbers and three targets a batch, two batches, and nothing written.
BASE = """
defaults: [runtime.yaml]
trainer: {max_epochs: 1}
data: {batch_size: 8, steps_per_epoch: 2, val_steps_per_epoch: 1, x_shape: [4], y_shape: [3]}
model: {sequential: {layers: [{_type_: nn.Linear, in_features: 4, out_features: 3}]}}
loggers: {_merge_: replace, _value_: []}
callbacks: {_merge_: replace, _value_: []}
run: {name: a}
"""
Failing = Callable[..., ConfigError]


@pytest.fixture
def failing(project: Path) -> Failing:
    """What the experiment `a.yaml` raises when it is fitted; `plugin` is the source of `extensions/odd.py`."""
    (project / "configs/base/small.yaml").write_text(BASE.lstrip())

    def fit(text: str, plugin: str = "") -> ConfigError:
        head = "defaults: [../base/small.yaml]\nschema_version: 1\n"
        if plugin:
            (project / "extensions/odd.py").write_text(textwrap.dedent(plugin).lstrip())
            head += "imports: [extensions.odd]\n"
        path = project / "configs/experiments/a.yaml"
        path.write_text(head + textwrap.dedent(text).lstrip())
        config = resolve_config(path, root=project)
        plan = Plan("a", "a.yaml", "runs/a", "0", [], {}, {}, config.data)
        with pytest.raises(ConfigError) as caught, StopRequest(), composed(plan, config.source_map) as whole:
            whole.fit(whole.settings)
        error = caught.value.located(config.source_map)
        error.__cause__ = caught.value.__cause__
        assert all(finding.hint for finding in error.findings), "each report ends with a next step"
        return error

    return fit
