"""Reads text files of unknown quality, and looks through folders that may link to themselves."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from rpnviz.datasets.findings import FindingLog
from rpnviz.errors import AnnotationError

_MAX_DEPTH = 12
_NUMBER = re.compile(
    r"[ \t]*[+-]?([0-9]+\.?[0-9]*(e[+-]?[0-9]+)?|\.[0-9]+(e[+-]?[0-9]+)?|nan|inf(inity)?)[ \t]*", re.IGNORECASE
)


def read_bytes(path: Path, limit: int | None = None, in_folder: str = "") -> bytes:
    """A file's bytes, or its first ``limit``; ``in_folder``: the way out where it is a folder.

    Raises:
        AnnotationError: it does not exist, is no regular file, or may not be read.
    """
    try:
        if path.exists() and not path.is_file():
            what = "this is a folder" if path.is_dir() else "this is no regular file"
            way_out = in_folder if path.is_dir() else ""
            raise AnnotationError(f"{what}, expected an annotation file.", where=str(path), way_out=way_out)
        with path.open("rb") as file:
            return file.read() if limit is None else file.read(limit)
    except FileNotFoundError as error:
        raise AnnotationError(
            "the annotation file does not exist.", where=str(path), way_out="Check its name and folder."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AnnotationError(
            f"the annotation file cannot be read: {reason}.", where=str(path), way_out="Check the file's permissions."
        ) from error


def decode(data: bytes, log: FindingLog | None = None, where: str = "") -> str:
    """A text in UTF-8 or UTF-16, with or without a byte-order mark, else in Latin-1, which fits every byte.

    Args:
        data: the bytes.
        log: notes what is not plain UTF-8; others may refuse the file.
        where: the file, for the note.
    """
    encoding = "utf-8"
    if data.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = data.decode(encoding)
    if encoding != "utf-8" and log is not None:
        names = {"utf-8-sig": "UTF-8 with a byte-order mark", "utf-16": "UTF-16", "latin-1": "no UTF-8"}
        taken = "; taken for Latin-1" if encoding == "latin-1" else "; it was read, but many trainers refuse it"
        log.add("encoding", "warning", f"the file is {names[encoding]}{taken}.", where, "Save it as plain UTF-8.")
    return text


def read_text(path: Path, log: FindingLog | None = None, where: str = "") -> str:
    """A text file, see :func:`decode`.

    Raises:
        AnnotationError: it cannot be read.
    """
    return decode(read_bytes(path), log, where)


def number(text: str) -> float | None:
    """A number as programs write it; None if it is none. Python's ``float`` would take ``1_0`` and Arabic digits."""
    if len(text) > 400 or not _NUMBER.fullmatch(text) or not text.isascii():  # İnf, to ignored case
        return None
    return float(text)


def whole_number(text: str) -> int | None:
    """A whole number, also from ``3.0``; None if it is none."""
    value = number(text)
    return int(value) if value is not None and math.isfinite(value) and value.is_integer() else None


def four_numbers(texts: list[str]) -> tuple[float, float, float, float] | None:
    """Four numbers; None if one of them is none."""
    values = [number(text) for text in texts]
    if len(values) != 4 or any(value is None for value in values):
        return None
    return values[0], values[1], values[2], values[3]  # type: ignore[return-value]


def names_in(folder: Path | str, suffix: str = "") -> list[str]:
    """Names of the files in a folder that end so, sorted; empty if it cannot be listed. Links to folders are none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name.lower().endswith(suffix) and not entry.name.startswith(".") and _is(entry.is_file)
            )
    except (OSError, ValueError):
        return []


def folders_in(folder: Path | str) -> list[str]:
    """Names of the folders in a folder, sorted; empty if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is(entry.is_dir))
    except (OSError, ValueError):
        return []


def _is(question: Callable[[], bool]) -> bool:
    """An answer about an entry; a link that leads to itself is neither file nor folder."""
    try:
        return question()
    except OSError:
        return False


def walk(folder: Path) -> Iterator[Path]:
    """A folder and all folders below it, links followed, each folder once however it is linked."""
    seen: set[str] = set()
    pending = [(folder, 0)]
    while pending:
        here, depth = pending.pop()
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        yield here
        if depth < _MAX_DEPTH:
            pending += [(here / name, depth + 1) for name in reversed(folders_in(here))]
