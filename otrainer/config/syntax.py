"""Explain YAML that cannot be parsed, in plain words and at the place to edit."""

from __future__ import annotations

import codecs
import re
from itertools import islice
from typing import Any

from otrainer.config.text import TextFile
from otrainer.errors import ConfigError, Finding

# What either of PyYAML's parsers says; whether the place to edit is where the construct began; the sentence; the next
# step. The first row that matches counts.
PLAIN_WORDS: tuple[tuple[str, bool, str, str], ...] = (
    (r"flow sequence", True, "The list that `[` opens is not closed as it should be.", "Add the missing `,` or `]`."),
    (r"flow mapping", True, "The mapping that `{` opens is not closed as it should be.", "Add the missing `,` or `}`."),
    (r"quoted scalar.*end of stream", True, "This quote is never closed.", "Add the closing quote."),
    (r"quoted scalar.*document separator", True, "This quote is never closed.", "Add the closing quote."),
    (
        r"unknown escape character",
        False,
        "There is no such escape in a double-quoted string.",
        "Write `\\\\` for a backslash, or use single quotes.",
    ),
    (
        r"block (mapping|collection|sequence)",
        False,
        "This line does not line up with the lines before it.",
        "Give the entries of one mapping or list the same indentation, and each `key:` a line of its own.",
    ),
    (
        r"undefined tag handle",
        False,
        "This tag has no meaning here: a config is plain data.",
        "Leave the tag out, or quote text that starts with `!`.",
    ),
    (
        r"scanning an? (alias|anchor)",
        True,
        "`*` and `&` start an alias or an anchor, whose name is missing.",
        "Quote text that starts with `*` or `&`.",
    ),
    (r"block scalar", False, "A `|` or `>` takes its text from the next line on.", "Start the text on a new line."),
    (r"directive", False, "A `%` at the margin starts a YAML directive.", "Quote text that starts with `%`."),
    (
        r"could not find expected ':'|did not find expected ':'",
        True,
        "This key has no `:` after it.",
        "Write `key: value`.",
    ),
)
SECOND_COLON = ("A second `: ` stands on this line.", "Put text that holds `: ` in quotes, or start a new line.")
JOINED_LINES = (
    "This line continues the text of a line before it, so its `:` ends no key.",
    "Check that line: it lacks a `:`, or the two differ in indentation.",
)
BARE_EXPRESSION = (
    "Inside `{...}` and `[...]` an expression needs quotes, since its own braces mean a mapping there.",
    "Put it in quotes, as in `{name: '${run.name}'}`.",
)
TAB = ("A tab is used for indentation.", "Indent with spaces.")
ODD_START = "`{char}` cannot start a value."
# libyaml holds each `%TAG` against all before it, wherever in the stream they stand.
TAG_DIRECTIVE = re.compile("(?:^|[\n\r\x85\u2028\u2029])\ufeff?%TAG")
MAX_DIRECTIVES = 100
TAG_ESCAPE = re.compile(r"!\S*%")


# An entry that lacks the blank after its colon.
GLUED = re.compile(r"([A-Za-z_]\w*):([^\s/]\S*)")


def syntax_finding(error: Any, file: TextFile) -> Finding:
    """Return the finding for a `yaml.YAMLError`."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return unprintable(file)
    problem = f"{error.context or ''}: {error.problem or ''}"
    char = file.text[mark.index : mark.index + 1]
    if char == "\t" and ("cannot start any token" in problem or "tab character" in problem):
        return invalid(*TAB, mark, file)
    if "cannot start any token" in problem:
        return invalid(ODD_START.format(char=char), "Put the text in quotes.", mark, file)
    if "mapping values are not allowed" in problem:
        line = file.text[mark.index - mark.column : mark.index]
        return invalid(*(SECOND_COLON if re.search(r":\s", line) else JOINED_LINES), mark, file)
    if file.text[mark.index - 1 : mark.index + 1] == "${":
        sentence, hint = BARE_EXPRESSION
        return Finding(sentence, "invalid YAML", location=file.place(mark.index - 1), hint=hint)
    start = getattr(error, "context_mark", None) or mark
    if "could not find expected ':'" in problem and (entry := GLUED.match(file.text, start.index)):
        sentence = f"After `{entry[1]}:` a blank is missing: without it this is text."
        return invalid(sentence, f"Write `{entry[1]}: {entry[2]}`.", start, file)
    for pattern, at_start, sentence, hint in PLAIN_WORDS:
        if re.search(pattern, problem):
            return invalid(sentence, hint, error.context_mark if at_start and error.context_mark else mark, file)
    return invalid(f"YAML cannot be read here ({error.problem}).", "Check the line and the one before it.", mark, file)


def invalid(sentence: str, hint: str, mark: Any, file: TextFile) -> Finding:
    return Finding(sentence, "invalid YAML", location=file.place(mark.index), hint=hint)


def odd_escape(file: TextFile, at: int) -> Finding:
    """Return the finding for an escape that stands for no character, in a tag behind `at` or a string right there."""
    tag = TAG_ESCAPE.search(file.text, at)
    hint = "Leave the tag out, or quote text that starts with `!`." if tag else "Check the escapes of this line."
    location = file.place(tag.start() if tag else at)
    return Finding("An escape here stands for no character.", "invalid YAML", location=location, hint=hint)


def unprintable(file: TextFile) -> Finding:
    """Return the finding for the first character that YAML does not admit."""
    from yaml.reader import Reader

    match = Reader.NON_PRINTABLE.search(file.text)
    what = f"The character U+{ord(match.group()):04X} is not allowed" if match else "Something here is not allowed"
    hint = "Remove it, or write it as an escape in double quotes."
    location = file.place(match.start() if match else 0)
    return Finding(f"{what} in YAML.", "invalid YAML", location=location, hint=hint)


def refuse_directives(text: str, name: str) -> None:
    """Raise ConfigError where more lines begin with `%TAG` than anybody has a use for."""
    if text.count("%TAG") <= MAX_DIRECTIVES:
        return
    found = next(islice(TAG_DIRECTIVE.finditer(text), MAX_DIRECTIVES, None), None)
    if found is not None:
        place = TextFile(name, text).place(found.end() - len("%TAG"))
        message = f"More than {MAX_DIRECTIVES} lines begin with the directive `%TAG`."
        raise ConfigError(message, title="too many directives", location=place, hint="Leave the directives out.")


def decoded(content: bytes, name: str) -> str:
    """Return the text of a file. Raises ConfigError at the first byte that is not UTF-8."""
    try:
        # libyaml would skip a second mark, and count from behind it.
        return content.decode("utf-8-sig").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        # The offset leaves a byte order mark out of account.
        body = content.removeprefix(codecs.BOM_UTF8)
        before = body[: error.start].decode("utf-8")
        raise ConfigError(
            f"The byte 0x{body[error.start]:02X} is not UTF-8 text.",
            title="not UTF-8",
            location=TextFile(name, before).place(len(before)),
            hint="Save the file as UTF-8.",
        ) from None
