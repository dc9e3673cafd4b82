import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xdecoder.images import ImageHeader, find_images, read_header, read_image, read_stored

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


PNG = encoded(Image.fromarray(RGB))
JPEG = encoded(Image.fromarray(RGB), "JPEG")


def test_every_kind_of_source_gives_the_same_array(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    for source in (path, str(path), PNG, Image.fromarray(RGB), RGB, tensor, RGB / 255, tensor / 255):
        np.testing.assert_array_equal(read_image(source), RGB)


def test_the_result_shares_no_memory_with_an_array():
    image = RGB.copy()
    read = read_image(image)
    image[:] = 0
    np.testing.assert_array_equal(read, RGB)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_any_float_type_are_read(dtype: torch.dtype):
    tensor = torch.tensor([0.0, 0.5, 1.0], dtype=dtype).reshape(1, 1, 3).requires_grad_()
    np.testing.assert_array_equal(read_image(tensor)[0, :, 0], [0, 128, 255])


@given(st.integers(0, 255))
def test_floats_of_a_byte_become_that_byte(value: int):
    for dtype in (np.float32, np.float64):
        array = np.full((1, 2, 3), value / 255, dtype)
        assert (read_image(array) == value).all()


def test_one_pixel_is_an_image():
    assert read_image(encoded(Image.new("RGB", (1, 1), (9, 8, 7)))).tolist() == [[[9, 8, 7]]]


def test_16_bits_are_scaled_not_clipped():
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    expected = [0, 0, 1, 1, 128, 255]
    for kind in ("PNG", "TIFF"):
        read = read_image(encoded(Image.fromarray(deep), kind))
        assert read.shape == (1, 6, 3)
        np.testing.assert_array_equal(read[0, :, 2], expected)


def test_32_bit_files_are_read_where_they_hold_16_bits():
    deep = Image.fromarray(np.array([[0, 65535]], dtype=np.int32))
    assert read_image(encoded(deep, "TIFF"))[0, :, 0].tolist() == [0, 255]
    with pytest.raises(ValueError, match=r"values from -1 to 7; expected 8 or 16 bits \(0 to 65535\)"):
        read_image(Image.fromarray(np.array([[-1, 7]], dtype=np.int32)))


def test_float_files_are_read_where_they_hold_0_to_1():
    floats = Image.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32))
    assert read_image(encoded(floats, "TIFF"))[0, :, 1].tolist() == [0, 128, 255]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (16, 8), (0, 255, 255, 0))
    read = read_image(encoded(image, "JPEG", quality=95))
    assert read.shape == (8, 16, 3)
    assert np.abs(read.astype(int) - [255, 0, 0]).max() <= 3


def test_palette_gray_and_bilevel_become_rgb():
    image = Image.fromarray(RGB).quantize(8)
    np.testing.assert_array_equal(read_image(encoded(image)), np.asarray(image.convert("RGB")))
    assert read_image(encoded(Image.new("L", (2, 1), 77))).tolist() == [[[77] * 3] * 2]
    assert read_image(encoded(Image.new("1", (2, 1), 1))).tolist() == [[[255] * 3] * 2]


def test_alpha_is_composited_on_white():
    pixels = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    expected = [[[200, 0, 0], [255, 255, 255], [204, 204, 204]]]
    assert read_image(encoded(Image.fromarray(pixels))).tolist() == expected
    assert read_image(pixels).tolist() == expected


def test_a_transparent_palette_entry_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert read_image(encoded(image, transparency=0)).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_gray_with_alpha_is_composited_on_white():
    image = Image.fromarray(np.array([[[50, 255], [50, 0]]], dtype=np.uint8), "LA")
    assert read_image(encoded(image))[0, :, 0].tolist() == [50, 255]


def test_exif_rotation_is_applied(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(RGB, -1))
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_image(image), np.rot90(RGB, -1))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(kind: str):
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert (read_image(data) == [255, 0, 0]).all()


def test_gray_arrays_and_tensors_become_rgb():
    gray = RGB[:, :, 0]
    expected = np.stack([gray] * 3, axis=-1)
    for source in (gray, gray[:, :, None], torch.from_numpy(gray.copy())[None]):
        np.testing.assert_array_equal(read_image(source), expected)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no such image file: .*nothing\.jpg$"):
        read_image(tmp_path / "nothing.jpg")


def test_a_web_address_must_be_downloaded():
    with pytest.raises(FileNotFoundError, match="web addresses are not read: download the image first"):
        read_image("https://example.org/a.jpg")


def test_a_folder_is_no_image(tmp_path: Path):
    with pytest.raises(ValueError, match="is a folder, expected one image; find_images lists"):
        read_image(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.touch()
    with pytest.raises(ValueError, match=r"a\.jpg is empty \(0 bytes\)"):
        read_image(path)
    with pytest.raises(ValueError, match="no image in 0 bytes"):
        read_image(b"")


def test_a_file_that_is_no_image_is_refused(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"a\.jpg is not an image that can be read; expected JPEG, PNG"):
        read_image(path)
    with pytest.raises(ValueError, match="image of 5 bytes is not an image"):
        read_image(b"hello")


@pytest.mark.parametrize(
    "kind", ["JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000"]
)
def test_every_format_that_is_promised_is_read(kind: str):
    picture = Image.new("RGB", (16, 8), (200, 40, 90))
    options = {"save_all": True, "append_images": [picture]} if kind == "MPO" else {}
    read = read_image(encoded(picture, kind, **options))
    assert read.shape == (8, 16, 3)
    assert np.abs(read.astype(int) - [200, 40, 90]).max() <= 6


def test_a_picture_of_a_phone_is_read():
    heif = pytest.importorskip("pillow_heif", reason="comes with the extra 'heif'")
    picture = heif.from_pillow(Image.new("RGB", (64, 64), (200, 40, 90)))
    stream = io.BytesIO()
    picture.save(stream)
    read = read_image(stream.getvalue())
    assert read.shape == (64, 64, 3)
    assert np.abs(read.astype(int) - [200, 40, 90]).max() <= 6
    assert read_header(stream.getvalue()).format == "HEIF"


def test_a_picture_of_a_phone_names_the_extra_that_reads_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        ValueError, match=r"HEIC image, which needs pillow-heif: pip install 'xdecoder\[heif\]'"
    ):
        read_image(b"\0\0\0\x18ftypheic" + bytes(40))


@pytest.mark.parametrize(
    "data",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n{} loop\n", encoded(Image.new("L", (4, 4)), "TGA")],
)
def test_a_format_that_is_not_promised_is_not_opened(tmp_path: Path, data: bytes):
    """PIL would start Ghostscript for the first of them."""
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    for read in (read_image, read_stored, read_header):
        with pytest.raises(
            ValueError, match=r"a\.jpg is not an image that can be read; expected JPEG, PNG, .* HEIC"
        ):
            read(path)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(RGB), exif=exif)


def test_a_header_tells_format_size_and_orientation():
    assert read_header(turned(6)) == ImageHeader(format="PNG", height=5, width=7, orientation=6)
    assert read_header(turned(6)).upright == (7, 5)
    assert read_header(JPEG).upright == (5, 7)


def test_a_file_whose_annotations_fit_it_as_stored_is_not_turned():
    upright = np.rot90(RGB, -1)
    np.testing.assert_array_equal(read_image(turned(6), size=(5, 7)), RGB)
    np.testing.assert_array_equal(read_image(turned(6), size=(7, 5)), upright)
    np.testing.assert_array_equal(read_image(turned(6), size=(9, 9)), upright)  # neither fits
    np.testing.assert_array_equal(read_image(turned(3), size=(5, 7)), np.rot90(RGB, 2))  # both fit


def test_stored_values_are_neither_scaled_nor_turned_nor_composited():
    deep = np.array([[0, 300, 65535]], dtype=np.uint16)
    np.testing.assert_array_equal(read_stored(encoded(Image.fromarray(deep))), deep)
    np.testing.assert_array_equal(read_stored(turned(6)), RGB)
    clear = np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], dtype=np.uint8)
    np.testing.assert_array_equal(read_stored(encoded(Image.fromarray(clear))), clear)
    bits = read_stored(encoded(Image.new("1", (2, 1), 1)))
    assert bits.dtype == np.uint8
    assert bits.tolist() == [[1, 1]]


def test_a_palette_is_read_as_indices_or_as_colors():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert read_stored(encoded(image)).tolist() == [[0, 1]]
    assert read_stored(encoded(image, transparency=0), palette="colors").tolist() == [
        [[10, 20, 30], [40, 50, 60]]
    ]
    assert read_stored(encoded(Image.new("L", (1, 1), 9)), palette="colors").tolist() == [[9]]


def test_stored_values_of_damaged_or_vast_files_are_refused(tmp_path: Path):
    path = tmp_path / "labels.png"
    path.write_bytes(PNG[: len(PNG) // 2])
    with pytest.raises(ValueError, match=r"labels\.png is cut short or damaged"):
        read_stored(path)
    with pytest.raises(ValueError, match="the map of image 3 is 7 x 5 = 35 pixels, over the limit of 34"):
        read_stored(PNG, max_pixels=34, name="the map of image 3")
    with pytest.raises(FileNotFoundError, match=r"no such image file: .*none\.png"):
        read_stored(tmp_path / "none.png")


def test_a_message_calls_an_image_by_the_name_given():
    with pytest.raises(ValueError, match="shard-3/0007 is not an image"):
        read_image(b"hello", name="shard-3/0007")


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".jp2", ".mpo", ".heic", ".JPE"])
def test_folders_are_searched_for_every_suffix_that_is_read(tmp_path: Path, suffix: str):
    (tmp_path / f"a{suffix}").touch()
    assert [path.name for path in find_images(tmp_path)] == [f"a{suffix}"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str):
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = tmp_path / "a.img"
    data = encoded(noise, kind)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"a\.img is (cut short or damaged|not an image)"):
        read_image(path)


def test_a_truncated_jpeg_says_what_to_do():
    data = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")
    with pytest.raises(
        ValueError, match=r"is cut short or damaged \(image file is truncated.*fetch or write"
    ):
        read_image(data[: len(data) // 2])


@given(
    st.sampled_from(
        [PNG, JPEG, encoded(Image.fromarray(RGB), "TIFF"), encoded(Image.fromarray(RGB), "WEBP")]
    ),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=8),
)
def test_damaged_bytes_give_an_array_or_a_value_error(data: bytes, place: int, patch: bytes):
    place %= len(data)
    try:
        read = read_image(data[:place] + patch + data[place + len(patch) :], max_pixels=1 << 20)
    except ValueError:
        return
    assert read.dtype == np.uint8
    assert read.shape[2] == 3


def test_a_gigantic_file_is_refused_before_it_is_decoded(tmp_path: Path):
    path = tmp_path / "wide.png"
    Image.new("1", (20_000, 4_000)).save(path)
    path.write_bytes(path.read_bytes()[:100])  # only the header is there to read
    with pytest.raises(
        ValueError,
        match=r"wide\.png is 20000 x 4000 = 80,000,000 pixels, over the limit of 67,108,864; shrink it "
        "first, or raise the limit with max_pixels",
    ):
        read_image(path)


def test_the_limit_is_an_argument():
    assert read_image(PNG, max_pixels=35).shape == (5, 7, 3)
    for source in (PNG, RGB, torch.from_numpy(RGB).permute(2, 0, 1), Image.fromarray(RGB)):
        with pytest.raises(ValueError, match="is 7 x 5 = 35 pixels, over the limit of 34"):
            read_image(source, max_pixels=34)


def test_a_wide_but_small_picture_is_read():
    assert read_image(encoded(Image.new("RGB", (20_000, 3)))).shape == (3, 20_000, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_a_value_error():
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    with pytest.raises(
        ValueError, match=r"is too large: Image size \(400000000 pixels\) exceeds .* Shrink it"
    ):
        read_image(bomb, max_pixels=10**9)


@pytest.mark.parametrize("shape", [(0, 7, 3), (5, 0, 3), (0, 0)])
def test_an_array_without_pixels_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"array is \d x \d pixels; expected at least 1 x 1"):
        read_image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (RGB.transpose(2, 0, 1), r"got 3 x 5 x 7; it looks channel-first: use array.transpose\(1, 2, 0\)"),
        (RGB[None], r"got 1 x 5 x 7 x 3; pass the images of a batch one by one, as a list"),
        (RGB[0, 0], r"expected an array of shape H W 3 \(RGB\), H W 4 or H W, got 3$"),
        (np.zeros((5, 7, 2), np.uint8), "got 5 x 7 x 2$"),
        (RGB.astype(np.int64), r"array has values of type int64; expected uint8"),
        (
            RGB.astype(np.uint16),
            r"of type uint16; expected .* Convert it first, 16 bits with \(array // 257\)",
        ),
        (RGB > 5, "of type bool"),
        (
            RGB.astype(np.float32) + 1,
            "array has floats from .*; expected 0 to 1. For 0 to 255 convert to uint8",
        ),
        (RGB / 255 - 0.5, "expected 0 to 1.*undo a normalization"),
        (np.full((2, 3, 3), np.nan), "array has floats from nan to nan"),
    ],
)
def test_an_array_of_another_layout_or_type_is_refused(array: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        read_image(array)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 7, 3), r"3 H W \(RGB\), got 5 x 7 x 3; it looks channel-last: use tensor.permute\(2, 0, 1\)"),
        ((2, 3, 5, 7), "got 2 x 3 x 5 x 7; pass the images of a batch one by one"),
        ((5, 7), "got 5 x 7$"),
        ((), "got a single number"),
    ],
)
def test_a_tensor_of_another_layout_is_refused(shape: tuple[int, ...], message: str):
    with pytest.raises(ValueError, match=message):
        read_image(torch.zeros(shape))


def test_a_tensor_of_another_type_is_refused():
    with pytest.raises(ValueError, match="tensor has values of type int32"):
        read_image(torch.zeros(3, 5, 7, dtype=torch.int32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "sub/deep/d.tif", ".hidden/e.jpg", "._a.jpg", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(found: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_folders_are_searched_with_their_subfolders(folder: Path):
    assert names(find_images(folder), folder) == ["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.tif"]


def test_a_folder_that_goes_away_meanwhile_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch):
    scandir = os.scandir

    def gone(place: str) -> Any:
        if Path(place).name == "deep":
            raise FileNotFoundError(place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", gone)
    assert names(find_images(folder), folder) == ["a.PNG", "b.jpg", "sub/c.webp"]


def test_globs_choose_images(folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert names(find_images(str(folder / "*")), folder) == ["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.tif"]
    assert names(find_images(str(folder / "**/*.tif")), folder) == ["sub/deep/d.tif"]
    monkeypatch.chdir(folder)
    assert find_images("[ab].*") == [Path("a.PNG"), Path("b.jpg")]


def test_a_file_that_looks_like_a_glob_is_that_file(folder: Path):
    (folder / "x[1].jpg").touch()
    assert names(find_images(folder / "x[1].jpg"), folder) == ["x[1].jpg"]


def test_several_paths_give_each_image_once(folder: Path):
    paths = [folder / "sub", folder / "notes.txt", str(folder / "sub/c.webp")]
    assert names(find_images(paths), folder) == ["notes.txt", "sub/c.webp", "sub/deep/d.tif"]


def test_a_missing_path_is_named(folder: Path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*nowhere"):
        find_images([folder, folder / "nowhere"])


def test_a_path_without_images_is_named(folder: Path):
    for path in (folder / ".hidden/*.png", folder / "empty"):
        (folder / "empty").mkdir(exist_ok=True)
        with pytest.raises(
            FileNotFoundError, match=r"no images in .*(\.png|empty); looked for \.jpg, \.jpeg"
        ):
            find_images(path)


def test_no_paths_at_all_is_an_error():
    with pytest.raises(FileNotFoundError, match="no images: name at least one file, folder or glob"):
        find_images([])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a file that may not be read")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    path.chmod(0)
    with pytest.raises(PermissionError):
        read_image(path)
