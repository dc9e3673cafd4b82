"""The data sets' reader and the predictor's see one picture alike, whatever file it lies in."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdecoder.data.decoding import CocoPanoptic, FileImage, ImageBytes
from xdecoder.data.records import InstanceSample, ListedAnnotations, SegmentInfo
from xdecoder.images import read_image

H, W = 6, 9


def _gray() -> np.ndarray:
    return np.linspace(0, 255, H * W).astype(np.uint8).reshape(H, W)


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    stream = io.BytesIO()
    Image.fromarray(np.stack([_gray()] * 3, axis=-1)).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def _saved(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def _sixteen() -> bytes:
    return _saved(Image.fromarray(_gray().astype(np.uint16) * 257))


def _transparent() -> bytes:
    rgba = np.stack([_gray()] * 3 + [np.full((H, W), 100, np.uint8)], axis=-1)
    return _saved(Image.fromarray(rgba, "RGBA"))


ODD: dict[str, Callable[[], bytes]] = {
    "16 bits": _sixteen,
    "transparency": _transparent,
    "gray with transparency": lambda: _saved(Image.open(io.BytesIO(_transparent())).convert("LA")),
    "palette": lambda: _saved(Image.fromarray(_gray()).convert("P")),
    "one bit": lambda: _saved(Image.fromarray(_gray()).convert("1")),
    "CMYK": lambda: _saved(Image.fromarray(_gray()).convert("CMYK"), "JPEG"),
    "gray": lambda: _saved(Image.fromarray(_gray()), "JPEG"),
    "animation": lambda: _saved(Image.fromarray(_gray()), "GIF"),
    **{f"turned {o}": lambda o=o: _turned(o) for o in range(1, 9)},
}


@pytest.mark.parametrize("kind", ODD)
def test_data_sets_and_predictor_read_one_picture_alike(kind: str, tmp_path: Path):
    data = ODD[kind]()
    (tmp_path / "picture").write_bytes(data)
    seen = read_image(tmp_path / "picture")
    np.testing.assert_array_equal(FileImage(path=str(tmp_path / "picture")).load(), seen)
    np.testing.assert_array_equal(ImageBytes(label="a shard", data=data).load(), seen)
    sample = InstanceSample(
        image_id=1,
        source=FileImage(path=str(tmp_path / "picture")),
        size=(int(seen.shape[0]), int(seen.shape[1])),
        region_source=ListedAnnotations(regions=()),
    )
    np.testing.assert_array_equal(sample.image(), seen)


def test_sixteen_bits_keep_their_grays(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(_sixteen())
    assert np.unique(FileImage(path=str(tmp_path / "a.png")).load()).size == np.unique(_gray()).size


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_size_of_the_annotations_decides_whether_exif_turns_a_picture(orientation: int, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(_turned(orientation))

    def sample(size: tuple[int, int]) -> InstanceSample:
        return InstanceSample(
            image_id=1,
            source=FileImage(path=str(tmp_path / "a.png")),
            size=size,
            region_source=ListedAnnotations(regions=()),
        )

    np.testing.assert_array_equal(sample((H, W)).image()[..., 0], _gray())
    np.testing.assert_array_equal(sample((W, H)).image(), read_image(tmp_path / "a.png"))
    with pytest.raises(ValueError, match=r"the annotation file says 5x5, the image is 6x9"):
        sample((5, 5)).image()


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_panoptic_maps_are_read_by_their_colors(mode: str, tmp_path: Path):
    ids = np.zeros((H, W), np.int64)
    ids[:2], ids[3:] = 70001, 7
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    image = Image.fromarray(rgb)
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    image.save(tmp_path / "map.png")
    segments = tuple(SegmentInfo(id=i, category=0, is_thing=False, crowd=False, area=0) for i in (7, 70001))
    decoded = CocoPanoptic(path=str(tmp_path / "map.png"), segments=segments).load()
    np.testing.assert_array_equal(decoded.ids, ids)
    assert [s.area for s in decoded.segments] == [3 * W, 2 * W]
