"""Published models that lack a part: no captions, or no embedding of images by the backbone."""

from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

from goldens import Golden
from xdecoder.cli import app as cli
from xdecoder.predictor.loading import load
from xdecoder.predictor.predictor import Predictor
from xdecoder.weights.conversion import convert

CAPTIONS = ("sem_seg_head.predictor.caping_embed", "sem_seg_head.predictor.pos_embed_caping.weight")
BACKBONE = ("backbone_proj",)


def official(golden: Golden, path: Path, **switches: bool) -> Path:
    settings = yaml.safe_load(golden.config_path.read_text())
    decoder = settings["MODEL"]["DECODER"]
    decoder["CAPTIONING"]["ENABLED"] = switches.get("captions", True)
    decoder["RETRIEVAL"]["ENSEMBLE"] = switches.get("backbone", True)
    path.write_text(yaml.safe_dump(settings))
    return path


def without(weights: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in weights.items() if key not in names}


@pytest.fixture(scope="module")
def lacking(golden_a: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lacking")
    save_file(without(golden_a.weights, *CAPTIONS, *BACKBONE), place / "a.safetensors")
    config = official(golden_a, place / "a.yaml", captions=False, backbone=False)
    convert(place / "a.safetensors", place / "model", yaml=config)
    return place / "model"


@pytest.fixture(scope="module")
def predictors(lacking: Path, folder: Path) -> tuple[Predictor, Predictor]:
    return load(lacking), load(folder)


IMAGE = Image.effect_mandelbrot((96, 64), (-2, -1.5, 1, 1.5), 20).convert("RGB")


def test_a_model_without_captions_segments_and_refers_as_with_them(
    predictors: tuple[Predictor, Predictor],
) -> None:
    ours, whole = predictors
    assert not ours.config.decoder.captions
    segments = [p.segment(IMAGE, ["cat", "grass"], task="semantic").categories for p in predictors]
    assert (segments[0] == segments[1]).all()
    masks = [p.refer(IMAGE, ["the cat"]).masks for p in (ours, whole)]
    assert (masks[0] == masks[1]).all()


def test_a_model_without_captions_says_so(
    predictors: tuple[Predictor, Predictor], lacking: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="this model has no captions and no answers"):
        predictors[0].caption(IMAGE)
    IMAGE.save(tmp_path / "a.png")
    done = CliRunner().invoke(cli.app, ["caption", str(tmp_path / "a.png"), "--weights", str(lacking)])
    assert done.exit_code == 2
    assert done.stderr == (
        "error: this model has no captions and no answers: it was trained without captioning, and its "
        "checkpoint lacks the parameters\n"
    )


def test_without_the_backbone_s_embedding_the_decoder_s_score_counts_alone(
    predictors: tuple[Predictor, Predictor],
) -> None:
    ours, whole = (p.embed_images([IMAGE]) for p in predictors)
    texts = predictors[0].embed_texts(["a cat", "a red car"])
    assert torch.allclose(ours.decoder, whole.decoder)
    assert torch.allclose(ours.similarity(texts), whole.decoder @ texts.T, atol=1e-6)
    assert not torch.allclose(ours.similarity(texts), whole.similarity(texts), atol=1e-3)


def test_what_a_model_lacks_is_kept_in_its_folder(lacking: Path, tmp_path: Path) -> None:
    load(lacking).save(tmp_path / "again")
    config = load(tmp_path / "again").config
    assert (config.decoder.captions, config.backbone_retrieval) == (False, False)
    assert load(tmp_path / "again").digest() == load(lacking).digest()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (CAPTIONS, r"CAPTIONING\.ENABLED says True, the checkpoint False \(.*caping_embed and .*pos_embed"),
        (BACKBONE, r"RETRIEVAL\.ENSEMBLE says True, the checkpoint False \(backbone_proj\)"),
        (CAPTIONS[:1], r"1 missing:\n  sem_seg_head\.predictor\.caping_embed"),
    ],
)
def test_parts_that_the_yaml_promises_or_that_are_half_there_are_missed(
    missing: tuple[str, ...], message: str, golden_a: Golden, tmp_path: Path
) -> None:
    save_file(without(golden_a.weights, *missing), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "a.safetensors", tmp_path / "model", yaml=golden_a.config_path)
