"""``markdown``: questions with their answers, where the document is made of them; else a text for each section.

A section is what stands from one heading to the next; its row has its text and the path of headings that leads to it. A
document is read as questions and answers when more of its lines belong to them than not: pairs of lines that begin with
``Q:`` and ``A:``, or headings that end in a question mark. What then belongs to none is malformed, so that it is not
dropped unseen. Front matter (YAML between lines of ``---`` at the top) becomes columns of every row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.lines import excerpt, refuse_other_kinds, utf8_fault
from tunery.errors import FormatInvalid, TooLarge
from tunery.kit.digests import canonical_json
from tunery.kit.yaml_text import YamlFault, parse_yaml

__all__ = ["MAX_BYTES", "import_markdown"]

MAX_BYTES = 64 * 2**20
"""Largest document, in bytes: what it is made of is told by the whole of it."""

_FRONT_LINES = 1000
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_NO_PARAGRAPH = re.compile(r"\s*(?:$|[>|]|[-*+] |\d+[.)] )| {4}|\t")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ITEM = r" {0,3}(?:[-*+] +|\d+[.)] +)?"
_QUESTION = re.compile(_ITEM + r"(\*\*|__)?(?:Q|Question)(?: ?\d+)?(\*\*|__)?[:.](\*\*|__)?(?:\s+|$)(.*)", re.I)
_ANSWER = re.compile(_ITEM + r"(\*\*|__)?(?:A|Answer)(?: ?\d+)?(\*\*|__)?[:.](\*\*|__)?(?:\s+|$)(.*)", re.I)
_STRAY = "it belongs to no question and answer, of which this document is made; take it out, or import with quarantine"


@dataclass
class _Section:
    """A heading and the lines up to the next one; before the first heading level 0.

    Attributes:
        line: Line of the heading, or of the first line.
        path: Titles of the headings above it.
        lines: Numbers and texts.
        code: Numbers of the lines in fenced code.
    """

    line: int
    level: int
    title: str
    path: list[str]
    source: str = ""
    lines: list[tuple[int, str]] = field(default_factory=list)
    code: set[int] = field(default_factory=set)

    @property
    def has_body(self) -> bool:
        return any(text.strip() for _, text in self.lines)

    @property
    def text(self) -> str:
        return "\n".join([self.source, *(text for _, text in self.lines)]).strip("\n")

    @property
    def headings(self) -> list[str]:
        return [*self.path, self.title] if self.level else []


@dataclass
class _Piece:
    """What becomes a row, or a malformed piece where it has a fault."""

    line: int
    values: dict[str, Any]
    lines: int
    fault: str = ""
    source: str = ""


@IMPORTERS.register("markdown")
def import_markdown(file: BinaryIO, max_row_bytes: int) -> Iterator[Record | Malformed]:
    """Read a document's sections, or its questions and answers. Source: CommonMark 0.31 (headings, fenced code).

    Raises:
        TooLarge: The document has more than ``MAX_BYTES``.
        FormatInvalid: It is no text, or its front matter is no mapping, or hides a column.
    """
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLarge(f"a Markdown document may have {MAX_BYTES} bytes; split it at its headings")
    refuse_other_kinds(data)
    lines, faults = _lines(data)
    front, first = _front_matter(lines)
    for piece in _pieces(_sections(lines, first)):
        if hidden := front.keys() & piece.values.keys():
            raise FormatInvalid(f"the front matter's {min(hidden)!r} would hide a column; rename it")
        row = piece.values | front
        bad = next((faults[n] for n in range(piece.line, piece.line + piece.lines) if n in faults), piece.fault)
        if not bad and len(canonical_json(row)) > max_row_bytes:
            bad = f"longer than {max_row_bytes} bytes; give its parts headings of their own"
        yield Malformed(piece.line, bad, excerpt(piece.source)) if bad else Record(piece.line, row)


def _lines(data: bytes) -> tuple[list[str], dict[int, str]]:
    """Return the lines without their ends, and the fault of each that is not UTF-8."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n"), {}
    except UnicodeDecodeError:
        lines, faults = [], {}
        for number, line in enumerate(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), start=1):
            try:
                lines.append(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                lines.append(line.decode("utf-8", "replace"))
                faults[number] = utf8_fault(error)
        return lines, faults


def _front_matter(lines: list[str]) -> tuple[dict[str, Any], int]:
    """Return the columns it holds, and the index of the first line after it."""
    if lines[0].rstrip() != "---":
        return {}, 0
    end = next((at for at, line in enumerate(lines[1:_FRONT_LINES], 1) if line.rstrip() in ("---", "...")), 0)
    if not any(line.strip() for line in lines[1:end]):
        return {}, 0  # a line across the page
    try:
        front = parse_yaml(
            "\n" + "\n".join(lines[1:end]), "front matter"
        )  # with one line more its lines are the file's
        canonical_json(front)
    except YamlFault as fault:
        raise FormatInvalid(f"front matter: {fault}") from fault
    except ValueError as error:
        raise FormatInvalid(f"front matter: a value in it is none that JSON has ({error})") from error
    return front, end + 1


def _sections(lines: list[str], first: int) -> list[_Section]:
    sections = [_Section(first + 1, 0, "", [])]
    above: list[tuple[int, str]] = []
    fence = ""
    for number, line in enumerate(lines[first:], start=first + 1):
        section = sections[-1]
        if fence:
            section.code.add(number)
            closing = _FENCE.fullmatch(line)
            if closing and closing[1].startswith(fence) and not closing[2].strip():
                fence = ""
        elif (opening := _FENCE.fullmatch(line)) and not (opening[1][0] == "`" and "`" in opening[2]):
            fence = opening[1]
            section.code.add(number)
        elif heading := _heading(line, number, section):
            level, title, start = heading
            above = [(other, name) for other, name in above if other < level]
            source = "\n".join(lines[start - 1 : number])
            sections.append(_Section(start, level, title, [name for _, name in above], source))
            above.append((level, title))
            continue
        section.lines.append((number, line))
    return sections


def _heading(line: str, number: int, section: _Section) -> tuple[int, str, int] | None:
    """Return level, title and line of a heading that ends in this line; of one of two lines, take the first back."""
    if found := _ATX.fullmatch(line):
        return len(found[1]), (found[2] or "").strip(), number
    if not section.lines or not (found := _SETEXT.fullmatch(line)):
        return None
    before, title = section.lines[-1]
    one_line = len(section.lines) < 2 or not section.lines[-2][1].strip()
    if before in section.code or not one_line or _NO_PARAGRAPH.match(title):
        return None
    section.lines.pop()
    return (1 if found[1][0] == "=" else 2), title.strip(), before


def _pieces(sections: list[_Section]) -> list[_Piece]:
    """Return what the document is made of, in order: by the first reading under which most lines are questions."""
    for reading in (_by_pairs, _by_headings):
        found = reading(sections)
        if sum(-piece.lines if piece.fault else piece.lines for piece in found) > 0:
            return found
    return [
        _piece(section.line, section.lines, {"text": section.text, "headings": section.headings})
        for section in sections
        if section.has_body
    ]


def _by_pairs(sections: list[_Section]) -> list[_Piece]:
    return [piece for section in sections for piece in _pairs_of(section)]


def _pairs_of(section: _Section) -> Iterator[_Piece]:
    """Yield the pairs of lines that begin with Q: and A:, and what stands apart from them."""
    asked: list[tuple[int, str]] = []
    answer: list[tuple[int, str]] | None = None
    stray: list[tuple[int, str]] = []

    def end() -> Iterator[_Piece]:
        if asked:
            values = {"prompt": _text(asked), "completion": _text(answer or [])}
            fault = "" if values["prompt"] and values["completion"] else "a question or its answer is missing"
            yield _piece(asked[0][0], asked + (answer or []), values | {"headings": section.headings}, fault)
        elif stray:
            yield _piece(stray[0][0], stray, {}, _STRAY)

    for number, line in section.lines:
        plain = number not in section.code
        if plain and (found := _QUESTION.fullmatch(line)):
            yield from end()
            asked, answer, stray = [(number, _said(found))], None, []
        elif plain and asked and answer is None and (found := _ANSWER.fullmatch(line)):
            answer = [(number, _said(found))]
        elif asked:
            (asked if answer is None else answer).append((number, line))
        elif line.strip() or stray:
            stray.append((number, line))
    yield from end()


def _by_headings(sections: list[_Section]) -> list[_Piece]:
    """Return the headings that ask, with all that stands below them, and the sections that are below none."""
    pieces: list[_Piece] = []
    at = 0
    while at < len(sections):
        section = sections[at]
        at += 1
        if not _asks(section):
            if section.has_body:
                pieces.append(_piece(section.line, section.lines, {}, _STRAY, section.text))
            continue
        parts, lines = [_text(section.lines)], list(section.lines)
        while at < len(sections) and sections[at].level > section.level and not _asks(sections[at]):
            parts.append(sections[at].text)
            lines += sections[at].lines
            at += 1
        completion = "\n\n".join(part for part in parts if part).strip()
        if found := _ANSWER.match(completion):
            completion = _said(found) + completion[found.end() :]
        if completion:
            prompt = _said(found) if (found := _QUESTION.fullmatch(section.title)) else section.title
            values = {"prompt": prompt, "completion": completion, "headings": section.path}
            pieces.append(_piece(section.line, lines, values))
        elif at == len(sections) or sections[at].level <= section.level:  # else it is a heading over questions
            # It weighs nothing: a list of questions most of which are still open is one, too.
            pieces.append(_Piece(section.line, {}, 0, "the question has no answer", section.text))
    return pieces


def _asks(section: _Section) -> bool:
    return bool(
        section.title and (section.title.rstrip(" *_").endswith(("?", "？")) or _QUESTION.fullmatch(section.title))
    )


def _said(found: re.Match[str]) -> str:
    """Return what follows Q: or A:, without the end of emphasis that began before it."""
    opened, closed, after, text = found.groups()
    mark = opened if opened and not closed and not after else None
    return text.strip().removesuffix(mark).strip() if mark and text.strip().endswith(mark) else text.strip()


def _piece(
    line: int, lines: list[tuple[int, str]], values: dict[str, Any], fault: str = "", source: str = ""
) -> _Piece:
    last = lines[-1][0] if lines else line
    return _Piece(line, values, last - line + 1, fault, source or "\n".join(text for _, text in lines[:50]))


def _text(lines: list[tuple[int, str]]) -> str:
    return "\n".join(text for _, text in lines).strip()
