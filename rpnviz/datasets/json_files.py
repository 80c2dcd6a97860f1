"""Reads JSON files of unknown quality: names the line or byte that is wrong, and the way out."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from rpnviz.datasets.findings import FindingLog
from rpnviz.errors import AnnotationError

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
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise AnnotationError(
            "the annotation file does not exist.", where=str(path), way_out="Check its name and folder."
        ) from error
    except IsADirectoryError as error:
        raise AnnotationError(
            "this is a folder, expected an annotation file.", where=str(path), way_out="Name the JSON file in it."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AnnotationError(
            f"the annotation file cannot be read: {reason}.", where=str(path), way_out="Check the file's permissions."
        ) from error
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


def kind_of(value: object) -> str:
    """What a decoded value is, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def printable(value: str) -> str:
    """A text without halves of surrogate pairs, which JSON can hold and nothing can print or store."""
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
