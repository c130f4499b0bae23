"""Mask log records as a whole: whatever a formatter or a handler takes from one holds no secret."""

from __future__ import annotations

import logging
from typing import Any

from otrainer.diagnostics.redaction.exceptions import all_behind, stand_in, texts_of
from otrainer.diagnostics.redaction.values import known, masked
from otrainer.storage import process_memory

DEEPEST = 20
PLAIN = (bool, float, type(None))


def mask_records() -> None:
    """Mask every record that a logger or a handler takes, once its filters have added theirs, whoever made it."""
    if process_memory.get("masks records", bool):
        return
    process_memory.put("masks records", True)
    by_filters = logging.Filterer.filter

    def filter(self: logging.Filterer, record: logging.LogRecord) -> Any:  # noqa: A001 - in whose place it stands
        passed: Any = by_filters(self, record)
        if passed:
            mask_record(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    logging.Filterer.filter = filter  # type: ignore[method-assign]


def mask_record(record: logging.LogRecord) -> None:
    """Mask all that a record holds: message, arguments, exception, and what `extra` and filters added."""
    if not known():
        return
    facts = record.__dict__
    mask_message(record)
    if (shown := exception_of(facts.get("exc_info"))) is not None:
        record.exc_info = (type(shown), shown, shown.__traceback__)
    for name, value in list(facts.items()):
        if name not in {"msg", "args", "exc_info"} and (clean := masked_value(value)) is not value:
            facts[name] = clean


def mask_message(record: logging.LogRecord) -> None:
    """Mask the message; arguments that hold a secret, shown or not, go with it."""
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - of arguments that do not fit the handler tells, and shows them
        record.msg, record.args = masked_value(record.msg), masked_value(record.args)
        return
    clean, args = masked(message), masked_value(record.args)
    if clean != message or args is not record.args or masked_value(record.msg) is not record.msg:
        record.msg, record.args = clean, ()


def masked_value(value: Any, depth: int = 0) -> Any:
    """Return a value without secrets: itself where it shows none, its text where its kind cannot be rebuilt."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, str):
        text = masked(value)
        return value if text == value else text
    if isinstance(value, bytes | bytearray):
        text = masked(old := value.decode("utf-8", "surrogateescape"))
        return value if text == old else text.encode("utf-8", "surrogateescape")
    if type(value) in {dict, list, tuple, set, frozenset} and depth < DEEPEST:
        return masked_items(value, depth + 1)
    try:
        texts = (str(value), repr(value))
    except Exception:  # noqa: BLE001 - whoever shows it meets the same
        return value
    return masked(texts[0]) if any(known().shown_in(text) for text in texts) else value


def masked_items(value: Any, depth: int) -> Any:
    """Mask what a collection holds, keys as well."""
    if isinstance(value, dict):
        pairs = [(masked_value(key, depth), masked_value(item, depth)) for key, item in value.items()]
        same = all(new[0] is key and new[1] is item for new, (key, item) in zip(pairs, value.items(), strict=True))
        return value if same else dict(pairs)
    old = list(value)
    new = [masked_value(item, depth) for item in old]
    return value if all(one is other for one, other in zip(new, old, strict=True)) else type(value)(new)


def exception_of(info: Any) -> BaseException | None:
    """Return what stands for the exception of a record; None where that shows no secret."""
    error = info[1] if isinstance(info, tuple) and len(info) == 3 else info
    if not isinstance(error, BaseException):
        return None
    behind = list(all_behind(error))
    texts = [text for each in behind for text in (*texts_of(each), *map(str, getattr(each, "__notes__", ())))]
    return stand_in(error) if any(known().shown_in(text) for text in texts) else None
