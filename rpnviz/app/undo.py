"""Undo and redo of what the user changes; a drag is one step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_MERGE_SECONDS = 0.8


@dataclass(frozen=True)
class _Step(Generic[T]):
    label: str
    before: T


class History(Generic[T]):
    """Snapshots before each change; values are immutable, so a snapshot is a reference."""

    def __init__(self) -> None:
        self._past: list[_Step[T]] = []
        self._future: list[_Step[T]] = []
        self._last_label = ""
        self._last_time = -_MERGE_SECONDS
        self._last_drag: object = None

    def record(self, label: str, before: T, drag: object = None) -> bool:
        """Remember the value before a change; quick changes of the same label are one step.

        Args:
            label: what changes.
            before: the value.
            drag: changes with the same such object are one step, however long they take.

        Returns:
            Whether this began a new step.
        """
        now = time.monotonic()
        quick = label == self._last_label and now - self._last_time < _MERGE_SECONDS
        merged = bool(self._past) and (drag is self._last_drag if drag is not None else quick)
        if not merged:
            self._past.append(_Step(label, before))
        self._future.clear()
        self._last_label, self._last_time, self._last_drag = label, now, drag
        return not merged

    def take_back(self, drag: object) -> T | None:
        """The value before a drag that was given up, which is then no step; None if it did not change anything."""
        if drag is not self._last_drag or not self._past:
            return None
        self._last_label, self._last_drag = "", None
        return self._past.pop().before

    def convert(self, change: Callable[[T], T], now: T) -> None:
        """Let what is remembered be others, ``now`` being the present value; steps that change none are forgotten."""
        self._last_label, self._last_drag = "", None
        for steps in (self._past, self._future):
            kept, value = [], now
            for step in reversed(steps):
                before = change(step.before)
                if before != value:
                    kept.append(_Step(step.label, before))
                    value = before
            steps[:] = reversed(kept)

    def undo(self, now: T) -> T | None:
        """The value before the last change, given the present one; None if there is none."""
        return self._move(self._past, self._future, now)

    def redo(self, now: T) -> T | None:
        """The value that the last undo left, given the present one; None if there is none."""
        return self._move(self._future, self._past, now)

    def _move(self, source: list[_Step[T]], target: list[_Step[T]], now: T) -> T | None:
        self._last_label, self._last_drag = "", None
        while source:
            step = source.pop()
            if step.before != now:  # a drag that came back to its start is no step
                target.append(_Step(step.label, now))
                return step.before
        return None

    @property
    def undo_label(self) -> str:
        """What the next undo takes back, empty if nothing."""
        return self._past[-1].label if self._past else ""

    @property
    def redo_label(self) -> str:
        """What the next redo brings back, empty if nothing."""
        return self._future[-1].label if self._future else ""
