"""The name nearest to one that Python did not find: an attribute of an object, or a variable."""

from __future__ import annotations

import builtins
from traceback import walk_tb

from otrainer.errors import nearest


def name_meant(error: BaseException) -> tuple[str, ...]:
    """Return the nearest name, as Python's own tracebacks do; none for other errors, or where nothing is near."""
    wrong = getattr(error, "name", None)
    if not isinstance(wrong, str):
        return ()
    if isinstance(error, AttributeError):
        known = attributes_of(error.obj)
    elif isinstance(error, NameError):
        known = variables_at(error)
    else:
        return ()
    return nearest(wrong, [name for name in known if name[:1] != "_" or wrong[:1] == "_"], most=1)


def attributes_of(owner: object) -> list[str]:
    try:
        return [name for name in dir(owner) if isinstance(name, str)]
    except Exception:  # noqa: BLE001 - a user's __dir__ that fails shall not hide the error
        return []


def variables_at(error: BaseException) -> list[str]:
    """Return the variables that there were where an error was raised."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return [*frames[-1].f_locals, *frames[-1].f_globals, *dir(builtins)] if frames else []
