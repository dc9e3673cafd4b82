"""Retrieve, ground, describe, edit: four tasks of one model, one after the other, on drawn scenes.

Run it whole, `python examples/compositions.py --out FOLDER`, or cell by cell in an editor that knows `# %%`.
"""

# %% Settings
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import xdecoder
from xdecoder.drawing.sheet import SheetStyle, draw_cell, join_cells
from xdecoder.editing import Blur, Recolor, Remove, ReplaceBackground, edit
from xdecoder.picturebook import draw_scene

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("compositions"), help="folder for the pictures")
parser.add_argument("--weights", default="picturebook", help="the model")
parser.add_argument("--scenes", type=int, default=48, help="how many scenes are searched")
parser.add_argument("--size", type=int, default=320, help="their side in pixels")
settings, _ = parser.parse_known_args()  # a notebook has arguments of its own
settings.out.mkdir(parents=True, exist_ok=True)

SEARCHED = "two gray cats, a white cat and a brown boat on the grass"
REGION = "the gray cat left of the boat"
STYLE = SheetStyle(side=280, gap=10, font_size=15, paper=(250, 248, 244), ink=(29, 26, 22))


def save_row(name: str, pictures: Sequence[np.ndarray | Image.Image], texts: Sequence[str]) -> None:
    """Write pictures side by side, a text below each."""
    shown = [
        picture if isinstance(picture, Image.Image) else Image.fromarray(picture) for picture in pictures
    ]
    cells = [
        draw_cell(picture, texts=[text], style=STYLE) for picture, text in zip(shown, texts, strict=True)
    ]
    row = join_cells(cells, columns=len(cells), style=STYLE)
    row.save(settings.out / f"compositions-{name}.jpg", quality=88, optimize=True)


# %% The model, and pictures that it never saw; each is encoded once, for everything that is asked of it
model = xdecoder.load(settings.weights)
scenes = [draw_scene(seed, split="val", size=settings.size).image for seed in range(settings.scenes)]
images = model.encode(scenes)

# %% Retrieve: the pictures that fit a text best
scores = model.embed_images(images).similarity(model.embed_texts(SEARCHED))[:, 0]
best = scores.argsort(descending=True)[:4].tolist()
print(f"{SEARCHED!r} is in pictures {best}")
save_row("retrieve", [scenes[k] for k in best], [f"{scores[k]:.2f}" for k in best])

# %% Ground: a phrase in the picture that was found
found = images[best[0]]
grounding = model.refer(found, [REGION])
mask = grounding.masks[0]

# %% Describe: the whole picture, and the region alone
whole, part = model.caption(found), model.caption(found, region=mask)
print(f"the picture: {whole}\nthe region: {part}")
save_row("describe", [found.image, grounding.draw()], [f"picture: {whole}", f"region: {part}"])

# %% Edit: the region changed in four ways; not a pixel besides
changes = {
    "Recolor": Recolor(color="royalblue"),
    "Blur": Blur(),
    "Remove": Remove(),
    "ReplaceBackground": ReplaceBackground(background=scenes[best[1]]),
}
edited = [edit(found.image, mask, change) for change in changes.values()]
save_row("edit", edited, list(changes))
