"""Nested batches keep their shape when their tensors move, and say what they hold."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field

import pytest
import torch

from otrainer.engine.tree import count_samples, get_path, move_to_device

Pair = namedtuple("Pair", ["left", "right"])


@dataclass(frozen=True)
class Frozen:
    values: torch.Tensor
    name: str = "n"
    derived: int = field(default=0, init=False)


def test_every_container_keeps_its_type_and_every_tensor_moves() -> None:
    tree = {
        "list": [torch.zeros(2), 1],
        "tuple": (torch.zeros(2), "text"),
        "named": Pair(torch.zeros(2), None),
        "ordered": OrderedDict(a=torch.zeros(2)),
        "default": defaultdict(list, a=torch.zeros(2)),
        "frozen": Frozen(torch.zeros(2)),
        "plain": 3.5,
    }
    moved = move_to_device(tree, "meta")

    assert {key: type(value) for key, value in moved.items()} == {key: type(value) for key, value in tree.items()}
    assert {moved["list"][0].device, moved["named"].left.device, moved["frozen"].values.device} == {
        torch.device("meta")
    }
    assert {moved["ordered"]["a"].device, moved["default"]["a"].device} == {torch.device("meta")}
    assert (moved["tuple"][1], moved["frozen"].name, moved["plain"]) == ("text", "n", 3.5)
    assert moved["default"].default_factory is list
    assert tree["list"][0].device == torch.device("cpu")


def test_a_packed_sequence_stays_one() -> None:
    packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(3), torch.zeros(2)])

    assert isinstance(move_to_device(packed, "meta"), torch.nn.utils.rnn.PackedSequence)


def test_paths_go_by_key_field_and_index() -> None:
    tree = {"a": [Pair(1, {"b": Frozen(torch.ones(1))})]}

    assert get_path(tree, ["a", 0, "left"]) == 1
    assert get_path(tree, ["a", 0, 1, "b", "name"]) == "n"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (["b"], "There is no 'b' at the top: it is a mapping with the keys 'a'."),
        (["a", 2], "There is no 2 at ['a']: it is a list of 1."),
        (["a", 0, "up"], "There is no 'up' at ['a'][0]: it is a Pair with the fields left, right."),
        (["a", 0, "left", 0], "There is no 0 at ['a'][0]['left']: it is a int."),
    ],
)
def test_a_path_that_finds_nothing_says_what_there_is(path: list[str | int], words: str) -> None:
    with pytest.raises(LookupError) as error:
        get_path({"a": [Pair(1, 2)]}, path)

    assert str(error.value) == words


def test_samples_are_counted_by_the_first_tensor_with_a_dimension() -> None:
    assert count_samples({"scale": torch.tensor(1.0), "x": torch.zeros(5, 2)}) == 5
    assert count_samples(None, [torch.zeros(3)]) == 3
    assert count_samples({"n": 1}) == 1
