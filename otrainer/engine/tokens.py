"""Steps over so many tokens: micro-batches are gathered until what they count comes to a number.

How much one counts is known once its loss is, so a step takes its micro-batches from the epoch one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.engine.weights import Shares, Weight, read_weights
from otrainer.errors import ConfigError, ConfigPath, Finding, is_whole, nearest

if TYPE_CHECKING:
    import torch

ACCUMULATE: ConfigPath = ("trainer", "accumulate")
TOKENS = "tokens"
END = object()


class Gathering:
    """The micro-batches of a step: as many of an epoch's as come to `tokens`, kept for those who look again."""

    def __init__(self, first: Any, others: Iterator[Any], tokens: int) -> None:
        self.tokens = tokens
        self._taken, self._others, self._is_whole = [first], others, False

    def take(self, shares: TokenShares) -> Iterator[Any]:
        """Yield them, the first time until `shares` were told enough by whoever takes them."""
        yield from self._taken
        while not self._is_whole:
            batch = END if shares.total >= self.tokens else next(self._others, END)
            self._is_whole = batch is END
            if not self._is_whole:
                self._taken.append(batch)
                yield batch


class TokenShares(Shares):
    """Shares in a step of some `tokens`, whose number of micro-batches nobody knows beforehand.

    Gradients are taken relative to `tokens`; what is left is 1 where the micro-batches come to that exactly.
    """

    by_samples = False

    def __init__(self, tokens: int) -> None:
        super().__init__(0)
        self._tokens, self._is_filled_by_one = tokens, False

    @property
    def is_single(self) -> bool:
        return False

    @property
    def total(self) -> Any:
        """Return what the micro-batches so far come to."""
        return sum(self.weights)

    def share(self, loss: torch.Tensor, weight: Weight) -> torch.Tensor:
        """Return a micro-batch's loss as it goes into the gradients; a weight on a device is waited for."""
        (known,) = read_weights([weight])
        self._is_filled_by_one = self.total == 0 and bool(known >= self._tokens)
        self.weights.append(known)
        return loss if self.is_sum or self._is_filled_by_one else loss / (self._tokens / known)

    @property
    def rest(self) -> Weight:
        """Return the factor that is left for the gradients."""
        total = self.total
        if self.is_sum or self._is_filled_by_one or total == 0:
            return 1.0
        rest: Weight = self._tokens / total
        return rest


def gathered(batches: Iterator[Any], tokens: int) -> Iterator[Gathering]:
    """Yield an epoch's steps; the last one may come to less. Each is to be taken before the next one is asked for."""
    for first in batches:
        yield Gathering(first, batches, tokens)


def tokens_of(accumulate: Any, steps: int) -> int | None:
    """Return how many tokens a step has by `trainer.accumulate`, None where there is none.

    Raises ConfigError for what is none, and where `steps` micro-batches are to be a step as well.
    """
    if accumulate is None:
        return None
    if findings := [*flaws(accumulate, steps)]:
        raise ConfigError.of(findings)
    tokens: int = accumulate[TOKENS]
    return tokens


def flaws(accumulate: Any, steps: int) -> Iterator[Finding]:
    """Yield what is wrong with a number of tokens."""
    hint = "Write `accumulate: {tokens: 65536}`."
    if not isinstance(accumulate, Mapping) or not accumulate:
        yield Finding("`accumulate` says how many `tokens` a step has.", "wrong type", ACCUMULATE, hint=hint)
        return
    for key in accumulate:
        if key != TOKENS:
            near = nearest(str(key), (TOKENS,))
            message = f"`accumulate` has no key `{key}`."
            yield Finding(message, "unknown key", (*ACCUMULATE, key), on_key=True, suggestions=near, hint=hint)
    if TOKENS in accumulate and not is_whole(accumulate[TOKENS]):
        message = f"`{TOKENS}` is a whole number from 1 on, not {accumulate[TOKENS]!r}."
        yield Finding(message, "wrong type", (*ACCUMULATE, TOKENS), hint=hint)
    if steps > 1:
        message = "A step has so many `tokens`, or so many micro-batches by `grad_accum_steps`, not both."
        yield Finding(message, "given twice", ACCUMULATE, hint="Leave one of them out.")
