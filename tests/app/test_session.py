"""Sessions as documents: what is written, what is refused, and what is found again elsewhere."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.app.kept_boxes import KeptBox, KeptImage
from rpnviz.app.session import (
    ModelPart,
    Session,
    ViewPart,
    is_session,
    read_session,
    relocated,
    save_session,
    session_bytes,
)
from rpnviz.core import presets
from rpnviz.drawing.options import LAYERS, BoxFilter, ColourBy, Heat, LayerOptions, World
from rpnviz.errors import SessionError

PARAMS = presets.to_document(presets.load("mmdetection"), presets.load("mmdetection").params)

shares = st.tuples(st.floats(0, 0.5), st.floats(0.5, 1))
filters = st.builds(
    BoxFilter,
    sampled=st.booleans(),
    level=st.none() | st.integers(0, 4),
    position=st.none() | st.tuples(st.integers(0, 4), st.integers(0, 99), st.integers(0, 99)),
    iou=shares,
    score=shares,
    size=st.tuples(st.floats(0, 100), st.floats(100, 1000) | st.just(math.inf)),
)


def layers(world):
    keys = [spec.key for spec in LAYERS[world]]
    return st.builds(
        LayerOptions,
        visible=st.frozensets(st.sampled_from(keys)),
        show_all=st.frozensets(st.sampled_from(keys)),
        everything=st.booleans(),
        only=filters,
        colour_by=st.sampled_from(ColourBy),
        heat=st.sampled_from(Heat),
        centres=st.booleans(),
    )


numbers = st.floats(-1e6, 1e6)
kept = st.builds(
    KeptImage,
    image=st.text(max_size=20),
    own=st.integers(0, 9),
    boxes=st.lists(
        st.builds(
            KeptBox,
            box=st.none() | st.tuples(numbers, numbers, numbers, numbers),
            category=st.text(max_size=9),
            origin=st.integers(-1, 9),
            ignore=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
)
sessions = st.builds(
    Session,
    paths=st.just(("/data/images", "/data/a b/ü.png")),
    annotations=st.sampled_from(["", "/data/instances.json"]),
    image=st.text(max_size=20),
    params=st.just(PARAMS),
    world=st.sampled_from(World),
    layers=st.fixed_dictionaries({world: layers(world) for world in World}),
    input_frame=st.booleans(),
    gt=st.integers(-1, 50),
    anchor=st.integers(-1, 300_000),
    view=st.none() | st.builds(ViewPart, *[st.floats(0.01, 1000)] * 3),
    model=st.none() | st.builds(ModelPart, st.sampled_from(["", "/models/r50.pth"]), st.integers(-1, 9)),
    boxes=st.lists(kept, max_size=2).map(tuple),
)


@settings(max_examples=25)  # each is a document of some hundred fields
@given(sessions)
def test_what_is_written_is_read_again(tmp_path_factory, session):
    path = tmp_path_factory.getbasetemp() / "round.rpnviz.json"
    save_session(session, path)
    assert is_session(path)
    again = read_session(path)
    assert again.with_paths(lambda _: "x") == session.with_paths(lambda _: "x")
    assert again.files == session.files


def test_a_folder_moves_with_its_session(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "images").mkdir(parents=True)
    session = Session(paths=(str(here / "images"),), params=PARAMS)
    save_session(session, here / "s.rpnviz.json")
    assert json.loads((here / "s.rpnviz.json").read_text())["paths"] == ["images"]
    here.rename(there)
    assert read_session(there / "s.rpnviz.json").files == (there / "images",)


def test_files_that_moved_are_found_below_another_folder(tmp_path):
    session = Session(
        paths=("/gone/set/images",),
        annotations="/gone/set/annotations/instances.json",
        model=ModelPart("/gone/runs/7/model.pth"),
        params=PARAMS,
    )
    assert len(session.missing) == 3
    new = tmp_path / "new"
    (new / "images").mkdir(parents=True)
    (new / "annotations").mkdir()
    (new / "annotations" / "instances.json").write_text("{}")
    found = relocated(session, new)
    assert found.files[:2] == (new / "images", new / "annotations" / "instances.json")
    assert found.missing == (Path("/gone/runs/7/model.pth"),)
    assert relocated(session, new / "images").paths == (str(new / "images"),)


def test_a_folder_that_was_renamed_is_the_one_that_is_named(tmp_path):
    new = tmp_path / "renamed"
    (new / "inner" / "set").mkdir(parents=True)
    assert relocated(Session(paths=("/gone/other",), params=PARAMS), new).paths == (str(new),)
    assert relocated(Session(paths=("/gone/set",), params=PARAMS), new / "inner").paths == (str(new / "inner" / "set"),)
    for files in (("/gone/a.png",), ("/gone/one", "/gone/two")):
        assert relocated(Session(paths=files, params=PARAMS), new).paths == files


def document(**changes):
    return {**json.loads(session_bytes(Session(params=PARAMS), Path("/"))), **changes}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"\xff\xfe{}", "malformed"),
        (b"[]", "no session"),
        (b"{}", "no field kind"),
        (b'{"kind": "rpnviz session", "x', "truncated"),
        (json.dumps(document(world="moon")).encode(), "Invalid enum value 'moon' - at `$.world`"),
        (json.dumps(document(gt="7")).encode(), "Expected `int`, got `str` - at `$.gt`"),
        (json.dumps(document(colour=1)).encode(), "unknown field `colour`"),
        (
            json.dumps(document(params={"match": {"fg_iou_thresh": 7}})).encode(),
            "match.fg_iou_thresh: 7 is not allowed",
        ),
        (json.dumps(document(params={"match": 3})).encode(), "match"),
        (json.dumps(document(layers={"training": {"visible": ["air"]}})).encode(), "Invalid enum value 'air'"),
        (json.dumps(document(layers=[1])).encode(), "$.layers"),
        (b"[" * 100_000, "recurs"),
        (b" " * 10_000_001, "more than 10,000,000 bytes"),
    ],
)
def test_a_wrong_document_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "s.rpnviz.json"
    path.write_bytes(content)
    with pytest.raises(SessionError) as caught:
        read_session(path)
    assert words in str(caught.value)
    assert caught.value.where.startswith(str(path))


def test_what_cannot_be_read_or_written_is_told(tmp_path):
    with pytest.raises(SessionError, match="No such file"):
        read_session(tmp_path / "none.rpnviz.json")
    with pytest.raises(SessionError, match="does not exist"):
        save_session(Session(params=PARAMS), tmp_path / "none" / "s.rpnviz.json")
    assert not is_session(tmp_path)
