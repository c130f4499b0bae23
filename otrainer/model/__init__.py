"""From a config's `model` section to a plain `nn.Module`."""

from __future__ import annotations

from otrainer.model.build import assemble, build_model
from otrainer.model.compile import check_model, compile_model
from otrainer.model.generated import GeneratedModel
from otrainer.model.ir import ModelIR
from otrainer.model.lazy import has_lazy, materialize
from otrainer.model.meta import blueprint

__all__ = [
    "GeneratedModel", "ModelIR", "assemble", "blueprint", "build_model", "check_model", "compile_model", "has_lazy",
    "materialize",
]  # fmt: skip
