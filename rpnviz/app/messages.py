"""The one door for telling the user something."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rpnviz.errors import RpnvizError


class Severity(StrEnum):
    """How much a message matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Message:
    """Something the user should know; plain text, escaped by whoever shows it as rich text.

    Attributes:
        severity: how much it matters.
        title: what happened, one short sentence.
        detail: where, what was expected and the way out; empty if the title says it all.
        table: headings, then rows, where the details are a list; ``detail`` is then its title and a line above it, and
            the message stays until it is dismissed.
    """

    severity: Severity
    title: str
    detail: str = ""
    table: tuple[tuple[str, ...], ...] = ()


def from_error(title: str, error: BaseException) -> Message:
    """A message for a failed action; errors that are not ours keep their type, so that a report helps."""
    if not isinstance(error, RpnvizError):
        detail = f"{type(error).__name__}: {error}"
    elif error.where and title.endswith(error.where):
        detail = f"{error.what} {error.way_out}".rstrip()  # the title has named it
    else:
        detail = str(error)
    return Message(Severity.ERROR, title, detail)
