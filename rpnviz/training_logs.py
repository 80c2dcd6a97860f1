"""The positives and negatives per image that a trainer logged, from its log file or pasted lines."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from rpnviz.errors import AnnotationError

_MOST_BYTES = 200_000_000
_WINDOW = 20
_ENOUGH = 5
"""Numbers of which some have the finest fraction there is."""
_MOST_IMAGES = 64
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_POSITIVES = re.compile(rf"num_pos(?:_anchors)?\b[\"']?\s*[:=,]\s*({_NUMBER})")
_NEGATIVES = re.compile(rf"num_neg(?:_anchors)?\b[\"']?\s*[:=,]\s*({_NUMBER})")
_STEP = re.compile(r"\b(?:iteration|iter|step)\b[\"']?\s*[:=]\s*\[?(\d+)")
_WAY_OUT = (
    "detectron2 writes it to metrics.json as rpn/num_pos_anchors; other logs need num_pos_anchors: NUMBER per line."
)


@dataclass(frozen=True)
class TrainingLog:
    """One entry per logged step.

    Attributes:
        steps: of the training; counted from 0 where the log does not say.
        positives: sampled positives per image.
        negatives: likewise; NaN where it is not logged.
        window: steps of which a number is the median: 20 in JSON lines, which are detectron2's.
    """

    steps: tuple[int, ...]
    positives: tuple[float, ...]
    negatives: tuple[float, ...]
    window: int = 1

    @property
    def images_per_step(self) -> int | None:
        """Images of a step, of which the fractions of the numbers tell; None: they do not.

        Only detectron2's JSON lines have all digits, and their medians lie halfway between two numbers at most.
        """
        values = [value for value in self.positives if math.isfinite(value)]
        if self.window == 1 or len(values) < _ENOUGH:
            return None
        for images in range(1, _MOST_IMAGES + 1):
            halves = [2 * images * value for value in values]
            if all(abs(half - round(half)) < 1e-6 * max(half, 1) for half in halves):
                return images
        return None


def read_log(path: Path) -> TrainingLog:
    """Read a log file; see :func:`parse_log`.

    Raises:
        AnnotationError: it cannot be read, or logs no number of positives.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise AnnotationError("the log is larger than 200 MB.", where=str(path), way_out="Cut its RPN lines out.")
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise AnnotationError(f"the log cannot be read: {error.strerror or error}.", where=str(path)) from error
    return parse_log(text, str(path))


def parse_log(text: str, where: str = "the pasted lines") -> TrainingLog:
    """Find the logged numbers in JSON lines (detectron2's ``metrics.json``), or lines with ``num_pos_anchors: 3.1``.

    Convention:
        detectron2 logs the mean over the images of a batch, each number the median of the last 20 steps.

    Raises:
        AnnotationError: there is none.

    Source: detectron2 ``modeling/proposal_generator/rpn.py: RPN.losses``, ``utils/events.py: JSONWriter``.
    """
    steps: list[int] = []
    positives: list[float] = []
    negatives: list[float] = []
    as_json = 0
    for line in text.splitlines():
        found = _of_json(line)
        as_json += found is not None
        found = found or _of_text(line)
        if found is not None:
            step, positive, negative = found
            steps.append(len(steps) if step is None else step)
            positives.append(positive)
            negatives.append(negative)
    if not any(map(math.isfinite, positives)):
        raise AnnotationError("it logs no finite number of positive anchors.", where=where, way_out=_WAY_OUT)
    window = _WINDOW if as_json == len(steps) else 1
    return TrainingLog(tuple(steps), tuple(positives), tuple(negatives), window)


def _of_json(line: str) -> tuple[int | None, float, float] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    values = {name.rpartition("/")[2]: value for name, value in entry.items()} if isinstance(entry, dict) else {}
    positive, negative = values.get("num_pos_anchors"), values.get("num_neg_anchors", math.nan)
    if not isinstance(positive, (int, float)) or not isinstance(negative, (int, float)):
        return None
    step = next((values[name] for name in ("iteration", "iter", "step") if isinstance(values.get(name), int)), None)
    return step, float(positive), float(negative)


def _of_text(line: str) -> tuple[int | None, float, float] | None:
    positive, negative, step = (pattern.search(line) for pattern in (_POSITIVES, _NEGATIVES, _STEP))
    if positive is None:
        return None
    return (
        None if step is None else int(step[1]),
        float(positive[1]),
        math.nan if negative is None else float(negative[1]),
    )
