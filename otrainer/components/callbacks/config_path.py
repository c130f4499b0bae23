"""Where the config lists a callback, for the errors that it raises."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otrainer.engine.state import RunContext
    from otrainer.errors import ConfigPath


def config_path_of(callback: Any, ctx: RunContext) -> ConfigPath:
    """Return the path of the config at which a callback is listed."""
    return ("callbacks", next(index for index, other in enumerate(ctx.callbacks) if other is callback))


@contextmanager
def errors_at(callback: Any, ctx: RunContext) -> Iterator[None]:
    """Attach a callback's config path to errors raised in the block that have none."""
    try:
        yield
    except ConfigError as error:
        raise error.at_least(config_path_of(callback, ctx)) from error.__cause__
