"""Collects what is wrong with the records of a file."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from rpnviz.datasets.base import Finding, Severity

MAX_FINDINGS_PER_KIND = 1000
"""Beyond these only the number is kept: a file with a million bad boxes has one mistake, not a million."""


class FindingLog:
    """Collects findings on the records of one file, a limited number of each kind."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._findings: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def copy(self) -> FindingLog:
        """Another log that goes on from here."""
        other = FindingLog(self.file)
        other._findings, other._counts = list(self._findings), self._counts.copy()
        return other

    def add(
        self,
        kind: str,
        severity: Severity,
        what: str,
        where: str = "",
        way_out: str = "",
        image: int | None = None,
        gt: int | None = None,
        count: int = 1,
    ) -> None:
        """Note something; ``where`` is the record, the file is put before it. The rest is as in :class:`Finding`."""
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_FINDINGS_PER_KIND:
            place = f"{self.file}: {where}" if where else self.file
            self._findings.append(Finding(severity, what, place, way_out, image, kind, gt, count))

    def room(self, kind: str) -> int:
        """How many more of a kind will be kept; beyond, only their number is."""
        return max(0, MAX_FINDINGS_PER_KIND - self._counts[kind])

    def count(self, kind: str, number: int = 1) -> None:
        """More of a kind that has no room."""
        self._counts[kind] += number

    def add_many(self, kind: str, rows: NDArray[np.int64], add_one: Callable[[int], None]) -> None:
        """``add_one(row)`` for as many rows as are kept; the rest is counted without looking at it."""
        room = self.room(kind)
        for row in rows[:room].tolist():
            add_one(row)
        self._counts[kind] += len(rows[room:])

    def all(self) -> tuple[Finding, ...]:
        """Errors first, then warnings and notes, each in the order of the file; then how many were not kept."""
        result = list(self._findings)
        for first in {finding.kind: finding for finding in reversed(self._findings)}.values():
            more = self._counts[first.kind] - MAX_FINDINGS_PER_KIND
            if more > 0:
                what = f"{more:,} more like this one ({first.where}): {first.what}"
                result.append(Finding(first.severity, what, self.file, first.way_out, kind=first.kind, count=more))
        return by_severity(result)


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings and notes, otherwise as they come."""
    return tuple(sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity)))


def shown(value: object) -> str:
    """A value of the file, short enough for a message."""
    return reprlib.repr(value)
