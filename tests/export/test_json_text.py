"""Values are replaced in a text whose other bytes stay."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpnviz.export.json_text import JsonText, Style


def spliced(text, splices):
    return b"".join(bytes(piece) for piece, _ in text.pieces(splices))


def edited(written, changed=None, removed=(), added=()):
    text = JsonText(written)
    return spliced(text, text.edit_list("a", text.items("a"), changed or {}, set(removed), added))


ODD = (
    '{"x" : NaN, "s": "a \\" NaN -Infinity \\ud83d \\ud83d\\ude00 \\\\ud800", "a": [{"v": -Infinity, "k": "\\udc00"}]}'
)


def test_what_python_takes_is_taken():
    text = JsonText(ODD.encode())
    (record,) = text.items("a")
    assert text.bytes_of(record) == b'{"v": -Infinity, "k": "\\udc00"}'
    assert spliced(text, []) == ODD.encode()
    after = spliced(text, text.edit_list("a", [record], {0: {"n": b"1"}}, (), ()))
    assert json.loads(after)["a"][0] == {"v": float("-inf"), "k": "\udc00", "n": 1}


@given(
    st.recursive(
        st.floats()
        | st.text(st.sampled_from('N"aI\\\\-1,: \ud800\udc00é'), max_size=6)
        | st.sampled_from(["NaN", '"Infinity']),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["NaN", 'k"', "-Infinity\\\\"]), inner)
        ),
    )
)
def test_any_value_of_python_is_found(value):
    written = json.dumps({"before": math.nan, "a": [value, {"n": 1}], "after": -math.inf}).encode()
    for piece in (3, 1 << 24):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rpnviz.export.json_text._PIECE", piece)
            text = JsonText(written)
            found = text.items("a")
            assert text.bytes_of(found[0]) == json.dumps(value).encode()
            assert text.bytes_of(found[1]) == b'{"n": 1}'
            assert spliced(text, []) == written


@pytest.mark.parametrize("written", [b"[1]", b'{"a": 1', b"{'a': 1}", b'{"a": nan}', b'{"a": "\\x"}', b""])
def test_what_is_no_json_object_is_refused(written):
    with pytest.raises(msgspec.DecodeError):
        JsonText(written)


def test_a_list_is_made_where_there_is_none():
    for written in (b'{"b": 1}\n', b'{"b": 1, "a": null}\n', b'{"b": 1, "a": [ ]}\n', b'{"a": [], "b": 1}\n'):
        assert json.loads(edited(written, added=[{"n": b"1"}, {"n": b"2"}])) == {"b": 1, "a": [{"n": 1}, {"n": 2}]}
        assert edited(written) == written
    assert edited(b"{}", added=[{"n": b"1"}]) == b'{"a": [{"n": 1}]}'


@given(
    st.sets(st.integers(0, 4)),
    st.sets(st.integers(0, 4)),
    st.integers(0, 2),
    st.integers(0, 5),
    st.sampled_from([{"indent": 2}, {}, {"separators": (",", ":")}]),
)
def test_lists_are_those_of_python(removed, changed, count, size, layout):
    before = [{"id": number, "s": [number, "}, {"]} for number in range(size)]
    removed = {index for index in removed if index < size}
    changes = {index: {"id": b"9", "s": None, "t": b"[1]"} for index in changed - removed if index < size}
    wanted = [
        {"id": 9, "t": [1]} if index in changes else record
        for index, record in enumerate(before)
        if index not in removed
    ] + [{"id": 7}] * count
    written = json.dumps({"x": 1, "a": before, "y": []}, **layout).encode()
    after = edited(written, changes, removed, [{"id": b"7"}] * count)
    assert json.loads(after) == {"x": 1, "a": wanted, "y": []}
    if not changes and removed != set(range(size)):  # lists in one line of a changed object alone look different
        assert after == json.dumps({"x": 1, "a": wanted, "y": []}, **layout).encode()


@pytest.mark.parametrize("layout", [{"indent": 2}, {"indent": "\t"}, {}, {"separators": (",", ":")}])
def test_objects_look_like_their_neighbours(layout):
    written = json.dumps({'k"': 1, "b": "x"}, **layout).encode()
    assert Style.of(written).object({'k"': b"1", "b": b'"x"'}) == written
    assert Style.of(b"{}") == Style.of(b"null") == Style()
