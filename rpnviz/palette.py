"""Colour, line and mark of everything that is drawn, as plain numbers; canvas, legend and exports share them.

Roles differ by dash and mark as well as by colour, so that grey print and every kind of colour vision can tell them
apart. Red belongs to a ground-truth box with a problem alone; a negative anchor is not "bad".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RGB = tuple[int, int, int]
"""Red, green, blue, each 0 to 255."""


class Theme(StrEnum):
    """Ground on which is drawn."""

    DARK = "dark"
    LIGHT = "light"


class Role(StrEnum):
    """What a box is; decides how it looks."""

    POSITIVE = "positive"
    FORCED = "forced"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"
    LEFT_OUT = "left_out"
    GT = "gt"
    GT_PROBLEM = "gt_problem"
    PROPOSAL = "proposal"
    SUPPRESSED = "suppressed"


class Mark(StrEnum):
    """What is added to an outline, so that it is known without its colour."""

    NONE = "none"
    TRIANGLE = "triangle"
    """A filled triangle in the top left corner."""
    CROSS = "cross"
    """A small x in the top left corner."""
    TICKS = "ticks"
    """Thick corners."""
    ALERT = "alert"
    """Thick corners, and a filled tag that begins with "!"."""
    ROUND = "round"
    """Cut corners."""


@dataclass(frozen=True)
class Style:
    """How the outlines of one role look.

    Attributes:
        dark, light: colour on the dark and on the light ground, ``#RRGGBB``.
        width: of the line, in device-independent px.
        dash: lengths of line and gap in turn, px; empty: solid.
        mark: at the corners.
    """

    dark: str
    light: str
    width: float
    dash: tuple[int, ...] = ()
    mark: Mark = Mark.NONE


STYLES: dict[Role, Style] = {
    Role.POSITIVE: Style("#25B693", "#005946", 1.5),
    Role.FORCED: Style("#FCC22D", "#EA6504", 2, (6, 3), Mark.TRIANGLE),
    Role.NEUTRAL: Style("#4D50F7", "#4040F2", 1, (1, 2)),
    Role.NEGATIVE: Style("#767E89", "#737D8C", 1),
    Role.LEFT_OUT: Style("#8C602A", "#4D1E0E", 1, (6, 2, 1, 2), Mark.CROSS),
    Role.GT: Style("#FFFFFF", "#000000", 2, (), Mark.TICKS),
    Role.GT_PROBLEM: Style("#F25D68", "#C80404", 3, (), Mark.ALERT),
    Role.PROPOSAL: Style("#A4DFFD", "#0592E7", 1.5, (), Mark.ROUND),
    Role.SUPPRESSED: Style("#C583CA", "#930A7B", 1, (2, 3)),
}

CATEGORIES: dict[Theme, tuple[str, ...]] = {
    Theme.DARK: ("#FE8FF4", "#1CB597", "#B8FC09", "#B018FD", "#9BAA40", "#107780", "#647523"),
    Theme.LIGHT: ("#6C17DE", "#0D837D", "#B2971B", "#23384E", "#A187EF", "#60670D", "#372709"),
}
"""Colours of things without an order (levels, ground-truth boxes), used in turn; every pair stays apart for every kind
of colour vision, as the roles do, and none is red."""

STEPS: dict[Theme, tuple[str, ...]] = {
    Theme.DARK: ("#3D4E8A", "#297A8E", "#1FA088", "#67CC5C", "#F6E620"),
    Theme.LIGHT: ("#7AD151", "#20A386", "#297A8E", "#3D4E8A", "#440154"),
}
"""Colours of five steps of a quantity, from little to much: away from the ground, so that grey print keeps the order.

Samples of matplotlib's viridis, which is CC0, as far apart as five can be for every kind of colour vision."""

BACKGROUND: dict[Theme, str] = {Theme.DARK: "#1B1D21", Theme.LIGHT: "#F5F6F8"}
"""Canvas around and behind the photo."""

CASING: dict[Theme, str] = {Theme.DARK: "#000000", Theme.LIGHT: "#FFFFFF"}
"""Thin line on both sides of an outline, which keeps it visible on any photo."""

TEXT: dict[Theme, str] = {Theme.DARK: "#E7E9EC", Theme.LIGHT: "#1A1D21"}
"""Text on the background."""

MUTED_TEXT: dict[Theme, str] = {Theme.DARK: "#A0A8B3", Theme.LIGHT: "#5B6470"}
"""Less important text on the background."""


def parse_colour(text: str) -> RGB:
    """``#RRGGBB`` as three numbers."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def rgb(role: Role, theme: Theme) -> RGB:
    """Colour of a role on the ground of a theme."""
    style = STYLES[role]
    return parse_colour(style.dark if theme is Theme.DARK else style.light)


def category_rgb(number: int, theme: Theme) -> RGB:
    """Colour of the ``number``-th of things without an order; they repeat after :data:`CATEGORIES`."""
    return parse_colour(CATEGORIES[theme][number % len(CATEGORIES[theme])])


def step_rgb(number: int, theme: Theme) -> RGB:
    """Colour of a step of a quantity, 0 to 4."""
    return parse_colour(STEPS[theme][number])


def background(theme: Theme) -> RGB:
    """Colour of the ground of a theme."""
    return parse_colour(BACKGROUND[theme])
