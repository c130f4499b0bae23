"""`doit help`, which reads no dodo.py and so no stream that lasts: a plugin of doit's puts it here."""

from __future__ import annotations

from typing import Any

from doit import cmd_help  # type: ignore[import-untyped]  # doit ships no types

from otrainer.storage.lasting_streams import make_lasting


class Help(cmd_help.Help):  # type: ignore[misc]  # doit ships no types
    """doit's own, also where nobody reads it to its end."""

    def execute(self, params: Any, args: list[str]) -> int | None:
        make_lasting(stops=True)
        status: int | None = super().execute(params, args)
        return status
