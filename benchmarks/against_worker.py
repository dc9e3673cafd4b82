"""One measurement of `against.py`, of whichever xdecoder is first on the path; not to be started by hand.

It keeps to what 83ae8f4 and later versions have in common, the public interface; where names have moved, in
training alone, it takes those that are there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import xdecoder
from xdecoder import Predictor, XDecoder
from xdecoder.config import PRESETS
from xdecoder.vocabularies import Vocabulary, built_in, parse_vocabulary

PHRASES = (
    "The larger watermelon.",
    "the man in a red shirt on the left",
    "White tea pot.",
    "dog",
    "the chair closest to the window",
)
Outputs = dict[str, Any]


def either(*names: str) -> ModuleType:
    """The first module that this version has."""
    for name in names:
        try:
            return importlib.import_module(f"xdecoder.{name}")
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(f"none of {', '.join(names)}")


def write_model(folder: Path) -> None:
    """The model that all measurements load."""
    torch.manual_seed(0)
    tokenizer = either("weights.clip_merges", "clip_vocabulary").load_clip_tokenizer()
    Predictor(XDecoder(PRESETS["focal-t"]), tokenizer).save(folder)


def pictures(count: int, side: int) -> list[np.ndarray]:
    """Smooth random pictures: colors of a coarse grid."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, side // 16, side // 16, 3), dtype=np.uint8)
    return list(coarse.repeat(16, axis=1).repeat(16, axis=2))


class Tasks:
    """What is measured; each gives its outputs."""

    def __init__(self, folder: Path, *, smoke: bool) -> None:
        loaded = xdecoder.load("picturebook" if smoke else folder)
        self.predictor = Predictor(loaded.model, loaded.tokenizer)
        self.large, self.middle, self.small = (128, 96, 64) if smoke else (1024, 512, 224)
        self.steps = 5 if smoke else 50
        width = loaded.config.embed_width
        self.classes = torch.randn(134, width, generator=torch.Generator().manual_seed(0))
        self.names_embedded = 0

    def _segment(self, side: int) -> Outputs:
        [picture] = pictures(1, side)
        item = self.predictor.encode(picture, short_side=side)

        def embedded(words: Vocabulary) -> torch.Tensor:
            return self.classes

        with patch.object(self.predictor, "embed_vocabulary", embedded):
            panoptic = self.predictor.segment(item, "coco", object_threshold=0.0)
            instance = self.predictor.segment(item, "coco", task="instance")
            semantic = self.predictor.segment(item, "coco", task="semantic")
        return {
            "panoptic ids": panoptic.ids,
            "scores": np.array([i.score for i in instance.instances]),
            "masks": np.array([i.mask.sum() for i in instance.instances]),
            "semantic": semantic.categories,
        }

    def run_large(self) -> Outputs:
        return self._segment(self.large)

    def run_middle(self) -> Outputs:
        return self._segment(self.middle)

    def run_phrases(self) -> Outputs:
        [picture] = pictures(1, self.middle)
        item = self.predictor.encode(picture, short_side=self.middle)
        found = self.predictor.refer(item, PHRASES)
        return {"masks": np.stack([np.asarray(mask) for mask in found.masks])}

    def run_embed(self) -> Outputs:
        items = self.predictor.encode(pictures(8, self.small), short_side=self.small)
        found = self.predictor.embed_images(items)
        return {"decoder": found.decoder.numpy(), "backbone": found.backbone.numpy()}

    def run_caption(self) -> Outputs:
        [picture] = pictures(1, self.small)
        found = self.predictor.caption(
            self.predictor.encode(picture, short_side=self.small), steps=self.steps
        )
        return {"ids": np.array(found.token_ids)}

    def run_names(self) -> Outputs:
        """New names each time; the background is one more."""
        first = 14 * self.names_embedded
        self.names_embedded += 1
        names = built_in("ade20k").classes[first : first + (2 if self.steps == 5 else 14)]
        return {"embeddings": self.predictor.embed_vocabulary(parse_vocabulary(list(names))).numpy()}


class TrainingStep:
    """A step of pretraining: segmented images with the names of their classes as phrases, and pairs."""

    def __init__(self, folder: Path, *, smoke: bool) -> None:
        model = xdecoder.load("picturebook" if smoke else folder).model.train().requires_grad_(True)
        self.large, self.small, self.classes = (96, 64, 12) if smoke else (512, 224, 133)
        self.end = model.config.text.end_id
        self.start = model.config.text.start_id
        torch.manual_seed(0)
        if importlib.util.find_spec("xdecoder.training.datasets"):
            self.objective, self.batch = self._now(model)
        else:
            self.objective, self.batch = self._before(model)
        self.optimizer = importlib.import_module("xdecoder.training.optimizer").build_optimizer(
            self.objective, importlib.import_module("xdecoder.training.optimizer").OptimizerConfig()
        )

    def texts(self, count: int) -> torch.Tensor:
        ids = torch.randint(0, self.start, (count, 20))
        ids[:, 0], ids[:, -1] = self.start, self.end
        return ids

    def images(self, count: int, side: int) -> torch.Tensor:
        return torch.randn(count, side, side, 3).permute(0, 3, 1, 2)

    def segments(self) -> dict[str, Any]:
        masks = torch.zeros(2, 12, self.large, self.large, dtype=torch.bool)
        for image in masks:
            for mask in image:
                top, left = torch.randint(0, self.large // 2, (2,)).tolist()
                mask[top : top + self.large // 3, left : left + self.large // 3] = True
        labels = torch.stack([torch.randperm(self.classes)[:12].sort().values for _ in range(2)])
        return {
            "images": self.images(2, self.large),
            "names": self.texts(self.classes + 1),
            "labels": tuple(labels),
            "masks": tuple(masks),
        }

    def pairs(self) -> dict[str, Any]:
        valid = torch.ones(4, 20, dtype=torch.bool)
        return {"images": self.images(4, self.small), "captions": self.texts(4), "valid": valid}

    def _now(self, model: XDecoder) -> tuple[torch.nn.Module, Any]:
        batches = importlib.import_module("xdecoder.training.datasets.batches")
        objective = importlib.import_module("xdecoder.training.datasets.objective")
        segments = self.segments()
        named = [labels[:5] for labels in segments["labels"]]
        phrases = batches.SegmentPhrases(
            texts=segments["names"][torch.cat(named)],
            lengths=(20,) * 10,
            counts=(5, 5),
            rows=(torch.arange(5), torch.arange(5, 10)),
            masks=tuple(masks[:5] for masks in segments["masks"]),
            free=(False, False),
        )
        batch = batches.DatasetBatch(
            segments=batches.SegmentationBatch(**segments, phrases=phrases),
            pairs=batches.PairBatch(**self.pairs()),
        )
        losses = objective.PublishedLosses()
        return objective.PublishedObjective(model, None, losses=losses).train(), batch

    def _before(self, model: XDecoder) -> tuple[torch.nn.Module, Any]:
        batches = importlib.import_module("xdecoder.training.photographs")
        objective = importlib.import_module("xdecoder.training.photograph_objective")
        batch = batches.PhotographBatch(
            segments=batches.SegmentPart(**self.segments()), pairs=batches.PairPart(**self.pairs())
        )
        losses = objective.PhotographLosses()
        return objective.PhotographObjective(model, None, losses=losses).train(), batch

    def run_training(self) -> Outputs:
        torch.manual_seed(0)
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.objective(self.batch)
        total = torch.stack([term for term in terms.values() if term.requires_grad]).sum()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), 5.0)
        self.optimizer.step()
        return {"loss": total.detach().numpy(), "gradient": norm.numpy()}


def main() -> None:
    """Warm up, measure, write the outputs and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row")
    parser.add_argument("folder", type=Path)
    parser.add_argument("tree", choices=["before", "now"])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--activation-checkpointing", action="store_true")
    options = parser.parse_args()
    if options.row == "model":
        if not options.smoke:
            write_model(options.folder / "model")
        print(json.dumps({"wall": 0.0, "cpu": 0.0, "memory": 0.0}))
        return
    kind = TrainingStep if options.row == "training" else Tasks
    tasks = kind(options.folder / "model", smoke=options.smoke)
    if options.activation_checkpointing and isinstance(tasks, TrainingStep):
        from xdecoder.training.activation_checkpointing import checkpoint_activations

        checkpoint_activations(tasks.objective)
    work: Callable[[], Outputs] = getattr(tasks, f"run_{options.row}")
    first = work()
    start, processor = time.perf_counter(), time.process_time()
    outputs = work()
    figures = {"wall": time.perf_counter() - start, "cpu": time.process_time() - processor}
    np.savez(
        options.folder / f"{options.row}-{options.tree}.npz",
        **(first if options.row == "training" else outputs),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**figures, "memory": peak}))


if __name__ == "__main__":
    main()
