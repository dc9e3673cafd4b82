"""Regions painted anew: what a pipeline is shown, what comes back, and a real one of diffusers."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from xdecoder.cli.app import app
from xdecoder.editing import Paint, edit, load_pipeline

H, W = 61, 97


class Painter:
    """Called as diffusers' inpainting pipelines are; paints noise of the generator and remembers the call."""

    def __call__(
        self,
        prompt: str,
        image: Image.Image,
        mask_image: Image.Image,
        height: int,
        width: int,
        strength: float = 0.9,
        num_inference_steps: int = 50,
        generator: torch.Generator | None = None,
    ) -> Any:
        self.call = dict(locals())
        pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
        return SimpleNamespace(images=[Image.fromarray(pixels.numpy())])


class OldPainter:
    def __call__(
        self,
        prompt: str,
        image: Image.Image,
        mask_image: Image.Image,
        height: int,
        width: int,
        generator: torch.Generator,
    ) -> Any:
        raise AssertionError("never reached")


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)


def region() -> np.ndarray:
    mask = np.zeros((H, W), np.bool_)
    mask[20:30, 36:60] = True
    return mask


def test_a_pipeline_is_shown_the_region_and_half_its_size_around_it() -> None:
    painter = Painter()
    edit(picture(), region(), Paint(prompt="a blue boat", pipeline=painter, side=96), grow_by=0)
    call = painter.call
    assert call["prompt"] == "a blue boat"
    assert (call["height"], call["width"]) == (64, 96)  # 34 x 48 pixels, scaled twofold to multiples of 16
    assert call["image"].size == call["mask_image"].size == (96, 64)
    assert (call["image"].mode, call["mask_image"].mode) == ("RGB", "L")
    shown = np.asarray(call["mask_image"]) > 127
    assert shown[32, 48]
    assert abs(shown.mean() - 10 * 24 / (34 * 48)) < 0.01
    near = Image.fromarray(picture()[8:42, 24:72]).resize((96, 64), Image.Resampling.LANCZOS)
    assert (np.asarray(call["image"]) == np.asarray(near)).all()
    assert (call["strength"], call["num_inference_steps"]) == (0.9, 50)  # its own


def test_only_the_region_is_painted_and_the_seed_decides_how() -> None:
    def painted(seed: int) -> np.ndarray:
        paint = Paint(prompt="a boat", pipeline=Painter(), side=64, seed=seed)
        return edit(picture(), region(), paint, grow_by=0, feather=0)

    first, again, other = painted(3), painted(3), painted(4)
    assert (first == again).all()
    assert (first[~region()] == picture()[~region()]).all()
    assert (first[region()] != other[region()]).mean() > 0.9
    assert (first[region()] != picture()[region()]).mean() > 0.9


def test_strength_and_steps_are_the_pipeline_s() -> None:
    painter = Painter()
    edit(picture(), region(), Paint(prompt="a boat", pipeline=painter, side=32, strength=0.4, steps=7))
    assert (painter.call["strength"], painter.call["num_inference_steps"]) == (0.4, 7)
    with pytest.raises(ValueError, match="the pipeline OldPainter does not take strength; leave the option"):
        edit(picture(), region(), Paint(prompt="a boat", pipeline=OldPainter(), strength=0.4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": " "}, "an empty prompt means nothing: write what to paint"),
        ({"strength": 0.0}, "strength must be over 0 and at most 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"side": 15}, "side must be at least 16 pixels, got 15"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Paint(**{"prompt": "a boat", "pipeline": Painter(), **options})


def test_a_missing_pipeline_is_told_before_diffusers_is_asked(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="no pipeline 'nowhere': expected a folder that diffusers wrote"
    ):
        load_pipeline("nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"holds no pipeline of diffusers: it has no model_index\.json"
    ):
        load_pipeline(tmp_path)


def test_without_diffusers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(
        ImportError, match=r"painting by words needs diffusers: pip install 'xdecoder\[diffusion\]'"
    ):
        load_pipeline(tmp_path)


# --- diffusers ---


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion's inpainting pipeline, tiny and with random weights."""
    diffusers: Any = importlib.import_module("diffusers")
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pipeline")
    letters = [chr(ord("a") + i) for i in range(26)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = transformers.CLIPTextConfig(
        hidden_size=8,
        intermediate_size=8,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=len(words),
        max_position_embeddings=16,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
    )
    made = diffusers.StableDiffusionInpaintPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
        ),
        text_encoder=transformers.CLIPTextModel(config),
        tokenizer=transformers.CLIPTokenizer(
            vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=16
        ),
        unet=diffusers.UNet2DConditionModel(
            sample_size=8,
            in_channels=9,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=8,
            attention_head_dim=2,
            norm_num_groups=4,
        ),
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.save_pretrained(folder / "tiny")
    return folder / "tiny"


def test_a_pipeline_of_diffusers_paints(pipeline: Path, tmp_path: Path) -> None:
    loaded = load_pipeline(pipeline)
    paint = Paint(prompt="a blue boat", pipeline=loaded, side=64, steps=3, strength=0.8, seed=5)
    edited = edit(picture(), region(), paint, grow_by=0)
    assert (edited[~region()] == picture()[~region()]).all()
    assert (edited[region()] != picture()[region()]).mean() > 0.9
    assert (edit(picture(), region(), paint, grow_by=0) == edited).all()

    Image.fromarray(picture()).save(tmp_path / "a.png")
    words = ["edit", "a.png", "--box", "36,20,60,30", "--prompt", "a blue boat", "--pipeline", str(pipeline)]
    how = ["--paint-size", "64", "--steps", "3", "--strength", "0.8", "--seed", "5", "--grow", "0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, [*words, *how, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert (np.asarray(Image.open(tmp_path / "results/a.png")) == edited).all()


def test_a_damaged_pipeline_is_told(pipeline: Path, tmp_path: Path) -> None:
    index = json.loads((pipeline / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match="no inpainting pipeline could be loaded from"):
        load_pipeline(tmp_path)
