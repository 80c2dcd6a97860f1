import numpy as np
import pytest

from tools.scenes import NAMES, Shape, make_scene, smooth_field, visible


def test_the_seed_decides_every_pixel():
    a, b = make_scene(7), make_scene(7)
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    assert not np.array_equal(a.image, make_scene(8).image)


def test_the_global_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002 (the very thing that must not be used)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_scene(7)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("size", [96, 320, 512])
def test_scenes_are_what_they_promise(size):
    for seed in range(20):
        scene = make_scene(seed, size)
        assert scene.image.shape == (size, size, 3)
        assert scene.image.dtype == np.uint8
        assert scene.boxes.shape == (len(scene.labels), 4)
        assert scene.boxes.dtype == np.float64
        assert 1 <= len(scene.boxes) <= 8
        assert (scene.boxes[:, :2] >= -1e-9).all()
        assert (scene.boxes[:, 2:] <= size + 1e-9).all()
        assert (scene.boxes[:, 2:] > scene.boxes[:, :2]).all()
        assert set(scene.labels) <= set(range(len(scene.names)))


@pytest.mark.parametrize("label", range(len(NAMES)))
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2, 2.5])
def test_boxes_are_exact(label, angle):
    shape = Shape(label, (50.0, 47.0), (60.0, 31.0), angle, apex=0.3)
    fine = np.arange(0, 100, 0.05)
    inside = shape.coverage(fine, fine) > 0.5
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    found = [fine[columns[0]], fine[rows[0]], fine[columns[-1]], fine[rows[-1]]]
    np.testing.assert_allclose(shape.box(), found, atol=0.11)


@pytest.mark.parametrize("label", range(len(NAMES)))
@pytest.mark.parametrize("centre", [(5.0, 47.0), (95.0, 97.0), (50.0, 3.0)])
def test_boxes_of_objects_that_the_border_cuts_are_exact(label, centre):
    shape = Shape(label, centre, (60.0, 31.0), 0.7, apex=0.3)
    fine = np.arange(0, 100, 0.05)
    inside = shape.coverage(fine, fine) > 0.5
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    found = [fine[columns[0]], fine[rows[0]], fine[columns[-1]], fine[rows[-1]]]
    np.testing.assert_allclose(shape.box(100), found, atol=0.11)


def test_an_object_of_which_later_ones_hide_most_is_no_ground_truth():
    canvas = np.zeros((10, 10), bool)
    first, second, third = canvas.copy(), canvas.copy(), canvas.copy()
    first[:, :] = True
    second[:4, :5] = True
    third[:4, :4] = True
    # 16 of the 20 pixels of the second lie under the third; the first keeps 80 of 100.
    assert visible([first, second, third]) == [True, False, True]
    assert visible([]) == []


def test_a_smooth_field_changes_slowly():
    field = smooth_field(np.random.default_rng(0), 60, 80, 3)
    assert field.shape == (60, 80)
    assert np.abs(np.diff(field, axis=0)).max() < 0.2
