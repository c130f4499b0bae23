"""Texts without secrets: every form in which a value is commonly written gives way to its reference."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otrainer.diagnostics.redaction.values import REFERENCE, Masks, masked, remember

VALUE = "pä'ss\"w\\ord/+& %x"
ENCODED = VALUE.encode()


def mask(text: str, **values: str) -> str:
    return Masks((values or {"PW": VALUE}).items()).text(text)


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        repr(VALUE)[1:-1],
        ascii(VALUE)[1:-1],
        repr(f"'\"{VALUE}")[4:-1],
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        urlencode({"": VALUE})[1:],
        repr(ENCODED)[2:-1],
        repr(b"\"'" + ENCODED)[5:-1],
        ENCODED.hex(),
        base64.b64encode(ENCODED).decode(),
        base64.urlsafe_b64encode(ENCODED).decode(),
    ],
)
def test_a_value_is_masked_however_it_is_written(written):
    assert mask(f"<{written}>") == "<${secret:PW}>"


@pytest.mark.parametrize("before", ["", "u", "us", "use"])
@pytest.mark.parametrize("after", ["", ":", ":x", ":xy"])
def test_it_is_masked_within_a_longer_base64(before, after):
    """As in the header of basic authentication; what is left does not tell a letter of it."""
    encoded = base64.b64encode(before.encode() + ENCODED + after.encode()).decode()
    others = base64.b64encode(before.encode() + b"#" * len(ENCODED) + after.encode()).decode()
    left, right = mask(encoded).split("${secret:PW}")
    assert others.startswith(left)
    assert others.endswith(right)


def test_each_line_of_a_long_value_is_masked():
    """A key is printed line by line, or indented."""
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n}\n-----END KEY-----\n"
    assert mask("  kqhkiG9w0BAQEF\n  }", PW=key) == "  ${secret:PW}\n  }"
    assert mask(f"[{key.strip()}]", PW=key) == "[${secret:PW}]"


def test_masking_twice_changes_nothing():
    """Also where a value is part of what a reference looks like."""
    once = mask("the secret, PW and abcd", PW="secret", LONG="abcd")
    assert once == "the ${secret:PW}, PW and ${secret:LONG}"
    assert mask(once, PW="secret", LONG="abcd") == once


def test_the_longest_value_is_the_one_that_is_meant():
    assert mask("abcdefgh abcd", A="abcd", B="abcdefgh") == "${secret:B} ${secret:A}"


def test_a_former_value_stays_masked():
    remember({"PW": "first value"})
    remember({"PW": "second value"})
    assert masked("first value, second value") == "${secret:PW}, ${secret:PW}"


NAMES = st.sampled_from(["A", "B_2", "secret"])
PIECES = st.sampled_from(
    ["$", "{", "}", "${secret:", "${secret:A}", ":", "secret", "pass", "word", "pass word", "ü\n", "'"]
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)
VALUES = st.dictionaries(NAMES, TEXTS.filter(lambda text: len(text.strip()) >= 4), min_size=1)


@given(VALUES, st.data())
def test_a_state_comes_back_as_it_was(values, data):
    """Whatever it holds: values, references as text, and what only looks like either."""
    masks = Masks(values.items())
    text = "".join(data.draw(st.lists(TEXTS | st.sampled_from(list(values.values())), max_size=5)))
    held = masks.held(text)
    if not masks.lost_in(held):
        assert masks.given_back(held) == text


@given(VALUES, TEXTS, TEXTS)
def test_no_text_shows_a_value(values, before, after):
    for value in values.values():
        shown = Masks(values.items()).text(f"{before}{value}{after}")
        assert not [rest for rest in re.split(REFERENCE, shown) if value in rest]
