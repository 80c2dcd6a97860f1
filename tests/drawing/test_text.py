from __future__ import annotations

import threading

import numpy as np
import pytest

from rpnviz.drawing.text import BOLD, draw_text, fit_text, measure


def canvas(height=40, width=300):
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize("text", ["7 coin", "Größe", "Ωμέγα", "Кошка", "硬币", "コイン", "동전", "≥ 0.70 · → × …"])
def test_text_of_many_scripts_is_drawn_and_measured(text):
    image = canvas()
    end = draw_text(image, text, 10, 25, 14, (255, 255, 255))
    inked = np.flatnonzero(image.any(axis=(0, 2)))
    assert len(inked)
    assert 9 <= inked[0] <= 14
    assert inked[-1] < end
    assert end == 10 + measure(text, 14).width
    question_marks = canvas()
    draw_text(question_marks, "?" * len(text), 10, 25, 14, (255, 255, 255))
    assert (image != question_marks).any()


def test_edges_are_smooth_and_the_colour_is_reached():
    image = canvas()
    draw_text(image, "IIIHHH", 5, 30, 24, (200, 100, 50))
    levels = np.unique(image[..., 0])
    assert len(levels) > 8
    assert levels[-1] == 200
    assert image.reshape(-1, 3).max(axis=0).tolist() == [200, 100, 50]


def test_opacity_and_weight():
    faint, full, bold = canvas(), canvas(), canvas()
    draw_text(faint, "box", 5, 25, 14, (255, 255, 255), opacity=0.5)
    draw_text(full, "box", 5, 25, 14, (255, 255, 255))
    draw_text(bold, "box", 5, 25, 14, (255, 255, 255), BOLD)
    assert faint.max() == pytest.approx(128, abs=1)
    assert bold.sum() > 1.1 * full.sum()


@pytest.mark.parametrize(("left", "baseline"), [(-20, 20), (290, 20), (5, 2), (5, 55), (-500, 20), (5, -500), (999, 9)])
def test_what_is_outside_is_cut_off(left, baseline):
    whole = np.zeros((1200, 2400, 3), np.uint8)
    draw_text(whole, "outside", 1000 + left, 600 + baseline, 14, (255, 255, 255))
    image = canvas()
    draw_text(image, "outside", left, baseline, 14, (255, 255, 255))
    np.testing.assert_array_equal(image, whole[600:640, 1000:1300])


@pytest.mark.parametrize("text", ["", " ", "\n", "a\nb\r\tc", "\ud800 half", "\0", "😀", "x" * 3000])
def test_odd_texts_are_one_line(text):
    image = canvas(40, 60)
    draw_text(image, text, 2, 25, 14, (255, 255, 255))
    assert measure(text, 14).height == measure("x", 14).height


def test_a_text_that_is_too_long_keeps_beginning_and_end():
    name = "a_very_long_file_name_of_an_image_0001.jpg"
    short = fit_text(name, 150, 13)
    assert measure(short, 13).width <= 150
    assert short.startswith("a_very")
    assert short.endswith("1.jpg")
    assert "…" in short
    assert fit_text("short", 150, 13) == "short"
    assert fit_text(name, 1, 13) == ""


def test_several_threads_draw_the_same():
    images = [canvas() for _ in range(6)]
    threads = [
        threading.Thread(target=draw_text, args=(image, "threads 硬币 17", 5, 25, 17, (255, 255, 255)))
        for image in images
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert images[0].any()
    assert all((image == images[0]).all() for image in images)
