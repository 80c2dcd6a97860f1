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


def background(theme: Theme) -> RGB:
    """Colour of the ground of a theme."""
    return parse_colour(BACKGROUND[theme])
