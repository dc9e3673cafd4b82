import gzip
import json
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from goldens import FOLDER, Golden, load_golden
from xdecoder.config import PRESETS, DaViTConfig, FocalNetConfig, InferenceConfig
from xdecoder.weights.checkpoint_files import read_checkpoint, read_yaml, unwrap
from xdecoder.weights.conversion import convert
from xdecoder.weights.families import family_of
from xdecoder.weights.folder import build_model
from xdecoder.weights.published import NOT_PARAMETERS, rename, to_ours, to_published
from xdecoder.weights.published_config import (
    backbone_config,
    config_from_checkpoint,
    pixel_decoder_config,
)

FULL_SIZE = ("focal-t", "focal-l", "davit-d3", "davit-d5")
QUERIES = "sem_seg_head.predictor.query_feat.weight"


def full_size_shapes(name: str) -> dict[str, list[int]]:
    return json.loads(gzip.decompress((FOLDER / "keys" / f"{name}.json.gz").read_bytes()))


def shapes_of(golden: Golden) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in golden.weights.items()}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_every_published_key_has_one_name_here_and_back(name: str) -> None:
    keys = [key for key in full_size_shapes(name) if key not in NOT_PARAMETERS]
    ours = [to_ours(key) for key in keys]
    assert None not in ours
    assert len(set(ours)) == len(keys)
    assert [to_published(key) for key in ours if key] == keys


@pytest.mark.parametrize("name", FULL_SIZE)
def test_a_preset_takes_its_published_keys_with_none_missing_and_none_left_over(name: str) -> None:
    published = {
        to_ours(key): tuple(shape)
        for key, shape in full_size_shapes(name).items()
        if key not in NOT_PARAMETERS
    }
    model = build_model(PRESETS[name])
    assert published == {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_a_preset_is_what_its_published_tensors_say(name: str) -> None:
    assert config_from_checkpoint(full_size_shapes(name)) == PRESETS[name]


def test_level_projections_are_renamed() -> None:
    theirs = "sem_seg_head.predictor.input_proj.2.weight"
    assert to_ours(theirs) == "decoder.input_projections.2.weight"
    assert to_published("decoder.input_projections.2.weight") == theirs


def test_a_foreign_key_has_no_name() -> None:
    assert to_ours("visual.conv1.weight") is None
    assert to_published("answer_head.weight") is None


def test_renaming_accounts_for_every_key(golden_b: Golden) -> None:
    renamed = rename({**golden_b.weights, "extra.weight": torch.zeros(1)})
    assert renamed.unknown == ("extra.weight",)
    assert sorted(renamed.dropped) == sorted(NOT_PARAMETERS)
    assert len(renamed.state) + len(renamed.dropped) + 1 == len(golden_b.weights) + 1
    assert torch.equal(renamed.state["decoder.query_features"], golden_b.weights[QUERIES])


def test_sizes_come_from_tensors_and_settings_from_the_yaml(golden_a: Golden) -> None:
    config = config_from_checkpoint(shapes_of(golden_a), read_yaml(golden_a.config_path))
    assert config.backbone == FocalNetConfig(
        block="depthwise", widths=(16, 32, 64, 128), depths=(1, 1, 2, 1), focal_levels=3
    )
    assert (config.decoder.queries, config.decoder.layers, config.decoder.heads) == (81, 4, 4)
    assert (config.text.layers, config.text.heads, config.text.vocabulary_size) == (2, 4, 49408)
    assert config.inference == InferenceConfig(
        object_threshold=0.3, overlap_threshold=0.2, detections=20, caption_steps=10
    )
    assert config.embed_width == 64


def test_widths_of_the_parts_may_differ(golden_b: Golden) -> None:
    config = config_from_checkpoint(shapes_of(golden_b), read_yaml(golden_b.config_path))
    assert (config.pixel_decoder.width, config.pixel_decoder.mask_width, config.decoder.width) == (32, 40, 48)
    assert (config.text.heads, config.pixel_decoder.heads, config.decoder.feedforward) == (6, 4, 96)


def test_davit_takes_heads_and_groups_from_the_yaml(golden_c: Golden) -> None:
    shapes = shapes_of(golden_c)
    assert backbone_config(shapes, read_yaml(golden_c.config_path)) == DaViTConfig(
        widths=(16, 32, 64, 128), depths=(1, 1, 2, 1), heads=(2, 2, 4, 4), groups=(2, 4, 4, 8)
    )


def test_the_deformable_decoders_feedforward_comes_from_the_tensors(golden_d: Golden) -> None:
    config = pixel_decoder_config(shapes_of(golden_d), read_yaml(golden_d.config_path))
    assert (config.kind, config.feedforward, config.heads, config.layers) == ("deformable", 1024, 4, 2)
    assert (config.width, config.mask_width) == (64, 32)


def test_a_101_query_file_and_a_201_query_yaml_are_refused() -> None:
    shapes = full_size_shapes("focal-t")
    settings: dict[str, Any] = {"MODEL": {"DECODER": {"NUM_OBJECT_QUERIES": 201, "DEC_LAYERS": 10}}}
    with pytest.raises(ValueError, match=r"NUM_OBJECT_QUERIES says 201, the checkpoint 101 .*query_feat"):
        config_from_checkpoint(shapes, settings)


def test_all_disagreements_are_listed_together(golden_a: Golden) -> None:
    settings = yaml.safe_load((FOLDER / "B" / "config.yaml").read_text())
    with pytest.raises(ValueError, match="the YAML is not this checkpoint's") as error:
        config_from_checkpoint(shapes_of(golden_a), settings)
    for part in (
        "MODEL.BACKBONE.NAME says 'focal', the checkpoint 'focal_dw'",
        "MODEL.BACKBONE.FOCAL.DEPTHS says [1, 2, 1, 1], the checkpoint [1, 1, 2, 1]",
        "MODEL.ENCODER.CONVS_DIM says 32, the checkpoint 64",
    ):
        assert part in str(error.value)


def test_the_yaml_counts_one_decoder_layer_more(golden_a: Golden) -> None:
    settings = read_yaml(golden_a.config_path)
    settings["MODEL"]["DECODER"]["DEC_LAYERS"] = 10
    with pytest.raises(ValueError, match="DEC_LAYERS says 10, the checkpoint 5 "):
        config_from_checkpoint(shapes_of(golden_a), settings)


HEAD = "sem_seg_head.predictor"
FAMILIES: dict[str, dict[str, list[int]]] = {
    "SEEM": {f"{HEAD}.mask_sptial_embed.0": [512, 512], "criterion.empty_weight": [134]},
    "BiomedParse": {f"{HEAD}.spatial_embed.weight": [32, 512], "criterion.empty_weight": [17]},
    "OpenSeeD": {f"{HEAD}.lang_mapper": [512, 256], f"{HEAD}.lang_encoder.lang_proj": [512, 512]},
    "Mask2Former": {f"{HEAD}.class_embed.weight": [134, 256], f"{HEAD}.query_feat.weight": [100, 256]},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_relative_s_checkpoint_is_named_and_not_converted(family: str, tmp_path: Path) -> None:
    shared = {} if family == "Mask2Former" else full_size_shapes("focal-l")  # what relatives have alike
    shapes = {**shared, **FAMILIES[family]}
    assert family_of(shapes) == family
    stored = {key: torch.zeros(shape if len(shape) == 1 else 0) for key, shape in shapes.items()}
    torch.save({"model": stored}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=rf"a\.pt is a checkpoint of {family}, not of X-Decoder"):
        convert(tmp_path / "a.pt", tmp_path / "out")


def test_a_checkpoint_of_transformers_is_named() -> None:
    assert family_of({"pixel_level_module.encoder.embeddings.norm.weight": [96]}) == "Mask2Former"
    assert family_of({"visual.proj": [3, 4]}) is None


@pytest.mark.parametrize("name", FULL_SIZE)
def test_x_decoder_is_recognized(name: str) -> None:
    assert family_of(full_size_shapes(name)) == "X-Decoder"


def test_heads_that_cannot_be_known_ask_for_the_yaml(golden_b: Golden) -> None:
    shapes = {**shapes_of(golden_b)}
    prefix = "sem_seg_head.predictor.lang_encoder.lang_encoder"
    shapes[f"{prefix}.positional_embedding"] = (77, 42)
    with pytest.raises(ValueError, match=r"TextConfig\.width 42 .*give the model's official YAML"):
        config_from_checkpoint(shapes)


def test_probabilities_are_resized_only_where_semantic_segmentation_was_alone(golden_a: Golden) -> None:
    settings = read_yaml(golden_a.config_path)
    settings["MODEL"]["DECODER"]["TEST"] |= {"PANOPTIC_ON": False, "INSTANCE_ON": False}
    assert config_from_checkpoint(shapes_of(golden_a), settings).inference.resize_probabilities


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"INPUT": {"PIXEL_MEAN": [1, 2]}}, "INPUT.PIXEL_MEAN must be three numbers, got [1, 2]"),
        ({"COCO": {"INPUT": {"FORMAT": "BGR"}}}, "COCO.INPUT.FORMAT must be RGB, got 'BGR'"),
        ({"COCO": {"INPUT": {"MIN_SIZE_TEST": "big"}}}, "COCO.INPUT.MIN_SIZE_TEST must be a number"),
    ],
)
def test_a_yaml_with_wrong_values_is_refused(section: dict[str, Any], message: str, golden_a: Golden) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        config_from_checkpoint(shapes_of(golden_a), {"MODEL": {}, **section})


@pytest.mark.parametrize("part", ["fpn", "deformable"])
def test_layers_that_normalize_first_are_refused_by_name(part: str, golden_a: Golden) -> None:
    shapes: dict[str, Any] = dict(shapes_of(golden_a))
    shapes["sem_seg_head.pixel_decoder.transformer.encoder.norm.weight"] = (64,)
    if part == "deformable":
        shapes["sem_seg_head.pixel_decoder.transformer.level_embed"] = (3, 64)
    with pytest.raises(ValueError, match=r"PRE_NORM is true of this model \(sem_seg_head\.pixel_decoder"):
        config_from_checkpoint(shapes)
    settings = read_yaml(golden_a.config_path)
    settings["MODEL"]["DECODER"]["PRE_NORM"] = True
    with pytest.raises(ValueError, match=r"PRE_NORM is true of this model \(so its YAML says\)"):
        config_from_checkpoint(shapes_of(golden_a), settings)


def test_a_foreign_checkpoint_is_named_as_such(golden_c: Golden) -> None:
    with pytest.raises(ValueError, match=r"not a published X-Decoder checkpoint: .*it has visual\.proj"):
        config_from_checkpoint({"visual.proj": (3, 4)})
    with pytest.raises(ValueError, match=r"it lacks the tensor sem_seg_head\.predictor\.lang_encoder"):
        config_from_checkpoint(shapes_of(golden_c), read_yaml(golden_c.config_path))


# --- files ---


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


STATE = {"backbone.a": torch.arange(3.0), "criterion.empty_weight": torch.ones(2)}


@pytest.mark.parametrize(
    "wrapped",
    [
        STATE,
        {"model": STATE, "epoch": 3},
        {"module": {f"module.{key}": value for key, value in STATE.items()}},
        {
            "state_dict": {f"module.model.{key}": value for key, value in STATE.items()},
            "optimizer": {"a": [1]},
        },
        OrderedDict((f"model.{key}", value) for key, value in STATE.items()),
        {"model_state_dict": {f"_orig_mod.{key}": value for key, value in STATE.items()}},
        {"params": {f"module._orig_mod.{key}": value for key, value in STATE.items()}},
        {"ema": {"module": STATE}, "epoch": 3},
        {"model": STATE, "ema": {"backbone.a": torch.zeros(3)}},
        {key.replace(".", "._orig_mod.", 1): value for key, value in STATE.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_trainer_files_are_unwrapped(wrapped: dict[str, Any], zipped: bool, tmp_path: Path) -> None:
    torch.save(wrapped, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(tmp_path / "a.pt"), STATE)


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file({f"module.{key}": value for key, value in STATE.items()}, tmp_path / "a.safetensors")
    assert same(read_checkpoint(tmp_path / "a.safetensors"), STATE)


@pytest.mark.parametrize("content", [{}, [1, 2], {"model": {}}, {"epoch": 3}])
def test_a_file_without_a_state_dict_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match="expected a state dict"):
        unwrap(content)


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    torch.save({"model": STATE, "x": Attack(trap)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"x": Attack(trap)}, protocol=2))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(ValueError, match=r"[ab]\.pt ") as error:
            read_checkpoint(tmp_path / name)
        assert not trap.exists()
    torch.save({"model": STATE, "x": Attack(trap)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="could run code of whoever made it, so it was refused") as error:
        read_checkpoint(tmp_path / "a.pt")
    assert "weights_only=False" in str(error.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "page.pt").write_bytes(b"<!doctype html><html>Not found</html>")
    for name in ("cut.pt", "empty.pt", "page.pt"):
        with pytest.raises(
            ValueError, match=rf"{re.escape(name)} is no checkpoint of PyTorch, or is damaged"
        ):
            read_checkpoint(tmp_path / name)
    save_file(STATE, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"cut\.safetensors is damaged or cut off"):
        read_checkpoint(tmp_path / "cut.safetensors")
    (tmp_path / "pointer.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(ValueError, match="Git LFS pointer"):
        read_checkpoint(tmp_path / "pointer.pt")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "absent.pt")


def test_a_yaml_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no configuration at"):
        read_yaml(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("MODEL: [1, 2")
    with pytest.raises(ValueError, match=r"a\.yaml is not readable as YAML"):
        read_yaml(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("MODEL: !!python/object/apply:os.getcwd []")
    with pytest.raises(ValueError, match=r"a\.yaml is not readable as YAML"):
        read_yaml(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("train: 3")
    with pytest.raises(ValueError, match="it has no section MODEL"):
        read_yaml(tmp_path / "a.yaml")


def test_every_golden_part_has_a_config() -> None:
    for name in "ABCD":
        golden = load_golden(name)
        settings = read_yaml(golden.config_path)
        widths = backbone_config(shapes_of(golden), settings).widths
        assert len(widths) == 4
        assert pixel_decoder_config(shapes_of(golden), settings).heads == 4
