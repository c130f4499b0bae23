"""Compare the traces of two trainings, and say which fact is the first to differ and where its kind comes from."""

from __future__ import annotations

from typing import Any

from otrainer.errors import ConfigError

STEPS = 8
STOPS = (3, 5)  # the second most often in the same epoch as the first
Trace = list[dict[str, Any]]
HINTS = {
    "batch": "The data does not come back as it was: let its order and randomness depend on the generators of torch, "
    "numpy or Python alone, or give it `state_dict()` and `load_state_dict(state)`.",
    "rng": "Something draws random numbers in one case and not in the other.",
    "loss": "The loss or the model keeps something beside its `state_dict()`, or computes in another order: "
    "`run.deterministic: true` names operations that do.",
    "model": "The step computes in another order, or a hook changes weights: `run.deterministic: true` names such "
    "operations.",
    "callbacks": "This callback's `state_dict()` does not hold all that it goes by.",
    "metrics": "This metric's `state_dict()` does not hold all that it counts.",
}


def compare(straight: Trace, stopped: Trace) -> None:
    """Raise ConfigError with the first difference between two trainings, and where no step of them was seen."""
    if not straight:
        message = "No step was seen: the trainer calls no `on_train_step_end`."
        hint = "Let the trainer call that hook of every callback after each step."
        raise ConfigError(message, title="nothing to compare", config_path=("trainer",), hint=hint)
    steps, others = [row["step"] for row in straight], [row["step"] for row in stopped]
    if steps != others:
        message = f"Straight it took the steps {steps}, with stops {others}."
        raise ConfigError(message, title="not exact", hint="Some component counts steps, and keeps no state.")
    for step, one, other in zip(steps, straight, stopped, strict=True):
        facts, others = one["facts"], other["facts"]
        if names := [name for name in {**facts, **others} if facts.get(name) != others.get(name)]:
            raise difference(step, names)


def difference(step: int, names: list[str]) -> ConfigError:
    """Report the first fact that differs, and where its kind comes from."""
    first = names[0]
    more = f" ({len(names) - 1} more)" if len(names) > 1 else ""
    hint = HINTS.get(first.partition(".")[0].partition("[")[0], "")
    if step <= STOPS[0]:
        message = f"Two trainings from the beginning already differ after step {step}: `{first}`{more} is another."
        return ConfigError(message, title="not deterministic", hint=hint)
    message = f"After step {step}, continued, `{first}` is another than without a stop{more}."
    return ConfigError(f"{message} What comes before is equal.", title="not exact", hint=hint)


def summarize(name: str, trace: Trace) -> str:
    """Say over what an experiment was found to be exact."""
    last, facts = trace[-1]["step"], trace[-1]["facts"]
    tensors = sum(fact.startswith("model.") for fact in facts)
    stops = " and ".join(str(stop) for stop in STOPS if stop < last)
    return (
        f"{name}: exact to the bit over {len(trace)} steps, straight and stopped after {stops}: "
        f"{tensors} tensors of the model, {len(facts)} facts in all"
    )
