"""Layer-wise decay of the learning rate: the nearer a layer is to the input, the slower it is fine-tuned.

As in BEiT (Bao et al., 2021) and ELECTRA (Clark et al., 2020): of `n` layers, layer `k` has `rate ** (n - k)` of the
optimizer's learning rate, and what comes after them, the head, all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from otrainer.engine.matching import REGULAR, flaws_of_pattern, is_meant, listed, nothing_called
from otrainer.errors import ConfigError, ConfigPath, Finding, nearest

LAYER_DECAY: ConfigPath = ("optimizer", "layer_decay")
KEYS = ("rate", "layers")
EXAMPLE = 'Write `layer_decay: {rate: 0.75, layers: ["embed.*", "re:^blocks\\.(\\d+)\\."]}`.'


class LayerDecay:
    """A `rate` from 0 to 1, and patterns of the `layers` from the input on, each of one layer.

    A regular expression with a group means as many layers as there are numbers in that place, in their order.
    Raises ConfigError for what is neither, all that is wrong at once.
    """

    def __init__(self, given: Any) -> None:
        if findings := list(flaws(given)):
            raise ConfigError.of(findings)
        self.rate: float = given["rate"]
        self.layers = listed(given["layers"])

    def scales(self, owners: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
        """Return the layer of each parameter by name, from 0, and its share of the learning rate.

        Raises ConfigError for a pattern that matches nothing.
        """
        findings, found, first = [], dict[str, int](), 0
        for at, pattern in enumerate(self.layers):
            within = {name: number for name in owners if (number := number_in(pattern, name)) is not None}
            if not within:
                findings.append(nothing_called(pattern, owners, (*LAYER_DECAY, "layers", at)))
            places = {number: first + at for at, number in enumerate(sorted(set(within.values())))}
            found = {name: places[number] for name, number in within.items()} | found
            first += len(places)
        if findings:
            raise ConfigError.of(findings)
        layers = {name: found.get(name, first) for name in owners}
        return {name: (layer, self.rate ** (first - layer)) for name, layer in layers.items()}


def number_in(pattern: str, name: str) -> int | None:
    """Return which layer of a pattern a name is of, None where it is of none of them."""
    if not pattern.startswith(REGULAR):
        return 0 if is_meant(pattern, name, None) else None
    match = re.search(pattern.removeprefix(REGULAR), name)
    if match is None:
        return None
    return int(match[1]) if match.re.groups and (match[1] or "").isdecimal() else 0


def flaws(given: Any) -> Iterator[Finding]:
    if not isinstance(given, Mapping) or not all(key in given for key in KEYS):
        message = "`layer_decay` says a `rate` and the patterns of `layers` from the input on."
        yield Finding(message, "no layer decay", LAYER_DECAY, hint=EXAMPLE)
        return
    for key in given:
        if key not in KEYS:
            path, near = (*LAYER_DECAY, key), nearest(str(key), KEYS)
            yield Finding(f"`layer_decay` has no key `{key}`.", "unknown key", path, on_key=True, suggestions=near)
    rate, layers = given["rate"], given["layers"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
        message = f"`rate` is a number above 0 and up to 1, not {rate!r}."
        yield Finding(message, "out of range", (*LAYER_DECAY, "rate"), hint="Write `rate: 0.75`, say.")
    if not layers or not isinstance(layers, str | Sequence):
        yield Finding("`layers` lists patterns.", "not a list", (*LAYER_DECAY, "layers"), hint=EXAMPLE)
        return
    for at, pattern in enumerate(listed(layers)):
        yield from flaws_of_pattern(pattern, (*LAYER_DECAY, "layers", at))
