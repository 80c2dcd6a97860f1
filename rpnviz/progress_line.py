"""How far long work is, on standard error: one line that a terminal rewrites, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_FIRST_S, _EACH_S = 10.0, 30.0
"""Seconds after which a log gets its first line, and the next ones."""


class ProgressLine:
    """Tells of one piece of work.

    Args:
        words: what is done, such as ``reading images``.
        stream: where to; None: standard error as it is when something is told.
        clock: seconds, for tests.
    """

    def __init__(self, words: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._words = words
        self._stream = stream
        self._clock = clock
        self._next = clock() + _FIRST_S
        self._shown = ""

    def show(self, fraction: float, detail: str = "") -> None:
        """Tell a fraction from 0 to 1, and in words where the work is."""
        stream = self._stream or sys.stderr
        text = f"rpnviz: {self._words}, {f'{detail}, ' if detail else ''}{int(100 * fraction)} %"
        if text == self._shown:
            return
        if stream.isatty():
            self._shown = text
            stream.write(f"\r{text}\033[K")
            stream.flush()
        elif self._clock() >= self._next:
            self._shown = text
            self._next = self._clock() + _EACH_S
            stream.write(f"{text}\n")
            stream.flush()

    def clear(self) -> None:
        """Make room on a terminal for other words, or for none."""
        stream = self._stream or sys.stderr
        if self._shown and stream.isatty():
            self._shown = ""
            stream.write("\r\033[K")
            stream.flush()
