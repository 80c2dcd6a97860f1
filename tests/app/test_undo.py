from __future__ import annotations

from rpnviz.app import undo
from rpnviz.app.undo import History


def test_undo_and_redo_walk_the_values():
    history = History()
    history.record("a", 1)
    history.record("b", 2)
    assert history.undo(3) == 2
    assert history.redo_label == "b"
    assert history.undo(2) == 1
    assert history.undo(1) is None
    assert history.redo(1) == 2
    assert history.redo(2) == 3
    assert history.redo(3) is None


def test_quick_changes_of_one_field_are_one_step(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(undo.time, "monotonic", lambda: clock[0])
    history = History()
    for value in range(40):
        clock[0] += 0.02
        history.record("match.fg_iou_thresh", value)
    clock[0] += 2
    history.record("match.fg_iou_thresh", 40)
    assert history.undo(41) == 40
    assert history.undo(40) == 0
    assert history.undo(0) is None


def test_a_change_after_undo_forgets_the_redo():
    history = History()
    history.record("a", 1)
    history.undo(2)
    history.record("b", 1)
    assert history.redo(3) is None


def test_a_drag_is_one_step_however_long_it_takes(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(undo.time, "monotonic", lambda: clock[0])
    history, drag = History(), object()
    for value in range(5):
        clock[0] += 3
        assert history.record("move", value, drag) == (value == 0)
    assert history.record("move", 5, object())  # at once, but another drag
    assert history.undo(6) == 5
    assert history.undo(5) == 0


def test_a_drag_that_is_given_up_is_no_step():
    history, drag = History(), object()
    history.record("a", 1)
    history.record("move", 2, drag)
    assert history.take_back(object()) is None
    assert history.take_back(drag) == 2
    assert history.take_back(drag) is None
    assert history.redo(2) is None
    assert history.undo(2) == 1


def test_what_is_remembered_can_be_converted():
    history = History()
    history.record("a", 1)
    history.record("b", 2)
    history.undo(3)
    history.convert(lambda value: 10 * value, 20)
    assert history.redo(20) == 30
    assert history.undo(30) == 20
    assert history.undo(20) == 10


def test_steps_that_are_none_after_converting_are_forgotten():
    history = History()
    for label, before in (("a", 1), ("b", 11), ("c", 12), ("d", 22), ("e", 23)):
        history.record(label, before)
    history.undo(33)
    history.undo(23)
    history.convert(lambda value: value // 10, 2)  # b and d change the unit alone
    assert (history.undo_label, history.redo_label) == ("c", "e")
    assert history.undo(2) == 1
    assert history.undo_label == "a"
    assert history.redo(1) == 2
    assert history.redo(2) == 3
