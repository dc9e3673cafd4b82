"""The names of the recipes. Importing this module imports none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from xdecoder.training.recipe import Recipe

_DATASETS = "xdecoder.training.datasets"


@final
@dataclass(frozen=True)
class RecipeName:
    """Where a recipe is defined.

    Attributes:
        module: that defines it.
        kind: name of the class in that module.
        summary: the first line of the class's docstring.
    """

    module: str
    kind: str
    summary: str


RECIPES: Final[Mapping[str, RecipeName]] = {
    "picturebook": RecipeName(
        "xdecoder.training.picturebook.recipe",
        "PictureBookRecipe",
        "The bundled model: every task on drawn scenes, from nothing.",
    ),
    "custom": RecipeName(
        f"{_DATASETS}.custom",
        "Custom",
        "Anybody's own classes: a COCO-style folder, from any model.",
    ),
    "picturebook_lite": RecipeName(
        "xdecoder.training.picturebook.lite",
        "PictureBookLiteRecipe",
        "The bundled model with a backbone that has seen photographs, EfficientNet-Lite0.",
    ),
    "pretrain_focal_t": RecipeName(
        f"{_DATASETS}.pretrain",
        "PretrainFocalT",
        "Focal-T as published: segmentation and image-text pairs, captioned and contrasted.",
    ),
    "pretrain_focal_l": RecipeName(
        f"{_DATASETS}.pretrain",
        "PretrainFocalL",
        "Focal-L as published: as Focal-T.",
    ),
    "segmentation_only": RecipeName(
        f"{_DATASETS}.pretrain",
        "SegmentationOnly",
        "The paper's comparison: segments alone, no image-text pairs, captions or phrases.",
    ),
    "without_retrieval": RecipeName(
        f"{_DATASETS}.pretrain",
        "WithoutRetrieval",
        "The paper's comparison: pairs are captioned, but not contrasted.",
    ),
    "without_captioning": RecipeName(
        f"{_DATASETS}.pretrain",
        "WithoutCaptioning",
        "The paper's comparison: pairs are contrasted, but not captioned.",
    ),
    "without_referring": RecipeName(
        f"{_DATASETS}.pretrain",
        "WithoutReferring",
        "The paper's comparison: no phrases are learned.",
    ),
    "texts_without_objects": RecipeName(
        f"{_DATASETS}.pretrain",
        "TextsWithoutObjects",
        "The paper's comparison: captions see the global query, but no object queries.",
    ),
    "texts_without_global": RecipeName(
        f"{_DATASETS}.pretrain",
        "TextsWithoutGlobal",
        "The paper's comparison: captions see the object queries, but not the global one.",
    ),
    "texts_without_latents": RecipeName(
        f"{_DATASETS}.pretrain",
        "TextsWithoutLatents",
        "The paper's comparison: captions see no latent queries at all.",
    ),
    "copies_without_phrases": RecipeName(
        f"{_DATASETS}.pretrain",
        "CopiesWithoutPhrases",
        "The paper's comparison: in referring, phrases are compared with the queries, but not seen by them.",
    ),
    "half_the_pairs": RecipeName(
        f"{_DATASETS}.pretrain",
        "HalfThePairs",
        "The paper's comparison: half of the image-text pairs a step.",
    ),
    "a_quarter_of_the_pairs": RecipeName(
        f"{_DATASETS}.pretrain",
        "AQuarterOfThePairs",
        "The paper's comparison: a quarter of the image-text pairs a step.",
    ),
    "an_eighth_of_the_pairs": RecipeName(
        f"{_DATASETS}.pretrain",
        "AnEighthOfThePairs",
        "The paper's comparison: an eighth of the image-text pairs a step.",
    ),
    "finetune_segmentation": RecipeName(
        f"{_DATASETS}.finetune",
        "FinetuneSegmentation",
        "Generic segmentation: ADE20K, 24 epochs at 1e-4; `--set segments.dataset=...` for another data set.",
    ),
    "finetune_referring": RecipeName(
        f"{_DATASETS}.finetune",
        "FinetuneReferring",
        "Referring segmentation: RefCOCOg, 24 epochs at 1e-5, 64 images a step.",
    ),
    "finetune_retrieval": RecipeName(
        f"{_DATASETS}.finetune",
        "FinetuneRetrieval",
        "Retrieval: COCO, 10 epochs, 384 pixels, 2,048 pairs a step, 3e-5 (3e-6 for the towers).",
    ),
    "finetune_captioning": RecipeName(
        f"{_DATASETS}.finetune",
        "FinetuneCaptioning",
        "Captioning: COCO, 10 epochs, 480 pixels, 256 pairs a step, 2e-5 (2e-6 for the towers).",
    ),
    "finetune_vqa": RecipeName(
        f"{_DATASETS}.finetune",
        "FinetuneAnswering",
        "Question answering: VQAv2, 10 epochs, 640 pixels, 256 questions a step, 1e-4.",
    ),
}


def find_recipe(name: str) -> type[Recipe]:
    """A recipe's class.

    Raises:
        ValueError: there is no recipe of that name.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return getattr(importlib.import_module(RECIPES[name].module), RECIPES[name].kind)


def list_recipes() -> str:
    """Every recipe with its summary, a line each."""
    width = max(map(len, RECIPES))
    return "\n".join(f"{name:{width}}  {recipe.summary}" for name, recipe in RECIPES.items())
