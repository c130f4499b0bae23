"""Offer the public names for what goes wrong in a config, and draw it."""

from __future__ import annotations

from otrainer.config.resolve import ResolveError
from otrainer.errors import ConfigError, Finding, SourceLocation


def format_error_with_context(exc: BaseException) -> str:
    """Return every finding of `exc` with its line drawn; any other exception as its text."""
    if not isinstance(exc, ConfigError):
        return str(exc)
    from otrainer.diagnostics.drawing import draw_error  # it needs rich

    return draw_error(exc)


__all__ = ["ConfigError", "Finding", "ResolveError", "SourceLocation", "format_error_with_context"]
