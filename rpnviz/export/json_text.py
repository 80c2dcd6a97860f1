"""Replaces values in the text of a JSON file; every other byte of it stays.

A file of half a gigabyte is not decoded for that: its records are found as pieces of the text, and what is written is
the text between the changed ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

_PIECE = 1 << 24
"""Bytes that are written at once: cancelling need not wait for more."""

_LITERALS = (re.compile(rb"NaN"), re.compile(rb"Infinity"))
"""One by one: texts are searched faster for what begins in one way. A minus may stand before a digit too."""
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|(?P<quote>\")|.)", re.DOTALL)
_OPENING = re.compile(rb'\{(?P<lead>\s*)"(?:[^"\\]|\\.)*"\s*(?P<colon>:\s*)', re.DOTALL)

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True)
class Splice:
    """A part of a text that is replaced; ``start == stop``: something is inserted there."""

    start: int
    stop: int
    new: bytes


class JsonText:
    """A text whose parts are told by where they are.

    Raises:
        DecodeError: of msgspec: it is no JSON object, not even with ``NaN``, ``Infinity`` and halves of surrogate
            pairs, which Python's own decoder takes.
        RecursionError: it is nested too deeply.

    Attributes:
        text: as given, UTF-8.
        fields: the values of the object; of a key that is there twice the last.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._strict: bytes | bytearray = text
        try:
            self.fields = _decode_fields(text)
        except msgspec.DecodeError:
            self._strict = _masked(text)
            self.fields = _decode_fields(self._strict)
        self._base = np.frombuffer(self._strict, np.uint8).ctypes.data

    def items(self, key: str) -> list[msgspec.Raw]:
        """The parts of a list; empty if the object has none of that name.

        Raises:
            DecodeError: of msgspec: it is no list.
        """
        raw = self.fields.get(key)
        if raw is None or memoryview(raw) == b"null":
            return []
        return _decode_items(raw)

    def span(self, part: msgspec.Raw) -> tuple[int, int]:
        """Where a part starts and stops."""
        view = np.frombuffer(part, np.uint8)
        start = view.ctypes.data - self._base
        return start, start + len(view)

    def bytes_of(self, part: msgspec.Raw) -> bytes:
        """A part as it stands in the text."""
        start, stop = self.span(part)
        return self.text[start:stop]

    def raw(self, part: msgspec.Raw) -> msgspec.Raw:
        """A part as it stands in the text, for those who decode it."""
        return part if self._strict is self.text else msgspec.Raw(self.bytes_of(part))

    def with_values(self, part: msgspec.Raw, values: Mapping[str, bytes | None]) -> Splice:
        """An object with other values, as JSON; a None removes the key. The other values stay as they are written."""
        fields = {**{key: self.bytes_of(value) for key, value in _decode_fields(part).items()}, **values}
        start, stop = self.span(part)
        style = Style.of(self.bytes_of(part))
        return Splice(start, stop, style.object({key: value for key, value in fields.items() if value is not None}))

    def edit_list(
        self,
        key: str,
        items: Sequence[msgspec.Raw],
        changed: Mapping[int, Mapping[str, bytes | None]],
        removed: Collection[int],
        added: Sequence[Mapping[str, bytes]],
    ) -> list[Splice]:
        """What to replace for a list of objects with other contents.

        Args:
            key: of the list; it is made if the object has none.
            items: what :meth:`items` gave.
            changed: other values of some objects, see :meth:`with_values`.
            removed: objects that go.
            added: objects that follow at the end, written in the style of the last one.
        """
        last = self.bytes_of(items[-1]) if items else b""
        style = Style.of(last)
        made = [style.object(fields) for fields in added]
        if not items:
            return self._new_list(key, made) if made else []
        splices = [self.with_values(items[index], values) for index, values in changed.items()]
        first_kept = next((index for index in range(len(items)) if index not in removed), len(items))
        for index in removed:
            start, stop = self.span(items[index])
            if index > first_kept:  # with the comma before it
                start = self.span(items[index - 1])[1]
            elif index + 1 < len(items):  # with the comma after it
                stop = self.span(items[index + 1])[0]
            splices.append(Splice(start, stop, b""))
        if made:
            start, end = self.span(items[-1])
            if len(items) > 1:
                between = self.text[self.span(items[-2])[1] : start]
            else:
                between = b"," + (self.text[self.span(self.fields[key])[0] + 1 : start] or style.colon[1:])
            before = b"" if first_kept == len(items) else between
            splices.append(Splice(end, end, before + between.join(made)))
        return splices

    def _new_list(self, key: str, made: Sequence[bytes]) -> list[Splice]:
        """Instead of an empty list, null or nothing."""
        content = b"[" + b", ".join(made) + b"]"
        if key in self.fields:
            return [Splice(*self.span(self.fields[key]), content)]
        end = len(self.text[: self.text.rindex(b"}")].rstrip())
        comma = b", " if self.fields else b""
        return [Splice(end, end, comma + json.dumps(key).encode() + b": " + content)]

    def pieces(self, splices: Sequence[Splice]) -> Iterator[tuple[bytes | memoryview, float]]:
        """The text with its splices, and how far each piece begins, from 0 to 1."""
        view, here, size = memoryview(self.text), 0, len(self.text)
        for splice in sorted(splices, key=lambda one: (one.start, one.stop)):
            yield from self._between(view, here, splice.start)
            yield splice.new, splice.start / size
            here = splice.stop
        yield from self._between(view, here, size)

    def _between(self, view: memoryview, start: int, stop: int) -> Iterator[tuple[memoryview, float]]:
        for here in range(start, stop, _PIECE):
            yield view[here : min(here + _PIECE, stop)], here / len(self.text)


@dataclass(frozen=True)
class Style:
    """How an object is written: what stands between its braces, keys and values."""

    lead: bytes = b""
    colon: bytes = b": "
    close: bytes = b""

    @classmethod
    def of(cls, written: bytes) -> Style:
        """The style of a JSON object; Python's own if it is none, or an empty one."""
        opening = _OPENING.match(written)
        if opening is None:
            return cls()
        inside = written[:-1]
        return cls(opening["lead"], opening["colon"], inside[len(inside.rstrip()) :])

    def object(self, fields: Mapping[str, bytes]) -> bytes:
        """An object of values that are JSON already."""
        comma = b"," + (self.lead or self.colon[1:])
        parts = [json.dumps(key).encode() + self.colon + value for key, value in fields.items()]
        return b"{" + self.lead + comma.join(parts) + self.close + b"}"


def json_bytes(value: Any) -> bytes:
    """A value as JSON in ASCII, whatever the encoding of the text that it comes into."""
    return json.dumps(value).encode()


def _masked(text: bytes) -> bytearray:
    """A text of the same length without what is no JSON and Python takes all the same; only good to find places in."""
    masked, view = bytearray(text), np.frombuffer(text, np.uint8)
    escaped = []
    for escape in _ESCAPE.finditer(text):  # outside of strings JSON has no backslash
        if escape["half"] is not None:
            masked[escape.start() : escape.end()] = b"\\uFFFD"
        elif escape["quote"] is not None:
            escaped.append(escape.end() - 1)
    spans = np.array([found.span() for one in _LITERALS for found in one.finditer(text)], np.int64).reshape(-1, 2)
    before = 0
    for start in range(0, len(text), _PIECE):
        quotes = start + np.flatnonzero(view[start : start + _PIECE] == ord('"'))
        quotes = quotes[~np.isin(quotes, escaped)]
        here = spans[(spans[:, 0] >= start) & (spans[:, 0] < start + _PIECE)]
        outside = (before + np.searchsorted(quotes, here[:, 0])) % 2 == 0
        for first, end in here[outside].tolist():
            masked[first:end] = b"1" * (end - first)
        before += len(quotes)
    return masked
