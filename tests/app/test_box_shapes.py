"""Where a hand may put a box."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rpnviz.app.box_shapes import Edge, resized, shifted, snapped, spanned

SIZE = st.tuples(st.integers(1, 300), st.integers(1, 400))
POINT = st.tuples(st.floats(-50, 450), st.floats(-50, 450))


def is_inside(box, size):
    return 0 <= box[0] < box[2] <= size[1] and 0 <= box[1] < box[3] <= size[0]


@given(POINT, POINT, SIZE, st.booleans())
def test_a_drawn_box_is_inside_and_has_an_area(a, b, size, fine):
    box = spanned(a, b, size, fine)
    assert is_inside(box, size)
    assert min(box[2] - box[0], box[3] - box[1]) >= 1 - 1e-9
    assert fine or all(value == round(value) for value in box)


@given(POINT, POINT, SIZE, st.floats(-500, 500), st.floats(-500, 500))
def test_a_moved_box_keeps_its_size_and_stays_inside(a, b, size, dx, dy):
    box = spanned(a, b, size)
    moved = shifted(box, dx, dy, size)
    assert is_inside(moved, size)
    assert (moved[2] - moved[0], moved[3] - moved[1]) == (box[2] - box[0], box[3] - box[1])
    assert abs(moved[0] - box[0]) <= abs(snapped(dx))


@given(POINT, POINT, SIZE, POINT, st.sampled_from([1, 2, 4, 8, 3, 6, 9, 12]))
def test_a_pulled_side_leaves_the_opposite_where_it_is(a, b, size, to, edges):
    box = spanned(a, b, size)
    pulled = resized(box, Edge(edges), to, size)
    assert is_inside(pulled, size)
    for axis, low, high in ((0, Edge.LEFT, Edge.RIGHT), (1, Edge.TOP, Edge.BOTTOM)):
        sides = (pulled[axis], pulled[axis + 2])
        if edges & low:
            assert box[axis + 2] in sides
        elif edges & high:
            assert box[axis] in sides
        else:
            assert sides == (box[axis], box[axis + 2])


def test_a_side_pulled_over_the_opposite_becomes_that():
    assert resized((10, 10, 20, 20), Edge.LEFT, (35.2, 0), (100, 100)) == (20, 10, 35, 20)
    assert resized((10, 10, 20, 20), Edge.RIGHT | Edge.BOTTOM, (4, 10.4), (100, 100)) == (4, 10, 10, 11)


def test_a_box_beyond_the_image_is_not_pushed_back():
    beyond = (-20.5, 5, 30, 130)
    assert shifted(beyond, 3, 0, (100, 100)) == (-17.5, 5, 33, 130)
    assert shifted(beyond, -3, -2, (100, 100)) == (-20.5, 3, 30, 128)
    assert shifted(beyond, 0, 9, (100, 100)) == beyond


def test_fine_at_the_border():
    assert spanned((0, 0.5), (0, 0), (1, 1), fine=True) == (0, 0, 1, 1)
    assert spanned((9.7, 3), (9.9, 9), (10, 10), fine=True) == (8.7, 3, 9.7, 9)


def test_fine():
    assert spanned((1.237, 2), (9.999, 4.5), (50, 50), fine=True) == (1.24, 2, 10, 4.5)
