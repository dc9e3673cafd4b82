"""Backbones and text encoders out of their own checkpoints: small files with the published names."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from goldens import Golden
from test_published import FULL_SIZE, full_size_shapes
from xdecoder.config import PRESETS, DaViTConfig, ModelConfig
from xdecoder.model import XDecoder
from xdecoder.training.datasets.pretrain import PretrainFocalT
from xdecoder.weights.checkpoint_files import read_yaml
from xdecoder.weights.folder import build_model
from xdecoder.weights.pretrained_parts import take_backbone, take_text_encoder
from xdecoder.weights.published_config import backbone_config, config_from_checkpoint
from xdecoder.weights.tensors import shapes_of

TEXT = "sem_seg_head.predictor.lang_encoder."
State = dict[str, Tensor]


def below(state: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def classifier(weights: State) -> State:
    """A backbone's own file: no norms of the maps, and a classifier's norm and head."""
    trunk = {k: v for k, v in below(weights, "backbone.").items() if not re.match(r"norm\d\.", k)}
    return {
        **trunk,
        "norm.weight": torch.ones(3),
        "norms.bias": torch.ones(3),
        "head.weight": torch.ones(3, 3),
    }


def unicl(weights: State, *, text: str = "lang") -> State:
    """UniCL's file: both encoders, their projections and the temperature."""
    return {
        **{f"image_encoder.{k}": v for k, v in classifier(weights).items()},
        **{f"{text}_encoder.{k}": v for k, v in below(weights, f"{TEXT}lang_encoder.").items()},
        "image_projection": weights["backbone_proj"],
        f"{text}_projection": weights[f"{TEXT}lang_proj"],
        "logit_scale": weights[f"{TEXT}logit_scale"],
    }


@pytest.fixture
def model(golden_a: Golden) -> XDecoder:
    return XDecoder(config_from_checkpoint(shapes_of(golden_a.weights), read_yaml(golden_a.config_path)))


def written(state: State, path: Path) -> Path:
    torch.save({"model": state}, path)
    return path


@pytest.mark.parametrize("make", [classifier, unicl, dict], ids=["FocalNet", "UniCL", "X-Decoder"])
def test_a_backbone_is_taken_from_its_own_checkpoint(
    make: Callable[[State], State], golden_a: Golden, model: XDecoder, tmp_path: Path
) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    done = take_backbone(model, written(make(golden_a.weights), tmp_path / "a.pt"))
    for key, value in model.state_dict().items():
        theirs = (
            golden_a.weights["backbone_proj" if key == "backbone_projection" else key]
            if key in done.taken
            else before[key]
        )
        assert torch.equal(value, theirs), key
    assert "backbone.patch_embed.proj.weight" in done.taken
    norms = tuple(f"backbone.norm{i}.{kind}" for i in range(4) for kind in ("weight", "bias"))
    expected = {classifier: {*norms, "backbone_projection"}, unicl: {*norms}, dict: set()}
    assert set(done.kept) == expected[make]


@pytest.mark.parametrize("text", ["lang", "text"])
def test_a_text_encoder_is_taken_from_unicl(
    text: str, golden_a: Golden, model: XDecoder, tmp_path: Path
) -> None:
    done = take_text_encoder(model, written(unicl(golden_a.weights, text=text), tmp_path / "a.pt"))
    assert done.kept == ()
    assert torch.equal(model.text_encoder.projection, golden_a.weights[f"{TEXT}lang_proj"])
    assert torch.equal(model.logit_scale, golden_a.weights[f"{TEXT}logit_scale"])
    for key, value in below(golden_a.weights, f"{TEXT}lang_encoder.").items():
        assert torch.equal(model.text_encoder.state_dict()[key], value), key
    assert not any(key.startswith("backbone") for key in done.taken)


def test_davit_s_backbone_is_taken(golden_a: Golden, golden_c: Golden, tmp_path: Path) -> None:
    backbone = backbone_config(shapes_of(golden_c.weights), read_yaml(golden_c.config_path))
    assert isinstance(backbone, DaViTConfig)
    other = config_from_checkpoint(shapes_of(golden_a.weights), read_yaml(golden_a.config_path))
    model = XDecoder(ModelConfig(**{**vars(other), "backbone": backbone}))
    take_backbone(model, written(classifier(golden_c.weights), tmp_path / "c.pt"))
    for key, value in below(golden_c.weights, "backbone.").items():
        assert torch.equal(model.backbone.state_dict()[key], value), key


@pytest.mark.parametrize("name", FULL_SIZE)
def test_every_tensor_of_a_published_backbone_and_text_encoder_has_its_place(name: str) -> None:
    """By names and shapes alone: numbers of these sizes would take gigabytes."""
    ours = shapes_of(build_model(PRESETS[name]).state_dict())
    theirs = {key: tuple(shape) for key, shape in full_size_shapes(name).items()}
    for part, prefix in (("backbone.", "backbone."), ("text_encoder.", f"{TEXT}lang_encoder.")):
        own = {key: shape for key, shape in ours.items() if key.startswith(part)}
        found = {part + key.removeprefix(prefix): s for key, s in theirs.items() if key.startswith(prefix)}
        assert own == {
            **found,
            **({"text_encoder.projection": theirs[f"{TEXT}lang_proj"]} if "text" in part else {}),
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("patch_embed.norm.weight"), r"1 missing:\n  backbone\.patch_embed\.norm\.weight"),
        (lambda s: s.update({"extra.weight": torch.ones(1)}), r"1 unexpected:\n  backbone\.extra\.weight"),
        (lambda s: s.update({"patch_embed.norm.bias": torch.ones(3)}), r"expected \[16\], got \[3\]"),
        (lambda s: s["patch_embed.norm.bias"].fill_(float("nan")), r"patch_embed\.norm\.bias holds numbers"),
        (
            lambda s: s.clear() or s.update(a=torch.ones(1)),
            r"a\.pt holds no backbone: it has none of backbone\.",
        ),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused_and_nothing_is_changed(
    change: Callable[[State], object], message: str, golden_a: Golden, model: XDecoder, tmp_path: Path
) -> None:
    state = {key: value.clone() for key, value in classifier(golden_a.weights).items()}
    change(state)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        take_backbone(model, written(state, tmp_path / "a.pt"))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_recipe_begins_with_them(golden_a: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_from_checkpoint(shapes_of(golden_a.weights), read_yaml(golden_a.config_path))
    monkeypatch.setitem(PRESETS, "tiny", config)
    path = written(unicl(golden_a.weights), tmp_path / "unicl.pt")
    from xdecoder.training.settings import override

    settings = ["preset=tiny", f"backbone={path}", f"text_encoder={path}"]
    model = override(PretrainFocalT(), settings).open().build().model
    state = model.state_dict()
    assert torch.equal(state["backbone_projection"], golden_a.weights["backbone_proj"])
    assert torch.equal(state["text_encoder.projection"], golden_a.weights[f"{TEXT}lang_proj"])
