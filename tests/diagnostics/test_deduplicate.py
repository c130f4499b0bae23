"""A mistake is told once a run of doit, with every experiment that shows it."""

from __future__ import annotations

from dataclasses import replace

from otrainer.diagnostics.deduplicate import Deduplicator
from otrainer.errors import Finding, SourceLocation


def finding(message: str, name: str, line: int = 1, file: str = "base.yaml") -> Finding:
    includes = (SourceLocation(f"{name}.yaml", 1, 1),)
    at = SourceLocation(file, line, 1)
    return Finding(message, location=at, includes=includes, doing="validating", experiments=(name,))


def test_the_same_mistake_of_two_experiments_is_one_with_both_names() -> None:
    gathered = Deduplicator()
    gathered.add([finding("wrong", "a"), finding("other", "a", 2)])
    gathered.add([finding("wrong", "b")])

    assert gathered.all() == [replace(finding("wrong", "a"), experiments=("a", "b")), finding("other", "a", 2)]


def test_they_come_by_file_and_line_whoever_came_first() -> None:
    gathered = Deduplicator()
    gathered.add([finding("z", "b", 1, "z.yaml"), finding("ten", "b", 10, "a.yaml")])
    gathered.add([finding("two", "a", 2, "a.yaml"), Finding("nowhere")])

    assert [each.message for each in gathered.all()] == ["two", "ten", "z", "nowhere"]


def test_what_was_told_is_told_again_only_for_those_that_came_to_it() -> None:
    gathered = Deduplicator()
    gathered.add([finding("wrong", "a")])
    assert [each.message for each in gathered.take_new()[0]] == ["wrong"]
    assert gathered.take_new() == ([], [])
    gathered.add([finding("wrong", "a"), finding("wrong", "b"), finding("wrong", "c"), finding("new", "c", 2)])
    fresh, ((again, names),) = gathered.take_new()

    assert [each.message for each in fresh] == ["new"]
    assert (again.message, names) == ("wrong", ("b", "c"))
    assert gathered.take_new() == ([], [])
