"""Write sizes as people read them."""

from __future__ import annotations

BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(count: float) -> str:
    """Write a number of bytes with one decimal and its unit: `5 B`, `1.5 KiB`."""
    for unit in BYTES:
        if count < 1024 or unit == BYTES[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
