"""Progress on a terminal, and in a log."""

from __future__ import annotations

import io

from rpnviz.progress_line import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_one_line_that_is_rewritten_and_taken_away():
    stream = Terminal()
    line = ProgressLine("explaining", stream)
    line.show(0.251, "image 1 of 4")
    line.show(0.259, "image 1 of 4")
    line.show(0.5, "image 2 of 4")
    line.clear()
    line.clear()
    parts = ["rpnviz: explaining, image 1 of 4, 25 %\033[K", "rpnviz: explaining, image 2 of 4, 50 %\033[K", "\033[K"]
    assert stream.getvalue() == "\r" + "\r".join(parts)


def test_a_log_gets_a_line_once_it_takes_long():
    stream, now = io.StringIO(), 0.0
    line = ProgressLine("reading images", stream, lambda: now)
    for now in range(75):
        line.show(now / 100)
    line.clear()
    told = [f"rpnviz: reading images, {percent} %" for percent in (10, 40, 70)]
    assert stream.getvalue().splitlines() == told
