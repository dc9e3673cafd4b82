"""What users get wrong, as the verbs and the command line tell it. (`test_images.py` has reading alone.)"""

import io
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import xdecoder
from xdecoder.cli.app import app
from xdecoder.predictor import referring
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.weights.folder import load_model

NAMES = ["dog", "grass"]


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(*load_model(folder))


@pytest.fixture(scope="module")
def image(predictor: Predictor) -> EncodedImage:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return predictor.encode(pixels, short_side=32)


def cli(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


# --- images ---


def test_a_bad_image_in_a_list_is_named(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    good = np.zeros((5, 7, 3), np.uint8)
    with pytest.raises(ValueError, match=r"cut\.png is "):
        predictor.segment([good, tmp_path / "cut.png"], NAMES)
    with pytest.raises(FileNotFoundError, match=r"no such image file: nowhere\.jpg"):
        predictor.caption("nowhere.jpg")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((3, 20, 30), np.uint8), "it looks channel-first: use array.transpose"),
        (torch.zeros(20, 30, 3), "it looks channel-last: use tensor.permute"),
        (np.zeros((2, 20, 30, 3), np.uint8), "pass the images of a batch one by one, as a list"),
        (np.full((20, 30, 3), 255.0, np.float32), "expected 0 to 1. For 0 to 255 convert to uint8"),
        (np.zeros((0, 30, 3), np.uint8), "expected at least 1 x 1"),
    ],
)
def test_wrong_layouts_and_types_are_refused_by_the_verbs(
    picture: np.ndarray | torch.Tensor, message: str, predictor: Predictor
) -> None:
    with pytest.raises(ValueError, match=message):
        predictor.segment(picture, NAMES)


def test_nothing_to_embed_is_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="no images to embed; give at least one"):
        predictor.embed_images([])
    with pytest.raises(ValueError, match="no texts given; give at least one"):
        predictor.embed_texts([])


def kinds_of_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Unusual but good images, with the size that each shows, (width, height)."""
    generator = np.random.default_rng(0)
    rgb = Image.fromarray(generator.integers(0, 255, (30, 50, 3), dtype=np.uint8))
    rgb.resize((1, 1)).save(folder / "dot.png")
    Image.fromarray(generator.integers(0, 65535, (30, 50), dtype=np.uint16)).save(folder / "deep.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.quantize(8).save(folder / "palette.png")
    rgb.convert("RGBA").save(folder / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    rgb.save(folder / "turned.jpg", exif=exif)
    rgb.save(folder / "moving.gif", save_all=True, append_images=[rgb.rotate(90)])
    rgb.resize((20_000, 2)).save(folder / "wide.png")
    sizes = {"dot": (1, 1), "turned": (30, 50), "wide": (20_000, 2)}
    return {path.stem: sizes.get(path.stem, (50, 30)) for path in folder.iterdir()}


def test_every_kind_of_image_goes_the_whole_way(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sizes = kinds_of_files(tmp_path / "in")
    arguments = (
        "--vocabulary",
        "dog, grass",
        "--object-threshold",
        0,
        "--short-side",
        32,
        "--weights",
        folder,
    )
    code, _, err = cli("segment", tmp_path / "in", *arguments, "--out", tmp_path / "out")
    assert code == 0, err
    assert len(sizes) == 8
    for name, size in sizes.items():
        assert Image.open(tmp_path / "out" / f"{name}.png").size == size


def test_too_large_an_image_is_refused_before_it_is_decoded(folder: Path, tmp_path: Path) -> None:
    Image.new("1", (20_000, 4_000)).save(tmp_path / "vast.png")
    code, out, err = cli("caption", tmp_path / "vast.png", "--weights", folder)
    assert (code, out) == (1, "")
    assert (
        "vast.png is 20000 x 4000 = 80,000,000 pixels, over the limit of 67,108,864; shrink it first" in err
    )


MEMORY = """
import resource, sys
import numpy as np
from xdecoder.weights.folder import load_model
from xdecoder.predictor.predictor import Predictor

predictor = Predictor(*load_model(sys.argv[1]))
UNIT = 1024 if sys.platform == "linux" else 1024**2
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // UNIT

patches = np.random.default_rng(0).integers(0, 255, (5, 12, 3)).astype(np.uint8)
def run(scale):
    image = predictor.encode(patches.repeat(scale, 0).repeat(scale, 1), short_side=64)
    result = predictor.segment(image, ["dog", "grass"], object_threshold=0.0, overlap_threshold=0.0)
    return result
run(10)
before = peak()
result = run(330)
print(result.size, len(result.segments) > 0, peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures with getrusage")
def test_a_large_image_takes_bounded_memory(folder: Path) -> None:
    """6.5 megapixels: 101 masks of float32 at its size would take 2600 megabytes."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *shown, megabytes = done.stdout.split()
    assert shown == ["(1650,", "3960)", "True"]
    assert int(megabytes) < 600


# --- words ---


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ([], "the vocabulary is empty; name at least one class"),
        (["dog", "Dog "], "are the same class; keep one of them"),
        ("dog, dog", "'dog' is there twice; keep one of them"),
        (["dog", " "], "class name ' *' is empty; take it out"),
        (["dog " * 60], "has 239 characters, over the limit of 200; use a few words"),
        (["background"], "'background' is the model's own no-object class"),
        ("cocoo", "no built-in vocabulary 'cocoo'; did you mean 'coco'"),
    ],
)
def test_bad_vocabularies_are_refused(
    vocabulary: str | list[str], message: str, predictor: Predictor, image: EncodedImage, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        predictor.segment(image, vocabulary)
    if isinstance(vocabulary, str):
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        code, _, err = cli("segment", tmp_path / "a.png", "--vocabulary", vocabulary)
        assert (code, message in err) == (2, True)


def test_a_long_name_within_the_limit_is_cut_by_the_model_not_refused(
    predictor: Predictor, image: EncodedImage
) -> None:
    name = "z9 " * 66  # over 77 tokens
    assert predictor.tokenizer.count(name) > 77
    assert predictor.segment(image, [name, "dog"], task="semantic").size == (40, 60)


def test_empty_phrases_are_refused(predictor: Predictor, image: EncodedImage, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no phrases given; give at least one"):
        predictor.refer(image, [])
    with pytest.raises(ValueError, match="an empty phrase means nothing; leave it out"):
        predictor.refer(image, ["the dog", " "])
    with pytest.raises(ValueError, match="an empty phrase means nothing; leave it out"):
        predictor.caption(image, region="")
    with pytest.raises(ValueError, match="an empty text means nothing"):
        predictor.embed_texts(["a", ""])
    code, _, err = cli("refer", tmp_path, "-p", " ")
    assert (code, "an empty phrase means nothing" in err) == (2, True)


def test_a_phrase_over_77_tokens_is_cut_with_a_warning(
    predictor: Predictor, image: EncodedImage, folder: Path, tmp_path: Path
) -> None:
    most = "dog " * 75
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of files that other tests left open
        expected = predictor.refer(image, [most])
        embedded = predictor.embed_texts(most)
    with pytest.warns(UserWarning, match="the phrase is longer than 75 tokens and was cut.*: 'dog dog"):
        actual = predictor.refer(image, [most + "cat"])
    assert (actual.masks == expected.masks).all()
    with pytest.warns(UserWarning, match="the text is longer than 75 tokens and was cut"):
        assert torch.equal(predictor.embed_texts(most + "cat"), embedded)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    code, _, err = cli("refer", tmp_path / "a.png", most + "cat", "-w", folder, "--short-side", 32, "--json")
    assert code == 0
    assert "warning: the phrase is longer than 75 tokens and was cut" in err


# --- regions and options ---


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((0, 0, 61, 40), r"within the image of 60 x 40 pixels, got \(0, 0, 61, 40\)"),
        ((-1, 0, 5, 5), "within the image of 60 x 40 pixels"),
        ((10, 10, 10, 20), "within the image of 60 x 40 pixels"),
        ((float("nan"), 0, 5, 5), "within the image of 60 x 40 pixels"),
        (np.zeros((40, 60), np.bool_), "the region is empty: mark at least one pixel"),
        (np.ones((60, 40), np.bool_), r"must have the image's size \(40, 60\), got \(60, 40\)"),
    ],
)
def test_regions_outside_the_image_are_refused(
    region: tuple[float, float, float, float] | np.ndarray,
    message: str,
    predictor: Predictor,
    image: EncodedImage,
) -> None:
    with pytest.raises(ValueError, match=message):
        predictor.caption(image, region=region)


def test_a_phrase_that_is_not_in_the_image_is_no_region(
    predictor: Predictor, image: EncodedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    grounded = predictor.refer(image, ["the dog"])
    grounded.masks[:] = False
    monkeypatch.setattr(referring, "refer", lambda *_: [grounded])
    with pytest.raises(ValueError, match="nothing in the image was found for the region 'the dog'; say it"):
        predictor.caption(image, region="the dog")


def test_a_region_of_one_image_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (50, 40)).save(tmp_path / "large.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "small.png")
    base = ["--short-side", 32, "--steps", 2, "--json", "--batch-size", 4]
    code, out, err = cli("caption", tmp_path, "--box", "1,1,40,30", *base, "--weights", folder)
    assert code == 1
    assert [("text" in line, "error" in line) for line in sorted(out.splitlines())] == [
        (True, False),
        (False, True),
    ]
    assert f"error: {tmp_path / 'small.png'}: the region's box must be" in err


def test_options_out_of_range_are_refused(predictor: Predictor, image: EncodedImage) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number from 1 to 76, got 77"):
        predictor.caption(image, steps=77)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got 0"):
        predictor.caption(image, steps=0)
    with pytest.raises(ValueError, match="beams must be a whole number of at least 1, got 0"):
        predictor.caption(image, beams=0)
    with pytest.raises(ValueError, match="beams must be a whole number from 1 to 49408, got 100000"):
        predictor.caption(image, beams=100_000)
    with pytest.raises(
        ValueError, match="short_side must be a whole number from 1 to 32768, got 10000000000"
    ):
        predictor.encode(np.zeros((4, 4, 3), np.uint8), short_side=10**10)
    with pytest.raises(ValueError, match="short_side must be a whole number from 1 to 32768, got 0"):
        predictor.encode(np.zeros((4, 4, 3), np.uint8), short_side=0)
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1, got 0"):
        Predictor(predictor.model, predictor.tokenizer, batch_size=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"task": "semantic", "object_threshold": 0.5},
            "object_threshold says nothing to the task semantic: it",
        ),
        ({"task": "instance", "overlap_threshold": 0.5}, "overlap_threshold .* instance: it is for panoptic"),
        (
            {"score_threshold": 0.0},
            "score_threshold says nothing to the task panoptic: it is for instance; leave",
        ),
        ({"object_threshold": float("nan")}, "object_threshold must be a number from 0 to 1, got nan"),
        ({"overlap_threshold": 10**400}, "overlap_threshold must be a number from 0 to 1, got 1000"),
        ({"overlap_threshold": 2.0}, r"overlap_threshold must be a number from 0 to 1, got 2\.0"),
        (
            {"task": "instance", "score_threshold": -1.0},
            "score_threshold must be a number from 0 to 1, got -1",
        ),
    ],
)
def test_thresholds_of_another_task_or_out_of_range_are_refused(
    options: dict[str, Any], message: str, predictor: Predictor, image: EncodedImage
) -> None:
    with pytest.raises(ValueError, match=message):
        predictor.segment(image, NAMES, **options)


def test_sizes_out_of_range_are_refused(predictor: Predictor) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="long_side must be a whole number from 1 to 32768, got 0"):
        predictor.encode(pixels, long_side=0)
    with pytest.raises(ValueError, match="long_side 20 must not be less than short_side 30"):
        predictor.encode(pixels, short_side=30, long_side=20)


WRONG_KINDS = """
import numpy as np
from xdecoder.predictor.options import *
from xdecoder.vocabularies import parse_vocabulary
cases = [
    (CaptionOptions, {"beams": 1.5}), (CaptionOptions, {"steps": "9"}), (CaptionOptions, {"beams": True}),
    (AnswerOptions, {"top_k": None}), (EncodeOptions, {"short_side": 64.0}),
    (ReferOptions, {"together": "no"}),
    (SegmentOptions, {"object_threshold": "0.5"}), (SegmentOptions, {"task": "instances"}),
    (parse_vocabulary, {"spec": [1, 2]}), (parse_vocabulary, {"spec": ["dog", None]}),
    (parse_vocabulary, {"spec": b"dog"}), (parse_vocabulary, {"spec": 7}), (parse_vocabulary, {"things": 0}),
]
for call, options in cases:
    try:
        call(**options)
    except ValueError as error:
        print(error)
CaptionOptions(beams=np.int64(2)), SegmentOptions(object_threshold=np.float32(0.5))
import sys
assert "torch" not in sys.modules
"""


def test_options_and_vocabularies_of_another_kind_are_refused_before_anything_heavy_is_imported() -> None:
    """In a process of its own: the type checks of the tests are not part of the product."""
    done = subprocess.run([sys.executable, "-c", WRONG_KINDS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "beams must be a whole number of at least 1, got 1.5",
        "steps must be a whole number of at least 1, got '9'",
        "beams must be a whole number of at least 1, got True",
        "top_k must be a whole number of at least 1, got None",
        "short_side must be a whole number from 1 to 32768, got 64.0",
        "together must be True or False, got 'no'",
        "object_threshold must be a number from 0 to 1, got '0.5'",
        "task must be one of panoptic, instance, semantic; got 'instances'",
        "a class name is a text, got int: 1",
        "a class name is a text, got NoneType: None",
        *(
            f"expected class names: a text with commas between them, or a sequence of texts; got {given}"
            for given in ("b'dog'", "7", "0")
        ),
    ]


def test_a_device_or_dtype_that_is_not_there_is_refused_before_the_model_is_read(folder: Path) -> None:
    for device in ("cuda:99", "gpu"):
        with pytest.raises(ValueError, match=f"no device '{device}'; this computer has cpu"):
            xdecoder.load(folder, device=device)
    for dtype in ("half", torch.int16):
        with pytest.raises(
            ValueError, match="dtype must be float32, bfloat16, float16, int8 or float64, got"
        ):
            xdecoder.load(folder, dtype=dtype)
    assert xdecoder.load(folder, dtype="bfloat16").model.logit_scale.dtype == torch.bfloat16


def test_embeddings_that_are_no_numbers_are_refused(folder: Path, tmp_path: Path) -> None:
    predictor = Predictor(*load_model(folder))
    with torch.no_grad():
        predictor.model.text_encoder.projection.fill_(torch.nan)
        predictor.model.backbone_projection.fill_(torch.nan)
    with pytest.raises(ValueError, match="embeddings that are no numbers in float32; load it with dtype"):
        predictor.embed_texts("dog")
    with pytest.raises(ValueError, match="embeddings that are no numbers in float32; load it with dtype"):
        predictor.embed_images(predictor.encode(np.zeros((4, 4, 3), np.uint8), short_side=32))


# --- models, from the command line ---


def test_a_model_with_missing_and_foreign_keys_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    state = load_file(tmp_path / "model" / "model.safetensors")
    state["stranger"] = state.pop("logit_scale")
    save_file(state, tmp_path / "model" / "model.safetensors")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    code, _, err = cli("caption", tmp_path / "a.png", "--weights", tmp_path / "model")
    assert code == 2
    assert "1 missing:\n  logit_scale\n1 unexpected:\n  stranger\nNothing was loaded." in err
    assert "Traceback" not in err


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    stream = io.BytesIO()
    pickle.dump({"model": Bomb(tmp_path / "ran")}, stream)
    (tmp_path / "bomb.pt").write_bytes(stream.getvalue())
    code, _, err = cli("weights", "convert", tmp_path / "bomb.pt", tmp_path / "out")
    assert code != 0
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()
    pickle.loads(stream.getvalue())
    assert (tmp_path / "ran").exists()  # it would have


def test_a_checkpoint_given_for_a_folder_says_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    code, _, err = cli("caption", tmp_path / "a.png", "--weights", tmp_path / "model.pt")
    assert code == 2
    assert "a model is a folder: turn a published checkpoint into one with `xdecoder weights convert" in err
