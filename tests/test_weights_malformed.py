"""Model folders, checkpoints and YAML files that somebody damaged or made up: one clear line for each."""

import json
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from builders import save_tiny_model
from goldens import Golden
from xdecoder.cli import app as cli
from xdecoder.weights.folder import load_model

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123456\n"
NAN = float("nan")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("whole") / "tiny", answers=["yes", "no"])


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "a.png"
    Image.new("RGB", (40, 32)).save(path)
    return path


def told(*arguments: object) -> str:
    """What a command that fails says, which must be an error without a traceback."""
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], env={"COLUMNS": "500"})
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert "Traceback" not in result.output
    assert "error: unexpected" not in result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr


# --- config.json ---


def at(path: str, value: object) -> Callable[[Path], None]:
    """Set a field of config.json, by its dotted path."""

    def change(folder: Path) -> None:
        data: dict[str, Any] = json.loads((folder / "config.json").read_text())
        place: Any = data
        *above, last = path.split(".")
        for name in above:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value
        (folder / "config.json").write_text(json.dumps(data))

    return change


def written(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def in_text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


CONFIGS: list[tuple[str, Callable[[Path], None], str]] = [
    ("a string for a number", at("decoder.width", "32"), "config.decoder.width must be int, got '32'"),
    ("a fraction for a number", at("decoder.width", 32.5), "config.decoder.width must be int, got 32.5"),
    ("a truth for a number", at("decoder.layers", True), "config.decoder.layers must be int, got True"),
    ("null for a number", at("decoder.layers", None), "config.decoder.layers must be int, got None"),
    ("a list for a number", at("text.width", [32]), "config.text.width must be int, got [32]"),
    ("an object for a number", at("text.width", {"a": 1}), "config.text.width must be int"),
    ("a negative width", at("decoder.width", -32), "DecoderConfig.width must be positive"),
    ("no width", at("decoder.width", 0), "DecoderConfig.width must be positive"),
    ("a huge width", at("decoder.width", 10**12), "DecoderConfig.width must be at most 65536"),
    ("a huge stage", at("backbone.widths", [10**9] * 4), "HybridConfig.widths must be at most 65536"),
    ("endless layers", at("decoder.layers", 10**9), "DecoderConfig.layers must be at most 1000"),
    ("endless text layers", at("text.layers", 10**9), "TextConfig.layers must be at most 1000"),
    ("endless blocks", at("backbone.depths", [1, 1, 1, 10**8]), "HybridConfig.depths must be at most 1000"),
    ("a huge vocabulary", at("text.vocabulary_size", 10**15), "vocabulary_size must be at most 1e+07"),
    ("a huge context", at("text.context_length", 10**12), "TextConfig.context_length must be at most"),
    ("no context", at("text.context_length", 1), "TextConfig.context_length must be at least 3"),
    ("one query", at("decoder.queries", 1), "DecoderConfig.queries must be at least 2"),
    ("huge queries", at("decoder.queries", 10**10), "DecoderConfig.queries must be at most"),
    ("a negative ratio", at("backbone.mlp_ratio", -2.0), "HybridConfig.mlp_ratio must be positive"),
    ("a huge ratio", at("backbone.mlp_ratio", 1e300), "HybridConfig.mlp_ratio must be at most 1000"),
    ("a ratio beyond numbers", at("backbone.mlp_ratio", 10**400), "config.backbone.mlp_ratio must be float"),
    ("an even window", at("backbone.focal_window", 4), "focal_window must be odd, got 4"),
    ("a mean that is none", at("pixel_mean", [NAN, 1.0, 1.0]), "NaN is no number of JSON"),
    ("a spread of infinity", at("pixel_std", [1.0, float("inf"), 1.0]), "Infinity is no number of JSON"),
    ("a spread of 1e999", in_text("config.json", "58.395", "1e999"), "ModelConfig.pixel_std must be at most"),
    ("a spread of zero", at("pixel_std", [0.0, 1.0, 1.0]), "ModelConfig.pixel_std must be positive"),
    ("a mean far off", at("pixel_mean", [-1e30, 1.0, 1.0]), "pixel_mean must be numbers on the 0-255 scale"),
    ("two channels", at("pixel_mean", [1.0, 1.0]), "config.pixel_mean must be a list of 3 values"),
    ("three stages", at("backbone.widths", [8, 8, 8]), "config.backbone.widths must be a list of 4 values"),
    ("a threshold of 2", at("inference.object_threshold", 2), "object_threshold must lie in [0, 1]"),
    ("a threshold below 0", at("inference.overlap_threshold", -1.0), "overlap_threshold must lie in [0, 1]"),
    ("images of a million", at("inference.long_side", 10**9), "InferenceConfig.long_side must be at most"),
    ("images of nothing", at("inference.short_side", 0), "InferenceConfig.short_side must be positive"),
    ("endless beams", at("inference.caption_beams", 10**6), "caption_beams must be at most 1000"),
    ("an unknown backbone", at("backbone.kind", "resnet"), "config.backbone.kind must be one of"),
    ("a backbone of a list", at("backbone.kind", ["hybrid"]), "config.backbone.kind must be one of"),
    ("no backbone", at("backbone", ...), "config: missing field(s) backbone"),
    ("a backbone that is text", at("backbone", "hybrid"), "config.backbone.kind must be one of"),
    ("no widths", at("backbone.widths", ...), "config.backbone: missing field(s) widths"),
    ("a stride of 4.0", at("pixel_decoder.mask_stride", 4.0), "mask_stride must be one of [2, 4], got 4.0"),
    ("a decoder of another kind", at("pixel_decoder.kind", {}), "config.pixel_decoder.kind must be one of"),
    ("decoder: null", at("decoder", None), "config.decoder: expected an object of fields, got None"),
    ("a foreign field", at("model_type", "x" * 9999), "config: unknown field(s) 'model_type'"),
    ("a name with escapes", at("\x1b[31m\n", 1), r"config: unknown field(s) '\x1b[31m\n'"),
    ("another width", at("decoder.feedforward", 64), "are not those of the configured model"),
    ("widths that disagree", at("embed_width", 64), "embed_width 64 must equal decoder.width 32"),
    ("a format of text", at("format_version", "1"), "it has no format_version"),
    ("a format of true", at("format_version", True), "it has no format_version"),
    ("a format of tomorrow", at("format_version", 2), "has format 2, this version of xdecoder reads up to 1"),
    ("an empty file", written("config.json", b""), "config.json is damaged, or no JSON"),
    ("a file of zeros", written("config.json", bytes(100)), "config.json is damaged, or no JSON"),
    ("a list", written("config.json", b"[]"), "is not the configuration of an X-Decoder model"),
    ("text that is no text", written("config.json", b"\xff\xfe{}"), "config.json is damaged, or no JSON"),
    ("depth", written("config.json", b"[" * 200_000), "config.json is damaged, or no JSON"),
    ("a number of 5000 digits", written("config.json", b"9" * 5000), "config.json is damaged, or no JSON"),
    ("a page", written("config.json", b"<!doctype html>"), "config.json is damaged, or no JSON"),
    ("a pointer", written("config.json", POINTER), "config.json is a Git LFS pointer"),
    ("another model's", written("config.json", b'{"architectures": ["BertModel"]}'), "no format_version"),
    ("two megabytes", written("config.json", b" " * 2_000_000), "config.json is larger than 1 MB"),
]


# --- tokenizer.json, answering.json, weights ---


def foreign_tokenizer(folder: Path) -> None:
    vocabulary = {"dog": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="dog")
    tokenizers.Tokenizer(model).save(str(folder / "tokenizer.json"))


def swapped_ends(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    text = text.replace("<|startoftext|>", "<|x|>").replace("<|endoftext|>", "<|startoftext|>")
    (folder / "tokenizer.json").write_text(text.replace("<|x|>", "<|endoftext|>"))


def answers(**fields: object) -> Callable[[Path], None]:
    base: dict[str, object] = {"answers": ["yes", "no"], "question_length": 20}
    return written("answering.json", json.dumps(base | fields).encode())


OTHERS: list[tuple[str, Callable[[Path], None], str]] = [
    ("an empty tokenizer", written("tokenizer.json", b""), "not a tokenizer.json in the Hugging Face format"),
    ("a tokenizer of another kind", written("tokenizer.json", b"{}"), "not a tokenizer.json"),
    ("a tokenizer's pointer", written("tokenizer.json", POINTER), "tokenizer.json is a Git LFS pointer"),
    ("a tokenizer of bytes", written("tokenizer.json", b"\x80\x81" * 99), "not a tokenizer.json"),
    ("a deep tokenizer", written("tokenizer.json", b'{"model":' * 100_000), "not a tokenizer.json"),
    ("another model's tokenizer", foreign_tokenizer, "is another model's tokenizer: it has 3 tokens"),
    ("ends that are swapped", swapped_ends, "its start and end tokens are"),
    ("answers of null", answers(answers=None), "expected a list of different texts under answers"),
    ("answers of numbers", answers(answers=[1, 2]), "expected a list of different texts under answers"),
    ("an answer twice", answers(answers=["yes", "yes"]), "expected a list of different texts under answers"),
    ("no answers", answers(answers=[]), "expected a list of different texts under answers"),
    ("an answer too many", answers(answers=["a", "b", "c"]), "are not those of the configured model"),
    ("a question of no length", answers(question_length=0), "expected a whole number from 3 to 24"),
    ("a question too long", answers(question_length=10**9), "expected a whole number from 3 to 24"),
    ("a question of text", answers(question_length="20"), "under question_length, got '20'"),
    ("answers in a list", written("answering.json", b"[]"), "answering.json is damaged: expected a list"),
    ("damaged answers", written("answering.json", b'{"answers": ["y'), "answering.json is damaged, or no"),
    ("answers without weights", lambda f: (f / "answering.safetensors").unlink(), "it has no answering.safe"),
    ("empty weights", written("model.safetensors", b""), "model.safetensors is damaged or cut off"),
    ("a weights' pointer", written("model.safetensors", POINTER), "model.safetensors is a Git LFS pointer"),
    ("a page", written("model.safetensors", b"<html>" * 100), "model.safetensors is damaged or cut off"),
    ("a pickle", written("model.safetensors", b"PK\x03\x04" * 9), "model.safetensors is damaged or cut off"),
    ("a header of 2^60", written("model.safetensors", struct.pack("<Q", 2**60)), "is damaged or cut off"),
    ("a header that is no JSON", written("model.safetensors", struct.pack("<Q", 8) + b"notjson!"), "damaged"),
    (
        "a folder for a file",
        lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
        "it has no",
    ),
]


def header(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    fields = json.loads(data[8 : 8 + length])
    change(fields)
    text = json.dumps(fields).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def set_number(name: str, value: float) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        state[name].view(-1)[0] = value

    return change


def cast(name: str, dtype: torch.dtype) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.update({name: state[name].to(dtype)})


QUERIES = "decoder.query_features"
VARIANCE = "backbone.stem.0.norm.running_var"
TENSORS: list[tuple[str, Callable[[dict[str, Tensor]], None], str]] = [
    ("NaN", set_number(QUERIES, NAN), f"{QUERIES} holds numbers that are not finite"),
    ("infinity", set_number("logit_scale", float("inf")), "logit_scale holds numbers that are not finite"),
    ("minus infinity", set_number("text_encoder.projection", -float("inf")), "text_encoder.projection holds"),
    ("whole numbers", cast(QUERIES, torch.int64), f"{QUERIES} is stored as int64; expected float32"),
    ("bytes", cast(QUERIES, torch.int8), f"{QUERIES} is stored as int8"),
    ("truths", cast(QUERIES, torch.bool), f"{QUERIES} is stored as bool"),
    ("float8", cast(QUERIES, torch.float8_e4m3fn), f"{QUERIES} is stored as float8_e4m3fn"),
    ("one in float16", cast(QUERIES, torch.float16), "mixes kinds of numbers"),
    ("one that lacks", lambda s: s.pop(QUERIES) is None, "1 missing"),
    ("one in excess", lambda s: s.update({"\x1b[2Jx\n": torch.zeros(1)}), r"\x1b[2Jx\n"),
    ("one turned", lambda s: s.update({QUERIES: s[QUERIES].T.contiguous()}), "1 of another shape"),
    ("one empty", lambda s: s.update({QUERIES: torch.zeros(0, 32)}), "expected [7, 32], got [0, 32]"),
]


@pytest.mark.parametrize(
    ("name", "change", "message"), CONFIGS + OTHERS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_folder_with_a_bad_file_is_refused(
    name: str, change: Callable[[Path], object], message: str, whole: Path, picture: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    change(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of files that other tests left open
        said = told("caption", picture, "--weights", folder)
    assert message in said
    assert str(folder) in said


@pytest.mark.parametrize(("name", "change", "message"), TENSORS, ids=[name for name, _, _ in TENSORS])
def test_a_folder_with_a_bad_tensor_is_refused(
    name: str,
    change: Callable[[dict[str, Tensor]], object],
    message: str,
    whole: Path,
    picture: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    said = told("caption", picture, "--weights", folder)
    assert message in said
    assert str(folder / "model.safetensors") in said


def test_a_negative_variance_is_refused(whole: Path, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if key.endswith("running_var"))
    state[name][0] = -1
    save_file(state, folder / "model.safetensors")
    assert f"{name} is a variance and holds negative numbers" in told("caption", picture, "-w", folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h[QUERIES].update(dtype="F99"),
        lambda h: h[QUERIES].update(shape=[-7, -32]),
        lambda h: h[QUERIES].update(shape=[10**12, 32]),
        lambda h: h[QUERIES].update(data_offsets=[0, 10**15]),
        lambda h: h[QUERIES].update(shape="7x32"),
        lambda h: h.update({QUERIES: 5}),
    ],
)
def test_a_header_that_lies_is_refused(
    change: Callable[[dict[str, Any]], None], whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    header(folder, change)
    assert "is damaged or cut off" in told("weights", "info", folder)


def test_large_numbers_are_numbers(whole: Path, tmp_path: Path) -> None:
    """Though their sum is too large for one."""
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    state = load_file(folder / "model.safetensors")
    state[QUERIES][:] = 3e38
    save_file(state, folder / "model.safetensors")
    assert load_model(folder)[0].decoder.query_features[0, 0].item() == pytest.approx(3e38)


def test_numbers_that_float16_cannot_hold_are_named(whole: Path, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    state = load_file(folder / "model.safetensors")
    weight = "decoder.layers.0.feedforward.linear1.weight"
    for name in (QUERIES, weight):
        state[name][0, 0] = 1e6
    save_file(state, folder / "model.safetensors")
    for dtype in ("float16", "int8"):
        said = told("caption", picture, "-w", folder, "--dtype", dtype)
        assert f"{weight} holds numbers that float16 does not reach" in said
    with pytest.raises(ValueError, match=r"in torch.float16: .* holds numbers that are not finite"):
        load_model(folder, dtype=torch.float16)


def test_places_that_are_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").mkdir()
    for place, message in (
        (tmp_path / "loop", "no model "),
        (tmp_path / "empty", "is not a model folder: it has no config.json"),
        ("x" * 5000, "no model "),
        ("a/" * 3000, "no model "),
        ("somebody/../../etc", "no model "),
        ("", "no model ''"),
        ("~nobody-of-that-name/model", "no model "),
    ):
        assert message in told("weights", "info", place)


def test_a_folder_that_holds_itself_is_read(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    (folder / "inner").symlink_to(folder)
    assert CliRunner().invoke(cli.app, ["weights", "info", str(folder / "inner" / "inner")]).exit_code == 0


# --- checkpoints ---


def itself() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["model"] = data
    return data


def itself_in_two() -> dict[str, Any]:
    first: dict[str, Any] = {}
    second: dict[str, Any] = {"module": first}
    first["state_dict"] = second
    return first


def deep() -> dict[str, Any]:
    data: dict[str, Any] = {"a": torch.zeros(1)}
    for _ in range(300):
        data = {"model": data}
    return data


STATE = {"a": torch.zeros(2)}
CHECKPOINTS: list[tuple[str, Callable[[], object], str]] = [
    ("one that holds itself", itself, "the file contains itself"),
    ("two that hold one another", itself_in_two, "the file contains itself"),
    ("one far inside", deep, "not a published X-Decoder checkpoint"),
    ("a list", lambda: [1, 2], "expected a state dict (names and tensors), got list"),
    ("a tensor", lambda: torch.zeros(3), "expected a state dict (names and tensors), got Tensor"),
    ("nothing", lambda: None, "expected a state dict (names and tensors), got NoneType"),
    ("an empty one", dict, "expected a state dict"),
    ("no tensors", lambda: {"epoch": 3, "model": 5}, "2 of 2 entries are something else (epoch, model)"),
    ("numbers for names", lambda: {1: torch.zeros(1)}, "1 of 1 entries are something else (1)"),
    ("names with escapes", lambda: {"\x1b[31m": 1}, r"something else (\x1b[31m)"),
    ("a sparse tensor", lambda: {"a": torch.eye(3).to_sparse()}, "a is no plain tensor"),
    ("a blown-up tensor", lambda: {"a": torch.zeros(1).expand(10**6, 10**6)}, "a is no plain tensor"),
    (
        "a quantized tensor",
        lambda: {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)},
        "a ",
    ),
    ("names alike", lambda: {"a": torch.zeros(1), "_orig_mod.a": torch.zeros(1)}, "have the same name"),
    ("another model", lambda: {"visual.proj": torch.zeros(3)}, "not a published X-Decoder checkpoint"),
    ("an array", lambda: {"a": np.zeros(3)}, "a.pt holds more than tensors"),
    ("a path", lambda: {"a": Path("x")}, "a.pt holds more than tensors"),
]


@pytest.mark.parametrize(("name", "make", "message"), CHECKPOINTS, ids=[name for name, _, _ in CHECKPOINTS])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_bad_checkpoint_is_refused(
    name: str, make: Callable[[], object], message: str, zipped: bool, tmp_path: Path
) -> None:
    torch.save(make(), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    said = told("weights", "convert", tmp_path / "a.pt", tmp_path / "out")
    assert message in said
    assert "a.pt" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04\x95", b"(" * 50_000, POINTER, b"<html>", bytes(1000)],
)
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    assert "a.pt" in told("weights", "convert", tmp_path / "a.pt", tmp_path / "out")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_checkpoint_cut_off_anywhere_is_refused(share: float, tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        data = (tmp_path / "a.pt").read_bytes()
        (tmp_path / "a.pt").write_bytes(data[: int(len(data) * share)])
        assert "download it again" in told("weights", "convert", tmp_path / "a.pt", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s["backbone_proj"].view(-1)[:1].fill_(NAN),
            "backbone_proj holds numbers that are not fin",
        ),
        (
            lambda s: s.update(backbone_proj=s["backbone_proj"].to(torch.int32)),
            "backbone_proj is stored as int32",
        ),
        (lambda s: s.update({"backbone.layers.0.blocks.0.norm1.weight": torch.zeros(0)}), "is empty"),
        (lambda s: s.update({QUERY: torch.zeros(81)}), f"the shape (81,) does not fit {'sem_seg_head'}"),
    ],
)
def test_a_published_checkpoint_with_bad_tensors_is_refused(
    change: Callable[[dict[str, Tensor]], object], message: str, golden_a: Golden, tmp_path: Path
) -> None:
    state = {key: tensor.clone() for key, tensor in golden_a.weights.items()}
    change(state)
    torch.save(state, tmp_path / "a.pt")
    said = told("weights", "convert", tmp_path / "a.pt", tmp_path / "out", "--config", golden_a.config_path)
    assert message in said


QUERY = "sem_seg_head.predictor.query_feat.weight"
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: !!python/object/apply:os.getcwd []", "is not readable as YAML"),
        ("MODEL: !!python/name:os.system", "is not readable as YAML"),
        ("MODEL: !tag {a: 1}", "is not readable as YAML"),
        ("a: &a {b: 1}\nMODEL:\n  <<: *a\n", "it has a merge key"),
        ("MODEL: [1, 2", "is not readable as YAML"),
        ("[" * 100_000, "is not readable as YAML"),
        ("a: 2020-13-45", "is not readable as YAML"),
        ("a: " + "9" * 5000, "is not readable as YAML"),
        ("\x00", "is not readable as YAML"),
        ("MODEL: 5", "it has no section MODEL"),
        ("- MODEL", "it has no section MODEL"),
        ("", "it has no section MODEL"),
        (LAUGHS + "MODEL: {DECODER: {NHEADS: *i}}", "MODEL.DECODER.NHEADS must be a number like 8"),
        (LAUGHS + "MODEL: {DECODER: {HIDDEN_DIM: *i}}", "MODEL.DECODER.HIDDEN_DIM says ["),
        ("MODEL: {DECODER: {NHEADS: .nan}}", "MODEL.DECODER.NHEADS must be a number like 8"),
        ("MODEL: {DECODER: {NHEADS: -4}}", "heads must be positive"),
        ("MODEL: {DECODER: {TEST: {OVERLAP_THRESHOLD: .nan}}}", "overlap_threshold must lie in [0, 1]"),
        ("MODEL: {}\nINPUT: {PIXEL_STD: [.inf, 1, 1]}", "ModelConfig.pixel_std must be at most"),
        ("MODEL: {}\nINPUT: {PIXEL_MEAN: [.nan, 1, 1]}", "ModelConfig.pixel_mean must be"),
        ("MODEL: {}\nINPUT: {PIXEL_MEAN: {a: 1}}", "INPUT.PIXEL_MEAN must be three numbers"),
        ("MODEL: {DECODER: {TEST: {OBJECT_MASK_THRESHOLD: 1" + "0" * 400 + "}}}", "too large"),
        ("#" * 1_000_001, "c.yaml is larger than 1 MB"),
    ],
)
def test_a_bad_yaml_is_refused(text: str, message: str, golden_a: Golden, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    save_file(golden_a.weights, tmp_path / "a.safetensors")
    said = told(
        "weights", "convert", tmp_path / "a.safetensors", tmp_path / "out", "--config", tmp_path / "c.yaml"
    )
    assert message in said
    assert len(said) < 2000


def test_the_official_yaml_s_aliases_are_read(golden_a: Golden, tmp_path: Path) -> None:
    settings = yaml.safe_load(golden_a.config_path.read_text())
    settings["COPY"] = settings["MODEL"]  # written as an alias
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    assert "&id001" in (tmp_path / "c.yaml").read_text()
    save_file(golden_a.weights, tmp_path / "a.safetensors")
    arguments = ["weights", "convert", str(tmp_path / "a.safetensors"), str(tmp_path / "out")]
    done = CliRunner().invoke(cli.app, [*arguments, "--config", str(tmp_path / "c.yaml")])
    assert done.exit_code == 0, done.output
