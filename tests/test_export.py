"""Exported models: graphs that agree with the model, and results that agree with the predictor's."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import xdecoder
import xdecoder.runtime
from builders import FOCALNET, FPN, WORDS, tiny_config
from export_fixtures import export
from xdecoder.cli.app import app
from xdecoder.config import DaViTConfig, EfficientNetConfig, HybridConfig
from xdecoder.export.config import ExportConfig, parse_parts, parse_size
from xdecoder.export.graphs import pad_explicitly
from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.decoder_states import Memory
from xdecoder.networks.resampling import Axis
from xdecoder.picturebook import draw_scene
from xdecoder.predictor.predictor import Predictor
from xdecoder.runtime import captioning, segmentation
from xdecoder.runtime.resampling import taps
from xdecoder.structures import PanopticSegmentation
from xdecoder.tasks import captioning as torch_captioning
from xdecoder.tasks import segmentation as torch_segmentation
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.segments import SegmentCandidate, choose_segments
from xdecoder.tasks.sizes import ImageSizes
from xdecoder.tokenizer import build_word_tokenizer
from xdecoder.weights.folder import save_model

PAGE = (Path(__file__).parents[1] / "docs/export.md").read_text(encoding="utf-8")
WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None  # importing it raises
import numpy as np
import xdecoder.runtime

folder, out, phrase, question = sys.argv[1:5]
model = xdecoder.runtime.load(folder, threads=1)
for path in sys.argv[5:]:
    image = model.encode(path)
    found = {
        "panoptic": model.segment(image).to_dict(),
        "words": model.segment(image, ["red car", "cactus", "sky"], stuff=["sky"]).to_dict(),
        "instance": model.segment(image, task="instance", score_threshold=0.3).to_dict(),
        "semantic": model.segment(image, task="semantic").to_dict(),
        "refer": model.refer(image, [phrase, "the sky"]).to_dict(),
        "one by one": model.refer(image, [phrase, "the sky"], together=False).to_dict(),
        "caption": model.caption(image).to_dict(),
        "greedy": model.caption(image, beams=1).to_dict(),
        "region": model.caption(image, region=(10, 20, 90, 100), beams=1).to_dict(),
        "answer": [answer.to_dict() for answer in model.answer(image, [question, "what is on the left?"])],
        "decoder": model.embed_images(image).decoder.tolist(),
        "backbone": model.embed_images([path]).backbone.tolist(),
        "text": model.embed_texts(["a red car", "nonsense zzz"]).tolist(),
    }
    with open(out, "a") as file:
        file.write(json.dumps(found) + "\\n")
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pictures of other sizes than the graphs were traced at."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("scenes")
    paths: list[str] = []
    for seed, size in ((53, (200, 200)), (41, (260, 180))):
        path = folder / f"{seed}.png"
        Image.fromarray(draw_scene(seed, split="val", size=200).image).resize(size).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture(scope="module")
def found(
    exported: Path, scenes: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What an exported model says of scenes, without PyTorch."""
    out = tmp_path_factory.mktemp("found") / "lines.jsonl"
    command = [sys.executable, "-c", WITHOUT_TORCH, str(exported), str(out), "the red car", "is there a car?"]
    done = subprocess.run([*command, *scenes], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        return xdecoder.load("picturebook")


def test_segments_found_without_torch_are_the_predictor_s(
    found: list[dict[str, Any]], scenes: list[str], predictor: Predictor
) -> None:
    for path, own in zip(scenes, found, strict=True):
        for name, expected in (
            ("panoptic", predictor.segment(path)),
            ("words", predictor.segment(path, ["red car", "cactus", "sky"], stuff=["sky"])),
        ):
            result = PanopticSegmentation.from_dict(own[name])
            assert len(expected.segments) >= 1
            assert [s.label for s in result.segments] == [s.label for s in expected.segments]
            assert np.allclose(
                [s.score for s in result.segments], [s.score for s in expected.segments], atol=1e-4
            )
            assert (result.ids == expected.ids).mean() > 0.9995
        instances = predictor.segment(path, task="instance", score_threshold=0.3)
        mine = xdecoder.InstanceSegmentation.from_dict(own["instance"])
        assert [i.label for i in mine.instances] == [i.label for i in instances.instances]
        for a, b in zip(mine.instances, instances.instances, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-4)
            assert (a.mask == b.mask).mean() > 0.9995
        semantic = xdecoder.SemanticSegmentation.from_dict(own["semantic"])
        assert (semantic.categories == predictor.segment(path, task="semantic").categories).mean() > 0.9995


@pytest.mark.parametrize(("name", "together"), [("refer", True), ("one by one", False)])
def test_phrases_found_without_torch_are_the_predictor_s(
    found: list[dict[str, Any]], scenes: list[str], predictor: Predictor, name: str, together: bool
) -> None:
    for path, own in zip(scenes, found, strict=True):
        expected = predictor.refer(path, ["the red car", "the sky"], together=together)
        result = xdecoder.Grounding.from_dict(own[name])
        assert np.allclose(result.scores, expected.scores, atol=1e-4)
        assert (result.masks == expected.masks).mean() > 0.9995


def test_captions_and_answers_made_without_torch_are_the_predictor_s(
    found: list[dict[str, Any]], scenes: list[str], predictor: Predictor
) -> None:
    for path, own in zip(scenes, found, strict=True):
        for name, expected in (
            ("caption", predictor.caption(path)),
            ("greedy", predictor.caption(path, beams=1)),
            ("region", predictor.caption(path, region=(10, 20, 90, 100), beams=1)),
        ):
            assert own[name]["text"] == expected.text
            assert tuple(own[name]["token_ids"]) == expected.token_ids
            assert own[name]["score"] == pytest.approx(expected.score, abs=1e-4)
        answers = predictor.answer(path, ["is there a car?", "what is on the left?"])
        for mine, theirs in zip(own["answer"], answers, strict=True):
            assert mine["text"] == theirs.text
            assert [c["score"] for c in mine["candidates"]] == pytest.approx(
                [c.score for c in theirs.candidates], abs=1e-4
            )


def test_embeddings_made_without_torch_are_the_predictor_s(
    found: list[dict[str, Any]], scenes: list[str], predictor: Predictor
) -> None:
    for path, own in zip(scenes, found, strict=True):
        images = predictor.embed_images(path)
        texts = predictor.embed_texts(["a red car", "nonsense zzz"])
        for name, expected in (("decoder", images.decoder), ("backbone", images.backbone), ("text", texts)):
            assert np.allclose(own[name], expected.numpy(), atol=1e-4)


def test_the_page_s_python_runs(exported: Path, scenes: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picturebook-onnx").symlink_to(exported)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/scene.png").symlink_to(scenes[0])
    found = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    exec(compile(found[0], "docs/export.md", "exec"), {})
    assert Path("segments.png").is_file()


# Other models.


DAVIT = DaViTConfig(
    widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(2, 2, 2, 4), groups=(2, 2, 4, 2), window=12
)
EFFICIENTNET = EfficientNetConfig(stem=4, channels=(3, 4, 4, 6, 6, 8, 8), depths=(1,) * 7, expansion=2)


def save_tiny_model(folder: Path, backbone: Any) -> Path:
    """Write a model with this backbone and random weights."""
    torch.manual_seed(1)
    tokenizer = build_word_tokenizer(WORDS, context_length=20)
    model = XDecoder(tiny_config(tokenizer.vocabulary_size, backbone=backbone, pixel_decoder=FPN))
    head = AnswerHead(16, ("yes", "no", "red"), question_length=9)
    save_model(folder, model, tokenizer, answer_head=head)
    return folder


def shares(printed: str) -> dict[str, float]:
    return {part: float(share) for part, share in re.findall(r"^(\w+): differs by (\S+)", printed, re.M)}


@pytest.mark.parametrize(
    "backbone",
    [dataclasses.replace(FOCALNET, block="depthwise"), DAVIT, EFFICIENTNET],
    ids=["focalnet", "davit", "efficientnet"],
)
def test_image_graphs_take_any_size(backbone: Any, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", backbone)
    printed = export(folder, tmp_path / "out", "--parts", "image", "--check")
    [share] = shares(printed).values()
    assert share < 1e-5


def test_a_model_of_one_size_stored_in_half_the_bytes(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", FOCALNET)
    printed = export(folder, tmp_path / "out", "--size", "64x96", "--dtype", "float16", "--check")
    assert set(shares(printed)) == {"image", "text", "latents", "phrases", "caption", "answer"}
    assert max(shares(printed).values()) < 1e-3
    model = xdecoder.runtime.load(tmp_path / "out")
    assert model.manifest.size == (64, 96)
    image = np.full((70, 50, 3), 128, np.uint8)
    assert model.encode(image).sizes == ImageSizes(output=(70, 50), resized=(64, 46), padded=(64, 96))
    assert model.segment(image, ["cat", "dog"]).ids.shape == (70, 50)
    with pytest.raises(ValueError, match="exported for images of 64x96: export it with --size free"):
        model.encode(image, short_side=80)


@pytest.mark.parametrize(
    "backbone",
    [
        FOCALNET,
        dataclasses.replace(FOCALNET, block="depthwise"),
        HybridConfig(widths=(8, 16, 16, 32), depths=(1, 1, 1, 1)),
        DAVIT,
        EFFICIENTNET,
    ],
    ids=["focalnet", "depthwise", "hybrid", "davit", "efficientnet"],
)
def test_padding_only_what_is_read_changes_no_map(backbone: Any) -> None:
    torch.manual_seed(0)
    model = XDecoder(tiny_config(backbone=backbone)).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = model.backbone(images)
        pad_explicitly(model)
        after = model.backbone(images)
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old)


# What is refused.


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["export", *words, "--to", "onnx"])
    assert result.exit_code == 2
    return " ".join(result.output.split())


def test_what_cannot_be_exported_is_refused_before_any_work(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert "HEIGHTxWIDTH, such as 160x224, or free; got '160'" in run("picturebook", out, "--size", "160")
    assert "multiples of 32 pixels" in run("picturebook", out, "--size", "100x160")
    assert "no part tail; there are image" in run("picturebook", out, "--parts", "image,tail")
    assert "no parts given" in run("picturebook", out, "--parts", ",")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file.txt").write_text("mine")
    assert "is there and is no exported model" in run("picturebook", str(tmp_path / "mine"))
    assert (tmp_path / "mine/file.txt").is_file()


def test_a_part_that_the_model_was_not_trained_for_is_refused(tmp_path: Path) -> None:
    tokenizer = build_word_tokenizer(WORDS, context_length=20)
    save_model(tmp_path / "model", XDecoder(tiny_config(tokenizer.vocabulary_size)), tokenizer)
    told = run(str(tmp_path / "model"), str(tmp_path / "out"), "--parts", "answer")
    assert "this model has no part answer" in told
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_exported_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no exported model: it has no export\.json"):
        xdecoder.runtime.load(tmp_path)
    (tmp_path / "export.json").write_text('{"format_version": 99}')
    with pytest.raises(ValueError, match="has format 99, this version of xdecoder reads up to 1"):
        xdecoder.runtime.load(tmp_path)
    (tmp_path / "export.json").write_text('{"format_version": 1}')
    with pytest.raises(ValueError, match="is damaged"):
        xdecoder.runtime.load(tmp_path)


def test_a_verb_without_its_graph_says_which_is_missing(exported: Path, tmp_path: Path) -> None:
    for file in exported.iterdir():
        (tmp_path / file.name).symlink_to(file)
    manifest = json.loads((exported / "export.json").read_text())
    (tmp_path / "export.json").unlink()
    (tmp_path / "export.json").write_text(json.dumps({**manifest, "parts": ["image", "text", "latents"]}))
    model = xdecoder.runtime.load(tmp_path)
    with pytest.raises(ValueError, match=r"without the graph caption.*--parts image,text,latents,caption"):
        model.caption(np.zeros((40, 40, 3), np.uint8))


def test_without_onnx_runtime_the_extra_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "xdecoder\[onnx\]"'):
        xdecoder.runtime.load(exported)


def test_sizes_and_parts_are_read_as_they_are_typed() -> None:
    assert parse_size("free") is None
    assert parse_size("64x96") == (64, 96)
    assert parse_parts("text, image") == ("image", "text")
    with pytest.raises(ValueError, match="multiples of 32"):
        ExportConfig(size=(64, 90))


# What is done in numpy, against PyTorch.


@pytest.mark.parametrize(("old", "new"), [(40, 13), (7, 31), (16, 16), (5, 1)])
def test_rows_are_resized_as_pytorch_s_are(old: int, new: int) -> None:
    [band] = Axis.of(old, new).bands(new, dtype=torch.float64, device=torch.device("cpu"))
    dense = np.zeros((new, old))
    dense[:, band.columns] = band.matrix.numpy()
    assert np.allclose(taps(old, new), dense, atol=1e-12)


def queries() -> tuple[segmentation.QueryMasks, torch_segmentation.SegmentationLogits, Geometry]:
    """The predictions of 11 queries over 5 classes and the background, for both ways."""
    sizes: dict[str, Any] = {"output": (90, 70), "resized": (51, 40), "padded": (64, 64)}
    generator = torch.Generator().manual_seed(2)
    classes = (4 * torch.randn(11, 6, generator=generator)).softmax(-1)
    masks = 3 * torch.randn(11, 4, generator=generator)
    features = torch.randn(1, 4, 16, 16, generator=generator)
    nothing = Memory(sources=(), placed=(), mask_features=(), sizes=())
    logits = torch_segmentation.SegmentationLogits(
        classes=classes,
        embeddings=masks,
        mask_embeddings=masks,
        features=ImageFeatures(memory=nothing, mask_features=features, backbone_embeddings=None),
        index=0,
    )
    mine = segmentation.QueryMasks(
        classes=classes.numpy(),
        embeddings=masks.numpy(),
        features=features[0].numpy(),
        sizes=ImageSizes(**sizes),
    )
    return mine, logits, Geometry(**sizes)


def test_segments_are_chosen_as_pytorch_s_are() -> None:
    mine, logits, geometry = queries()
    options: Any = {"things": frozenset({0, 2}), "object_threshold": 0.3, "overlap_threshold": 0.2}
    ids, chosen = segmentation.panoptic(mine, **options)
    expected = torch_segmentation.panoptic(logits, geometry, **options)
    assert len(expected.categories) > 2
    assert (chosen.categories, chosen.queries) == (expected.categories, expected.queries)
    assert (ids == expected.ids.numpy()).mean() > 0.999


def test_instances_are_found_as_pytorch_s_are() -> None:
    mine, logits, geometry = queries()
    found = segmentation.instances(mine, detections=20, things=frozenset({0, 2, 3}))
    expected = torch_segmentation.instances(logits, geometry, detections=20, things=frozenset({0, 2, 3}))
    assert list(found.categories) == expected.categories.tolist()
    assert np.allclose(found.scores, expected.scores, atol=1e-5)
    assert (found.query_masks[list(found.rows)] == expected.masks.numpy()).mean() > 0.999


@pytest.mark.parametrize("resize_probabilities", [False, True])
def test_classes_of_pixels_are_pytorch_s(resize_probabilities: bool) -> None:
    mine, logits, geometry = queries()
    found = segmentation.semantic(mine, resize_probabilities=resize_probabilities)
    expected = torch_segmentation.semantic(logits, geometry, resize_probabilities=resize_probabilities)
    assert (found == expected.numpy()).mean() > 0.999


@pytest.mark.parametrize(
    "box", [(slice(10, 60), slice(5, 50)), (slice(3, 4), slice(8, 9)), (slice(89, 90), slice(0, 70))]
)
def test_a_region_covers_the_cells_that_pytorch_finds(box: Sequence[slice]) -> None:
    sizes: dict[str, Any] = {"output": (90, 70), "resized": (51, 40), "padded": (64, 64)}
    region = np.zeros((90, 70), np.bool_)
    region[tuple(box)] = True
    found = captioning.region_at_levels(region, ImageSizes(**sizes), (32, 16, 8))
    expected = torch_captioning.region_at_levels(
        torch.from_numpy(region), Geometry(**sizes), [(2, 2), (4, 4), (8, 8)]
    )
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine == theirs[0].numpy()).all()


def test_stuff_of_one_class_is_one_segment_and_candidates_that_lost_are_none() -> None:
    def candidate(query: int, category: int, won: int, own: int, covered: int) -> SegmentCandidate:
        return SegmentCandidate(query=query, category=category, score=0.5, won=won, own=own, covered=covered)

    chosen = choose_segments(
        [
            candidate(1, 4, 9, 10, 5),
            candidate(3, 0, 1, 10, 1),
            candidate(5, 4, 9, 10, 9),
            candidate(6, 0, 8, 8, 0),
        ],
        things=frozenset({0}),
        overlap_threshold=0.5,
    )
    assert chosen.of_candidate == (1, 0, 1, 0)
    assert (chosen.categories, chosen.queries) == ((4,), (5,))
