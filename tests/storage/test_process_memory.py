"""What a process keeps is made once, replaced on purpose, and made anew after it was forgotten."""

from __future__ import annotations

import threading

import pytest

from otrainer.storage import process_memory

NAME = "of this test"


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    process_memory.forget(NAME)


def test_it_is_made_when_it_is_first_asked_for_and_then_the_same() -> None:
    first = process_memory.get(NAME, list)
    first.append(1)

    assert process_memory.get(NAME, list) is first == [1]


def test_what_is_put_takes_its_place() -> None:
    process_memory.get(NAME, list)
    process_memory.put(NAME, None)

    assert process_memory.get(NAME, lambda: 3) is None


def test_what_was_forgotten_is_made_anew() -> None:
    process_memory.get(NAME, list).append(1)
    process_memory.forget(NAME)

    assert process_memory.get(NAME, list) == []


def test_threads_that_ask_at_once_are_given_one() -> None:
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        found.append(process_memory.get(NAME, lambda: (barrier.wait(), object())[1]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len({id(each) for each in found}) == 1
