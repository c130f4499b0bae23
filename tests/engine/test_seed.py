"""Random streams are named, repeatable, and leave the process's own generators alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from otrainer.engine.seed import RandomStream, derive_seed, random_state, seed_everything, seeded, set_random_state


def draw() -> tuple[float, float, float]:
    """A number from each global generator."""
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: S311 - what is tested


def test_a_stream_is_the_same_each_time_and_goes_on_where_it_was_left() -> None:
    first = RandomStream(5)
    whole = [first.call(draw) for _ in range(3)]
    second = RandomStream(5)
    seed_everything(99)
    parts = []
    for _ in range(3):
        draw()
        parts.append(second.call(draw))

    assert parts == whole
    assert len({*whole}) == 3


def test_a_stream_leaves_the_global_generators_as_they_were() -> None:
    seed_everything(1)
    expected = [draw(), draw()]
    seed_everything(1)
    actual = [draw()]
    with seeded(2), seeded(3):
        draw()
    actual.append(draw())

    assert actual == expected


def test_nested_streams_do_not_mix() -> None:
    with seeded(4):
        expected = [draw(), draw()]
    with seeded(4):
        first = draw()
        with seeded(5):
            draw()
        second = draw()

    assert [first, second] == expected


def test_a_stream_gives_the_generators_back_after_an_exception() -> None:
    seed_everything(1)
    expected = draw()
    seed_everything(1)
    with pytest.raises(KeyError), seeded(2):
        {}[draw()]

    assert draw() == expected


def test_the_state_of_all_generators_survives_a_weights_only_load(tmp_path: Any) -> None:
    seed_everything(3)
    random.gauss(0, 1)
    np.random.randn()
    torch.save(random_state(), tmp_path / "state.pt")
    expected = [draw(), random.gauss(0, 1), np.random.randn()]
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))

    assert [draw(), random.gauss(0, 1), np.random.randn()] == expected


def test_derived_seeds_differ_by_every_part_of_their_name_and_fit_in_63_bits() -> None:
    seeds = [derive_seed(seed, "data", epoch, index) for seed in range(3) for epoch in range(10) for index in range(10)]

    assert len(set(seeds)) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "data", 1) == 2247614744653750975  # the same on every machine and in every version
