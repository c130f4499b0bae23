"""Values of many kinds go into a checkpoint as plain data, and come back as what they were."""

from __future__ import annotations

import datetime
import enum
import typing
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from otrainer.engine.checkpoint.compare import lost_in, marked_lost, same
from otrainer.engine.checkpoint.decode import Decoder
from otrainer.engine.checkpoint.encode import MARK, Encoder
from otrainer.engine.checkpoint.kinds import LostError
from otrainer.engine.checkpoint.plain import check_plain

Point = namedtuple("Point", "x y")


class Row(typing.NamedTuple):
    name: str
    values: tuple[int, ...] = ()


class Stage(enum.Enum):
    WARM = "warm"
    MAIN = "main"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Meters(float):
    unit: str


class Names(dict[str, int]):
    """A mapping with an attribute and an `__init__` and a `__setitem__` of its own, which loading does not run."""

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, value + 1)


class History(list[float]):
    pass


class Ring(deque[int]):
    pass


def names() -> Names:
    made = Names("me")
    made["a"] = 1
    return made


def meters() -> Meters:
    made = Meters(0.1)
    made.unit = "m"
    return made


VALUES: list[Any] = [
    None, True, 3, -(2**40), 2**5000, -(2**5000), 0.1, float("inf"), "text", b"bytes", 1 + 2j, bytearray(b"ab"),
    np.float64(0.1), np.float32(0.1), np.float16(1.5), np.int64(-3), np.uint8(255), np.uint64(2**63), np.bool_(True),
    np.complex64(1 + 2j), np.longdouble("0.1"), np.str_("näh"), np.bytes_(b"x"), np.datetime64("2020-01-01"),
    np.timedelta64(3, "s"), np.dtype("float32"), np.dtype(">i4"), np.arange(6).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(3.5), np.empty((0, 4), np.int16),
    np.array([True, False]), np.array([1.5], np.float16), np.arange(3, dtype=">f8"), np.array(["a", "bc"]),
    np.array([1 + 1j]), np.array(["2020-01-01"], "datetime64[D]"), np.arange(10)[::2].copy(),
    np.arange(4, dtype=np.longdouble), {1, 2, 3}, {"b", "a"}, frozenset({1, "a", None}),
    {frozenset({1, 2}), (1, "x")}, set(), deque([1, 2, 3], maxlen=5), deque(), deque([np.float64(1)], maxlen=1),
    Counter("abca"), OrderedDict(b=1, a=2), defaultdict(int, a=1), defaultdict(list, {(1, 2): [3]}),
    defaultdict(None, a=1), defaultdict(deque, a=deque([1])), {(1, 2): "a", np.int64(3): "b", None: 0},
    {MARK: "deque", "items": [1], "maxlen": None}, {"b": 1, "a": 2}, {1: {MARK: 2}}, OrderedDict({(1,): 2}),
    Point(1, 2), Row("a", (1, 2)), [Row("b"), (Point({1}, deque()),)], Stage.MAIN, Level.HIGH,
    {Stage.WARM: Level.LOW}, meters(), names(), History([1.0, 2.0]), Ring([1, 2], 7), range(1, 9, 2), slice(None, 3),
    Decimal("0.10"), Fraction(1, 3), Path("a/b"), PurePosixPath("/c"), datetime.date(2020, 1, 2),
    datetime.time(3, 4, 5), datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), datetime.timedelta(days=-1, microseconds=3), torch.float16,
    torch.device("cpu"), torch.Size([1, 2]), torch.arange(3), torch.zeros(2, dtype=torch.int8),
    torch.eye(2).to_sparse(), torch.nn.Parameter(torch.ones(2), False), torch.ones(2, requires_grad=True),
    torch.tensor(float("nan")),
]  # fmt: skip


def through_a_file(value: Any, folder: Path) -> Any:
    """`value` as it comes back from a file that is loaded as data only."""
    data = Encoder(places=True).encode(value)
    assert not list(lost_in(data, None))
    check_plain(data)
    torch.save(data, folder / "value.pt")
    return Decoder().decode(torch.load(folder / "value.pt", weights_only=True))


def facts(value: Any) -> Any:
    """All of a value that shall come back, as texts that can be compared."""
    if isinstance(value, torch.Tensor):
        dense = value.detach().to_dense()
        return type(value), value.dtype, value.layout, value.requires_grad, dense.tolist().__repr__(), value.shape
    if isinstance(value, np.ndarray):
        flags = value.flags
        order = (flags.c_contiguous, flags.f_contiguous) if value.size else None
        return type(value), value.dtype, value.shape, repr(value.tolist()), flags.writeable, order
    if isinstance(value, np.generic):
        return type(value), value.dtype, repr(value)
    more = [getattr(value, "maxlen", None), getattr(value, "default_factory", None), getattr(value, "__dict__", None)]
    if isinstance(value, dict):
        return type(value), [(facts(key), facts(item)) for key, item in value.items()], more
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, map(facts, value)))
    if isinstance(value, list | tuple | deque):
        return type(value), [facts(item) for item in value], more
    return type(value), repr(value), None if isinstance(value, enum.Enum) else more[2]


@pytest.mark.parametrize("value", VALUES, ids=[f"{type(value).__name__}-{n}" for n, value in enumerate(VALUES)])
def test_a_value_comes_back_as_what_it_was(value: Any, tmp_path: Path) -> None:
    assert facts(through_a_file(value, tmp_path)) == facts(value)
    assert facts(through_a_file({"a": [value, (value,)]}, tmp_path)) == facts({"a": [value, (value,)]})


def test_an_array_that_comes_back_can_be_written_and_is_nobody_else_s(tmp_path: Path) -> None:
    array = np.arange(3.0)
    data = Encoder().encode(array)
    first, second = Decoder().decode(data), Decoder().decode(data)
    first += 1

    assert array.tolist() == second.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("generator", "draw"),
    [
        (Random(1), lambda generator: [generator.gauss(0, 1) for _ in range(3)]),  # noqa: S311
        (torch.Generator().manual_seed(1), lambda generator: torch.randn(3, generator=generator).tolist()),
        (np.random.default_rng(1), lambda generator: generator.normal(size=3).tolist()),
        (np.random.Generator(np.random.MT19937(1)), lambda generator: generator.integers(9, size=3).tolist()),
        (np.random.Generator(np.random.SFC64(1)), lambda generator: generator.random(3, np.float32).tolist()),
        (np.random.RandomState(1), lambda generator: generator.randn(3).tolist()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_generator_goes_on_where_it_was(generator: Any, draw: Any, tmp_path: Path) -> None:
    draw(generator)
    made = through_a_file(generator, tmp_path)

    assert type(made) is type(generator)
    assert draw(made) == draw(generator)


def test_a_generator_that_is_there_goes_on_itself() -> None:
    """Since somebody else may hold it, a loader say."""
    mine, other = Random(1), Random(2)  # noqa: S311 - nothing here is secret

    assert Decoder().decode(Encoder().encode({"a": mine}), {"a": other})["a"] is other
    assert other.random() == mine.random()


def test_sets_are_written_in_one_order() -> None:
    words = [f"word {number}" for number in range(50)]

    assert Encoder().encode(set(words)) == Encoder().encode({*words[::-1]})
    assert Encoder().encode({frozenset(words)}) == Encoder().encode({frozenset(words[::-1])})


class Slotted(list[int]):
    __slots__ = ("more",)


def graph() -> torch.Tensor:
    return torch.ones(2, requires_grad=True) * 2


def ring() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def local() -> Any:
    return namedtuple("Local", "a")(1)  # it has the name of no variable


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (lambda: 0, "is a lambda"),
        (len, "is a `builtin_function_or_method`"),
        (iter([1]), "is a `list_iterator`"),
        (object(), "is an `object`"),
        (graph(), "is a tensor with a graph"),
        (ring(), "holds itself"),
        (local(), "is of the class `Local`, which cannot be found"),
        (Slotted([1]), "is of the class `Slotted`, which keeps more"),
        (np.zeros(2, [("a", "i4"), ("b", "f8")]), "is an array of"),
        (np.array([object()]), "is an array of `object`"),
        (defaultdict(lambda: 0, a=1), "is made by a lambda"),
        (datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC, fold=1), "is a `datetime`"),
        (torch.ones(2, device="meta"), "is a `Tensor`"),
    ],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_what_cannot_be_written_is_told_and_all_else_is_written(value: Any, why: str) -> None:
    data = Encoder().encode({"bad": value, "good": 1})
    (found,) = lost_in(data, None)
    check_plain(marked_lost(data))

    assert found[0][:1] == ("bad",)
    assert found[1].why.startswith(why)
    assert Decoder().decode(marked_lost(data))["good"] == 1


def test_what_was_not_written_is_what_a_new_one_has() -> None:
    data = marked_lost(Encoder().encode({"f": lambda: 0, "n": 1, "d": defaultdict(lambda: 0, a=3)}))

    assert Decoder().decode(data, {"f": len, "n": 5, "d": defaultdict(lambda: 7)})["f"] is len
    assert Decoder().decode(data, {"f": len, "n": 5, "d": defaultdict(lambda: 7)})["d"]["new"] == 7
    assert Decoder().decode({"f": data["f"], "n": data["n"]}) == {"n": 1}


@pytest.mark.parametrize(
    "data",
    [
        {MARK: "named_tuple", "class": ["os", "nothing"], "fields": [], "items": []},
        {MARK: "named_tuple", "class": [__name__, "Point"], "fields": ["x"], "items": [1]},
        {MARK: "named_tuple", "class": ["subprocess", "Popen"], "fields": [], "items": []},
        {MARK: "member", "class": [__name__, "Stage"], "name": "__init__"},
        {MARK: "extended", "class": ["builtins", "object"], "base": "list", "content": [], "attributes": {}},
        {MARK: "extended", "class": [__name__, "History"], "base": "object", "content": [], "attributes": {}},
        {MARK: "range", "type": "eval", "parts": [1, 2, 3]},
        {MARK: "numpy.ndarray", "dtype": "O", "shape": [1], "order": "C", "data": torch.zeros(8, dtype=torch.uint8)},
        {MARK: "numpy.ndarray", "dtype": "<f4", "shape": [10**9], "order": "C", "data": torch.zeros(1)},
        {MARK: "numpy.Generator", "bits": "__builtins__", "state": {}},
        {MARK: "deque", "items": [1], "maxlen": -1},
        {MARK: "Decimal", "text": "x"},
        {MARK: "nothing"},
        {MARK: ["deque"]},
        {MARK: "set", "items": [[1]]},
        {MARK: "int"},
    ],
    ids=str,
)
def test_data_that_nothing_wrote_makes_nothing(data: Any) -> None:
    with pytest.raises(LostError):
        Decoder().decode(data)


def test_floats_are_the_same_by_their_bits() -> None:
    assert same(float("nan"), float("nan"))
    assert not same(0.0, -0.0)
    assert not same(1, 1.0)
    assert not same(torch.ones(1), torch.ones(1, dtype=torch.float64))
