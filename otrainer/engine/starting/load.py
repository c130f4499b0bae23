"""Let a model start from weights: after it was initialised, and before it trains."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from otrainer.engine.starting.files import read_weights
from otrainer.engine.starting.fitting import TITLE, Taken, fit_sources, tensors_of
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.starting.section import Source


def start_from(model: nn.Module, sources: Sequence[Source]) -> None:
    """Load what a model takes of each source, later ones over earlier ones; nothing is drawn at random.

    Raises ConfigError as `fit_sources` does, and where a module refuses its tensors.
    """
    for taken in fit_sources(sources, model) if sources else ():
        held = read_weights(taken.source.file)
        refuse_torn(taken, held, tensors_of(model))
        state = OrderedDict((name, held[own]) for name, own in taken.names.items())
        state._metadata = versions(taken, held, model)  # type: ignore[attr-defined]  # as torch keeps them
        try:
            model.load_state_dict(state, strict=False)
        except RuntimeError as cause:
            raise misfit(taken, str(cause).strip()) from cause


def versions(taken: Taken, held: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, Any]:
    """Return the versions of the modules that tensors come from; those of the model's where the file has none."""
    current = getattr(model.state_dict(), "_metadata", {})
    known = getattr(held, "_metadata", None)
    if known is None:
        return dict(current)
    owners = {name.rpartition(".")[0]: own.rpartition(".")[0] for name, own in taken.names.items()}
    return {owner: known.get(owners.get(owner), version) for owner, version in current.items()}


def refuse_torn(taken: Taken, held: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Raise ConfigError where one tensor of the model, under two names, would take two different ones."""
    names: dict[int, list[str]] = {}
    for name in taken.names:
        names.setdefault(id(wanted[name]), []).append(name)
    for tied in names.values():
        for one, other in pairwise(tied):
            if not torch.equal(held[taken.names[one]], held[taken.names[other]]):
                raise misfit(taken, f"`{one}` and `{other}` are one tensor in the model, and two in the file")


def misfit(taken: Taken, why: str) -> ConfigError:
    message = f"`{taken.source.file}` does not fit: {why}."
    return ConfigError(message, title=TITLE, config_path=(*taken.source.path, "from"), hint="Choose by `only`.")
