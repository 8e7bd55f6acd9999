"""A small xml tree with line numbers, without document types: no entities to expand, nothing outside to fetch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from xml.parsers import expat

from ocrmaps.annotations.grammar.contents import refusal, shown
from ocrmaps.annotations.grammar.lines import NUMBER
from ocrmaps.errors import AnnotationError
from ocrmaps.limits import MOST_ELEMENTS

MAX_DEPTH = 64


@dataclass(slots=True)
class Element:
    """One element: tag without namespace prefix, attributes, children, text directly inside, first line."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def named(self, tag: str) -> list[Element]:
        return [child for child in self.children if child.tag == tag]

    def first(self, *path: str) -> Element | None:
        """The first element at a path below this one."""
        found: Element | None = self
        for tag in path:
            found = next((child for child in found.children if child.tag == tag), None) if found else None
        return found

    def below(self, tag: str) -> Iterator[Element]:
        """Every element of this tag at any depth, in the order of the file, none inside another of them."""
        stack = self.children[::-1]
        while stack:
            element = stack.pop()
            if element.tag == tag:
                yield element
            else:
                stack += element.children[::-1]


def parse_xml(text: str, loc: str) -> Element:
    """The root element of a text; refuses document types, deep nesting and anything not well formed."""
    if not text.strip():
        raise refusal(loc, "found an empty file, expected xml", "empty-file")
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    roots: list[Element] = []
    stack: list[Element] = []
    count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        element = Element(tag.rpartition(":")[2], attributes, parser.CurrentLineNumber)
        if count > MOST_ELEMENTS:
            raise refusal(f"{loc}:{element.line}", f"found over {MOST_ELEMENTS} elements", "too-large")
        if len(stack) >= MAX_DEPTH:
            raise refusal(f"{loc}:{element.line}", f"found xml nested over {MAX_DEPTH} levels deep", "too-deep")
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)

    def end(tag: str) -> None:
        stack.pop()

    def data(part: str) -> None:
        if stack:
            stack[-1].parts.append(part)

    def doctype(name: str, *rest: object) -> None:
        found = f"found a document type {shown(name)}, expected plain xml: entities are not expanded here"
        raise refusal(f"{loc}:{parser.CurrentLineNumber}", found, "xml-entities")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.encode("utf-8"), True)
    except AnnotationError:  # itself a ValueError
        raise
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise refusal(f"{loc}:{error.lineno}:{error.offset}", f"found invalid xml: {reason}", "invalid-xml") from None
    except (ValueError, LookupError) as error:
        raise refusal(loc, f"found invalid xml: {error}", "invalid-xml") from None
    return roots[0]


def number_pairs_in(text: str) -> list[float] | None:
    """The numbers of `x,y x,y ...` or `x y x y ...` as a flat list; None where anything else is between them."""
    fields = text.replace(",", " ").split()
    return [float(field) for field in fields] if all(map(NUMBER.fullmatch, fields)) else None


def attribute_numbers(element: Element, names: Sequence[str]) -> list[float] | None:
    """The numbers that these attributes hold; None if any does not."""
    fields = [element.attributes.get(name, "").strip() for name in names]
    return [float(field) for field in fields] if all(map(NUMBER.fullmatch, fields)) else None


_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {ord(letter): f"&#{ord(letter)};" for letter in '<>&"\t\n\r'}


def escaped(text: str) -> tuple[str, bool]:
    """The text as it stands in an attribute or an element, and whether characters were lost that xml cannot hold.

    >>> escaped('a<"b"\\x00')
    ('a&#60;&#34;b&#34;', True)
    """
    kept = _UNWRITABLE.sub("", text)
    return kept.translate(_ESCAPES), kept != text


def peek_xml(text: str) -> tuple[str, frozenset[str]] | None:
    """(root tag, `tag@attribute` names) of what was complete before the text was cut off; None if it is no xml."""
    parser = expat.ParserCreate("utf-8")
    tags: list[str] = []
    seen: set[str] = set()

    def start(tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        tags.append(tag)
        seen.add(tag)
        seen.update(f"{tag}@{name}" for name in attributes)

    def doctype(name: str, *rest: object) -> None:
        raise AnnotationError("a document type")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    with suppress(
        expat.ExpatError, AnnotationError, ValueError, LookupError
    ):  # cut off or damaged: what was seen counts
        parser.Parse(text.encode("utf-8", "replace"), False)
    return (tags[0], frozenset(seen)) if tags else None
