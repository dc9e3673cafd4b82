"""A region of a picture edited: removed, recolored, blurred, painted anew, or set before another picture.

>>> from xdecoder.editing import Recolor, edit
>>> mask = model.locate("photo.jpg", "the red car")
>>> edited = edit("photo.jpg", mask, Recolor(color="blue"))
"""

from xdecoder.editing.background import ReplaceBackground
from xdecoder.editing.blurring import Blur
from xdecoder.editing.change import Change, edit, edit_region
from xdecoder.editing.options import EditOptions
from xdecoder.editing.painting import Paint, load_pipeline
from xdecoder.editing.recoloring import Recolor
from xdecoder.editing.removal import Remove

__all__ = [
    "Blur",
    "Change",
    "EditOptions",
    "Paint",
    "Recolor",
    "Remove",
    "ReplaceBackground",
    "edit",
    "edit_region",
    "load_pipeline",
]
