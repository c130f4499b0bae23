"""Nested batches keep their shape when their tensors move, and say what they hold."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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


class Alone(Pair):
    """A named tuple whose constructor takes something else than its fields."""

    def __new__(cls, left: Any) -> Alone:
        return super().__new__(cls, left, None)


class Boxes(list):  # type: ignore[type-arg]
    def __init__(self, count: int, *, size: tuple[int, int]) -> None:
        super().__init__(torch.zeros(4) for _ in range(count))
        self.size = size


class Sealed(dict):  # type: ignore[type-arg]
    """A mapping that nothing can be put into, and that its constructor makes of something else."""

    def __init__(self, x: torch.Tensor) -> None:
        dict.update(self, x=x)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("this is not to be changed")


class Fields(Mapping[str, Any]):
    """A mapping over attributes, which is no dict and is made of two things."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(("x", "y"))

    def __len__(self) -> int:
        return 2


def test_a_container_keeps_its_type_whatever_its_constructor_takes() -> None:
    alone, boxes = Alone(torch.zeros(2)), Boxes(2, size=(3, 4))
    alone.note = "kept"

    moved = move_to_device([alone, boxes, torch.zeros(3, 2).max(0)], "meta")

    assert [type(each) for each in moved] == [Alone, Boxes, torch.return_types.max]
    assert (moved[0].left.device.type, moved[0].right, moved[0].note) == ("meta", None, "kept")
    assert ([each.device.type for each in moved[1]], moved[1].size) == (["meta"] * 2, (3, 4))
    assert moved[2].values.device.type == "meta"
    assert boxes[0].device.type == alone.left.device.type == "cpu"


def test_a_container_that_cannot_be_made_again_becomes_the_plain_one_that_it_is_like() -> None:
    sealed, fields = Sealed(torch.zeros(2)), Fields(torch.zeros(2), torch.zeros(3))

    moved = move_to_device([sealed, fields], "meta")

    assert [type(each) for each in moved] == [dict, dict]
    assert [[(key, value.device.type) for key, value in each.items()] for each in moved] == [
        [("x", "meta")],
        [("x", "meta"), ("y", "meta")],
    ]
    assert sealed["x"].device.type == fields["x"].device.type == "cpu"


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
