"""The JSON Schema of a project's configs, for editors: from the interface of its keys to one document."""

from __future__ import annotations

from otrainer.commands.schema.document import schema_of

__all__ = ["schema_of"]
