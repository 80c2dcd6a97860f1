"""Counts of any set of anchors: the cheap ways against all boxes one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpnviz.core import pipeline, presets
from rpnviz.drawing import density
from rpnviz.drawing.coverage import Coverage
from rpnviz.drawing.density import density_of
from rpnviz.drawing.population import Population, anchor_population
from rpnviz.drawing.viewport import Viewport, device_boxes

pytestmark = pytest.mark.usefixtures("both_ways")

VIEWS = [
    Viewport(150, 110, 0.9, 4.3, -2.0),
    Viewport(90, 70, 4.0, -200.5, -130.25),
    Viewport(200, 30, 0.31, 60.0, 3.0, aspect=1.07),
    Viewport(1, 1, 0.004),
]


def anchors_of(preset="torchvision", size=(128, 160)):
    chosen = presets.load(preset)
    result = pipeline.run(pipeline.Inputs(size, np.zeros((0, 4))), chosen.params, chosen.conventions)
    return anchor_population(result.anchors, result.frame)


POPULATIONS = {name: anchors_of(name) for name in ("torchvision", "matterport", "py-faster-rcnn")}


def whole_frame(found, view):
    counts = np.zeros((view.height, view.width), np.uint8)
    counts[found.top : found.top + found.counts.shape[0], found.left : found.left + found.counts.shape[1]] = (
        found.counts
    )
    return counts


def one_by_one(population, rows, view):
    boxes = device_boxes(population.original(rows), view)
    return np.minimum(Coverage().count(view.height, view.width, boxes), 255)


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("view", VIEWS)
def test_device_edges_of_lattices_are_those_of_the_boxes(name, view):
    population = POPULATIONS[name]
    rows = np.sort(np.random.default_rng(0).choice(len(population), 5000))
    np.testing.assert_array_equal(population.device(rows, view), device_boxes(population.original(rows), view))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(POPULATIONS)),
    st.sampled_from(VIEWS),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.001, 0.2, 0.5, 0.51, 0.97, 1.0]),
    st.booleans(),
)
def test_any_set_is_counted_exactly(name, view, seed, share, by_shape):
    """Large and small sets, spread evenly or with a share of its own for every shape of every level."""
    population = POPULATIONS[name]
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(population)) < share
    if by_shape:
        for level in population.levels:
            part = chosen[level.start : level.stop].reshape(-1, level.cells)
            part[:] = rng.random(part.shape) < rng.choice([0, 0.1, 0.6, 1], level.cells)
    rows = np.flatnonzero(chosen)
    np.testing.assert_array_equal(
        whole_frame(density_of(population, rows, view), view), one_by_one(population, rows, view)
    )


def test_the_product_kept_for_one_set_does_not_serve_another():
    """Thresholds move some anchors; then a whole level goes, and the view changes."""
    population, rng = POPULATIONS["torchvision"], np.random.default_rng(3)
    for view in (VIEWS[0], VIEWS[1], VIEWS[0]):
        for left_out in (0, 1, 2, 0):
            chosen = rng.random(len(population)) < 0.98
            level = population.levels[left_out]
            chosen[level.start : level.stop] &= left_out == 0
            rows = np.flatnonzero(chosen)
            found = whole_frame(density_of(population, rows, view), view)
            np.testing.assert_array_equal(found, one_by_one(population, rows, view))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("view", VIEWS)
def test_arbitrary_boxes_lie_where_the_rule_puts_them(dtype, view):
    """Broken, huge and turned boxes too, with and without a frame."""
    rng = np.random.default_rng(0)
    boxes = rng.uniform(-300, 400, (500, 4)).astype(dtype)
    special = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0], dtype)
    boxes[:300] = np.where(rng.random((300, 4)) < 0.3, rng.choice(special, (300, 4)), boxes[:300])
    rows = rng.permutation(500)
    for frame in (None, POPULATIONS["matterport"].frame):
        population = Population(boxes, frame)
        wanted = device_boxes(population.original(rows), view)
        np.testing.assert_array_equal(population.device(rows, view), wanted)


def test_counting_in_bands_gives_the_same(monkeypatch):
    population, view = POPULATIONS["torchvision"], VIEWS[0]
    rows = np.flatnonzero(np.random.default_rng(0).random(len(population)) < 0.9)
    whole = density_of(population, rows, view).counts
    monkeypatch.setattr(density, "_BAND_PIXELS", view.width * 17)
    np.testing.assert_array_equal(density_of(population, rows.copy(), view).counts, whole)
    few = np.flatnonzero(np.random.default_rng(0).random(len(population)) < 0.01)
    banded = whole_frame(density_of(population, few, view), view)
    np.testing.assert_array_equal(banded, one_by_one(population, few, view))


def test_an_unchanged_set_is_counted_once():
    population = Population(np.array([[10.0, 10, 50, 50]]))
    rows, view = np.arange(1), Viewport(100, 80, 1.0)
    first = density_of(population, rows, view)
    assert density_of(population, rows, Viewport(100, 80, 1.0)) is first
    assert density_of(population, rows.copy(), view) is not first
    assert density_of(population, rows, Viewport(100, 80, 2.0)) is not first


def test_only_the_part_that_boxes_touch_is_counted():
    population = Population(np.array([[10.0, 12, 50, 40], [30, 20, 400, 30]]))
    found = density_of(population, np.arange(2), Viewport(100, 80, 1.0))
    assert (found.left, found.top, found.counts.shape) == (10, 12, (29, 90))
    nothing = density_of(population, np.zeros(0, np.int64), Viewport(100, 80, 1.0))
    assert nothing.counts.size == 0


def test_broken_boxes_count_nothing():
    population = Population(np.array([[np.nan, 1, 5, 5], [2.0, 2, 6, 6]]))
    view = Viewport(20, 20, 1.0)
    assert whole_frame(density_of(population, np.arange(2), view), view).sum() == 16
