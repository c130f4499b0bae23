"""Log records hold no secret, whatever a handler takes from them and whoever made them."""

from __future__ import annotations

import json
import logging
import pickle
import queue
from collections.abc import Callable, Iterator
from logging.handlers import MemoryHandler, QueueHandler
from typing import Any

import pytest

from otrainer.diagnostics.redaction.streams import conceal

PASSWORD = "hunter2-xyz"  # noqa: S105 - it is one
REFERENCE = "${secret:PW}"
log = logging.getLogger("some.plugin")


class Kept(logging.Handler):
    """Keeps all that a handler can take: the record as JSON, as a text of every attribute, and formatted anew."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        formatter = logging.Formatter("%(name)s %(message)s")
        error = formatter.formatException(record.exc_info) if record.exc_info else ""
        self.taken += [
            json.dumps(record.__dict__, default=repr),
            repr(record.__dict__),
            error,
            formatter.format(record),
        ]

    @property
    def text(self) -> str:
        return "\n".join(self.taken)


@pytest.fixture
def kept() -> Iterator[Kept]:
    conceal({"PW": PASSWORD})
    handler = Kept()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


class Odd:
    def __repr__(self) -> str:
        return f"Odd({PASSWORD})"


def failed() -> BaseException:
    try:
        try:
            raise OSError(5, "no", f"/srv/{PASSWORD}")  # noqa: TRY301 - one behind another
        except OSError as error:
            error.add_note(f"tried {PASSWORD}")
            raise ValueError(f"with {PASSWORD}") from error
    except ValueError as error:
        return error


def by_hand(**facts: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "hand", "levelno": logging.WARNING, "msg": "text", **facts})


WAYS: dict[str, Callable[[], object]] = {
    "a message": lambda: log.warning(f"with {PASSWORD}"),
    "an argument": lambda: log.warning("with %s and %d", PASSWORD, 3),
    "an argument that is not shown": lambda: log.warning("with %.0s.", PASSWORD),
    "a mapping of which a part is not shown": lambda: log.warning("with %(a)s", {"a": 1, "b": [PASSWORD]}),
    "arguments that do not fit": lambda: log.handlers[-1].handle(by_hand(msg="%d", args=(PASSWORD,))),
    "an object": lambda: log.warning("with %s", Odd()),
    "bytes": lambda: log.warning("with %r", PASSWORD.encode()),
    "extra": lambda: log.warning(
        "text", extra={"token": PASSWORD, "deep": {"a": [(PASSWORD.encode(), Odd())], PASSWORD: 1}}
    ),
    "an exception": lambda: log.error("text", exc_info=failed()),
    "a group": lambda: log.error("text", exc_info=ExceptionGroup(PASSWORD, [failed(), ValueError(PASSWORD)])),
    "the stack": lambda: log.handle(by_hand(stack_info=f"in {PASSWORD}")),
    "a text of an exception": lambda: log.handle(by_hand(exc_text=f"in {PASSWORD}")),
    "a record by hand": lambda: log.handle(by_hand(msg=PASSWORD, token=PASSWORD)),
    "a record of the class": lambda: log.handlers[-1].handle(
        logging.LogRecord("name", 30, PASSWORD, 1, "with %s", (PASSWORD,), None)
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_record_shows_a_secret(kept: Kept, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kept, "emit", lenient(Kept.emit))
    WAYS[way]()

    assert len(kept.records) == 1
    assert "hunter2" not in kept.text
    assert "${secret:PW}" in kept.text or "not shown" in way


def lenient(emit: Callable[[Kept, logging.LogRecord], None]) -> Callable[[Kept, logging.LogRecord], None]:
    """What cannot be formatted is taken all the same."""

    def one(self: Kept, record: logging.LogRecord) -> None:
        try:
            emit(self, record)
        except TypeError as error:
            self.taken += [repr(record.__dict__), str(error)]

    return one


def test_what_a_filter_adds_is_masked_too(kept: Kept) -> None:
    def add(record: logging.LogRecord) -> bool:
        record.token = PASSWORD
        return True

    for place in (log, kept):
        place.addFilter(add)
    log.warning("text")
    for place in (log, kept):
        place.removeFilter(add)

    assert vars(kept.records[0])["token"] == REFERENCE


def test_handlers_that_send_records_elsewhere_get_them_masked(kept: Kept) -> None:
    """Pickled, in a queue, or kept for later."""
    sent: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    later = MemoryHandler(10, target=kept)
    for handler in (QueueHandler(sent), later):
        log.addHandler(handler)
    log.error("with %s", PASSWORD, exc_info=failed(), extra={"token": PASSWORD})
    later.flush()
    for handler in log.handlers[-2:]:
        log.removeHandler(handler)

    assert PASSWORD not in repr(pickle.dumps(sent.get().__dict__))
    assert "hunter2" not in kept.text


def test_a_record_without_a_secret_stays_what_it_is(kept: Kept) -> None:
    error, facts = ValueError("any"), {"a": [1]}
    log.warning("with %s", "any", exc_info=error, extra={"facts": facts})

    record = kept.records[0]
    assert (record.args, record.exc_info[1], record.__dict__["facts"]) == (("any",), error, facts)  # type: ignore[index]
    assert record.__dict__["facts"] is facts


def test_an_exception_is_shown_as_it_was_and_keeps_what_it_says(kept: Kept) -> None:
    """Its program may go on with it; only the record has another one in its place."""
    error = failed()
    log.error("text", exc_info=error)

    assert error.args == (f"with {PASSWORD}",)
    for text in ("ValueError: with ${secret:PW}", "OSError: [Errno 5] no: '/srv/${secret:PW}'", "tried ${secret:PW}"):
        assert text in kept.text
    assert "raise ValueError(" in kept.text
