"""The secrets that this process has read, and texts in which their references stand in their place."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from otrainer.storage import process_memory

# A shorter value is part of too many words and numbers to be kept out of texts.
SHORTEST = 4
# What one line of a longer value, or a part of its base64, has to have so that it is not met by chance.
SHORTEST_PART = 8
PART = "part"


def bytes_of(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


# How texts commonly write a value, by the name under which a state says which of them it held.
FORMS: Mapping[str, Callable[[str], str]] = {
    "": str,
    "stripped": str.strip,
    "json": lambda value: json.dumps(value)[1:-1],
    "text": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "repr": lambda value: repr(value)[1:-1],
    "quoted": lambda value: repr("\"'" + value)[4:-1],
    "ascii": lambda value: ascii(value)[1:-1],
    "bytes": lambda value: repr(bytes_of(value))[2:-1],
    "quoted_bytes": lambda value: repr(b"\"'" + bytes_of(value))[5:-1],
    "url": lambda value: quote(value, safe="", errors="surrogateescape"),
    "path": lambda value: quote(value, errors="surrogateescape"),
    "form": lambda value: quote_plus(value, errors="surrogateescape"),
    "base64": lambda value: b64encode(bytes_of(value)).decode(),
    "base64url": lambda value: urlsafe_b64encode(bytes_of(value)).decode(),
    "hex": lambda value: bytes_of(value).hex(),
}
REFERENCE = r"\$\{secret:[A-Za-z_]\w*\}"
OPENING = r"\$\{secret:"
HELD = re.compile(r"\$\{secret:(?:(?P<name>[A-Za-z_]\w*)(?::(?P<form>\w+))?)?\}")


class Masks:
    """Pairs of a variable's name and a value that it has or had; a later pair says what the name means now."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs = tuple(dict.fromkeys(pairs))
        self.values = dict(self.pairs)
        self._meanings = meanings_of(self.pairs)
        forms = "|".join(map(re.escape, sorted(self._meanings, key=lambda text: (-len(text), text))))
        self._encoded = {core: name for name, value in self.pairs for core in encoded_parts(value)}
        cores = "|".join(map(re.escape, sorted(self._encoded, key=lambda text: (-len(text), text)))) or "(?!)"
        any_of = rf"(?P<form>{forms})|[\w+/-]?(?P<core>{cores})[\w+/-]?=*"
        self._parts = (*self._meanings, *self._encoded)
        self._by_first: dict[str, list[str]] = {}
        for part in self._parts:
            self._by_first.setdefault(part[0], []).append(part)
        self._longest = max(map(len, self._parts), default=0)
        self._in_text = re.compile(rf"{REFERENCE}|{any_of}", re.ASCII)
        self._in_state = re.compile(rf"(?P<opening>{OPENING})|{any_of}", re.ASCII)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def only(self, names: Iterable[str]) -> Masks:
        """Return the masks of some variables."""
        wanted = set(names)
        return Masks(pair for pair in self.pairs if pair[0] in wanted)

    def text(self, text: str) -> str:
        """`text` for people, with `${secret:NAME}` in place of each value; masking it again changes nothing."""

        def one(match: re.Match[str]) -> str:
            return self._token(match, "") if match.lastgroup else match.group()

        # Looking for each by itself is many times faster than for all at once, and most texts hold none.
        return self._in_text.sub(one, text) if any(part in text for part in self._parts) else text

    def undecided(self, text: str) -> int:
        """Return from where on `text` may be the beginning of a value, which what follows it decides."""
        first = max(0, len(text) - self._longest)
        begins = (
            at
            for at in range(first, len(text))
            if any(
                part.startswith(text[at:]) and len(part) > len(text) - at for part in self._by_first.get(text[at], ())
            )
        )
        cut = next(begins, len(text))
        # A value that is there as a whole is not cut, though it may be that a longer one begins in the middle of it.
        around = (each.start() for each in self._in_text.finditer(text) if each.start() < cut < each.end())
        return next(around, cut)

    def held(self, text: str) -> str:
        """`text` of a state, so that `given_back` finds every value in it, and every reference a literal."""

        def one(match: re.Match[str]) -> str:
            return "${secret:}" if match["opening"] else self._token(match, ":")

        return self._in_state.sub(one, text)

    def given_back(self, text: str) -> str:
        """Undo `held`, with the values as they are now; what is unknown stays as it is."""

        def one(match: re.Match[str]) -> str:
            name, form = match["name"], match["form"] or ""
            if name is None:
                return "${secret:"
            return FORMS[form](self.values[name]) if name in self.values and form in FORMS else match.group()

        return HELD.sub(one, text)

    def lost_in(self, text: str) -> list[str]:
        """Return the names of secrets in what `held` returned that `given_back` leaves as they are."""
        found = [(match["name"], match["form"] or "") for match in HELD.finditer(text) if match["name"]]
        return [name for name, form in found if name not in self.values or form not in FORMS]

    def shown_in(self, text: str) -> bool:
        """Return whether `text` shows a value."""
        return self.text(text) != text

    def _token(self, match: re.Match[str], before_form: str) -> str:
        """Return the reference for a match; with the form of the value if `before_form` separates the two."""
        if match["core"]:
            name, form = self._encoded[match["core"]], PART
        else:
            name, form = self._meanings[match["form"]]
        return f"${{secret:{name}{f'{before_form}{form}' if before_form and form else ''}}}"


def meanings_of(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Map every text that stands for a value to its variable's name and the form."""
    pairs = list(reversed(list(pairs)))  # what is so now comes before what was
    found: dict[str, tuple[str, str]] = {}
    for form, write in FORMS.items():
        for name, value in pairs:
            if len(text := write(value)) >= SHORTEST:
                found.setdefault(text, (name, form))
    for name, value in pairs:
        for line in value.splitlines():
            if len(line.strip()) >= SHORTEST_PART:
                found.setdefault(line.strip(), (name, PART))
    return found


def encoded_parts(value: str) -> Iterator[str]:
    """Yield what base64 makes of a value within a longer text, such as `user:value`, wherever it begins in there."""
    for before in range(3):
        data = bytes(before) + bytes_of(value)
        first, end = -(-before * 8 // 6), len(data) * 8 // 6
        if end - first >= SHORTEST_PART:
            yield b64encode(data)[first:end].decode()
            yield urlsafe_b64encode(data)[first:end].decode()


def remember(values: Mapping[str, str]) -> None:
    """Keep `values`, by the names of their variables, out of every text that is masked from here on."""
    before = known()
    new = [(name, value) for name, value in values.items() if before.values.get(name) != value]
    if new:
        process_memory.put("secrets", Masks([*(pair for pair in before.pairs if pair not in new), *new]))


def forget() -> None:
    """Begin anew, as a process that has read none."""
    process_memory.forget("secrets")


def known() -> Masks:
    """Return the secrets that this process has read."""
    return process_memory.get("secrets", Masks)


def masked(text: str) -> str:
    """`text` without the values that this process has read."""
    return known().text(text)


def masked_data(value: Any) -> Any:
    """Plain data without them, as far as they are values: keys stay."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list):
        return [masked_data(item) for item in value]
    return {key: masked_data(item) for key, item in value.items()} if isinstance(value, dict) else value
