"""One typed recipe a run, and their names."""

from __future__ import annotations

from xdecoder.training.datasets.custom import Custom
from xdecoder.training.datasets.finetune import (
    FinetuneAnswering,
    FinetuneCaptioning,
    FinetuneReferring,
    FinetuneRetrieval,
    FinetuneSegmentation,
)
from xdecoder.training.datasets.pretrain import (
    CopiesWithoutPhrases,
    PretrainFocalL,
    PretrainFocalT,
    SegmentationOnly,
    TextsWithoutGlobal,
    TextsWithoutObjects,
    WithoutCaptioning,
    WithoutRetrieval,
)
from xdecoder.training.loop import Recipe
from xdecoder.training.picturebook.recipe import PictureBookRecipe

RECIPES: dict[str, type[Recipe]] = {
    "picturebook": PictureBookRecipe,
    "custom": Custom,
    "pretrain_focal_t": PretrainFocalT,
    "pretrain_focal_l": PretrainFocalL,
    "segmentation_only": SegmentationOnly,
    "without_retrieval": WithoutRetrieval,
    "without_captioning": WithoutCaptioning,
    "texts_without_objects": TextsWithoutObjects,
    "texts_without_global": TextsWithoutGlobal,
    "copies_without_phrases": CopiesWithoutPhrases,
    "finetune_segmentation": FinetuneSegmentation,
    "finetune_referring": FinetuneReferring,
    "finetune_retrieval": FinetuneRetrieval,
    "finetune_captioning": FinetuneCaptioning,
    "finetune_vqa": FinetuneAnswering,
}
