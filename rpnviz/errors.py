"""Errors that a user can cause: what happened, where, and the way out."""

from __future__ import annotations


class RpnvizError(Exception):
    """Base of every error that is shown to the user instead of a traceback.

    Args:
        what: one sentence that says what happened and what was expected, values named.
        where: file, line, field or box; empty if there is no better place than the action itself.
        way_out: what the user can do about it.
    """

    def __init__(self, what: str, *, where: str = "", way_out: str = "") -> None:
        self.what = what
        self.where = where
        self.way_out = way_out
        super().__init__(self.__str__())

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} {self.way_out}".rstrip()


class ParamsError(RpnvizError):
    """A parameter or convention is unknown, of a wrong type or out of its range."""


class ShapeError(RpnvizError):
    """An array handed to the core does not have the shape its neighbours require."""


class NoGroundTruthError(RpnvizError):
    """A stage was asked to label anchors of an image that the trainer refuses or skips."""


class ImageFileError(RpnvizError):
    """An image file is missing, unreadable or cannot be written."""


class AnnotationError(RpnvizError):
    """An annotation file as a whole cannot be used; single bad records are findings, not errors."""


class ModelFileError(RpnvizError):
    """A file is not a model that rpnviz can read, or does not fit what it says it is."""


class ConfigFileError(RpnvizError):
    """A trainer's configuration cannot be read, or not be written without changing what it means."""


class SessionError(RpnvizError):
    """A session, or a shared case, cannot be read or written, or what belongs to it is not there."""


class ExportError(RpnvizError):
    """A picture or table could not be written."""


class Cancelled(BaseException):
    """Ends work whose answer nobody wants; no ``Exception``, so that no broad ``except`` swallows it."""
