"""Encoded images kept for further calls: the least recently asked for go first."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, cast, final

import torch

from xdecoder.predictor.encoding import EncodedImage


@final
class EncodingCache:
    """Encoded images by id, bounded in count and in bytes.

    Ids are random, so that nobody asks about an image whose id was not told.

    Args:
        most_images: images kept at the most.
        most_bytes: bytes kept at the most; a single image over it is not kept at all.
    """

    def __init__(self, *, most_images: int, most_bytes: int) -> None:
        self._most_images = most_images
        self._most_bytes = most_bytes
        self._images: OrderedDict[str, tuple[EncodedImage, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    @property
    def bytes(self) -> int:
        """Held by the images that are kept."""
        return self._bytes

    def add(self, image: EncodedImage) -> str:
        """Keep an image, and let go what is then too much.

        Args:
            image: encoded by itself, not in a batch, which would be held whole.

        Returns:
            Its id.

        Raises:
            ValueError: it alone is over the bound.
        """
        size = encoding_bytes(image)
        if size > self._most_bytes:
            raise ValueError(
                f"the encoding takes {size / 1e6:.0f} MB, over the {self._most_bytes / 1e6:.0f} MB that are "
                "kept; send a smaller image, or send it with each request"
            )
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._images[key] = (image, size)
            self._bytes += size
            while len(self._images) > self._most_images or self._bytes > self._most_bytes:
                _, (_, freed) = self._images.popitem(last=False)
                self._bytes -= freed
        return key

    def get(self, key: str) -> EncodedImage | None:
        """An image by its id; None where it is not, or no longer, kept."""
        with self._lock:
            if key not in self._images:
                return None
            self._images.move_to_end(key)
            return self._images[key][0]

    def remove(self, key: str) -> bool:
        """Let go of an image; whether it was there."""
        with self._lock:
            found = self._images.pop(key, None)
            self._bytes -= 0 if found is None else found[1]
        return found is not None


def encoding_bytes(image: EncodedImage) -> int:
    """What an encoded image holds: its pixels, features and latent queries, which are decoded for it."""
    batch = image.batch
    return image.image.nbytes + _tensor_bytes(batch.features) + _tensor_bytes(batch.latents)


def _tensor_bytes(value: object) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if dataclasses.is_dataclass(value):
        return sum(_tensor_bytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, (tuple, list)):
        return sum(map(_tensor_bytes, cast("Iterable[Any]", value)))
    return 0
