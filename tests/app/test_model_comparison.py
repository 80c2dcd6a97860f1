"""What two models find on one image, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from rpnviz.app.model_comparison import Cover, _covers, stage_rows
from rpnviz.core import presets
from rpnviz.core.boxes import box_iou
from rpnviz.datasets.registry import sample_dataset
from rpnviz.export.proposals import run_model
from rpnviz.models.playback import open_playback


@pytest.fixture(scope="module")
def results():
    """The nested boxes under the sample model's last step and its third one."""
    record = next(record for record in sample_dataset().images if record.file_name == "nested.png")
    models, preset = open_playback(None).models, presets.load("torchvision")
    return run_model(record, preset, models[-1]), run_model(record, preset, models[2])


def test_covers_are_the_best_ious_and_the_largest_difference_comes_first(results):
    covers = _covers(*results)
    trained = results[0].gt.trained
    assert sorted(cover.gt for cover in covers) == trained.tolist()
    for cover in covers:
        for result, found in zip(results, (cover.a, cover.b), strict=True):
            box = result.gt.boxes[cover.gt][None].astype(np.float32)
            assert found == pytest.approx(float(box_iou(box, result.proposals.boxes).max()), abs=1e-6)
    apart = [abs(cover.a - cover.b) for cover in covers]
    assert apart == sorted(apart, reverse=True)


def test_a_box_differs_by_a_twentieth_or_if_only_one_model_finds_it():
    assert Cover(0, 0.8, 0.86).differs
    assert not Cover(0, 0.8, 0.84).differs
    assert Cover(0, 0.49, 0.51).differs
    assert Cover(0, 0.71, 0.69).differs


def test_stages_stand_beside_each_other(results):
    rows = stage_rows(*results)
    assert [row[0] for row in rows] == [
        "Boxes", "Best-scored", "Clipped", "Large enough", "Before NMS", "After NMS", "Kept"
    ]  # fmt: skip
    for row, a, b in zip(rows, results[0].proposals.stages, results[1].proposals.stages, strict=True):
        assert row[1:3] == (f"{len(a.indices):,}", f"{len(b.indices):,}")
    assert rows[-1][3].count("%") == 2
