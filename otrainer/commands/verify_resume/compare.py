"""Compare the traces of two trainings, and say which fact is the first to differ and where its kind comes from."""

from __future__ import annotations

from typing import Any

from otrainer.errors import ConfigError

STEPS = 8
STOPS = (3, 5)  # the second most often in the same epoch as the first
Trace = list[dict[str, Any]]
HINTS = {
    "batch": "The data does not come back as it was: let its order and randomness depend on generators of torch, numpy "
    "or Python, or give it `state_dict()` and `load_state_dict(state)`.",
    "rng": "Something draws random numbers in one case and not in the other.",
    "beside": "No checkpoint holds it: let it be a buffer of its module, or a part of the component's `state_dict()`.",
    "loss": "The loss, the model or the io goes by something that no checkpoint holds.",
    "attributes": "An attribute of this module goes by something that no checkpoint holds.",
    "model": "The optimizer, a hook or a callback goes by something that no checkpoint holds.",
    "optimizer": "Its `state_dict()` does not hold all that it goes by, or does not take it back as it was.",
    "callbacks": "This callback's `state_dict()` does not hold all that it goes by.",
    "metrics": "This metric's `state_dict()` does not hold all that it counts.",
}
ANEW = "`run.deterministic: true` names operations that compute in another order each time; what draws from a clock, "
ANEW += "the system or another process does not repeat either."


def stops_of(straight: Trace) -> list[str]:
    """Return where to stop on the way that was trained straight: twice, once at an epoch's end; then go to its end."""
    last = straight[-1]["step"] if straight else STEPS
    ends = [row["step"] for row in straight if row["at"] == "epoch" and STOPS[0] < row["step"] < last]
    first, second = STOPS
    stops = [f"{first}", f"{ends[0]}e" if ends else f"{second}"]
    return [*(stop for stop in stops if int(stop.rstrip("e")) < last), ""]


def compare(straight: Trace, stopped: Trace) -> None:
    """Raise ConfigError with the first difference between two trainings, and where no step of them was seen."""
    if not straight:
        message = "No step was seen: the trainer calls no `on_train_step_end`."
        hint = "Let the trainer call that hook of every callback after each step."
        raise ConfigError(message, title="nothing to compare", config_path=("trainer",), hint=hint)
    steps, others = [(row["step"], row["at"]) for row in straight], [(row["step"], row["at"]) for row in stopped]
    if steps != others:
        message = f"Straight it took the steps {told(steps)}, with stops {told(others)}."
        raise ConfigError(message, title="not exact", hint="Some component counts steps, and keeps no state.")
    noise = noise_in(straight, stopped)
    for one, other in zip(straight, stopped, strict=True):
        if names := [name for name in differing(one, other) if name not in noise]:
            raise difference(one, names)
    refuse_lost(straight)


def told(steps: list[tuple[int, str]]) -> list[int]:
    return [step for step, at in steps if at == "step"]


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the facts that are not the same in two rows, in the order in which one leads to the next."""
    facts, others = one["facts"], other["facts"]
    return [name for name in {**facts, **others} if facts.get(name) != others.get(name)]


def noise_in(straight: Trace, stopped: Trace) -> set[str]:
    """Return what is in no checkpoint and is another in each process, as times are, before anything was stopped."""
    before = [pair for pair in zip(straight, stopped, strict=True) if is_before(pair[0])]
    return {name for pair in before for name in differing(*pair) if name.startswith("beside.")}


def is_before(row: dict[str, Any]) -> bool:
    """Return whether a row was made before the first stop, which comes ahead of the end of an epoch that it ends."""
    return bool(row["step"] < STOPS[0] or (row["step"] == STOPS[0] and row["at"] == "step"))


def difference(row: dict[str, Any], names: list[str]) -> ConfigError:
    """Report the first fact that differs, and where its kind comes from."""
    first, step = names[0], row["step"]
    name = first.removeprefix("beside.")
    more = f" ({len(names) - 1} more)" if len(names) > 1 else ""
    if is_before(row):
        message = f"Two trainings from the beginning already differ after step {step}: `{name}`{more} is another."
        return ConfigError(message, title="not deterministic", hint=ANEW)
    hint = HINTS.get(first.partition(".")[0].partition("[")[0], "")
    when = f"After step {step}" if row["at"] == "step" else f"At the end of the epoch, after step {step}"
    message = f"{when}, continued, `{name}` is another than without a stop{more}."
    return ConfigError(f"{message} What comes before is equal.", title="not exact", hint=hint)


def refuse_lost(straight: Trace) -> None:
    """Raise ConfigError where something changes that no checkpoint can hold, though nothing went by it so far."""
    if lost := straight[-1].get("lost"):
        names = ", ".join(f"`{name}`" for name in lost)
        message = f"All that is trained is equal, but no checkpoint can hold {names}, which begins anew after a stop."
        hint = "Give the component `state_dict()` and `load_state_dict(state)`, of tensors, numbers and texts."
        raise ConfigError(message, title="not exact", hint=hint)


def summarize(name: str, trace: Trace, *, by_minutes: bool = False) -> str:
    """Say over what an experiment was found to be exact; validation `by_minutes` is not part of it."""
    last, facts = trace[-1]["step"], trace[-1]["facts"]
    tensors = sum(fact.startswith("model.") for fact in facts)
    stops = [f"at the epoch's end, {stop[:-1]}" if stop[-1] == "e" else stop for stop in stops_of(trace)[:-1]]
    return (
        f"{name}: exact to the bit over {last} steps, straight and stopped after {' and '.join(stops)}: "
        f"{tensors} tensors of the model, {len(facts)} facts in all"
        + (
            ". Validation goes by minutes (`val_every_n_minutes`), which no stop repeats, and is not looked at"
            * by_minutes
        )
    )
