"""Tiny models, drawn scenes and data sets for the tests: the one place where they are made."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from xdecoder.config import (
    BackboneConfig,
    DecoderConfig,
    FocalNetConfig,
    HybridConfig,
    InferenceConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from xdecoder.losses.config import SupervisedLayers
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.picturebook import ANSWERS, draw_scene
from xdecoder.picturebook.export import export
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import build_word_tokenizer
from xdecoder.training.batches import Batch, BatchSource
from xdecoder.training.config import Cosine, OptimizerConfig
from xdecoder.training.curriculum import Curriculum, Phase
from xdecoder.training.picturebook.batches import SceneBatch
from xdecoder.training.picturebook.objective import PictureBookObjective
from xdecoder.training.picturebook.recipe import PictureBookLosses, SceneMixture
from xdecoder.training.picturebook.source import PictureBookBatches, Resolution
from xdecoder.training.picturebook.tokenizer import build_tokenizer
from xdecoder.training.recipe import Recipe
from xdecoder.weights.folder import save_model

# Models.

FOCALNET = FocalNetConfig(block="plain", widths=(8, 12, 16, 20), depths=(1, 1, 1, 1), focal_levels=2)
FPN = PixelDecoderConfig(width=32, mask_width=16, layers=1, heads=2, feedforward=24)


def tiny_config(
    vocabulary_size: int = 40,
    *,
    context_length: int = 20,
    width: int = 16,
    heads: int = 2,
    queries: int = 18,
    layers: int = 2,
    backbone: BackboneConfig = FOCALNET,
    pixel_decoder: PixelDecoderConfig = FPN,
    inference: InferenceConfig | None = None,
) -> ModelConfig:
    """The smallest model that has every part."""
    return ModelConfig(
        backbone=backbone,
        pixel_decoder=pixel_decoder,
        text=TextConfig(
            width=width,
            layers=1,
            heads=heads,
            context_length=context_length,
            vocabulary_size=vocabulary_size,
        ),
        decoder=DecoderConfig(width=width, queries=queries, layers=layers, heads=heads, feedforward=24),
        embed_width=width,
        inference=inference or InferenceConfig(),
    )


def save_tiny_model(folder: Path, *, answers: Sequence[str] = (), question_length: int = 20) -> Path:
    """Write a model of the drawn world to a folder; with answers, it answers each question in its own way."""
    torch.manual_seed(3)
    tokenizer = build_tokenizer(24)
    config = tiny_config(
        tokenizer.vocabulary_size,
        context_length=24,
        width=32,
        queries=7,
        backbone=HybridConfig(widths=(8, 16, 16, 32), depths=(1, 1, 1, 1)),
        pixel_decoder=dataclasses.replace(FPN, mask_width=32),
        inference=InferenceConfig(
            short_side=64,
            long_side=128,
            vocabulary="picturebook",
            object_threshold=0.05,
            overlap_threshold=0.1,
            caption_steps=6,
        ),
    )
    model = XDecoder(config)
    head: AnswerHead | None = None
    if answers:
        head = AnswerHead(config.decoder.width, answers, question_length=question_length)
        torch.nn.init.normal_(head.linear2.weight)
    save_model(folder, model, tokenizer, answer_head=head)
    return folder


def build_predictor(seed_weight: float = 0.0) -> Predictor:
    """A predictor that finds something everywhere, for the data sets of `write_data`."""
    tokenizer = build_word_tokenizer(WORDS, context_length=20)
    inference = InferenceConfig(
        object_threshold=0.0, overlap_threshold=0.0, detections=6, caption_steps=4, prompt_ensemble=False
    )
    model = XDecoder(tiny_config(tokenizer.vocabulary_size, inference=inference))
    if seed_weight:
        model.logit_scale.data += seed_weight
    head = AnswerHead(16, ("yes", "no", "red"), question_length=9)
    return Predictor(model.requires_grad_(False), tokenizer, answer_head=head)


# Scenes, and a training on them.


def draw_picture(path: Path, seed: int) -> None:
    """Write a scene of 96 x 80 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_scene(seed, split="val", size=96).image).crop((0, 0, 96, 80)).save(path)


CONTEXT = 40


def export_scenes(folder: Path, *, train: int, val: int, size: int) -> Path:
    """Write scenes of both splits as one folder of one's own data; its pairs are those of the first."""
    for split, count in (("val", val), ("train", train)):
        with tempfile.TemporaryDirectory() as scratch:
            export(Path(scratch) / split, count=count, split=split, size=size)
            shutil.copytree(Path(scratch) / split, folder, dirs_exist_ok=True)
    return folder


@dataclass(frozen=True)
class Shared(BatchSource[Batch]):
    """The one batch of all processes, cut into their shares."""

    whole: PictureBookBatches

    @property
    def images_a_step(self) -> tuple[int, ...]:
        return (self.whole.images,)

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        batch = self.whole.batch(step, 0, 1)
        assert isinstance(batch, SceneBatch)
        share = len(batch.images) // world_size
        return cut(batch, range(rank * share, (rank + 1) * share))


def cut(batch: SceneBatch, images: range) -> SceneBatch:
    """The part of a batch that belongs to some of its images."""
    rows = slice(images.start, images.stop)
    phrases = slice(sum(batch.phrase_counts[: rows.start]), sum(batch.phrase_counts[: rows.stop]))
    nouns = slice(sum(batch.nouns.counts[: rows.start]), sum(batch.nouns.counts[: rows.stop]))
    told = (batch.pair_images >= images.start) & (batch.pair_images < images.stop)
    captions = told.repeat_interleave(batch.captions_each)
    asked = (batch.question_images >= images.start) & (batch.question_images < images.stop)
    return dataclasses.replace(
        batch,
        images=batch.images[rows],
        classes=batch.classes[rows],
        masks=batch.masks[rows],
        phrases=batch.phrases[phrases],
        phrase_lengths=batch.phrase_lengths[phrases],
        phrase_counts=batch.phrase_counts[rows],
        phrase_masks=batch.phrase_masks[rows],
        nouns=dataclasses.replace(
            batch.nouns,
            texts=batch.nouns.texts[nouns],
            counts=batch.nouns.counts[rows],
            groups=batch.nouns.groups[nouns],
        ),
        pair_images=batch.pair_images[told] - images.start,
        captions=batch.captions[captions],
        caption_valid=batch.caption_valid[captions],
        caption_names=batch.caption_names[captions],
        caption_regions=tuple(level[captions] for level in batch.caption_regions),
        pairs=batch.pairs[told],
        pair_groups=batch.pair_groups[told],
        questions=batch.questions[asked],
        question_images=batch.question_images[asked] - images.start,
        answers=batch.answers[asked],
    )


@dataclass(frozen=True, kw_only=True)
class TinyRecipe(Recipe):
    """The settings of `Tiny`."""

    steps: int = 20
    images: int = 4
    optimizer: OptimizerConfig = OptimizerConfig(  # noqa: RUF009  (frozen)
        lr=1e-3, lr_factors=(("backbone.", 0.5),), ema_decay=0.9
    )
    backbone: BackboneConfig = FOCALNET
    pixel_decoder: PixelDecoderConfig = FPN

    def open(self) -> Tiny:
        return Tiny(**vars(self))


class Tiny(Curriculum[TinyRecipe]):
    """Every task on tiny scenes, without batch norm, whose statistics differ between processes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(TinyRecipe(**settings))

    @property
    def config(self) -> ModelConfig:
        return tiny_config(
            build_tokenizer(CONTEXT).vocabulary_size,
            context_length=CONTEXT,
            backbone=self.recipe.backbone,
            pixel_decoder=self.recipe.pixel_decoder,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(
                name="scenes", steps=self.recipe.steps, images=self.recipe.images, schedule=Cosine(warmup=2)
            ),
        )

    def build_source(self) -> Shared:
        return Shared(
            PictureBookBatches(
                config=self.config,
                tokenizer=build_tokenizer(CONTEXT),
                seed=3,
                text_steps=0,
                patch_steps=0,
                patches=0,
                resolutions=(Resolution(steps=self.recipe.steps, scene_size=64, image_size=64),),
                caption_reward_from=self.recipe.steps,
                images=self.recipe.images,
                question_length=18,
                mixture=SceneMixture(phrases=2),
            )
        )

    def build(self) -> PictureBookObjective:
        head = AnswerHead(16, ANSWERS, question_length=18)
        layers = SupervisedLayers(
            segmentation=(0, 2), referring=(2,), captioning=(1,), retrieval=(-1,), answers=(1,)
        )
        return PictureBookObjective(
            XDecoder(self.config),
            head,
            tokenizer=build_tokenizer(CONTEXT),
            losses=PictureBookLosses(layers=layers),
            rewarded_captions=2,
        )

    def validate(self, module: nn.Module, folder: Path, step: int) -> Mapping[str, float]:
        return {"parameters": float(sum(p.detach().double().sum() for p in module.parameters()))}

    def export(self, module: nn.Module, folder: Path) -> None:
        folder.mkdir(exist_ok=True)


# Data sets, in their layouts.

H, W = 6, 8


PERSON, SKY_OTHER = (
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 187, "name": "sky-other-merged", "isthing": 0},
)


DOG = {"id": 18, "name": "dog", "isthing": 1}


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_image(path: Path, height: int = H, width: int = W) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)


def write_ids(path: Path, ids: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(path)


def panoptic_ids() -> np.ndarray:
    """Void on top, then sky, two people side by side, and a crowd."""
    ids = np.zeros((H, W), np.int64)
    ids[1:3] = 70001
    ids[3:, :3] = 300
    ids[3:, 3:5] = 7
    ids[3:, 5:] = 9
    return ids


def segment(number: int, category: int, crowd: int = 0) -> dict[str, Any]:
    return {"id": number, "category_id": category, "iscrowd": crowd, "area": 1, "bbox": [0, 0, 1, 1]}


def coco_panoptic(root: Path, **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "images": [{"id": 5, "file_name": "000000000005.jpg", "height": H, "width": W}],
        "annotations": [
            {
                "image_id": 5,
                "file_name": "000000000005.png",
                "segments_info": [
                    segment(70001, 187),
                    segment(300, 1),
                    segment(7, 1),
                    segment(9, 1, crowd=1),
                ],
            }
        ],
        "categories": [PERSON, SKY_OTHER],
    } | changes
    write_json(root / "coco/annotations/panoptic_val2017.json", data)
    write_image(root / "coco/val2017/000000000005.jpg")
    write_ids(root / "coco/panoptic_val2017/000000000005.png", panoptic_ids())
    return data


def square(number: int, category: int, image: int = 5, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "area": 6,
        "bbox": [1, 2, 3, 2],
        "segmentation": [[1, 2, 4, 2, 4, 4, 1, 4]],
    } | more


def coco_instances(root: Path, annotations: list[dict[str, Any]], **changes: Any) -> None:
    data: dict[str, Any] = {
        "images": [
            {"id": 5, "file_name": "000000000005.jpg", "height": H, "width": W},
            {"id": 6, "file_name": "000000000006.jpg", "height": H, "width": W},
        ],
        "annotations": annotations,
        "categories": [PERSON, DOG],
    } | changes
    write_json(root / "coco/annotations/instances_val2017.json", data)
    for image in data["images"]:
        write_image(root / "coco/val2017" / image["file_name"])


def ref(number: int, annotation: int, image: int, split: str, *phrases: str) -> dict[str, Any]:
    return {
        "ref_id": number,
        "ann_id": annotation,
        "image_id": image,
        "category_id": 1,
        "split": split,
        "file_name": f"COCO_train2014_{image:012d}_{annotation}.jpg",
        "sent_ids": list(range(len(phrases))),
        "sentences": [
            {"raw": p, "sent": p.lower(), "sent_id": i, "tokens": p.split()} for i, p in enumerate(phrases)
        ],
    }


def refer_layout(root: Path, refs: list[dict[str, Any]], folder: str = "refcocog", by: str = "umd") -> Path:
    base = root / "refcocoseg" / folder
    annotations = [square(1, 1, image=9), square(2, 18, image=9), square(3, 1, image=25)]
    images = [
        {"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg", "height": H, "width": W} for i in (9, 25)
    ]
    write_json(base / "instances.json", {"images": images, "annotations": annotations, "categories": []})
    (base / f"refs({by}).p").write_bytes(pickle.dumps(refs, protocol=0))
    for image in images:
        write_image(root / "coco/train2014" / image["file_name"])
    return base


REFS = [
    ref(10, 1, 9, "val", "The man.", "a man"),
    ref(11, 2, 9, "val", "his dog"),
    ref(12, 3, 25, "train", "a woman"),
]


def karpathy_row(number: int, split: str, folder: str, **more: Any) -> dict[str, Any]:
    return {
        "filepath": folder,
        "filename": f"COCO_{folder}_{number:012d}.jpg",
        "cocoid": number,
        "split": split,
        "sentences": [{"raw": f"caption {number}"}, {"raw": "another"}],
    } | more


def vqa_layout(root: Path, answered: tuple[int, ...]) -> None:
    questions = [
        {"question_id": 42000, "image_id": 42, "question": "What color? "},
        {"question_id": 42001, "image_id": 42, "question": "Is it a dog?"},
    ]
    answers = [{"answer": "yes", "answer_id": i + 1, "answer_confidence": "yes"} for i in range(10)]
    write_json(root / "vqa/v2_OpenEnded_mscoco_val2014_questions.json", {"questions": questions})
    write_json(
        root / "vqa/v2_mscoco_val2014_annotations.json",
        {
            "annotations": [
                {"question_id": q, "image_id": 42, "answers": answers, "answer_type": "yes/no"}
                for q in answered
            ]
        },
    )
    write_image(root / "coco/val2014/COCO_val2014_000000000042.jpg")


IMAGES = 7


CATEGORIES = [
    {"id": 3, "name": "dog", "isthing": 1},
    {"id": 8, "name": "cat", "isthing": 1},
    {"id": 11, "name": "grass", "isthing": 0},
]


WORDS = ["dog", "cat", "grass", "background", "man", "the", "a", "his", "bird", "sky", "red"]


def size_of(number: int) -> tuple[int, int]:
    return 20 + number, 31 - number


def write_data(root: Path) -> Path:
    """Seven images with a dog, a cat and grass, in the layouts of custom data, refer, VQA and Karpathy."""
    generator = np.random.default_rng(0)
    panoptic, instances, images = [], [], []
    for number in range(1, IMAGES + 1):
        height, width = size_of(number)
        name = f"{number}.png"
        (root / "images/val").mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 255, (height, width, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images/val" / name)
        ids = np.full((height, width), 300)
        ids[2:9, 3:12], ids[10:15, 5:20], ids[0] = 1, 70001, 0
        write_ids(root / "panoptic_val" / name, ids)
        segments = [
            {"id": i, "category_id": c, "iscrowd": 0, "area": 1, "bbox": [0, 0, 1, 1]}
            for i, c in ((300, 11), (1, 3), (70001, 8))
        ]
        panoptic.append({"image_id": number, "file_name": name, "segments_info": segments})
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for category, (x, y, w, h) in ((3, (3, 2, 9, 7)), (8, (5, 10, 15, 5))):
            instances.append(
                {
                    "id": len(instances) + 1,
                    "image_id": number,
                    "category_id": category,
                    "iscrowd": 0,
                    "area": w * h,
                    "bbox": [x, y, w, h],
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
    file = {"images": images, "annotations": panoptic, "categories": CATEGORIES}
    write_json(root / "annotations/panoptic_val.json", file)
    write_json(
        root / "annotations/instances_val.json",
        {"images": images, "annotations": instances, "categories": CATEGORIES[:2]},
    )
    refer_layout(root, REFS)
    vqa_layout(root, (42000, 42001))
    rows = []
    for number in (5, 6):
        write_image(root / f"coco/val2014/COCO_val2014_{number:012d}.jpg", 20, 30)
        sentences = [{"raw": f"the {word}"} for word in ("dog", "cat", "red bird")[: number - 3]]
        name = f"COCO_val2014_{number:012d}.jpg"
        rows.append(
            {
                "cocoid": number,
                "filepath": "val2014",
                "filename": name,
                "split": "test",
                "sentences": sentences,
            }
        )
    write_json(root / "coco/annotations/dataset_coco.json", {"images": rows})
    return root


VOC_CLASSES = ("vehicle", "plant", "animal", "ground", "sky")
_VOC_MEMBERS = (
    ("car", "bus", "truck", "boat", "rocket"),
    ("tree", "flower", "mushroom", "cactus"),
    ("fish", "dog", "cat", "bird", "butterfly", "snail", "turtle"),
    ("grass", "sand", "road", "snow", "floor"),
    ("sky",),
)


def write_voc(folder: Path, *, images: int, size: int) -> Path:
    """Drawn scenes as somebody labels them: Pascal VOC's layout, with classes of one's own."""
    classes = {name: k for k, names in enumerate(_VOC_MEMBERS, start=1) for name in names}
    palette = [(0, 0, 0), (200, 60, 40), (60, 160, 60), (230, 160, 40), (150, 110, 80), (90, 160, 230)]
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True)
    lines = [
        f"{name}:{','.join(map(str, color))}::"
        for name, color in zip(("background", *VOC_CLASSES), palette, strict=True)
    ]
    (folder / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n")
    names = [f"scene_{seed:03d}" for seed in range(images)]
    (folder / "ImageSets/Segmentation/train.txt").write_text("".join(f"{name}\n" for name in names))
    for seed, name in enumerate(names):
        scene = draw_scene(seed, split="train", size=size)
        labels = np.zeros((size, size), np.uint8)
        for number, segment in enumerate(scene.segments, start=1):
            labels[scene.ids == number] = classes.get(segment.category, 0)
        Image.fromarray(scene.image).save(folder / f"JPEGImages/{name}.jpg", quality=95)
        mask = Image.fromarray(labels, mode="P")
        mask.putpalette([value for color in palette for value in color])
        mask.save(folder / f"SegmentationClass/{name}.png")
    return folder
