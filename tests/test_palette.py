"""The colours stay apart on both grounds, for normal sight and the three common colour-vision deficiencies."""

from __future__ import annotations

import colorsys
from itertools import combinations, pairwise

import numpy as np
import pytest

from rpnviz.drawing.frame import swatch
from rpnviz.palette import (
    BACKGROUND,
    CATEGORIES,
    STEPS,
    STYLES,
    Mark,
    Role,
    Theme,
    background,
    category_rgb,
    parse_colour,
    rgb,
    step_rgb,
)

# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes: A physiologically-based model for simulation of color vision
# deficiency (IEEE TVCG 2009), severity 1.0; they act on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
LUMA = np.array([0.2126, 0.7152, 0.0722])
AT_LEAST = {Theme.DARK: 14.3, Theme.LIGHT: 15.29}


def lab(colour: tuple[int, int, int], sight: str) -> np.ndarray:
    """CIELAB (D65) of an sRGB colour as it is seen."""
    value = np.array(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(SIGHT[sight] @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    ratio = to_xyz @ linear / np.array([0.95047, 1.0, 1.08883])
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(first: np.ndarray, second: np.ndarray) -> float:
    """Colour difference with unit weights; Sharma, Wu, Dalal: The CIEDE2000 color-difference formula (2005)."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    c_mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    both = c1 * c2 != 0
    turn = (h2 - h1 + 180) % 360 - 180 if both else 0.0
    if both and h2 - h1 == 180:
        turn = 180.0
    big_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    if not both:
        h_mean = h1 + h2
    elif abs(h1 - h2) <= 180:
        h_mean = (h1 + h2) / 2
    else:
        h_mean = (h1 + h2 + (360 if h1 + h2 < 360 else -360)) / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(h_mean - 30))
        + 0.24 * np.cos(np.radians(2 * h_mean))
        + 0.32 * np.cos(np.radians(3 * h_mean + 6))
        - 0.20 * np.cos(np.radians(4 * h_mean - 63))
    )
    s_l = 1 + 0.015 * (l_mean - 50) ** 2 / np.sqrt(20 + (l_mean - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c_mean, 1 + 0.015 * c_mean * t
    rotation = (
        -np.sin(np.radians(60 * np.exp(-(((h_mean - 275) / 25) ** 2)))) * 2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))
    )
    parts = (l2 - l1) / s_l, (c2 - c1) / s_c, big_h / s_h
    return float(np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2 + rotation * parts[1] * parts[2]))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [  # pairs of Sharma's test data, table 1
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (61, -5, 29), 22.8977),
        ((50, 2.5, 0), (56, -27, -3), 31.9030),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
        ((35.0831, -44.1164, 3.7933), (35.0232, -40.0716, 1.5901), 1.8645),
        ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
        ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_formula_gives_the_published_values(first, second, expected):
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(expected, abs=1e-4)
    assert ciede2000(np.array(second), np.array(first)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", Theme)
def test_every_pair_of_roles_stays_apart(theme, sight):
    seen = {role: lab(rgb(role, theme), sight) for role in Role}
    distances = {(a, b): ciede2000(seen[a], seen[b]) for a, b in combinations(Role, 2)}
    worst = min(distances, key=distances.__getitem__)
    assert distances[worst] >= AT_LEAST[theme], f"{worst[0]} and {worst[1]}: {distances[worst]:.2f}"


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", Theme)
def test_categories_stay_apart(theme, sight):
    seen = [lab(category_rgb(number, theme), sight) for number in range(len(CATEGORIES[theme]))]
    assert min(ciede2000(a, b) for a, b in combinations(seen, 2)) >= 18
    ground = lab(background(theme), sight)
    assert min(ciede2000(colour, ground) for colour in seen) > 15


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", Theme)
def test_steps_leave_the_ground_in_order(theme, sight):
    """In grey print and for every kind of sight, more is farther from the ground."""
    lightness = [lab(step_rgb(number, theme), sight)[0] for number in range(len(STEPS[theme]))]
    away = np.diff(lightness) if theme is Theme.DARK else -np.diff(lightness)
    assert (away > 6).all()
    steps = [lab(step_rgb(number, theme), sight) for number in range(len(STEPS[theme]))]
    assert min(ciede2000(a, b) for a, b in pairwise(steps)) > 11


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("theme", Theme)
def test_every_role_is_known_in_grey_print(theme, scale):
    """The samples of the key in grey, their contrast evened out: line, dash and mark alone tell every pair apart."""
    grey = {}
    for role in Role:
        if role is Role.NEGATIVE:
            sample = swatch(role, theme, 28, 16, scale, dense=True)  # it is never shown otherwise
        else:
            sample = swatch(role, theme, 28, 16, scale)
        alpha = sample[..., 3] / 255
        ground = np.dot(background(theme), LUMA)
        value = alpha * (sample[..., :3] @ LUMA) + (1 - alpha) * ground - ground
        grey[role] = value / np.abs(value).max()
    for a, b in combinations(Role, 2):
        differ = np.mean(np.abs(grey[a] - grey[b]) > 0.25)
        assert differ > 0.02, f"{a} and {b}: {differ:.3f} of the pixels"


@pytest.mark.parametrize("theme", Theme)
def test_every_role_stands_out_from_the_ground(theme):
    ground = lab(background(theme), "normal")
    for role in Role:
        assert ciede2000(lab(rgb(role, theme), "normal"), ground) > 15, role


def test_roles_differ_without_colour():
    """In grey print, line and mark are all there is; only negatives, drawn as density, need neither."""
    looks = [(style.width, style.dash, style.mark) for role, style in STYLES.items() if role is not Role.NEGATIVE]
    assert len(set(looks)) == len(looks)


def test_red_belongs_to_problems_alone():
    for theme in Theme:
        for role in Role:
            hue, saturation, _ = colorsys.rgb_to_hsv(*(value / 255 for value in rgb(role, theme)))
            is_red = saturation > 0.3 and min(hue, 1 - hue) < 12 / 360
            assert is_red == (role is Role.GT_PROBLEM), role
        for number in range(len(CATEGORIES[theme])):
            hue, saturation, _ = colorsys.rgb_to_hsv(*(value / 255 for value in category_rgb(number, theme)))
            assert saturation <= 0.3 or min(hue, 1 - hue) >= 12 / 360, number
    assert STYLES[Role.GT_PROBLEM].mark is Mark.ALERT


def test_colours_are_the_documented_ones():
    assert rgb(Role.POSITIVE, Theme.DARK) == (0x25, 0xB6, 0x93)
    assert rgb(Role.POSITIVE, Theme.LIGHT) == (0x00, 0x59, 0x46)
    assert parse_colour(BACKGROUND[Theme.DARK]) == background(Theme.DARK) == (27, 29, 33)
