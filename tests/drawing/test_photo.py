from __future__ import annotations

import numpy as np
import pytest

from rpnviz.drawing.photo import Photo, blank
from rpnviz.drawing.viewport import Viewport
from rpnviz.errors import Cancelled
from rpnviz.imaging import cv2
from rpnviz.palette import Theme, background


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def plain(photo, *view):
    return photo.render(Viewport(*view), dim=0, saturation=1)


def test_at_scale_1_pixels_stay_as_they_are():
    rgb = noise(30, 40)
    np.testing.assert_array_equal(plain(Photo(rgb), 40, 30, 1.0), rgb)


@pytest.mark.parametrize("scale", [4, 5, 8, 32])
def test_from_4x_on_pixels_are_sharp_squares(scale):
    rgb = noise(9, 7)
    frame = plain(Photo(rgb), 7 * scale + 20, 9 * scale + 20, float(scale), 10, 7)
    expected = rgb.repeat(scale, axis=0).repeat(scale, axis=1)
    np.testing.assert_array_equal(frame[7 : 7 + 9 * scale, 10 : 10 + 7 * scale], expected)


def test_the_ground_surrounds_the_photo():
    for theme in Theme:
        frame = Photo(np.full((10, 10, 3), 128, np.uint8)).render(Viewport(40, 30, 2.0, 8, 5), theme=theme)
        around = np.ones((30, 40), bool)
        around[5:25, 8:28] = False
        assert (frame[around] == background(theme)).all()
        assert (frame[~around] != background(theme)).any(axis=1).all()


@pytest.mark.parametrize("scale", [0.5, 0.25, 0.125])
def test_shrinking_averages_areas(scale):
    rgb = noise(64, 96)
    step = round(1 / scale)
    frame = plain(Photo(rgb), round(96 * scale), round(64 * scale), scale)
    expected = rgb.reshape(64 // step, step, 96 // step, step, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(frame, expected, atol=2)


@pytest.mark.parametrize("scale", [0.11, 0.3, 0.5, 0.71, 0.99, 1.0, 1.5, 3.2, 7.3])
def test_an_edge_stays_within_a_pixel_of_its_place(scale):
    rgb = np.zeros((40, 4001, 3), np.uint8)
    rgb[:, 2000:] = 255
    shift = 100.3 - 2000 * scale
    frame = plain(Photo(rgb), 200, 20, scale, shift, 0)
    edge = 200 - frame[2, :, 0].astype(float).sum() / 255
    assert edge == pytest.approx(100.3, abs=0.55)


def test_dim_and_saturation():
    rgb = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    photo, view = Photo(rgb), Viewport(4, 4, 1.0)
    assert (photo.render(view, dim=1, saturation=1) == background(Theme.DARK)).all()
    grey = photo.render(view, dim=0, saturation=0)[0, 0].astype(int)
    assert np.ptp(grey) == 0
    assert grey[0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    dark, light = (photo.render(view, theme=theme).mean() for theme in Theme)
    assert dark < rgb.mean() < light


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 0.01, 0.3, 1.0, 2.5, 64.0, 1e6])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (17, 23)])
def test_every_size_at_every_scale(shape, scale):
    frame = Photo(noise(*shape)).render(Viewport(60, 40, scale, -0.4, 3.7))
    assert frame.shape == (40, 60, 3)
    assert frame.flags.c_contiguous


@pytest.mark.parametrize("shift", [-1e12, -500.0, 59.9, 60.0, 1e12])
def test_a_photo_out_of_view_leaves_the_ground(shift):
    frame = Photo(noise(17, 23)).render(Viewport(60, 40, 1.0, shift, 0))
    if shift != 59.9:
        assert (frame == background(Theme.DARK)).all()


def test_halves_are_made_once_and_only_when_needed():
    photo = Photo(noise(64, 64))
    photo.render(Viewport(64, 64, 0.9))
    assert len(photo._levels) == 1
    photo.render(Viewport(64, 64, 0.2))
    levels = list(photo._levels.values())
    assert [level.shape[0] for level in levels] == [64, 32, 16]
    photo.render(Viewport(64, 64, 0.2))
    assert all(a is b for a, b in zip(photo._levels.values(), levels, strict=True))


def copy_of(rgb, factor):
    """A photo of which a smaller copy alone is there, and how often the original was asked for."""
    rows, columns = rgb.shape[0] // factor, rgb.shape[1] // factor
    small = rgb.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    asked = []

    def read(progress):
        progress(1.0)
        asked.append(1)
        return rgb

    return Photo(small, rgb.shape[:2], read), asked


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_smaller_copy_is_drawn_where_it_suffices(factor):
    rgb = cv2.GaussianBlur(noise(160, 240), (0, 0), 12)
    photo, asked = copy_of(rgb, factor)
    assert (photo.size, photo.reduction) == ((160, 240), factor)
    assert photo.pixels.shape == (160 // factor, 240 // factor, 3)
    scale = 1 / factor
    assert photo.is_sharp(scale)
    assert not photo.is_sharp(scale * 1.1)
    for view in ((30, 20, scale, -4.0, -3.0), (40, 30, scale / 2, 3.0, 5.0), (40, 30, scale / 1.5, 0.0, 0.0)):
        difference = plain(photo, *view).astype(int) - plain(Photo(rgb), *view)
        assert np.abs(difference).max() <= 4
    assert not asked


@pytest.mark.parametrize("scale", [0.6, 1.0, 3.0, 8.0])
def test_a_smaller_copy_lies_where_the_original_will(scale):
    y, x = np.mgrid[0:160, 0:240]
    rgb = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)
    photo, asked = copy_of(rgb, 4)
    view = (60, 50, scale, -40 * scale, -30 * scale)
    before = plain(photo, *view)
    assert np.abs(before.astype(int) - plain(Photo(rgb), *view)).max() <= 2
    told = []
    photo.sharpen(told.append)
    photo.sharpen(told.append)
    assert (told, len(asked), photo.reduction) == ([1.0], 1, 1)
    assert photo.is_sharp(64)
    np.testing.assert_array_equal(plain(photo, *view), plain(Photo(rgb), *view))


def test_a_copy_of_an_odd_size():
    photo = Photo(noise(13, 10), (50, 37))
    assert (photo.size, photo.reduction) == ((50, 37), 4)
    assert plain(photo, 37, 50, 1.0).shape == (50, 37, 3)
    photo.sharpen()
    assert photo.reduction == 4  # nothing gives the original


def test_reading_that_is_given_up_leaves_the_copy():
    def read(_progress):
        raise Cancelled

    photo = Photo(noise(10, 10), (40, 40), read)
    with pytest.raises(Cancelled):
        photo.sharpen()
    assert photo.reduction == 4
    plain(photo, 40, 40, 1.0)


def test_prepared_photos_make_no_copy_while_a_window_shows_them_whole():
    rgb = noise(256, 256)
    photo = Photo(rgb)
    photo.prepare()
    before = dict(photo._levels)
    for scale in (1.0, 0.5, 0.2, 0.13):
        np.testing.assert_array_equal(plain(photo, 64, 64, scale), plain(Photo(rgb), 64, 64, scale))
    assert photo._levels == before


def test_blank():
    frame = blank(3, 2, (1, 2, 3))
    assert frame.shape == (3, 2, 3)
    assert (frame == (1, 2, 3)).all()
