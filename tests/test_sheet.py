"""Pictures on a sheet."""

import numpy as np
import pytest
from PIL import Image

from xdecoder.drawing.sheet import SheetStyle, draw_cell, join_cells

STYLE = SheetStyle(side=60, gap=7, font_size=10, paper=(255, 255, 255), lines=3)


def test_a_cell_shows_a_picture_of_any_shape_at_its_own_width() -> None:
    for width, height, shown in ((120, 60, (60, 30)), (20, 40, (30, 60)), (3, 300, (1, 60))):
        cell = draw_cell(Image.new("RGB", (width, height), "red"), style=STYLE)
        assert cell.size == (60, shown[1])
        red = (np.asarray(cell) == [255, 0, 0]).all(2)
        assert (red.any(0).sum(), red.any(1).sum()) == shown


def test_words_stand_below_the_picture_two_lines_of_each_text_at_the_most() -> None:
    picture = Image.new("RGB", (60, 60), "red")
    plain = draw_cell(picture, style=STYLE).height
    heights = [
        draw_cell(picture, "title", ["word " * 40] * count, style=STYLE).height - plain for count in (0, 1, 2)
    ]
    assert heights == [4 + 14, 4 + 3 * 14, 4 + 4 * 14]  # of the second text, one line is left
    assert draw_cell(None, "title", style=STYLE).size == (60, 4 + 14)
    assert draw_cell(None, style=STYLE).size == (60, 0)


def test_cells_stand_in_rows_as_high_as_their_highest() -> None:
    cells = [
        Image.new("RGB", (60, height), color) for height, color in ((20, "red"), (50, "blue"), (30, "lime"))
    ]
    sheet = np.asarray(join_cells(cells, columns=2, style=STYLE))
    assert sheet.shape == (50 + 30 + 3 * 7, 2 * 60 + 3 * 7, 3)
    assert (sheet[7:27, 7:67] == [255, 0, 0]).all()
    assert (sheet[7:57, 74:134] == [0, 0, 255]).all()
    assert (sheet[64:94, 7:67] == [0, 255, 0]).all()
    assert (sheet[64:, 74:] == 255).all()
    with pytest.raises(ValueError, match="a sheet needs at least one picture"):
        join_cells([], columns=2, style=STYLE)
