"""Reads JSON files of unknown quality: names the line or byte that is wrong, and the way out."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rpnviz.datasets.base import RecordId
from rpnviz.datasets.findings import FindingLog
from rpnviz.datasets.folder import is_image_name
from rpnviz.datasets.text_files import names_in, read_bytes
from rpnviz.errors import AnnotationError

_MUCH = 1 << 20
_MANY_FILES = 20

COPY_AGAIN = "Copy or export the file again."


def read_text(path: Path, expected: str, findings: FindingLog) -> bytes:
    """The file as UTF-8 without a byte-order mark; UTF-16 and UTF-32 are converted, with a finding.

    Args:
        path: the file.
        expected: a sentence that says what the file should hold.
        findings: where to note that the file is read although others may refuse it.

    Raises:
        AnnotationError: the file cannot be read, is empty, or is no text in a Unicode encoding.
    """
    data = read_bytes(path, in_folder="Name the JSON file in it.")
    if not data or data.isspace():
        raise AnnotationError(
            f"the annotation file is empty ({len(data)} bytes). {expected}", where=str(path), way_out=COPY_AGAIN
        )
    encoding = json.detect_encoding(data)
    if encoding != "utf-8":
        name = "UTF-8 with a byte-order mark" if encoding == "utf-8-sig" else encoding.upper()
        try:
            data = data.decode(encoding).encode()
        except UnicodeError as error:
            raise AnnotationError(
                f"this is no text, expected JSON. {expected}", where=str(path), way_out="Choose the annotation file."
            ) from error
        findings.add(
            "encoding",
            "warning",
            f"the file is {name}; it was read, but most trainers expect plain UTF-8 and refuse it.",
            way_out="Save it as UTF-8 without a byte-order mark.",
        )
    _check_utf8(data, path)
    return data


def _check_utf8(data: bytes, path: Path) -> None:
    """Name the first byte that is not UTF-8; in pieces, since a decoded copy of a large file would be larger still."""
    if data.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = 1 << 20
    for start in range(0, len(data), size):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + size], final=start + size >= len(data))
        except UnicodeDecodeError as error:
            at = start - pending + error.start
            line = data.count(b"\n", 0, at) + 1
            raise AnnotationError(
                f"line {line:,}, byte {at:,}: 0x{data[at]:02x} is not UTF-8, the encoding of JSON.",
                where=str(path),
                way_out="If the file was saved as Latin-1 or Windows-1252, save it again as UTF-8.",
            ) from error


def is_json_with(
    path: Path, test: Callable[[bytes], bool], keys: tuple[bytes, ...], expected: str, kind: type = dict
) -> bool:
    """Whether a JSON file passes a test; of a large one only whether its beginning has one of the keys.

    Args:
        path: the file; of one that is not called ``.json`` the first character is asked first.
        test: takes the text; may raise what msgspec raises.
        keys: of which the first megabyte of a large file has one.
        expected: see :func:`read_text`.
        kind: dict or list, what the JSON is on the outside.

    Raises:
        AnnotationError: it cannot be read, or is no JSON.
    """
    start = read_bytes(path, _MUCH)
    outside = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if path.suffix.lower() != ".json" and outside not in (b"{", b"["):
        return False
    if len(start) == _MUCH:
        return outside == (b"{" if kind is dict else b"[") and any(key in start for key in keys)
    text = read_text(path, expected, FindingLog(path.name))
    try:
        return test(text)
    except msgspec.ValidationError:
        return False
    except (msgspec.DecodeError, RecursionError):
        whole = decode_slowly(text, path, expected)
        if not isinstance(whole, kind):
            return False
        clean = json.dumps(_finite(whole)).encode()
    try:
        return test(clean)
    except (msgspec.DecodeError, RecursionError):
        return False


def _finite(value: Any) -> Any:
    """The outer two levels of a value, without the NaN that JSON does not know."""
    if isinstance(value, dict):
        return {str(key): [] if isinstance(part, list) else None for key, part in value.items()}
    return [_finite(part) if isinstance(part, dict) else None for part in value]


def json_files(folder: Path) -> list[tuple[Path, bool]]:
    """JSON files that may describe the images of a folder, and whether each stands beside the folder.

    In it and in its ``annotations/``; beside it, or beside the folder ``images`` that it stands in, those named like it
    (``instances_val2017.json`` and ``val2017/``), or all if it is called ``images``. Among more than 20, those named
    like an image describe that image alone.
    """
    found: list[tuple[Path, bool]] = []
    for place in (folder, folder / "annotations"):
        names = names_in(place, ".json")
        if len(names) > _MANY_FILES:
            images = {os.path.splitext(name)[0] for name in names_in(folder) if is_image_name(name)}
            names = [name for name in names if os.path.splitext(name)[0] not in images][: 5 * _MANY_FILES]
        found += [(place / name, False) for name in names]
    parent = folder.absolute().parent
    beside = [parent, parent / "annotations"]
    if parent.name.lower() == "images":  # of splits
        beside += [parent.parent, parent.parent / "annotations"]
    for place in beside:
        for name in names_in(place, ".json")[: 5 * _MANY_FILES]:
            words = re.split(r"[^a-z0-9]+", name.lower())
            if folder.name.lower() == "images" or folder.name.lower() in words:
                found.append((place / name, True))
    return found


def decode_slowly(text: bytes, path: Path, expected: str) -> Any:
    """Decode JSON with the standard library, which takes ``NaN`` and ``Infinity`` and knows lines and columns.

    Raises:
        AnnotationError: it is no JSON.
    """
    decoded = text.decode()
    try:
        return json.loads(decoded)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno:,}, column {error.colno:,}"
        if error.pos >= len(decoded.rstrip()) or error.msg.startswith("Unterminated string"):
            raise AnnotationError(
                f"the JSON ends in the middle, at {place}, after {len(text):,} bytes.",
                where=str(path),
                way_out=f"The file is truncated. {COPY_AGAIN}",
            ) from error
        raise AnnotationError(
            f"no valid JSON at {place}: {error.msg}.", where=str(path), way_out=f"{expected} Mend or export it again."
        ) from error
    except RecursionError as error:
        raise AnnotationError(
            f"the JSON is nested too deeply. {expected}", where=str(path), way_out="Choose another file."
        ) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise AnnotationError(f"no usable JSON: {error}.", where=str(path), way_out=COPY_AGAIN) from error


def four_of(value: object) -> list[float] | None:
    """Four numbers of a list; None if it is none."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if any(isinstance(part, bool) or not isinstance(part, int | float) for part in value):
        return None
    try:
        return [float(part) for part in value]
    except OverflowError:  # a whole number beyond every float
        return None


def kind_of(value: object) -> str:
    """What a decoded value is, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def printable(value: str) -> str:
    """A text without halves of surrogate pairs, which JSON can hold and nothing can print or store."""
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def decode_loosely(record: object) -> object:
    """A record that its type refused, decoded to whatever it is, NaN and 1e999 included."""
    if not isinstance(record, msgspec.Raw):
        return record
    try:
        return json.loads(bytes(record))
    except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of brackets
        return None


def record_id(value: object) -> RecordId | None:
    """An id of the file; None if it is neither number nor text. 3.0 is 3."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def other_kind(id_: RecordId | None) -> RecordId | None:
    """``"3"`` for 3 and 3 for ``"3"``: exports mix the two. None where there is no other."""
    if isinstance(id_, int):
        return str(id_)
    return int(id_) if id_ is not None and re.fullmatch(r"-?[0-9]{1,18}", id_) else None
