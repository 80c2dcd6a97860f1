"""The mini-batch in the window: drawn again, told of box by box, and shown on the picture."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton
from support import open_image, settled

from rpnviz.app.batch_finder import chance_text, percent
from rpnviz.app.viewing import Selection
from rpnviz.core.chances import Chance, chances_of, simulate_steps
from rpnviz.drawing.options import LayerKey


@pytest.fixture
def coins(window, qtbot):
    """The coins with more positives than a mini-batch takes."""
    open_image(window, qtbot, "coins.png")
    window.state.update("match", fg_iou_thresh=0.5)
    window.state.update("sample", batch_size_per_image=32)
    qtbot.waitUntil(lambda: settled(window) and bool(window.batches.chances), timeout=10000)
    return window


def cells(window, name):
    model = window.table.model
    names = [model.headerData(number, Qt.Orientation.Horizontal) for number in range(model.columnCount())]
    return [model.index(row, names.index(name)).data() for row in range(model.rowCount())]


def test_the_table_tells_drawn_expected_and_chance(coins):
    chances = chances_of(coins.state.shown.training)
    assert any(0 < chance.missed < 1 for chance in chances)
    assert cells(coins, "Mini-batch") == [chance_text(chance) for chance in chances]


def test_a_key_draws_again_as_one_undoable_change(coins, qtbot):
    before = coins.state.shown.training.sample.positive.tolist()
    qtbot.keyClick(coins, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: settled(coins) and bool(coins.batches.chances), timeout=10000)
    assert coins.state.params.sample.seed == 1
    assert coins.state.undo_label == "sample.seed"
    assert coins.state.shown.training.sample.positive.tolist() != before
    assert cells(coins, "Mini-batch") == [chance_text(chance) for chance in chances_of(coins.state.shown.training)]
    coins.do_undo()
    qtbot.waitUntil(lambda: settled(coins), timeout=10000)
    assert coins.state.params.sample.seed == 0
    assert coins.state.shown.training.sample.positive.tolist() == before


def test_the_button_does_the_same(coins, qtbot):
    coins.controls._open("Mini-batch", True)
    (button,) = [
        button for button in coins.controls.sampling.findChildren(QToolButton) if button.text() == "Draw again"
    ]
    coins.controls.ensureWidgetVisible(button)
    qtbot.waitUntil(lambda: button.visibleRegion().contains(button.rect().center()), timeout=5000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert coins.state.params.sample.seed == 1
    assert coins.controls.sampling.seed.value() == 1


def test_many_steps_are_counted_beside_the_closed_form(coins, qtbot):
    panel = coins.controls.mini_batch
    coins.controls._open("Mini-batch", True)
    panel.steps.setValue(40)
    qtbot.waitUntil(lambda: coins.batches.steps is not None and coins.batches.steps.steps == 40, timeout=10000)
    result = coins.state.shown.training
    steps, chances = simulate_steps(result, 40), chances_of(result)
    model = panel.proxy
    rows = [[model.index(row, column).data() for column in range(5)] for row in range(model.rowCount())]
    assert len(rows) == sum(chance.expected > 0 for chance in chances)
    for gt, seen, expected, each, chance in rows:
        number = int(gt)
        assert seen == str(steps.seen[number])
        assert expected == f"{40 * chances[number].seen:.1f}"
        assert each == f"{steps.drawn[number] / 40:.2f}"
        assert chance == percent(chances[number].seen)
    order = [chances[int(row[0])].seen for row in rows]
    assert order == sorted(order), "rarest first"
    rare = sum(0 < chance.missed < 1 for chance in chances)
    assert f"{rare} boxes are missed by some steps" in panel.summary.text()


def test_rows_and_selection_are_one(coins):
    panel = coins.controls.mini_batch
    coins.controls._open("Mini-batch", True)
    panel.table.selectRow(2)
    gt = int(panel.proxy.index(2, 0).data())
    assert coins.state.selection == Selection(gt=gt)
    coins.state.select(Selection(gt=5))
    assert panel.table.currentIndex().siblingAtColumn(0).data() == "5"


def test_the_cell_of_the_funnel_shows_the_mini_batch(coins, qtbot):
    (cell,) = [button for button in coins.funnel.findChildren(QToolButton) if "drawn for this step" in button.text()]
    qtbot.mouseClick(cell, Qt.MouseButton.LeftButton)
    assert LayerKey.MINI_BATCH in coins.state.layers.visible
    qtbot.keyClick(coins, Qt.Key.Key_7)
    assert LayerKey.MINI_BATCH not in coins.state.layers.visible


def test_a_trainer_without_a_mini_batch_says_so(coins, qtbot):
    coins.state.set_preset("keras-retinanet")
    qtbot.waitUntil(lambda: settled(coins), timeout=10000)
    assert coins.controls.mini_batch.summary.text().startswith("No mini-batch: all positives and negatives train")
    assert not coins.controls.mini_batch.table.isVisible()
    assert coins.table.table.isColumnHidden(8)
    told = []
    coins.state.told.connect(told.append)
    qtbot.keyClick(coins, Qt.Key.Key_R)
    assert "draws no mini-batch" in told[0].title
    assert coins.state.params.sample.seed == 0


def test_without_boxes_there_are_negatives_alone(coins, qtbot):
    open_image(coins, qtbot, "empty.png")
    assert coins.controls.mini_batch.summary.text() == "No box is trained on: the mini-batch has negatives alone."


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "0 %"), (1.0, "100 %"), (0.876, "88 %"), (0.9996, "99.9 %"), (0.0004, "0.1 %")]
)
def test_nearly_never_is_not_never(share, words):
    assert percent(share) == words
    assert chance_text(Chance(3, 2.06, 1 - share)) == f"3 · 2.1 · {words}"
