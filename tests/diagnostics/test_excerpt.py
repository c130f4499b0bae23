"""A line is drawn so that it can be read and does nothing, however long or odd it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otrainer.diagnostics.characters import cells, visible
from otrainer.diagnostics.excerpt import excerpt
from otrainer.diagnostics.source_text import Sources
from otrainer.errors import SourceLocation


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Given(Sources):
    """One file, whose only line is given."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self._lines["x"] = (line,)


def drawn(text: str, token: str, width: int | None = None) -> str:
    """The excerpt for the first `token` of a file's text, under a line of its own."""
    Path("a.yaml").write_text(text, encoding="utf-8", newline="")
    before = text[: text.index(token)]
    at = SourceLocation("a.yaml", before.count("\n") + 1, len(before) - before.rfind("\n"))
    lines = excerpt(at, Sources(), width)
    return "\n" + "".join("".join(part for part, _ in line).rstrip() + "\n" for line in lines)


def test_a_line_of_five_thousand_characters_is_cut_around_the_token() -> None:
    text = f"first: {'-' * 4000}\nlist: [{'a, ' * 800}wrong, {'b, ' * 800}b]\n"

    assert drawn(text, "wrong", width=60) == (
        """
  1 | …----------------------------------------------------…
  2 | …a, a, a, a, a, a, wrong, b, b, b, b, b, b, b, b, b, …
    |                    ^^^^^
"""
    )
    assert max(map(len, drawn(text, "wrong").splitlines())) == 120
    assert drawn(text, "first", width=40).splitlines()[1] == "  1 | first: --------------------------…"


def test_a_tab_is_as_wide_as_its_underline() -> None:
    assert drawn("a:\n\t\tb: 1\n", "b") == "\n  1 | a:\n  2 |         b: 1\n    |         ^\n"
    assert drawn("\ta: 1\n", "\t") == "\n  1 |     a: 1\n    | ^^^^\n"


def test_wide_and_combining_characters_are_underlined_where_they_stand() -> None:
    assert drawn("名前: {e\u0301: x, 値: bad}\n", "bad") == (
        "\n  1 | 名前: {e\u0301: x, 値: bad}\n    |                  ^^^\n"
    )
    assert drawn("a: 日本語\n", "日") == "\n  1 | a: 日本語\n    |    ^^^^^^\n"


def test_what_would_act_on_a_terminal_or_hide_is_shown_by_a_sign() -> None:
    text = "a: \x1b[31m\x07\x7f\x9b\u202eevil\u200b\u2028\u00a0x\n"

    assert drawn(text, "a").splitlines()[1] == "  1 | a: ␛[31m␇␡��evil��␣x"
    assert visible("\udc80") == "�"
    assert visible("one\ntwo\r") == "one␊two␍"


@pytest.mark.parametrize(
    ("text", "token", "underlined"),
    [
        ("name: two words # note", "two", "two words"),
        ("a key: 1", "a", "a key"),
        ("url: http://x.y/z?a=b#c", "http", "http://x.y/z?a=b#c"),
        ("[one two, three]", "one", "one two"),
        ("x: 'it''s', y", "'", "'it''s'"),
        ('x: "a \\" b" c', '"', '"a \\" b"'),
        ("x: runs/${run.name}/last", "runs", "runs/${run.name}/last"),
        ("x: runs/${run.name}/last", "${", "${run.name}"),
        ("x: *alias other", "*", "*alias"),
        ("x: !tag other", "!", "!tag"),
        ("{a: 1}", "{", "{"),
        ("a: b: c", ": c", ":"),
    ],
)
def test_the_whole_token_is_underlined(text: str, token: str, underlined: str) -> None:
    assert drawn(text, token).splitlines()[-1].count("^") == len(underlined)


@pytest.mark.parametrize("at", [("a.yaml", 9, 1), ("a.yaml", 1, 99), ("a.yaml", 0, 0), ("none", 1, 1), (".", 1, 1)])
def test_a_place_that_is_not_there_has_no_excerpt(at: tuple[str, int, int]) -> None:
    Path("a.yaml").write_text("a: 1\n")

    assert list(excerpt(SourceLocation(*at), Sources())) == []


def test_marks_on_a_letter_do_not_hide_what_comes_behind_them() -> None:
    line = "a: " + "0" * 9 + "\u0300" * 40 + "bad"

    assert "bad" in drawn(f"{line}\n", "bad", width=30).splitlines()[1]


@given(line=st.text(max_size=300).filter(lambda text: "\n" not in text), data=st.data(), width=st.integers(30, 100))
def test_whatever_the_line_nothing_acts_and_the_underline_is_below_its_token(
    line: str, data: st.DataObject, width: int
) -> None:
    col = data.draw(st.integers(1, len(line) + 1))
    shown, mark = list(excerpt(SourceLocation("x", 1, col), Given(line), width))
    text, under = shown[1][0], mark[1][0]

    assert all(sign.isprintable() for sign in text if sign != " ")
    assert cells(text) <= width - 6
    assert len(under) <= width - 6
    start = len(under) - len(under.lstrip(" "))
    if col <= len(line) and cells(visible(line[col - 1])):
        wanted = visible(line[col - 1])
        position = next(at for at in range(len(text) + 1) if cells(text[:at]) >= start)
        assert cells(text[:position]) == start
        assert text[position:].lstrip("\u0301").startswith(wanted[:1]) or cells(text[position : position + 1]) == 0
