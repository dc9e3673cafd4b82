"""How another process, on this machine or another, loads the model that this one has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xdecoder.predictor.loading import load
from xdecoder.predictor.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model by its name.

    Attributes:
        source: what `load` takes; a folder has to be there under one path on every machine.
        digest: of the model (`Predictor.digest`).
        device: where it runs.
        dtype: the kind of its numbers.
        batch_size: images encoded together at the most.
    """

    source: str
    digest: str
    device: str
    dtype: str
    batch_size: int

    @classmethod
    def of(cls, source: str, predictor: Predictor) -> ModelSource:
        """A model that was loaded here, on any GPU where it runs on one.

        Args:
            source: what it was loaded by.
            predictor: the model.
        """
        return cls(
            source=str(Path(source).absolute()) if Path(source).is_dir() else source,
            digest=predictor.digest(),
            device=predictor.device.type,
            dtype=predictor.model.dtype,
            batch_size=predictor.batch_size,
        )

    def load(self) -> Predictor:
        """The model.

        Raises:
            FileNotFoundError: there is none of that name here.
            ValueError: it is another one here.
        """
        predictor = load(self.source, device=self.device, dtype=self.dtype, batch_size=self.batch_size)
        if predictor.digest() != self.digest:
            raise ValueError(f"{self.source} is another model here than where the work was begun")
        return predictor
