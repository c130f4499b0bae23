"""Plain names: what may name a run on every file system, and the plain name nearest to one that may not."""

from __future__ import annotations

import re
import unicodedata

# With what is put behind it (`.claim.lock`, a temporary name) it stays below the 255 bytes of common file systems.
MOST_BYTES = 200
RESERVED = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)))
)
# As much of it as every dialect of regular expressions says alike: of ASCII only letters, digits, `_`, `-` and `.`.
PATTERN = r"[^\x00-/:-@\[-\^`{-\x7f][^\x00-,/:-@\[-\^`{-\x7f]*"
WORDS = f"a plain name (letters, digits, `_`, `-` and `.`; no `-` or `.` first; at most {MOST_BYTES} bytes)"


def is_plain_name(text: str) -> bool:
    """Return whether `text` can name a folder on every file system; letters of any script count in composed form.

    Device names of Windows (`nul`, `com1.txt`) are none.
    """
    return (
        bool(text)
        and all(char in "_-." or is_letter(char) for char in text)
        and text[0] not in "-."
        and text[-1] != "."
        and text == unicodedata.normalize("NFC", text)
        and len(text.encode("utf-8", "surrogatepass")) <= MOST_BYTES
        and text.partition(".")[0].lower() not in RESERVED
    )


def is_letter(char: str) -> bool:
    """Return whether a character is a letter, a mark on one, or a digit, of any script."""
    return unicodedata.category(char)[0] in "LMN"


def plain_name(text: str) -> str:
    """Return the plain name nearest to `text`; empty where nothing is left of it."""
    composed = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    kept = "".join(char if char in "_-." or is_letter(char) else "-" for char in composed)
    name = re.sub("-{2,}", "-", kept).strip("-.")
    name = name.encode()[:MOST_BYTES].decode(errors="ignore").strip("-.")
    reserved = name.partition(".")[0].lower() in RESERVED
    return f"run-{name}" if reserved else name
