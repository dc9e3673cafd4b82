"""One typed recipe a run, and their names."""

from __future__ import annotations

from xdecoder.training.loop import Training
from xdecoder.training.recipes.picturebook import PictureBookRecipe

RECIPES: dict[str, type[Training]] = {"picturebook": PictureBookRecipe}
