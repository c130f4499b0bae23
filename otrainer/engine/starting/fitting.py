"""What a model takes of files of weights, by names, shapes and dtypes, before any number is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

from otrainer.engine.fitted import open_buffers
from otrainer.engine.matching import REGULAR, is_meant
from otrainer.engine.starting.files import look_into
from otrainer.engine.starting.prefixes import prefixes_of, rule_that_fits
from otrainer.engine.starting.section import Source, is_renamed, renamed, rule_for
from otrainer.errors import ConfigError, Finding, errors_at, nearest

TITLE = "weights do not fit"
NOTHING = "''"
MOST_NAMED = 6


@dataclass
class Taken:
    """What is taken of a source: names of the model, each with the one in the file.

    `left` are names of the file that have no place in the model, or that `only` leaves out; `missing` those of the
    model that no source gives, though this one was to.
    """

    source: Source
    names: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def fit_sources(sources: Sequence[Source], model: nn.Module) -> list[Taken]:
    """Return what a model takes of each source; a model may be without numbers, and have widths that are not known.

    Raises ConfigError with everything that does not fit: shapes, dtypes, names that match nothing, and, of strict
    sources, tensors that have no place in the model, and those of the model that no source has.
    """
    wanted = tensors_of(model)
    findings: list[Finding] = []
    taken: list[Taken] = []
    for source in sources:
        try:
            with errors_at(*source.path, "from"):
                held = look_into(source.file)
        except ConfigError as error:
            findings += error.findings
        else:
            each = match(source, held, wanted)
            findings += flaws(each, held, wanted)
            taken.append(each)
    if findings:
        raise ConfigError.of(findings)
    covered = with_tied({name for each in taken for name in each.names}, wanted)
    for each in taken:
        each.missing = [name for name in wanted if is_selected(name, each.source) and name not in covered]
    if lacking := next((each for each in reversed(taken) if each.source.strict and each.missing), None):
        raise ConfigError.of([missing_in(lacking, len(sources))])
    return taken


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and the buffers that are saved, by all names that they have.

    One whose shape comes of the data stands there without a shape.
    """
    state, any_shape = model.state_dict(keep_vars=True), open_buffers(model)
    return {
        name: UninitializedBuffer() if name in any_shape else value
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def match(source: Source, held: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> Taken:
    taken = Taken(source)
    for name in held:
        target = renamed(name, source)
        if target in wanted and is_selected(target, source):
            taken.names.setdefault(target, name)
        else:
            taken.left.append(name)
    return taken


def is_selected(name: str, source: Source) -> bool:
    return not source.only or any(is_meant(pattern, name, None) for pattern in source.only)


def with_tied(names: set[str], wanted: Mapping[str, torch.Tensor]) -> set[str]:
    """Return names, and the others of the tensors that they name."""
    tensors = {id(wanted[name]) for name in names}
    return {name for name, tensor in wanted.items() if id(tensor) in tensors}


def flaws(taken: Taken, held: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> Iterator[Finding]:
    """Yield what does not fit of a source by itself."""
    source = taken.source
    found = [*unmatched(source, held, wanted), *doubled(taken, held), *misshapen(taken, held, wanted)]
    unknown = [name for name in taken.left if is_selected(renamed(name, source), source)]
    if unknown and source.strict and not (source.only and not taken.names):
        found.append(unknown_in(taken, unknown, wanted))
    yield from found
    if not found and not taken.names:
        message = f"No tensor of `{source.file}` has the name of one of the model that is meant."
        near = next((near for name in held if (near := nearest(renamed(name, source), wanted))), ())
        hint = f"It has {shown(held)}; the model has {shown(wanted)}."
        if rule := rule_that_fits([renamed(name, source) for name in held], wanted.keys()):
            hint = f"Write `rename: {{{rule[0] or NOTHING}: {rule[1] or NOTHING}}}`, by which they fit."
        yield Finding(message, TITLE, (*source.path, "from"), suggestions=near, hint=hint)


def unmatched(
    source: Source, held: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> Iterator[Finding]:
    for pattern in source.only:
        if not any(is_meant(pattern, name, None) for name in wanted):
            message = f"`{pattern}` matches no parameter and no buffer of the model."
            near, hint = nearest(pattern, wanted), f"There are {shown(wanted)}; `*` stands for any letters."
            yield Finding(message, "nothing matches", (*source.path, "only"), suggestions=near, hint=hint)
    yield from idle(source, held)


def idle(source: Source, held: Mapping[str, torch.Tensor]) -> Iterator[Finding]:
    """Yield a finding for each rule of `rename` by which no name changes: it means none, or others took all."""
    firsts = {name: rule[0] for name in held if (rule := rule_for(name, source))}
    used = set(firsts.values())
    for old in [old for old, _ in source.rename if old not in used]:
        meant = next((name for name in held if is_renamed(name, old)), None)
        near, hint = nearest(old, prefixes_of(held)), f"It has {shown(held)}."
        message = f"`{old}` is the beginning of no name in `{source.file}`."
        if meant is not None:
            near, message = (
                (),
                f"`{old}` renames nothing: `{firsts[meant]}` stands before it and takes what it matches.",
            )
            hint = "The first rule that matches counts: put this one first, with all of the new name on its right."
        elif old.startswith(REGULAR):
            near, message = (), f"`{old}` matches no name in `{source.file}`."
        elif "*" in old:
            hint = "Write the beginning alone (`layers: blocks`), or `re:` and a regular expression with groups."
        path = (*source.path, "rename", old)
        yield Finding(message, "nothing matches", path, on_key=True, suggestions=near, hint=hint)


def doubled(taken: Taken, held: Mapping[str, torch.Tensor]) -> Iterator[Finding]:
    for name in held:
        target = renamed(name, taken.source)
        if (first := taken.names.get(target, name)) != name:
            message = f"`{first}` and `{name}` of `{taken.source.file}` both become `{target}`."
            old, _ = rule_for(name, taken.source) or rule_for(first, taken.source) or ("", "")
            path = (*taken.source.path, "rename", old)
            yield Finding(message, TITLE, path, hint="Let `rename` give each a name of its own.")


def misshapen(taken: Taken, held: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> Iterator[Finding]:
    source = taken.source
    for target, name in taken.names.items():
        given, own = held[name], wanted[target]
        called = f"`{target}`" if target == name else f"`{target}` (`{name}` in the file)"
        if not is_lazy(own) and given.shape != own.shape:
            message = f"{called} has shape {[*given.shape]} in `{source.file}`, and {[*own.shape]} in the model."
            part = target.rpartition(".")[0] or target
            hint = rf"Leave `{part}` out by `only: 're:^(?!{re.escape(part)}(\.|$))'`, or give the model that width."
            yield Finding(message, TITLE, (*source.path, "from"), hint=hint)
        elif not is_lazy(own) and not holds(own.dtype, given.dtype, exact=source.strict):
            message = f"{called} is of {bare(given.dtype)} in `{source.file}`, and {bare(own.dtype)} in the model."
            same_kind = holds(own.dtype, given.dtype, exact=False)
            hint = "`strict: false` rounds it." if same_kind else "Leave it out by `only`."
            yield Finding(message, TITLE, (*source.path, "from"), hint=hint)


def holds(own: torch.dtype, given: torch.dtype, *, exact: bool) -> bool:
    """Return whether a dtype takes the numbers of another: of the same kind, and without rounding where `exact`."""
    if own == given:
        return True
    if own == torch.bool or given == torch.bool:
        return False
    if (own.is_floating_point, own.is_complex) != (given.is_floating_point, given.is_complex):
        return False
    try:
        return not exact or torch.promote_types(own, given) == own
    except RuntimeError:  # of eight bits, which nothing is promoted to
        return False


def bare(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def unknown_in(taken: Taken, unknown: Sequence[str], wanted: Mapping[str, torch.Tensor]) -> Finding:
    source = taken.source
    names = [renamed(name, source) for name in unknown]
    message = f"The model has no place for {shown(unknown, source=source)} of `{source.file}`."
    near = nearest(names[0], wanted)
    hint = "Say by `only` what to take, `rename` it, or write `strict: false`."
    if rule := rule_that_fits(names, wanted.keys() - taken.names.keys()):
        hint = f"Write `rename: {{{rule[0] or NOTHING}: {rule[1] or NOTHING}}}`, by which they fit."
    return Finding(message, TITLE, (*source.path, "from"), suggestions=near, hint=hint)


def missing_in(taken: Taken, sources: int) -> Finding:
    message = f"`{taken.source.file}` lacks {shown(taken.missing)} of the model."
    if sources > 1:
        message = f"No source has {shown(taken.missing)} of the model."
    hint = "Say by `only` what to take, or write `strict: false` to let these begin as they are initialised."
    return Finding(message, TITLE, (*taken.source.path, "from"), hint=hint)


def shown(names: Iterable[str], most: int = MOST_NAMED, source: Source | None = None) -> str:
    """Return names in words, the first of them where there are many; those of a `source` with what they become."""
    pairs = [(name, renamed(name, source) if source else name) for name in names]
    every = [f"`{name}`" if name == new else f"`{name}` (as `{new}`)" for name, new in pairs]
    rest = [f"and {len(every) - most} more"] if len(every) > most else []
    return ", ".join([*every[:most], *rest])
