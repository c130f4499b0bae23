"""Foreign text as a terminal may get it: nothing in it acts or hides, and how many cells it takes is known."""

from __future__ import annotations

import unicodedata

TAB = " " * 4
CONTROL_PICTURES = 0x2400
DELETE, DELETE_PICTURE = "\x7f", "\u2421"
OPEN_BOX = "\u2423"
REPLACEMENT = "\ufffd"
# Controls beyond ASCII, marks that turn the direction or show nothing, halves of pairs, what no font has, separators.
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def visible(text: str) -> str:
    """`text` without tabs, and with a sign in place of each character that acts on a terminal or cannot be seen."""
    return text if text.isascii() and text.isprintable() else "".join(map(sign, text))


def sign(char: str) -> str:
    """Return what is shown for one character: itself, a tab's blanks, or a sign that stands for it."""
    if char == "\t":
        return TAB
    if char < " ":
        return chr(CONTROL_PICTURES + ord(char))
    if char <= "~":
        return char
    if char == DELETE:
        return DELETE_PICTURE
    kind = unicodedata.category(char)
    if kind in UNSEEN:
        return REPLACEMENT
    return OPEN_BOX if kind == "Zs" else char


def cells(text: str) -> int:
    """Count the cells of a terminal that `text` takes, wide and combining characters counted as such."""
    from rich.cells import cell_len  # what has no columns needs it not

    return cell_len(text)
