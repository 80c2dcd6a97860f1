"""Reads XML element by element, each with its line; entities, which bombs are made of, are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler

from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser

from rpnviz.datasets.text_files import read_bytes
from rpnviz.errors import AnnotationError

_MAX_DEPTH = 100
_CHUNK = 1 << 16


@dataclass(slots=True)
class Element:
    """An element with what is in it.

    Attributes:
        tag: its name.
        attributes: by name.
        line: of the file, where it begins.
        text: its own text without that of its children, stripped.
        children: in their order.
    """

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> Element | None:
        """The first child of that name."""
        return next((child for child in self.children if child.tag == tag), None)

    def text_of(self, tag: str) -> str | None:
        """Text of the first child of that name, None if there is no such child."""
        child = self.find(tag)
        return None if child is None else child.text


class _TooDeep(Exception):
    pass


class _Builder(ContentHandler):
    """Puts finished children of the root into ``finished``, and forgets them."""

    def __init__(self, parser: Any) -> None:
        super().__init__()
        self._parser = parser
        self.finished: list[Element] = []
        self.root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []

    def startElement(self, name: str, attrs: Any) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise _TooDeep
        element = Element(name, dict(attrs.items()), self._parser.getLineNumber() or 0)
        if not self._open:
            self.root = element
        elif len(self._open) > 1:
            self._open[-1].children.append(element)
        self._open.append(element)
        self._texts.append([])

    def characters(self, content: str) -> None:
        if self._texts:
            self._texts[-1].append(content)

    def endElement(self, name: str) -> None:
        element = self._open.pop()
        element.text = "".join(self._texts.pop()).strip()
        if len(self._open) == 1:
            self.finished.append(element)


class XmlFile:
    """An XML file that is read child by child of its root, so that a large one needs little memory.

    Attributes:
        path: the file.
        problem: what ended the reading early, empty if nothing did.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self._parser = make_parser()
        self._builder = _Builder(self._parser)
        self._parser.setContentHandler(self._builder)

    @property
    def root(self) -> Element | None:
        """The root without its children, None before its start was read."""
        return self._builder.root

    def children(self, limit: int | None = None) -> Iterator[Element]:
        """The children of the root, one after the other; see ``problem`` when they end.

        Args:
            limit: read no more than so many bytes; the end is then no problem.

        Raises:
            AnnotationError: the file cannot be opened.
        """
        parser = self._parser
        data = read_bytes(self.path, limit)
        try:
            for start in range(0, len(data), _CHUNK):
                parser.feed(data[start : start + _CHUNK])
                yield from self._taken()
            if limit is None or len(data) < limit:
                parser.close()
        except DefusedXmlException as error:
            self.problem = f"it declares entities, which are refused: {type(error).__name__}"
        except SAXException as error:
            line = getattr(error, "getLineNumber", lambda: None)()
            message = error.getMessage()
            self.problem = f"line {line}: {message}" if line else message
        except _TooDeep:
            self.problem = f"it is nested deeper than {_MAX_DEPTH} elements"
        except (ValueError, LookupError) as error:  # an encoding that does not exist
            self.problem = str(error)
        yield from self._taken()

    def _taken(self) -> list[Element]:
        taken, self._builder.finished = self._builder.finished, []
        return taken


def read_xml(path: Path) -> tuple[Element | None, str]:
    """The root of a small file with all that could be read of it, and what ended the reading early.

    Raises:
        AnnotationError: the file cannot be opened.
    """
    file = XmlFile(path)
    children = list(file.children())
    if file.root is not None:
        file.root.children = children
    return file.root, file.problem


def root_tag(path: Path) -> str:
    """Name of the root element from the first bytes of a file, empty if there is none."""
    file = XmlFile(path)
    try:
        for _ in file.children(limit=4096):
            break
    except AnnotationError:
        return ""
    return file.root.tag if file.root is not None else ""
