"""The public names for what goes wrong in a config, and how it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.errors import ConfigError, Finding, SourceLocation, ordered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.config.reads import Reads
    from otrainer.config.resolve import ResolvedConfig


class ResolveError(ConfigError):
    """A config that could not be resolved.

    `reads` is what was read until then. `partial`, where there is one, is the config with each broken value left as its
    raw text, so that the rest of it can be checked and all findings be reported together.
    """

    reads: Reads
    partial: ResolvedConfig | None

    @classmethod
    def after(cls, findings: Iterable[Finding], reads: Reads, partial: ResolvedConfig | None = None) -> ResolveError:
        """The error that carries `findings`."""
        error = cls.__new__(cls)
        error._keep(tuple(ordered(findings)))
        error.reads, error.partial = reads, partial
        return error


def format_error_with_context(exc: BaseException) -> str:
    """Every finding of `exc` with its line drawn; any other exception as its text."""
    if not isinstance(exc, ConfigError):
        return str(exc)
    from otrainer.diagnostics.drawing import draw_error

    return draw_error(exc)


__all__ = ["ConfigError", "Finding", "ResolveError", "SourceLocation", "format_error_with_context"]
