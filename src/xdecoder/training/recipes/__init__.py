"""One typed recipe a run, and their names."""

from __future__ import annotations

from xdecoder.training.loop import Training
from xdecoder.training.recipes.custom import Custom
from xdecoder.training.recipes.finetune import (
    FinetuneAnswering,
    FinetuneCaptioning,
    FinetuneReferring,
    FinetuneRetrieval,
    FinetuneSegmentation,
)
from xdecoder.training.recipes.picturebook import PictureBookRecipe
from xdecoder.training.recipes.pretrain import (
    CopiesWithoutPhrases,
    PretrainFocalL,
    PretrainFocalT,
    SegmentationOnly,
    TextsWithoutGlobal,
    TextsWithoutObjects,
    WithoutCaptioning,
    WithoutRetrieval,
)

RECIPES: dict[str, type[Training]] = {
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
