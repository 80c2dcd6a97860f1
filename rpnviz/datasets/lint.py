"""Everything that is wrong with a data set, in groups, with what each trainer makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rpnviz.core.presets import Preset
from rpnviz.datasets.base import Dataset, Finding, Progress, Severity, no_progress
from rpnviz.datasets.box_checks import SLIPS
from rpnviz.datasets.columns import columns_of
from rpnviz.datasets.findings import FindingLog, by_severity
from rpnviz.datasets.image_checks import check_images
from rpnviz.datasets.loss_checks import check_loss
from rpnviz.datasets.reactions import NAN_KINDS, TITLES, VOC, VOC_PIXELS, reactions

SHOWN_PER_GROUP = 3
"""Examples of each kind in the text report."""


@dataclass(frozen=True)
class Group:
    """All findings of a kind.

    Attributes:
        kind: see :class:`Finding`.
        severity: of its worst finding.
        count: records that they speak of.
        findings: worst first; at most 1,000, beyond only their number is known.
        reactions: what each preset's trainer does with such a record; empty where they do not differ.
        loss: it can make the loss NaN or infinite.
    """

    kind: str
    severity: Severity
    count: int
    findings: tuple[Finding, ...]
    reactions: dict[str, str]
    loss: bool

    @property
    def title(self) -> str:
        """What the findings have in common, in a few words."""
        return TITLES.get(self.kind, self.kind or "other")


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        dataset: what was looked at.
        preset: the trainer whose frame and rules were applied.
        groups: errors first, then warnings and notes; of each what concerns the whole file, then the larger.
    """

    dataset: Dataset
    preset: Preset
    groups: tuple[Group, ...]

    def count(self, severity: Severity) -> int:
        """Records of all groups of a severity."""
        return sum(group.count for group in self.groups if group.severity == severity)

    @property
    def loss(self) -> tuple[Group, ...]:
        """The groups that can make the loss NaN."""
        return tuple(group for group in self.groups if group.loss)


def lint(dataset: Dataset, preset: Preset, min_input_px: float = 8.0, progress: Progress = no_progress) -> Report:
    """Look for everything that is wrong with a data set; reads the header of every image.

    Args:
        dataset: as it was opened, with the findings of its reader.
        preset: whose frame and rules count.
        min_input_px: boxes with a side below this at the network's input are noted; 0: none.
        progress: called with a fraction from 0 to 1; it may raise to end the work.
    """
    log = FindingLog(dataset.source.name)
    sizes = check_images(dataset, log, lambda fraction: progress(0.8 * fraction))
    if dataset.format == VOC:
        log.add(VOC_PIXELS, "note", "1, 1, W, H is the whole image; it is shown as 0, 0, W, H, edges in pixels from 0.")
    check_loss(dataset, sizes, preset, min_input_px, log, lambda fraction: progress(0.8 + 0.2 * fraction))
    progress(1.0)
    return Report(dataset, preset, groups_of((*dataset.findings, *log.all()), dataset.format))


def groups_of(findings: tuple[Finding, ...], format_: str = "") -> tuple[Group, ...]:
    """Findings by kind."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in by_severity(findings):
        by_kind.setdefault(finding.kind, []).append(finding)
    groups = [
        Group(
            kind,
            own[0].severity,
            sum(finding.count for finding in own),
            tuple(own),
            reactions(kind, format_),
            kind in NAN_KINDS and own[0].severity != "note",
        )
        for kind, own in by_kind.items()
    ]
    order = ("error", "warning", "note")
    return tuple(
        # One mistake of the whole file comes before the boxes that it makes wrong.
        sorted(groups, key=lambda group: (order.index(group.severity), group.kind not in SLIPS, -group.count))
    )


# ---------------------------------------------------------------------- as text and as JSON


def report_lines(report: Report) -> Iterator[str]:
    """The report for a terminal."""
    dataset = report.dataset
    boxes, images = int(dataset.box_counts().sum()), len(dataset.images)
    counted = ", ".join(
        f"{report.count(severity):,} {severity}{'' if report.count(severity) == 1 else 's'}"
        for severity in ("error", "warning", "note")
    )
    kind = f"{dataset.format}: " if dataset.format else ""
    sums = (
        _counted(images, "image", "images"),
        _counted(boxes, "box", "boxes"),
        _counted(len(dataset.categories), "category", "categories"),
    )
    yield f"{dataset.name}: {kind}{', '.join(sums)}."
    yield f"{counted}, for {report.preset.name}." if report.groups else f"Nothing found, for {report.preset.name}."
    for group in report.groups:
        yield ""
        loss = " (can make the loss NaN)" if group.loss else ""
        yield f"{group.severity.upper()}  {group.count:,} x {group.title}{loss}"
        own = f"{dataset.source.name}: "
        for finding in group.findings[:SHOWN_PER_GROUP]:
            where = finding.where.removeprefix(own)
            yield f"  {where}: {finding.what}" if where != dataset.source.name else f"  {finding.what}"
        if len(group.findings) > SHOWN_PER_GROUP:
            yield f"  ... and {group.count - sum(one.count for one in group.findings[:SHOWN_PER_GROUP]):,} more"
        if group.findings[0].way_out:
            yield f"  -> {group.findings[0].way_out}"
        yield from (f"  {line}" for line in reaction_lines(group))
    yield ""
    titles = ", ".join(f"{group.count:,} {group.title}" for group in report.loss)
    yield f"What can make the loss NaN: {titles}." if titles else "Nothing that can make the loss NaN."


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def reaction_lines(group: Group) -> Iterator[str]:
    """What the trainers do with such a record; those that do the same share a line."""
    by_text: dict[str, list[str]] = {}
    for name, text in group.reactions.items():
        by_text.setdefault(text, []).append(name)
    for text, names in by_text.items():
        yield f"{', '.join(names)}: {text}"


def report_document(report: Report) -> dict[str, Any]:
    """The report as JSON."""
    dataset = report.dataset
    names = columns_of(dataset.images).file_names
    return {
        "dataset": str(dataset.source),
        "format": dataset.format,
        "preset": report.preset.name,
        "images": len(dataset.images),
        "boxes": int(dataset.box_counts().sum()),
        "categories": len(dataset.categories),
        "counts": {severity: report.count(severity) for severity in ("error", "warning", "note")},
        "can_make_the_loss_nan": [group.kind for group in report.loss],
        "groups": [
            {
                "kind": group.kind,
                "title": group.title,
                "severity": group.severity,
                "count": group.count,
                "can_make_the_loss_nan": group.loss,
                "trainers": group.reactions,
                "findings": [
                    {
                        "severity": finding.severity,
                        "what": finding.what,
                        "where": finding.where,
                        "way_out": finding.way_out,
                        "image": finding.image,
                        "file_name": names[finding.image] if finding.image is not None else None,
                        "gt": finding.gt,
                        "count": finding.count,
                    }
                    for finding in group.findings
                ],
            }
            for group in report.groups
        ],
    }
