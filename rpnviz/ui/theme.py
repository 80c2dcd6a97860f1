"""Dark and light window: Fusion with palettes of our own, because Qt's colour scheme has no effect on every platform.

Data colours (labels, proposals) are fixed in :mod:`rpnviz.palette`; these are the frame's.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

from rpnviz.palette import Theme


@dataclass(frozen=True)
class Colours:
    """Frame colours of one theme, as #RRGGBB."""

    canvas: str
    window: str
    panel: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    on_accent: str
    problem: str


COLOURS = {
    Theme.DARK: Colours(
        canvas="#1B1D21",
        window="#212429",
        panel="#26292F",
        raised="#31353C",
        border="#3A3F47",
        text="#E7E9EC",
        muted="#A0A8B3",
        accent="#5B9DFF",
        on_accent="#0D1420",
        problem="#FF7B84",
    ),
    Theme.LIGHT: Colours(
        canvas="#F5F6F8",
        window="#ECEEF1",
        panel="#F8F9FB",
        raised="#FFFFFF",
        border="#CDD2D9",
        text="#1A1D21",
        muted="#5B6470",
        accent="#1F6FEB",
        on_accent="#FFFFFF",
        problem="#C80404",
    ),
}


def apply_theme(application: QApplication, theme: Theme) -> None:
    """Style, palette and the few rules a palette cannot express."""
    colours = COLOURS[theme]
    application.setStyle(QStyleFactory.create("Fusion"))
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: colours.window,
        QPalette.ColorRole.WindowText: colours.text,
        QPalette.ColorRole.Base: colours.panel,
        QPalette.ColorRole.AlternateBase: colours.window,
        QPalette.ColorRole.Text: colours.text,
        QPalette.ColorRole.Button: colours.raised,
        QPalette.ColorRole.ButtonText: colours.text,
        QPalette.ColorRole.BrightText: colours.problem,
        QPalette.ColorRole.Highlight: colours.accent,
        QPalette.ColorRole.HighlightedText: colours.on_accent,
        QPalette.ColorRole.Accent: colours.accent,
        QPalette.ColorRole.Link: colours.accent,
        QPalette.ColorRole.ToolTipBase: colours.raised,
        QPalette.ColorRole.ToolTipText: colours.text,
        QPalette.ColorRole.PlaceholderText: colours.muted,
        QPalette.ColorRole.Mid: colours.border,
        QPalette.ColorRole.Dark: colours.border,
        QPalette.ColorRole.Light: colours.raised,
    }
    for role, value in roles.items():
        palette.setColor(role, QColor(value))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(colours.muted))
    application.setPalette(palette)
    # Only named widgets: general rules would also reach superqt's sliders, which paint themselves from the style.
    application.setStyleSheet(
        f"""
        QLabel[kind="muted"] {{ color: {colours.muted}; }}
        QLabel[kind="title"] {{ font-weight: 600; }}
        QLabel[kind="heading"] {{ color: {colours.muted}; font-weight: 600; letter-spacing: 1px; }}
        QLabel[kind="verdict"] {{ font-size: 15px; font-weight: 600; }}
        QLabel[kind="bad verdict"] {{ color: {colours.problem}; font-size: 15px; font-weight: 600; }}
        QLabel[kind="problem"] {{ color: {colours.problem}; font-weight: 600; }}
        QComboBox[kind="small"] {{ font-size: 11px; }}
        QFrame#bar {{ background: {colours.window}; border: 0; }}
        QFrame#banner {{ background: {colours.raised}; border: 1px solid {colours.border}; border-radius: 6px; }}
        QFrame#separator {{ background: {colours.border}; border: 0; }}
        QToolButton#flat {{ border: 0; padding: 3px 7px; border-radius: 4px; color: {colours.text}; }}
        QToolButton#flat:hover {{ background: {colours.raised}; }}
        QToolButton#flat:checked {{ background: {colours.accent}; color: {colours.on_accent}; }}
        QToolButton#flat:disabled {{ color: {colours.muted}; }}
        QPushButton#step {{ border: 0; border-left: 3px solid transparent; padding: 1px 5px; text-align: left;
                            font-weight: 600; color: {colours.text}; }}
        QPushButton#step:hover {{ background: {colours.raised}; }}
        QPushButton#step:checked {{ background: {colours.raised}; border-left-color: {colours.accent}; }}
        QToolButton#link {{ border: 0; padding: 1px 3px; color: {colours.accent}; }}
        QToolButton#link:hover {{ text-decoration: underline; }}
        QToolButton#chip {{ border: 1px solid {colours.border}; padding: 2px 8px; border-radius: 9px;
                            background: {colours.raised}; color: {colours.text}; }}
        QToolButton#chip:disabled {{ color: {colours.muted}; background: {colours.window}; }}
        QToolButton#chip:hover {{ border-color: {colours.accent}; }}
        QToolButton#segment {{ border: 1px solid {colours.border}; padding: 4px 14px; background: {colours.panel};
                               color: {colours.text}; }}
        QToolButton#small-segment {{ border: 1px solid {colours.border}; padding: 1px 7px; background: {colours.panel};
                               color: {colours.text}; }}
        QToolButton#small-segment:hover {{ background: {colours.raised}; }}
        QToolButton#small-segment:checked {{ background: {colours.raised}; border-color: {colours.accent};
                                             font-weight: 600; }}
        QToolButton#segment:hover {{ background: {colours.raised}; }}
        QToolButton#segment:checked {{ background: {colours.accent}; color: {colours.on_accent};
                                       border-color: {colours.accent}; font-weight: 600; }}
        QToolButton#layer {{ border: 0; padding: 1px 6px 1px 2px; border-radius: 4px; text-align: left;
                             color: {colours.muted}; }}
        QToolButton#layer:checked {{ color: {colours.text}; }}
        QToolButton#layer:hover {{ background: {colours.raised}; }}
        QToolButton#flat:focus, QToolButton#chip:focus, QToolButton#segment:focus, QToolButton#layer:focus,
        QToolButton#small-segment:focus, QPushButton#step:focus,
        QToolButton#link:focus {{ border: 1px solid {colours.accent}; }}
        QRadioButton::indicator {{ width: 12px; height: 12px; border: 1px solid {colours.muted}; border-radius: 7px;
                                   background: {colours.panel}; }}
        QRadioButton::indicator:checked {{ width: 6px; height: 6px; border: 4px solid {colours.accent};
                                           background: {colours.on_accent}; }}
        QRadioButton::indicator:disabled {{ border-color: {colours.border}; }}
        QToolTip {{ color: {colours.text}; background: {colours.raised}; border: 1px solid {colours.border};
                    padding: 4px; }}
        QSplitter::handle {{ background: {colours.border}; }}
        """
    )
