"""What `ema` and `swa` of a trainer take: when averages are taken, of what, and who uses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from otrainer.errors import ConfigPath, Finding, is_whole, nearest

BY_STEPS = ("from_step", "every_n_steps")
BY_EPOCHS = ("from_epoch", "every_n_epochs")
EVERYWHERE = (*BY_STEPS, *BY_EPOCHS, "validate", "buffers", "update_bn")
KEYS = {"ema": ("decay", "warm_up", *EVERYWHERE), "swa": EVERYWHERE}
CHOICES = ("averaged", "trained")
EXAMPLES = {"ema": "ema: {decay: 0.999, from_step: 100}", "swa": "swa: {from_epoch: 75, update_bn: true}"}


def flaws(name: str, options: Any) -> Iterator[Finding]:
    """Yield what is wrong with the options of `ema` or `swa`."""
    path: ConfigPath = ("trainer", name)
    if not isinstance(options, Mapping) or (name == "ema" and "decay" not in options):
        yield Finding(f"`{name}` is a mapping such as `{EXAMPLES[name]}`.", "no averaging", path, hint="Write it so.")
        return
    for key in options:
        if key not in KEYS[name]:
            near, message = nearest(str(key), KEYS[name]), f"`{name}` has no key `{key}`."
            yield Finding(message, "unknown key", (*path, key), on_key=True, suggestions=near)
    decay = options.get("decay", 0.5)
    if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 < decay < 1:
        message = f"`decay` is a number between 0 and 1, not {decay!r}."
        yield Finding(message, "out of range", (*path, "decay"), hint="Write `decay: 0.999`, say.")
    for key in (*BY_STEPS, *BY_EPOCHS):
        if not is_whole(options.get(key, 1)):
            message = f"`{key}` is a whole number from 1 on, not {options[key]!r}."
            yield Finding(message, "out of range", (*path, key), hint=f"Write `{key}: 100`, say.")
    for key in ("validate", "buffers"):
        if (choice := options.get(key, CHOICES[0])) not in CHOICES:
            message, near = f"`{key}` is averaged or trained, not `{choice}`.", nearest(str(choice), CHOICES)
            yield Finding(message, "unknown value", (*path, key), suggestions=near, hint=f"Write `{key}: trained`.")
    if (steps := next((key for key in BY_STEPS if key in options), "")) and any(key in options for key in BY_EPOCHS):
        message, hint = "Averages are taken by steps or by epochs, not both.", "Leave one of them out."
        yield Finding(message, "two ways at once", (*path, steps), on_key=True, hint=hint)
    batches = options.get("update_bn", True)
    if batches is not True and not is_whole(batches):
        message = f"`update_bn` is how many training batches the pass has, or true for all, not {batches!r}."
        yield Finding(message, "out of range", (*path, "update_bn"), hint="Write `update_bn: 100`, say.")
    if "update_bn" in options and options.get("buffers") == "averaged":
        message, hint = "`update_bn` makes the statistics that `buffers` would average.", "Leave one of them out."
        yield Finding(message, "two ways at once", (*path, "buffers"), on_key=True, hint=hint)
    if not isinstance(warm_up := options.get("warm_up", False), bool):
        message = f"`warm_up` is true or false, not {warm_up!r}."
        yield Finding(message, "wrong type", (*path, "warm_up"), hint="Write `warm_up: true`.")
