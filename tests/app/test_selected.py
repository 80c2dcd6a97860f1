"""Many selected boxes in numbers, under several trainers and without ground truth."""

from __future__ import annotations

import numpy as np
import pytest

from rpnviz.app import selected
from rpnviz.app.viewing import Many, Selection
from rpnviz.core import pipeline, presets
from rpnviz.core.matching import AnchorState
from rpnviz.drawing.scene import World

BOXES = np.array([[20.0, 20, 90, 80], [100, 10, 140, 60], [5, 5, 5, 40], [np.nan] * 4])


def run(name, boxes):
    preset = presets.load(name)
    return pipeline.run(pipeline.Inputs((120, 160), boxes), preset.params, preset.conventions)


@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("boxes", [BOXES, np.zeros((0, 4))], ids=["boxes", "none"])
def test_summary_and_rows_agree_with_the_result(name, boxes):
    result = run(name, boxes)
    many = Many(np.arange(len(boxes)), np.arange(0, len(result.anchors), 7))
    told = selected.summarise(result, result, World.TRAINING, many)
    assert told.title == f"{len(many):,} boxes"
    text = "\n".join(told.lines)
    for state, word in ((AnchorState.NEGATIVE, "negative"), (AnchorState.NEUTRAL, "neutral")):
        count = int((result.match.state[many.anchors] == state).sum())
        assert f"{count:,} {word}" in text or not count
    table = selected.rows(result, result, World.TRAINING, Selection(many=many))
    assert len(table) == 1 + len(many)
    assert {len(row) for row in table} == {8}
    for row in table[1 + len(boxes) :: 31]:
        place = result.anchors.place(int(row[0]))
        assert row[2:4] == [str(place.row), str(place.column)]
        x1, y1, x2, y2 = result.anchors.boxes[int(row[0])].tolist()
        assert row[4] == f"{x2 - x1:.0f} x {y2 - y1:.0f}"


def test_single_selections_are_one_row_and_nothing_is_none():
    result = run("torchvision", BOXES)

    def rows(selection):
        return selected.rows(result, result, World.TRAINING, selection)[1:]

    assert rows(Selection()) == []
    assert [row[-1] for row in rows(Selection(gt=1))] == ["1"]
    assert [row[0] for row in rows(Selection(gt=1, anchor=5))] == ["5"]
    assert rows(Selection(gt=3))[0][4:7] == ["?", "Not trained on", ""]
