"""Pictures in: anything that holds one image becomes an array of 8-bit RGB, or an error that says why not."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, cast

import numpy as np
from jaxtyping import Int32, Integer, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    import torch

ImageSource = Union[str, os.PathLike[str], bytes, Image.Image, np.ndarray, "torch.Tensor"]
"""What `read_image` takes: one image as a path, a file's bytes, a PIL image, an array or a tensor."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
"""The formats, by their names in PIL, that files are opened as; some of its others run programs."""

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".heic", ".heif"),
)
"""The files that `find_images` looks for in folders."""

MAX_PIXELS = 8192 * 8192
"""Images over this many pixels are refused unless `max_pixels` says otherwise."""

_EXPECTED = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM/PGM, AVIF, JPEG 2000 or HEIC"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_WHITE = (255, 255, 255, 255)
_ORIENTATION = 0x0112  # the EXIF tag
_ON_ITS_SIDE = (5, 6, 7, 8)  # its values that exchange width and height

File = str | os.PathLike[str] | bytes
"""An image file: its path, or its content."""


class TooLargeError(ValueError):
    """An image of more pixels than may be read."""


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What an image file says of itself before it is decoded.

    Attributes:
        format: by PIL's name, "JPEG" for example.
        height: rows of pixels as stored.
        width: columns of pixels as stored.
        orientation: how EXIF says to turn it, 1 (not at all) to 8.
    """

    format: str
    height: int
    width: int
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width once it is turned as EXIF says."""
        on_its_side = self.orientation in _ON_ITS_SIDE
        return (self.width, self.height) if on_its_side else (self.height, self.width)

    def require_pixels(self, name: str) -> None:
        """Refuse a size that `read_image` refuses.

        Args:
            name: what messages call the image.

        Raises:
            TooLargeError: it has more.
            ValueError: it has none.
        """
        _check_size(self.width, self.height, name, MAX_PIXELS)


def read_image(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    size: tuple[int, int] | None = None,
    name: str | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """One image as 8-bit RGB, upright: the one way in for inference, training and evaluation.

    Files, bytes and PIL images: the EXIF rotation is applied; 16 bits are scaled to 8; gray, palette and CMYK
    become RGB; transparent parts show white; of an animation, the first frame is taken (of an open PIL image,
    the current one). The header is enough to refuse a picture over `max_pixels`: it is never decoded.

    Arrays are H W 3 (RGB), H W 4 (composited on white), H W or H W 1 (gray); tensors are 3 H W (RGB) or
    1 H W (gray), on any device. Both hold uint8, or floats in 0 to 1, which are scaled by 255 and rounded.
    The result shares no memory with them.

    Args:
        source: the image; see `ImageSource`.
        max_pixels: the most pixels an image may have. PIL has a limit of its own, 179 megapixels.
        size: height and width that annotations state: a file is left as stored where only that fits them.
        name: what messages call the image; by default its path or kind.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: this is no image, or is damaged, empty or too large, or has another layout or type.
    """
    if isinstance(source, (str, os.PathLike, bytes)):
        with _open(source, name) as (image, called):
            return _from_pil(image, called, max_pixels, size)
    if isinstance(source, Image.Image):
        return _from_pil(source, name or "PIL image", max_pixels, size)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels, name or "array")
    torch = sys.modules.get("torch")  # who passes a tensor has imported torch
    if torch is not None and isinstance(source, torch.Tensor):
        return _from_tensor(source, max_pixels, name or "tensor")
    raise ValueError(
        "expected one image as a path, bytes, PIL image, numpy array (H W 3) or torch tensor (3 H W); "
        f"got {type(source).__name__}"
    )


def read_stored(
    source: File,
    *,
    palette: Literal["indices", "colors"] = "indices",
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> np.ndarray[Any, np.dtype[Any]]:
    """An image file's values as stored: a label map, by numbers or by colors.

    Nothing is turned, scaled or composited. The array is H W or H W C, of the file's own depth.

    Args:
        source: a path or a file's bytes.
        palette: of a file with a palette, the indices or the colors they stand for, H W 3.
        max_pixels: as for `read_image`.
        name: as for `read_image`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: this is no image, or is damaged, empty or too large.
    """
    with _open(source, name) as (image, called):
        _check_size(image.width, image.height, called, max_pixels)
        with _damage_told(called):
            image.load()
            colors = image.mode == "P" and palette == "colors"
            values = np.array(image.convert("RGB") if colors else image)
        return values.astype(np.uint8) if values.dtype == np.bool_ else values


def read_ids(source: File) -> Int32[np.ndarray, "H W"]:
    """The ids of a file that writes them as colors, as COCO's panoptic PNGs do: R + 256 G + 65536 B.

    Files with a palette and gray ones, which lossless optimizers make of few colors, hold the same ids.

    Args:
        source: a path or a file's bytes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: this is no image, or is damaged, empty or too large, or has not three channels of 8 bits.
    """
    with _open(source, None) as (image, called):
        _check_size(image.width, image.height, called, MAX_PIXELS)
        if image.mode not in ("RGB", "RGBA", "P", "L"):
            raise ValueError(
                f"{called}: a panoptic PNG has three channels of 8 bits, this has the mode {image.mode}"
            )
        with _damage_told(called):
            image.load()
            packed = (image if image.mode == "RGB" else image.convert("RGB")).tobytes("raw", "RGBX")
        return np.frombuffer(packed, "<i4").reshape(image.height, image.width) & 0xFFFFFF


def encode_ids(ids: Integer[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Ids of less than 2^24 as the colors that `read_ids` reads."""
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


def read_header(source: File, *, name: str | None = None) -> ImageHeader:
    """An image file's format, size and orientation, without decoding it.

    Args:
        source: a path or a file's bytes.
        name: as for `read_image`.

    Raises:
        FileNotFoundError: there is no such file.
        TooLargeError: it has more pixels than PIL opens.
        ValueError: this is no image, or is empty.
    """
    with _open(source, name) as (image, called), _damage_told(called):
        orientation = int(image.getexif().get(_ORIENTATION, 1))
        return ImageHeader(
            format=str(image.format), height=image.height, width=image.width, orientation=orientation
        )


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The image files that paths name, sorted, each once.

    Args:
        paths: a file (whatever its suffix), a folder (searched with its subfolders for `IMAGE_SUFFIXES`;
            names that start with a dot are passed over) or a glob ("shots/**/*.jpg", where "**" is any
            number of folders), or several of them.

    Raises:
        FileNotFoundError: a path does not exist, or has no images.
    """
    found: set[Path] = set()
    for item in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        if not os.fspath(item):  # such as a shell's variable that is not set; Path would make it "."
            raise FileNotFoundError("an empty path names no images; leave it out or name a file or folder")
        path = Path(item)
        if path.is_file():
            found.add(path)
            continue
        if path.is_dir():
            matches = _images_in(path)
        elif any(c in str(path) for c in "*?["):
            matches = _images_of_glob(path)
        else:
            raise FileNotFoundError(f"no such file or folder: {path}")
        if not matches:
            raise FileNotFoundError(f"no images in {path}; looked for {', '.join(IMAGE_SUFFIXES)}")
        found.update(matches)
    if not found:
        raise FileNotFoundError("no images: name at least one file, folder or glob")
    return sorted(found)


def _images_in(folder: Path) -> list[Path]:
    """The images below a folder; what is hidden, or goes away meanwhile, is passed over."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(place, name) for name in files if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    return found


def _images_of_glob(pattern: Path) -> list[Path]:
    matches: list[Path] = []
    for name in glob.glob(str(pattern), recursive=True):  # noqa: PTH207 (pathlib's would match hidden files)
        path = Path(name)
        if path.is_dir():
            matches += _images_in(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            matches.append(path)
    return matches


def _existing_file(path: Path) -> Path:
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected one image; find_images lists the images in a folder")
    if not path.is_file():
        hint = "; web addresses are not read: download the image first" if ":/" in str(path) else ""
        raise FileNotFoundError(f"no such image file: {path}{hint}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); fetch or write the file again")
    return path


@contextmanager
def _open(source: File, name: str | None) -> Generator[tuple[Image.Image, str]]:
    """The file as a PIL image, not yet decoded, and what to call it."""
    if source == b"":
        raise ValueError("no image in 0 bytes; pass the whole content of an image file")
    if isinstance(source, bytes):
        called, stream = name or f"image of {len(source)} bytes", io.BytesIO(source)
    else:
        path = _existing_file(Path(source))
        called, stream = name or str(path), path.open("rb")
    with stream:
        try:
            opened = _heif(stream, called) or Image.open(stream, formats=FORMATS)
        except UnidentifiedImageError as error:
            raise ValueError(f"{called} is not an image that can be read; expected {_EXPECTED}") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise TooLargeError(
                f"{called} is too large: {error} Shrink it first, or raise PIL.Image.MAX_IMAGE_PIXELS"
            ) from error
        except (PermissionError, ImportError):
            raise
        except Exception as error:
            raise _damaged(called, error) from error
        with opened as image:
            yield image, called


def _heif(stream: io.BytesIO | io.BufferedReader, name: str) -> Image.Image | None:
    """A HEIC file, as phones write it, by a library of its own; None for every other file."""
    head = stream.read(12)
    stream.seek(0)
    if head[4:8] != b"ftyp" or head[8:] not in _HEIF_BRANDS:
        return None
    try:
        heif = import_module("pillow_heif")
    except ImportError as error:
        raise ValueError(
            f"{name} is a HEIC image, which needs pillow-heif: pip install 'xdecoder[heif]'"
        ) from error
    return heif.HeifImageFile(stream)


@contextmanager
def _damage_told(name: str) -> Generator[None]:
    """Decoders raise whatever they please on damaged bytes; this is what the user gets."""
    try:
        yield
    except Exception as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} is cut short or damaged ({error}); fetch or write the file again")


def _from_pil(
    image: Image.Image, name: str, max_pixels: int, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    _check_size(image.width, image.height, name, max_pixels)
    with _damage_told(name):
        image.load()
        upright = ImageOps.exif_transpose(image)
    if size == (image.height, image.width) != (upright.height, upright.width):
        upright = image
    if upright.mode.startswith("I") or upright.mode == "F":
        return _from_deep_gray(np.asarray(upright), name)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer)
    try:
        return np.array(upright.convert("RGB"))
    except ValueError as error:
        raise ValueError(f"{name} has the mode {image.mode}, which PIL cannot turn into RGB") from error


def _from_deep_gray(pixels: np.ndarray, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """Gray of more than 8 bits: integers are taken to be 16-bit, floats to be in 0 to 1."""
    if np.issubdtype(pixels.dtype, np.floating):
        return _gray_to_rgb(_from_unit_floats(pixels, name))
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise ValueError(f"{name} has values from {low} to {high}; expected 8 or 16 bits (0 to 65535)")
    return _gray_to_rgb(((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _from_tensor(tensor: torch.Tensor, max_pixels: int, name: str) -> UInt8[np.ndarray, "H W 3"]:
    shape = tuple(tensor.shape)
    if len(shape) != 3 or shape[0] not in (1, 3):
        hint = ""
        if len(shape) == 3 and shape[2] in (1, 3):
            hint = "; it looks channel-last: use tensor.permute(2, 0, 1)"
        elif len(shape) == 4:
            hint = "; pass the images of a batch one by one, as a list"
        raise ValueError(f"expected a tensor of shape 3 H W (RGB), got {_shape(shape)}{hint}")
    values = tensor.detach().cpu()
    pixels = (values.float() if values.is_floating_point() else values).numpy()
    return _from_array(pixels.transpose(1, 2, 0), max_pixels, name)


def _from_array(array: np.ndarray, max_pixels: int, name: str) -> UInt8[np.ndarray, "H W 3"]:
    shape = cast("tuple[int, ...]", array.shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        hint = ""
        if len(shape) == 3 and shape[0] in (1, 3, 4):
            hint = "; it looks channel-first: use array.transpose(1, 2, 0)"
        elif len(shape) == 4:
            hint = "; pass the images of a batch one by one, as a list"
        raise ValueError(f"expected an array of shape H W 3 (RGB), H W 4 or H W, got {_shape(shape)}{hint}")
    _check_size(shape[1], shape[0], name, max_pixels)
    if np.issubdtype(array.dtype, np.floating):
        array = _from_unit_floats(array, name)
    elif array.dtype != np.uint8:
        raise ValueError(
            f"{name} has values of type {array.dtype}; expected uint8 (0 to 255) or floats in 0 to 1. "
            "Convert it first, 16 bits with (array // 257).astype('uint8')"
        )
    if array.ndim == 2:
        return _gray_to_rgb(array)
    if array.shape[2] == 1:
        return _gray_to_rgb(array[:, :, 0])
    if array.shape[2] == 4:
        return _from_pil(Image.fromarray(np.ascontiguousarray(array)), name, max_pixels)
    return np.array(array, order="C")


def _from_unit_floats(values: np.ndarray, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise ValueError(
            f"{name} has floats from {low:.4g} to {high:.4g}; expected 0 to 1. For 0 to 255 convert to "
            "uint8; undo a normalization by mean and deviation"
        )
    return (values * 255 + 0.5).astype(np.uint8)


def _gray_to_rgb(gray: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    return np.repeat(gray[:, :, None], 3, axis=2)


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ValueError(f"{name} is {width} x {height} pixels; expected at least 1 x 1")
    if width * height > max_pixels:
        raise TooLargeError(
            f"{name} is {width} x {height} = {width * height:,} pixels, over the limit of {max_pixels:,}; "
            "shrink it first, or raise the limit with max_pixels"
        )


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
