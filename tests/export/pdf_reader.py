"""Reads back what Qt wrote into a PDF: paths with their lines, and text by the fonts' own tables."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field


@dataclass
class Page:
    """Content of the one page, in px from the top left corner.

    ``strokes`` (without a fill) and ``fills`` are (box of the path, colour, line width); ``texts`` one string per line.
    """

    width: float
    height: float
    strokes: list = field(default_factory=list)
    fills: list = field(default_factory=list)
    texts: list = field(default_factory=list)
    images: int = 0


def read_pdf(data: bytes) -> Page:
    """Parse a file of one page."""
    objects = {int(m[1]): m.end() for m in re.finditer(rb"(?:^|\n)(\d+) 0 obj\s*", data)}
    page = next(data[at : at + 600] for at in objects.values() if data[at : at + 200].find(b"/Type /Page\n") >= 0)
    box = [float(x) for x in re.search(rb"/MediaBox \[(.*?)\]", page)[1].split()]
    found = Page(box[2], box[3])
    fonts = {}
    for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", data):
        to_unicode = int(re.search(rb"/ToUnicode (\d+) 0 R", data[objects[int(number)] :])[1])
        fonts[name.decode()] = _unicode_table(_stream(data, objects, to_unicode))
    contents = _stream(data, objects, int(re.search(rb"/Contents (\d+) 0 R", page)[1]))
    _interpret(contents.decode("latin1"), fonts, found)
    return found


def _stream(data: bytes, objects: dict[int, int], number: int) -> bytes:
    head = data[objects[number] :]
    body = head[re.search(rb"stream\r?\n", head).end() :]
    if b"/FlateDecode" in head[: head.index(b"stream")]:
        return zlib.decompressobj().decompress(body)
    return body[: body.index(b"endstream")]


def _unicode_table(cmap: bytes) -> dict[int, str]:
    table = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", cmap, re.S):
        for code, text in re.findall(rb"<(\w+)>\s*<(\w+)>", block):
            table[int(code, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", cmap, re.S):
        for first, last, rest in re.findall(rb"<(\w+)>\s*<(\w+)>\s*(\[.*?\]|<\w+>)", block, re.S):
            texts = [bytes.fromhex(t.decode()).decode("utf-16-be") for t in re.findall(rb"<(\w+)>", rest)]
            for offset in range(int(last, 16) - int(first, 16) + 1):
                whole = texts[offset] if rest.startswith(b"[") else texts[0][:-1] + chr(ord(texts[0][-1]) + offset)
                table[int(first, 16) + offset] = whole
    return table


def _times(a, b):
    """The matrix that does ``a`` first and ``b`` then; each (a, b, c, d, e, f) as in a PDF."""
    return (
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4],
        a[4] * b[1] + a[5] * b[3] + b[5],
    )


def _interpret(text: str, fonts: dict[str, dict[int, str]], page: Page) -> None:
    state = {"matrix": (1, 0, 0, 1, 0, 0), "width": 1.0, "stroke": None, "fill": None}
    stack, operands, points, font = [], [], [], None

    def add(x, y):
        m = state["matrix"]
        points.append((x * m[0] + y * m[2] + m[4], page.height - (x * m[1] + y * m[3] + m[5])))

    def box():
        xs, ys = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    for token in re.findall(r"<[0-9A-Fa-f]*>|\[[^\]]*\]|[^\s\[\]]+", text):
        if token == "q":
            stack.append(dict(state))
        elif token == "Q":
            state = stack.pop()
        elif token == "cm":
            state["matrix"] = _times(tuple(map(float, operands[-6:])), state["matrix"])
        elif token == "w":
            state["width"] = float(operands[-1])
        elif token in ("SCN", "scn"):
            state["stroke" if token == "SCN" else "fill"] = tuple(round(float(v) * 255) for v in operands[-3:])
        elif token == "re":
            x, y, w, h = map(float, operands[-4:])
            add(x, y)
            add(x + w, y + h)
        elif token in ("m", "l") or token == "c":
            add(*map(float, operands[-2:]))
        elif token == "S":
            page.strokes.append((box(), state["stroke"], state["width"]))
            points.clear()
        elif token in ("f", "f*", "B", "B*"):
            page.fills.append((box(), state["fill"], 0))
            points.clear()
        elif token == "n":
            points.clear()
        elif token == "BT":
            page.texts.append("")
        elif token == "Tf":
            font = fonts[operands[-2][1:]]
        elif token == "Tj":
            codes = operands[-1][1:-1]
            page.texts[-1] += "".join(font[int(codes[i : i + 4], 16)] for i in range(0, len(codes), 4))
        elif token == "Do":
            page.images += 1
        else:
            operands.append(token)
            continue
        operands.clear()
