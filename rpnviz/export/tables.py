"""What is behind the picture, per anchor and per ground-truth box: JSON, CSV and NPZ; floats are not rounded."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz import __version__
from rpnviz.core import presets
from rpnviz.core.anchors import Anchors
from rpnviz.core.diff import Diff, Switch
from rpnviz.core.explain import explain
from rpnviz.core.fixes import Fix, search_fixes
from rpnviz.core.matching import AnchorState
from rpnviz.core.pipeline import Result
from rpnviz.core.rules import plain
from rpnviz.core.view_fixes import search_view_fixes
from rpnviz.core.views import Outcome, run_views
from rpnviz.datasets.base import Dataset, ImageRecord


def explain_table(
    result: Result,
    record: ImageRecord,
    dataset: Dataset,
    wanted: Collection[int] | None = None,
    fixes: bool = True,
    in_views: bool = False,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Why every ground-truth box of one image fares as it does, and what would help it.

    Args:
        result: of the image.
        record, dataset: the image's names.
        wanted: indices of the boxes to explain; None: all.
        fixes: look for changes that raise the rank, and check them by running the pipeline.
        in_views: look for changes after which a box is matched in every training view instead.
        told: called before every box with how many are done, of how many.

    Returns:
        Strict JSON, see DESIGN section 8: sizes are [H, W]; ``notes`` is an object of notes with their numbers;
        ``sampling``: positives in a mini-batch on average, and the chance that there is any; ``views``: how the box
        fares in each training view, ``crop`` as [x, y, width, height] in original pixels, ``rank`` null where the
        crop cuts the box off.
    """
    indices = range(len(result.match.ranks)) if wanted is None else sorted(wanted)
    inputs, params, conventions = result.inputs, result.params, result.conventions
    outcomes = run_views(inputs, params, conventions) if params.views is not None and indices else ()
    gts = []
    for done, gt in enumerate(indices):
        told(done, len(indices))
        table = {
            **_gt_heads(result, record, dataset, gt),
            **_explanation(result, gt, fixes and not in_views),
            "views": [_view(outcome, gt) for outcome in outcomes],
        }
        if fixes and in_views:
            table["fixes"] = [_fix(fix) for fix in search_view_fixes(inputs, params, conventions, gt).fixes]
        gts.append(table)
    return {**_image_heads(result, record), "gts": gts}


def _view(outcome: Outcome, gt: int) -> dict[str, Any]:
    """How a box fares in one training view."""
    view, rank = outcome.view, outcome.ranks[gt]
    x1, y1, x2, y2 = outcome.area.tolist()
    return {
        "name": view.name,
        "min_size": view.min_size,
        "flip": view.flip,
        "crop": None if view.crop is None else [x1, y1, x2 - x1, y2 - y1],
        "padded_size": list(outcome.input_size),
        "rank": None if rank is None else str(rank),
        "positives": int(outcome.positives[gt]),
        "best_iou": number(float(outcome.best_iou[gt])),
    }


def diff_table(diff: Diff, record: ImageRecord, dataset: Dataset) -> dict[str, Any]:
    """Where two trainers differ on one image, and by which fields.

    Returns:
        Strict JSON. ``a`` and ``b``: sizes and counts per state under each; ``anchors_differ``: null where the grids
        are not the same; per box ``fields``: lists of names each of which gives ``b`` when carried over to ``a``;
        ``rank_only``: they give its rank, but another number of positives; ``effects``: what every field does alone.
    """
    gts = []
    for found in diff.gts:
        sides = {
            name: {
                **{key: value for key, value in _explanation(result, found.gt, False).items() if key in _DIFF_KEYS},
                "bbox_input": [number(value) for value in result.gt.boxes[found.gt].tolist()],
            }
            for name, result in (("a", diff.a), ("b", diff.b))
        }
        heads = _gt_heads(diff.a, record, dataset, found.gt)
        del heads["bbox_input"]
        fields = [[name for switch in chosen for name in _names(switch)] for chosen in found.fields]
        gts.append({**heads, **sides, "fields": fields, "rank_only": found.rank_only})
    return {
        "file_name": record.file_name,
        "boxes": len(diff.a.match.ranks),
        **{name: _side(result) for name, result in (("a", diff.a), ("b", diff.b))},
        "anchors_differ": None if diff.anchors is None else len(diff.anchors),
        "gts": gts,
        "effects": [
            {
                "fields": [
                    {"field": name, "a": plain(before), "b": plain(after)}
                    for name, before, after in effect.switch.values
                ],
                "gts": list(effect.gts),
                "anchors": effect.anchors,
            }
            for effect in diff.effects
        ],
    }


_DIFF_KEYS = ("rank", "cause", "positives", "forced", "best_iou")


def _names(switch: Switch) -> list[str]:
    return [name for name, _, _ in switch.values]


def _side(result: Result) -> dict[str, Any]:
    return {
        "resized_size": list(result.frame.resized_size),
        "input_size": list(result.frame.input_size),
        "anchors": len(result.anchors),
        "states": {state.name.lower(): count for state, count in result.match.counts.items()},
    }


def diff_lines(table: dict[str, Any]) -> list[str]:
    """What :func:`diff_table` found, for reading: a line per box."""
    anchors = table["anchors_differ"]
    many = "anchors are not the same" if anchors is None else f"{anchors:,} of {table['a']['anchors']:,} anchors differ"
    lines = [f"{table['file_name']}: {len(table['gts'])} of {table['boxes']} boxes fare differently, {many}"]
    for gt in table["gts"]:
        before, after = (f"{gt[side]['rank']} ({gt[side]['positives']} positive)" for side in ("a", "b"))
        why = ", or ".join(" + ".join(names) for names in gt["fields"][:_MOST_ALTERNATIVES])
        more = len(gt["fields"]) - _MOST_ALTERNATIVES
        rest = f", or {more} more" if more > 0 else ""
        rank = " (its rank; the number of positives takes more)" if gt["rank_only"] else ""
        lines.append(f"  #{gt['index']} {gt['category']}: {before} -> {after}: {why}{rest}{rank}")
    return lines


_MOST_ALTERNATIVES = 3


def _image_heads(result: Result, record: ImageRecord) -> dict[str, Any]:
    """What names an image, and its sizes."""
    frame = result.frame
    return {
        "file_name": record.file_name,
        "width": frame.image_size[1],
        "height": frame.image_size[0],
        "resized_size": list(frame.resized_size),
        "input_size": list(frame.input_size),
    }


def _gt_heads(result: Result, record: ImageRecord, dataset: Dataset, gt: int) -> dict[str, Any]:
    """What names a ground-truth box, and where it is."""
    x1, y1, x2, y2 = result.inputs.gt_boxes[gt].tolist()
    return {
        "index": gt,
        "id": record.gt.ids[gt],
        "category": dataset.categories[int(record.gt.labels[gt])],
        "bbox": [number(value) for value in (x1, y1, x2 - x1, y2 - y1)],
        "bbox_input": [number(value) for value in result.gt.boxes[gt].tolist()],
    }


def _explanation(result: Result, gt: int, fixes: bool) -> dict[str, Any]:
    found = explain(result, gt)
    budget, thief = found.budget, found.stolen_by
    table: dict[str, Any] = {
        "rank": str(found.rank),
        "cause": None if found.cause is None else str(found.cause),
        "left_out_by": None if found.left_out_by is None else str(found.left_out_by),
        "notes": {str(note.kind): note.value for note in found.notes},
        "positives": found.positives,
        "forced": found.forced,
        "positives_at_zero_iou": found.positives_at_zero_iou,
        "best_iou": found.best_iou,
        "budget": None if budget is None else dataclasses.asdict(budget),
        "threshold": found.threshold,
        "needed": found.needed,
        "stolen_by": None,
        "sampling": {"expected": found.chance.expected, "chance": found.chance.seen},
        "fixes": [_fix(fix) for fix in (search_fixes(result, gt, found).fixes if fixes else ())],
    }
    if thief is not None:
        table["stolen_by"] = {"index": thief.gt, **dataclasses.asdict(thief)}
        del table["stolen_by"]["gt"]
    return table


def _fix(fix: Fix) -> dict[str, Any]:
    table = dataclasses.asdict(fix)
    del table["params"]
    return {**table, "rank_after": str(fix.rank_after), "gained": list(fix.gained), "lost": list(fix.lost)}


def match_table(result: Result, record: ImageRecord, dataset: Dataset) -> dict[str, Any]:
    """Labels of one image: counts per state and, per ground-truth box, its numbers.

    Returns:
        Strict JSON: sizes are [H, W]; ``bbox`` is [x, y, width, height] in original pixels, ``bbox_input`` [x1, y1, x2,
        y2] in input pixels; a number that is not finite is null.
    """
    match = result.match
    gts = []
    for gt, rank in enumerate(match.ranks):
        reason = result.gt.not_trained[gt]
        gts.append(
            {
                **_gt_heads(result, record, dataset, gt),
                "rank": str(rank),
                "not_trained": None if reason is None else str(reason),
                "best_iou": number(float(match.gt_best_iou[gt])),
                "positives": int(match.gt_positives[gt]),
                "forced": int(match.gt_forced[gt]),
            }
        )
    return {
        **_image_heads(result, record),
        "anchors": len(result.anchors),
        "states": {state.name.lower(): count for state, count in match.counts.items()},
        "sampled": {"positive": len(result.sample.positive), "negative": len(result.sample.negative)},
        "trainer": None if result.gt.reaction is None else str(result.gt.reaction),
        "gts": gts,
    }


def number(value: float) -> float | None:
    """The value, or null where JSON has no word for it."""
    return value if math.isfinite(value) else None


def anchor_columns(result: Result) -> dict[str, NDArray]:
    """Everything about every anchor, (A,) and (A, 4) arrays by name, in the order of the anchors.

    Returns:
        ``level``, ``row``, ``column`` and ``cell`` int32; ``boxes_original`` float64 and ``boxes_input`` in the
        framework's type, xyxy px; ``state`` uint8 of :class:`~rpnviz.core.matching.AnchorState`; ``label`` int8, 1
        positive, 0 negative, -1 neutral or left out; ``best_iou``; ``matched_gt`` int64, -1 without any; ``sampled``
        bool, whether it is in the mini-batch.
    """
    match = result.match
    sampled = np.zeros(len(result.anchors), bool)
    sampled[result.sample.positive] = True
    sampled[result.sample.negative] = True
    return {
        **_places(result.anchors),
        "boxes_original": result.frame.to_original(result.anchors.boxes),
        "boxes_input": result.anchors.boxes,
        "state": match.state,
        "label": match.labels,
        "best_iou": match.best_iou,
        "matched_gt": match.matched_gt,
        "sampled": sampled,
    }


def anchor_table(result: Result) -> dict[str, list[Any]]:
    """:func:`anchor_columns` for JSON: plain lists, states by name."""
    table: dict[str, list[Any]] = {}
    for name, values in anchor_columns(result).items():
        table[name] = _state_names(values) if name == "state" else values.tolist()
    return table


def csv_paths(path: Path) -> tuple[Path, Path]:
    """The two files that ``labels.csv`` stands for: ``labels_anchors.csv`` and ``labels_gt.csv``."""
    stem = path.stem if path.suffix.lower() == ".csv" else path.name
    return path.with_name(f"{stem}_anchors.csv"), path.with_name(f"{stem}_gt.csv")


def anchors_csv(result: Result) -> bytes:
    """A line per anchor; boxes as x1, y1, x2, y2 in original and as input_x1 ... in input pixels."""
    header: list[str] = ["anchor"]
    columns: list[Iterable[Any]] = [range(len(result.anchors))]
    for name, values in anchor_columns(result).items():
        if values.ndim == 2:
            prefix = "input_" if name == "boxes_input" else ""
            header += [f"{prefix}{side}" for side in ("x1", "y1", "x2", "y2")]
            columns += [values[:, side].tolist() for side in range(4)]
        else:
            header.append(name)
            columns.append(_state_names(values) if name == "state" else values.astype(_csv_type(values)).tolist())
    return _csv(header, zip(*columns, strict=True))


def gts_csv(table: dict[str, Any]) -> bytes:
    """A line per ground-truth box of a :func:`match_table`; what is null there is empty here."""
    header = ["gt", "id", "category", "x", "y", "width", "height", "input_x1", "input_y1", "input_x2", "input_y2"]
    header += ["rank", "not_trained", "best_iou", "positives", "forced"]
    lines = (
        [gt["index"], gt["id"], gt["category"], *gt["bbox"], *gt["bbox_input"], *(gt[name] for name in header[11:])]
        for gt in table["gts"]
    )
    return _csv(header, lines)


def match_npz(result: Result, record: ImageRecord, dataset: Dataset, preset: presets.Preset) -> bytes:
    """All arrays of one image as a compressed ``.npz`` that ``numpy.load`` reads without pickles.

    Args:
        result, record, dataset: of the image.
        preset: the trainer, with the parameters that were used.

    Returns:
        The arrays of :func:`anchor_columns`; ``state_names``; per ground-truth box ``gt_boxes_original`` and
        ``gt_boxes_input`` (M, 4) xyxy, ``gt_label`` (-1: no such category), ``gt_category``, ``gt_id`` (text, empty
        without), ``gt_ignore``, ``gt_rank``, ``gt_not_trained`` (why, or empty), ``gt_best_iou`` (NaN if not trained
        on), ``gt_positives``, ``gt_forced``; ``image_size``, ``resized_size``, ``input_size`` (H, W); ``file_name``;
        ``params``, the Params document as JSON text; ``version`` of rpnviz.
    """
    match, frame, gt = result.match, result.frame, record.gt
    document = presets.to_document(presets.load(preset.name), result.params, result.conventions)
    arrays: dict[str, Any] = {
        **anchor_columns(result),
        "state_names": np.array([state.name.lower() for state in AnchorState]),
        "gt_boxes_original": result.inputs.gt_boxes,
        "gt_boxes_input": result.gt.boxes,
        "gt_label": gt.labels,
        "gt_category": _texts(dataset.names_of(record)),
        "gt_id": _texts("" if value is None else str(value) for value in gt.ids),
        "gt_ignore": gt.ignore,
        "gt_rank": _texts(map(str, match.ranks)),
        "gt_not_trained": _texts("" if reason is None else str(reason) for reason in result.gt.not_trained),
        "gt_best_iou": match.gt_best_iou,
        "gt_positives": match.gt_positives,
        "gt_forced": match.gt_forced,
        "image_size": np.array(frame.image_size),
        "resized_size": np.array(frame.resized_size),
        "input_size": np.array(frame.input_size),
        "file_name": np.array(record.file_name),
        "params": np.array(json.dumps(document)),
        "version": np.array(__version__),
    }
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _places(anchors: Anchors) -> dict[str, NDArray[np.int32]]:
    """Level, row, column and cell of every anchor, see :meth:`Anchors.place`."""
    parts: list[NDArray[np.int32]] = []
    for number, level in enumerate(anchors.lattice):
        place = np.empty((4, level.count), np.int32)
        position, place[3] = np.divmod(np.arange(level.count), max(level.cells, 1))
        place[1], place[2] = np.divmod(position, max(level.grid[1], 1))
        place[0] = number
        parts.append(place)
    places = np.concatenate([np.zeros((4, 0), np.int32), *parts], axis=1)
    return dict(zip(("level", "row", "column", "cell"), places, strict=True))


def _state_names(states: NDArray[np.uint8]) -> list[str]:
    names = np.array([state.name.lower() for state in AnchorState], object)
    return names[states].tolist()


def _csv_type(values: NDArray) -> np.dtype:
    """Spreadsheets read 1 and 0 better than True and False."""
    return np.dtype(np.int8) if values.dtype == bool else values.dtype


def _csv(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return file.getvalue().encode("utf-8", "backslashreplace")


def _texts(values: Iterable[str]) -> NDArray[np.str_]:
    """(N,) of text, also where there is none."""
    return np.array(list(values), np.str_)
