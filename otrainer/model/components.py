"""`model.components`: several models by name, each a sequential, a graph, or one component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from torch import nn

from otrainer.errors import ConfigError
from otrainer.model.ir import ModelIR, ModuleSpec, Program
from otrainer.model.section import check_name

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.model.section import Report


class Components(nn.Module):
    """Models by their names, which nothing calls as one; `state_dict` keys begin with these names."""

    are_several = True

    def forward(self, *_: Any, **__: Any) -> NoReturn:
        """Raise ConfigError: which part is given what, only a step knows."""
        names = ", ".join(f"`{name}`" for name, _ in self.named_children())
        message = f"The model has the parts {names}, and no forward pass of its own."
        hint = "Call its parts by `ctx.models` in `training_step` and `validation_step` of a trainer of your own."
        raise ConfigError(message, title="several models", config_path=("model", "components"), hint=hint)


def compile_components(
    section: Mapping[Any, Any],
    path: ConfigPath,
    report: Report,
    compile_one: Callable[[str, object, ConfigPath], ModelIR | None],
) -> ModelIR:
    """Compile each component: by `compile_one` where it is written as a model, else it is the spec of a module."""
    if not section:
        hint = "Write `components: {encoder: {sequential: {...}}}`."
        report.add("A model of components needs at least one.", path, title="missing key", hint=hint)
    parts: list[tuple[str, ModelIR | ModuleSpec]] = []
    for name, body in section.items():
        wrong = list(check_name(name, "module", (*path, name), on_key=True))
        report.extend(wrong)
        is_spec = isinstance(body, Mapping) and ("_type_" in body or "_target_" in body)
        if is_spec:
            part: ModelIR | ModuleSpec | None = ModuleSpec(str(name), body, (*path, name))
        else:
            part = compile_one(str(name), body, (*path, name))
        if part is not None and not wrong:
            parts.append((name, part))
    return ModelIR((), Program((), (), (), "single"), tuple(parts))
