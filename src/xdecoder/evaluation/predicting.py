"""Predictions of a benchmark's samples, added to a journal; the next image is read while one is worked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from xdecoder.data.records import Sample
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture
from xdecoder.jobs.journal import Journal
from xdecoder.predictor.predictor import Predictor


def predict(
    protocol: BenchmarkProtocol[Any], predictor: Predictor, indices: Sequence[int], journal: Journal
) -> Iterator[None]:
    """Predict samples one by one; yields when one is in the journal.

    Args:
        protocol: the benchmark.
        predictor: the model.
        indices: places of the samples in the data set.
        journal: takes the prediction of each, or why it has none.
    """
    for sample, picture in _read_ahead(protocol, indices):
        if isinstance(picture, Picture):
            journal.add(protocol.predict(predictor, sample, picture))
        else:
            journal.add({"image_id": sample.image_id, "error": str(picture)})
        yield


def _read_ahead(
    protocol: BenchmarkProtocol[Any], indices: Sequence[int]
) -> Iterator[tuple[Sample, Picture | Exception]]:
    """Samples and their pictures, or why they cannot be used; the next one is read while one is worked on."""

    def read(index: int) -> tuple[Sample, Picture | Exception]:
        sample = protocol.dataset[index]
        try:
            return sample, protocol.read(sample)
        except (ValueError, FileNotFoundError) as error:
            return sample, error

    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(read, index) for index in indices[:1]]
        for following in [*indices[1:], None]:
            if not ahead:
                return
            found = ahead.pop().result()
            if following is not None:
                ahead.append(reader.submit(read, following))
            yield found
