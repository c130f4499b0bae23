"""What is explained, as text for a terminal, as Markdown, or as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from otrainer.commands.explain.topics import SECTION, Argument, Topic
from otrainer.diagnostics.say import in_a_line

WIDE = 100
SHORT = 88


def listed(topics: Iterable[Topic]) -> str:
    """Return all names by their kinds, each on a line with its first sentence."""
    lines: list[str] = []
    for kind, several in by_kind(topics):
        width = max(len(each.name) for each in several)
        lines += [*([""] if lines else []), kind]
        lines += [f"  {each.name:<{width}}  {first_sentence(each.doc)}".rstrip() for each in several]
    return "\n".join([*lines, "", "`doit explain KEY=NAME` says all of one, `KEY='cb.*'` of several."])


def by_kind(topics: Iterable[Topic]) -> Iterator[tuple[str, list[Topic]]]:
    order: dict[str, int] = {}
    several = list(topics)
    for each in several:
        order.setdefault(each.kind, len(order))
    for kind, group in groupby(sorted(several, key=lambda each: order[each.kind]), key=lambda each: each.kind):
        yield kind, list(group)


def first_sentence(text: str) -> str:
    line = in_a_line(text.partition("\n")[0])
    head = line.partition(". ")[0]
    return textwrap.shorten(head if head == line else f"{head}.", SHORT, placeholder=" ...")


def as_text(topics: Sequence[Topic]) -> str:
    return "\n\n".join("\n".join(text_lines(each)) for each in topics)


def text_lines(topic: Topic) -> Iterator[str]:
    yield f"{topic.name}  ({topic.registered})"
    yield from filled(topic.doc, "  ")
    if topic.arguments or topic.takes_others:
        yield from ("", "  keys:" if topic.kind == SECTION else "  arguments:")
    for each in topic.arguments:
        yield f"    {each.name}: {facts_of(each)}".removesuffix(": ")
        yield from filled(each.doc, "        ")
        if each.example:
            yield f"        for example {each.name}: {each.example}"
    if topic.takes_others:
        yield "    others: passed on as they are"
    if topic.example:
        yield from ("", "  example:")
        yield from textwrap.indent(topic.example.rstrip("\n"), "    ").splitlines()


def facts_of(argument: Argument) -> str:
    default = None if argument.default is None else f"default {argument.default}"
    return ", ".join(filter(None, [argument.kind, "needed" if argument.required else default]))


def filled(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(
            line.rstrip(), WIDE, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        ) or [""]


def as_markdown(topics: Sequence[Topic]) -> str:
    return "\n\n".join("\n".join(markdown_lines(each)) for each in topics)


def markdown_lines(topic: Topic) -> Iterator[str]:
    yield from (f"## `{topic.name}`", "", f"*{topic.registered}*", "", topic.doc)
    if topic.arguments:
        yield from ("", "| argument | type | default | meaning |", "|---|---|---|---|")
    for each in topic.arguments:
        default = "needed" if each.required else f"`{each.default}`" if each.default is not None else ""
        shown = f"For example `{each.name}: {each.example}`." if each.example else ""
        cells = (f"`{each.name}`", each.kind, default, " ".join([*each.doc.split(), shown]).rstrip())
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    if topic.takes_others:
        yield from ("", "Other arguments are passed on as they are.")
    if topic.example:
        yield from ("", "```yaml", topic.example.rstrip("\n"), "```")


def as_json(topics: Sequence[Topic]) -> str:
    return json.dumps([plain(each) for each in topics], indent=2, ensure_ascii=False)


def plain(topic: Topic) -> dict[str, Any]:
    arguments = [
        {
            "name": each.name,
            "type": each.kind,
            "required": each.required,
            **({} if each.default is None else {"default": json.loads(each.default)}),
            "meaning": each.doc,
            **({"example": each.example} if each.example else {}),
        }
        for each in topic.arguments
    ]
    return {
        "key": topic.name,
        "kind": topic.kind,
        "meaning": topic.doc,
        "registered": topic.registered,
        "takes_others": topic.takes_others,
        "arguments": arguments,
        "example": topic.example,
    }


FORMS: Mapping[str, Callable[[Sequence[Topic]], str]] = {"text": as_text, "markdown": as_markdown, "json": as_json}
