import json
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file

from builders import tiny_config
from goldens import Golden
from xdecoder.model import XDecoder
from xdecoder.networks.narrow import WeightKind
from xdecoder.tokenizer import Tokenizer, build_word_tokenizer
from xdecoder.weights import hub
from xdecoder.weights.conversion import convert
from xdecoder.weights.folder import load_model, save_model
from xdecoder.weights.inspection import inspect
from xdecoder.weights.published import rename
from xdecoder.weights.sources import resolve_model
from xdecoder.weights.tensors import read_safetensors, stored_shapes, tensors_in_parts

WORDS = "a red blue circle square left of right"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_word_tokenizer([WORDS], context_length=12)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> XDecoder:
    torch.manual_seed(0)
    return XDecoder(tiny_config(tokenizer.vocabulary_size, context_length=12, heads=4, queries=7))


@pytest.fixture
def folder(model: XDecoder, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", model, tokenizer)
    return tmp_path / "model"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_saved_model_comes_back_exactly(folder: Path, model: XDecoder, tokenizer: Tokenizer) -> None:
    assert sorted(contents(folder)) == ["config.json", "model.safetensors", "tokenizer.json"]
    loaded, loaded_tokenizer = load_model(folder)
    assert loaded.config == model.config
    assert not loaded.training
    assert loaded_tokenizer.encode("a red zebra") == tokenizer.encode("a red zebra")
    assert loaded_tokenizer.context_length == 12
    expected = model.state_dict()
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[key]), key
        assert not tensor.is_meta
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        same = [m.eval().encode_images(images).backbone_embeddings for m in (model, loaded)]
    assert torch.equal(*same)


def test_loaded_parameters_can_be_trained(folder: Path) -> None:
    loaded, _ = load_model(folder)
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_device_and_dtype_are_as_asked(folder: Path) -> None:
    loaded, _ = load_model(str(folder), device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    assert {parameter.device.type for parameter in loaded.parameters()} == {"cpu"}


def test_a_file_is_read_in_parts_none_of_which_is_held_on_to(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole, seen, alive = read_safetensors(path), [], []
    for part in tensors_in_parts(path):
        assert all(torch.equal(tensor, whole[name]) for name, tensor in part.items())
        assert not [name for name, tensor in alive if tensor() is not None]
        alive = [(name, weakref.ref(tensor)) for name, tensor in part.items()]
        seen += list(part)
        del part
    assert len(seen) == len(whole) == len(stored_shapes(path)) > 2 * 32


def test_a_tensor_larger_than_a_part_is_read_some_rows_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "model.safetensors"
    table, linear = "text_encoder.token_embedding.weight", "decoder.layers.0.feedforward.linear1.weight"
    whole = read_safetensors(path)
    monkeypatch.setattr("xdecoder.weights.tensors._PART", 5 * whole[table][0].nbytes)
    parts = list(tensors_in_parts(path, whole={linear}))
    pieces = {name: [part[name] for part in parts if name in part] for name in whole}
    assert [len(rows) for rows in pieces[table]][:2] == [5, 5]
    assert len(pieces[linear]) == 1
    for name, rows in pieces.items():
        assert torch.equal(rows[0] if len(rows) == 1 else torch.cat(rows), whole[name]), name


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": None},
        {"dtype": torch.bfloat16},
        {"weights": WeightKind.float16},
        {"weights": WeightKind.int8},
    ],
    ids=["as stored", "bfloat16", "float16", "int8"],
)
def test_parts_and_layout_change_no_number(
    options: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_model(folder, **options)[0].state_dict()
    monkeypatch.setattr("xdecoder.weights.tensors._PART", 100)
    laid_out = load_model(folder, **options, memory_format=torch.channels_last)[0].state_dict()
    for name, tensor in plain.items():
        found = laid_out[name]
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor), name
        assert tensor.dim() != 4 or found.is_contiguous(memory_format=torch.channels_last)


def test_what_was_saved_in_half_precision_stays_so(
    model: XDecoder, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    half = XDecoder(model.config).bfloat16()
    save_model(tmp_path, half, tokenizer)
    assert next(load_model(tmp_path)[0].parameters()).dtype == torch.bfloat16
    assert inspect(tmp_path).dtypes == ("bfloat16",)


@pytest.mark.parametrize("failing", ["model.safetensors", "config.json"])
def test_a_full_disk_leaves_the_old_files_as_they_were(
    failing: str, folder: Path, model: XDecoder, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    monkeypatch.setattr(
        safetensors.torch, "save_file", _full_disk if failing == "model.safetensors" else _save
    )
    if failing == "config.json":
        monkeypatch.setattr(Path, "write_bytes", _full_disk)
    with pytest.raises(OSError, match=r"cannot write the model to .*No space left.* are unchanged"):
        save_model(folder, XDecoder(model.config), tokenizer)
    assert contents(folder) == before


def test_a_save_that_fails_leaves_no_new_folder(
    model: XDecoder, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors.torch, "save_file", _full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(tmp_path / "new", model, tokenizer)
    assert not (tmp_path / "new").exists()


_save = safetensors.torch.save_file


def _full_disk(*args: object, **options: object) -> None:
    raise OSError(28, "No space left on device")


def test_saving_over_a_model_replaces_it(folder: Path, model: XDecoder, tokenizer: Tokenizer) -> None:
    other = XDecoder(model.config)
    save_model(folder, other, tokenizer)
    assert sorted(contents(folder)) == sorted(hub.FOLDER_FILES)
    assert torch.equal(load_model(folder)[0].logit_scale, other.logit_scale)


def test_all_files_can_be_read_by_whom_the_folder_lets(folder: Path) -> None:
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1


def test_another_models_tokenizer_is_refused(model: XDecoder, folder: Path) -> None:
    other = build_word_tokenizer(["dog"])
    with pytest.raises(ValueError, match=r"the tokenizer is another model's tokenizer: it has 259 tokens"):
        save_model(folder, model, other)
    (folder / "tokenizer.json").write_bytes(other.to_bytes())
    with pytest.raises(ValueError, match=r"tokenizer\.json is another model's tokenizer: it has 259 tokens"):
        load_model(folder)


def test_every_difference_of_keys_and_shapes_is_listed(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    del state["logit_scale"]
    state["decoder.query_features"] = torch.zeros(5, 16)
    state |= {f"extra.{n}": torch.zeros(1) for n in range(20)}
    save_file(state, path)
    with pytest.raises(ValueError, match="are not those of the configured model") as error:
        load_model(folder)
    text = str(error.value)
    assert "1 missing:\n  logit_scale\n" in text
    assert "20 unexpected:\n  extra.0\n" in text
    assert "  and 8 more\n" in text
    assert "1 of another shape:\n  decoder.query_features: expected [7, 16], got [5, 16]\n" in text
    assert "Nothing was loaded" in text


@pytest.mark.parametrize(
    ("name", "keep", "message"),
    [
        ("model.safetensors", -7, r"model\.safetensors is damaged or cut off .*copy or download it again"),
        ("model.safetensors", 5, r"model\.safetensors is damaged or cut off"),
        ("config.json", 40, r"config\.json is damaged"),
        ("tokenizer.json", 300, r"tokenizer\.json: not a tokenizer\.json in the Hugging Face format"),
    ],
)
def test_files_cut_off_are_named(name: str, keep: int, message: str, folder: Path) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=message):
        load_model(folder)
    with pytest.raises(ValueError, match=message):
        inspect(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "is not a model folder: it has no config.json"),
        ("model.safetensors", "is not a complete model folder: it has no model.safetensors"),
        ("tokenizer.json", "no tokenizer at"),
    ],
)
def test_missing_files_are_named(name: str, message: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        load_model(folder)
    with pytest.raises(FileNotFoundError, match=message):
        inspect(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, r"has format 99, this version of xdecoder reads up to 1: upgrade"),
        ({"format_version": None}, "not the configuration of an X-Decoder model: it has no format_version"),
        ({"surprise": 1}, r"config\.json: config: unknown field\(s\) 'surprise'"),
    ],
)
def test_other_configurations_are_refused(change: dict[str, object], message: str, folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_model(folder)


def test_a_configuration_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="it has no format_version"):
        load_model(folder)


def test_loading_imports_no_symbolic_algebra(folder: Path) -> None:
    """Which takes longer than loading: torch wants it where random numbers are drawn on the meta device."""
    code = (
        "import sys; from pathlib import Path; from xdecoder.weights.folder import load_model;"
        f"load_model(Path({str(folder)!r})); print('sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_inspect_counts_every_parameter(folder: Path, model: XDecoder) -> None:
    info = inspect(folder)
    assert sum(info.parameters.values()) == sum(t.numel() for t in model.state_dict().values())
    assert info.parameters["logit_scale"] == 1
    assert set(info.parameters) == {name.split(".")[0] for name in model.state_dict()}
    assert info.config == model.config
    assert info.dtypes == ("float32",)
    assert info.vocabulary_size == model.config.text.vocabulary_size


# --- what load takes ---


def test_a_checkpoint_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"a\.pt is a file, a model is a folder: .*xdecoder weights convert"):
        load_model(resolve_model(tmp_path / "a.pt"))


@pytest.mark.parametrize("source", ["xdecoder_huge", "./nowhere/model", "/nowhere/at/all"])
def test_an_unknown_model_lists_the_known_ones(source: str) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no model .*picturebook, picturebook-lite, xdecoder_focalt_last"
    ):
        load_model(resolve_model(source))


def test_the_bundled_model_is_found_or_its_absence_explained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdecoder.weights.sources._ASSETS", tmp_path / "assets")
    for name in ("picturebook", "picturebook-lite"):
        with pytest.raises(FileNotFoundError, match=f"this installation does not contain the model {name} "):
            load_model(resolve_model(name))
        shutil.copytree(folder, tmp_path / "assets" / name)
        assert load_model(resolve_model(name))[0].config.decoder.queries == 7


# --- conversion ---


@pytest.fixture(scope="module")
def checkpoint(golden_a: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "a.pt"
    torch.save({"model": {f"model.{key}": tensor for key, tensor in golden_a.weights.items()}}, path)
    return path


def test_a_published_checkpoint_becomes_a_folder_with_the_same_numbers(
    checkpoint: Path, golden_a: Golden, tmp_path: Path
) -> None:
    done = convert(checkpoint, tmp_path / "out", yaml=golden_a.config_path)
    assert done.dropped == ("criterion.empty_weight", "sem_seg_head.predictor.self_attn_mask")
    assert done.tensors == len(golden_a.weights) - 2
    assert not done.settings_assumed
    assert done.preset is None
    model, tokenizer = load_model(tmp_path / "out")
    state = model.state_dict()
    for key, tensor in rename(golden_a.weights).state.items():
        assert torch.equal(state[key], tensor), key
    assert model.config.inference.object_threshold == 0.3
    assert tokenizer.encode_batch(["the larger watermelon."], 77) == golden_a["e2/ids"].tolist()


def test_conversion_says_when_heads_were_assumed(checkpoint: Path, tmp_path: Path) -> None:
    assert convert(checkpoint, tmp_path / "out").settings_assumed


def test_conversion_lists_keys_by_their_published_names(golden_a: Golden, tmp_path: Path) -> None:
    state = dict(golden_a.weights)
    del state["sem_seg_head.predictor.caping_embed"]
    state["sem_seg_head.predictor.answer.weight"] = torch.zeros(3)
    state["backbone_proj"] = torch.zeros(3, 4)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"the tensors of .*a\.safetensors are not") as error:
        convert(tmp_path / "a.safetensors", tmp_path / "out", yaml=golden_a.config_path)
    text = str(error.value)
    assert "1 missing:\n  sem_seg_head.predictor.caping_embed\n" in text
    assert "1 unexpected:\n  sem_seg_head.predictor.answer.weight\n" in text
    assert "backbone_proj: expected [128, 64], got [3, 4]" in text
    assert not (tmp_path / "out").exists()


def test_another_vocabulary_is_refused_at_conversion(
    checkpoint: Path, tokenizer: Tokenizer, golden_a: Golden, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.to_bytes())
    with pytest.raises(ValueError, match="another model's tokenizer"):
        convert(
            checkpoint,
            tmp_path / "out",
            yaml=golden_a.config_path,
            clip_vocabulary=tmp_path / "tokenizer.json",
        )
