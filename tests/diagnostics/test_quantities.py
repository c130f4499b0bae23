"""Sizes are written as people read them."""

from __future__ import annotations

from otrainer.diagnostics.quantities import size_text


def test_a_size_has_a_unit_and_one_decimal() -> None:
    sizes = (0, 5, 1023, 1024, 1536, 5 * 1024**3, 2 * 1024**4, 2**60)
    assert [size_text(size) for size in sizes] == [
        "0 B",
        "5 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "5.0 GiB",
        "2.0 TiB",
        "1024.0 PiB",
    ]
