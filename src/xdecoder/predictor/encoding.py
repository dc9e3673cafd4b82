"""Images to features: read, resized, normalized and encoded in batches that change no image's result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from xdecoder.bounds import check_whole_number
from xdecoder.images import ImageSource, read_image
from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.networks.decoder_states import LatentStates
from xdecoder.predictor.options import EncodeOptions
from xdecoder.tasks.geometry import Geometry, normalize_images


class EncodedBatch:
    """Images of one padded size, encoded together.

    Args:
        model: encodes them now, and decodes the latent queries when they are asked for.
        pixels: normalized, padded images, (B, 3, H, W).
    """

    def __init__(self, model: XDecoder, pixels: Float[Tensor, "B 3 H W"]) -> None:
        self._model = model
        self.features: ImageFeatures = model.encode_images(pixels)

    @cached_property
    @torch.inference_mode()
    def latents(self) -> LatentStates:
        """The latent queries, decoded when first asked for."""
        return self._model.decoder.decode_latents(self.features.memory, keep=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedImage:
    """An image that was encoded once and can be given to every verb in its stead.

    Attributes:
        image: the picture, (H, W, 3).
        geometry: the sizes it went through.
        batch: what it was encoded with.
        index: its place there.
    """

    image: UInt8[np.ndarray, "H W 3"]
    geometry: Geometry
    batch: EncodedBatch
    index: int


AnyImage = ImageSource | EncodedImage


def by_batch(items: Sequence[EncodedImage]) -> Iterator[tuple[EncodedBatch, list[int]]]:
    """Each batch that images were encoded in, with the places of its images among `items`."""
    batches = {id(item.batch): item.batch for item in items}
    for batch in batches.values():
        yield batch, [place for place, item in enumerate(items) if item.batch is batch]


class ImageEncoder:
    """Encodes images, those of one padded size together.

    Args:
        model: whose backbone and pixel decoder read images.
        batch_size: images encoded together at the most.
    """

    def __init__(self, model: XDecoder, batch_size: int) -> None:
        check_whole_number("batch_size", batch_size)
        self._model = model
        self.batch_size = batch_size

    def batches(self, images: Iterable[AnyImage], options: EncodeOptions) -> Iterator[list[EncodedImage]]:
        """Images, encoded where they are not yet, a few at a time.

        Args:
            images: any number of images, taken as they are needed.
            options: the size that they are brought to.
        """
        following = iter(images)
        while group := list(islice(following, self.batch_size)):
            new = iter(self._encode([i for i in group if not isinstance(i, EncodedImage)], options))
            yield [i if isinstance(i, EncodedImage) else next(new) for i in group]

    def _encode(self, sources: Sequence[ImageSource], options: EncodeOptions) -> list[EncodedImage]:
        short, long = options.resolve(self._model.config.inference)
        images = [read_image(source) for source in sources]
        geometries = [Geometry.of(i.shape[:2], short_side=short, long_side=long) for i in images]
        of_size: dict[tuple[int, int], list[int]] = {}
        for position, geometry in enumerate(geometries):
            of_size.setdefault(geometry.padded, []).append(position)
        encoded: dict[int, EncodedImage] = {}
        for positions in of_size.values():
            pixels = torch.stack([self._pixels(images[p], geometries[p]) for p in positions])
            batch = EncodedBatch(self._model, pixels.contiguous(memory_format=torch.channels_last))
            for index, p in enumerate(positions):
                encoded[p] = EncodedImage(image=images[p], geometry=geometries[p], batch=batch, index=index)
        return [encoded[p] for p in range(len(images))]

    def _pixels(self, image: UInt8[np.ndarray, "H W 3"], geometry: Geometry) -> Float[Tensor, "3 H2 W2"]:
        height, width = geometry.resized
        resized = Image.fromarray(image)
        if resized.size != (width, height):
            resized = resized.resize((width, height), Image.Resampling.BICUBIC)
        tensor = torch.from_numpy(np.array(resized)).to(self._model.logit_scale.device).permute(2, 0, 1)
        pixels = normalize_images(tensor, self._model.config)
        return pixels.to(self._model.logit_scale.dtype)
