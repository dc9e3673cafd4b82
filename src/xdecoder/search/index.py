"""A searchable index of images and of the regions in them."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from torch import Tensor

from xdecoder.images import read_image
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.predictor.encoding import AnyImage, EncodedImage
from xdecoder.predictor.options import SearchOptions
from xdecoder.predictor.predictor import Predictor
from xdecoder.predictor.prompts import Prompt
from xdecoder.search.config import IndexConfig
from xdecoder.search.found import Found, FoundRegion, Hit
from xdecoder.search.indexing import IndexingReport, index_folder
from xdecoder.search.tables import TableName, Tables
from xdecoder.structures import encode_rle
from xdecoder.tasks.retrieval import joint_texts
from xdecoder.vocabularies import VocabularySpec, parse_vocabulary


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A picture to search with.

    Attributes:
        image: a file, an array or an encoded image.
        region: the part of it that is meant: a mask, a box (left, top, right, bottom) in pixels, or a phrase;
            None for the whole of it.
        name: what it is called in the answer.
    """

    image: AnyImage
    region: Prompt | None = None
    name: str = "the example"


@final
class Index:
    """Images and their regions, found by words or by likeness.

    >>> index = Index.create("photos.index", xdecoder.load("picturebook"))
    >>> index.update("photos")
    >>> index.find_images("a red car beside a tree").hits[0].path

    `create` and `open` make one. Several processes may update and search one index at once.

    Attributes:
        tables: where it lies.
        predictor: the model that made it.
    """

    def __init__(self, tables: Tables, predictor: Predictor) -> None:
        tables.config.check_model(predictor, place=tables.place)
        self.tables = tables
        self.predictor = predictor

    @classmethod
    def create(
        cls,
        place: str | os.PathLike[str],
        predictor: Predictor,
        *,
        vocabulary: VocabularySpec | None = None,
        short_side: int | None = None,
        regions: bool | None = None,
        weights: str = "picturebook",
    ) -> Index:
        """Make an index; one that is there already, and was made in the same way, is opened.

        Args:
            place: a folder, or an address such as "s3://bucket/index" (see LanceDB's documentation).
            predictor: the model that embeds images and words; an index belongs to one model.
            vocabulary: the classes of the segments; by default those of the index, or the model's
                own for a new one.
            short_side: pixels that images' shorter sides are resized to; by default as in the index, or the
                model's own for a new one.
            regions: index images' segments too, not whole images alone; by default as in the index, or True
                for a new one.
            weights: what `xdecoder.load` takes to load the model; told to who opens it with another.

        Raises:
            ValueError: there is one that was made with another model, vocabulary or size.
            OSError: it cannot be written.
        """
        words = None if vocabulary is None else parse_vocabulary(vocabulary)
        config = IndexConfig(
            weights=weights,
            model=predictor.digest(),
            width=predictor.config.embed_width,
            vocabulary=words or predictor.default_vocabulary,
            short_side=short_side,
            regions=regions is not False,
        )
        index = cls(Tables.create(place, config), predictor)
        index.config.check_settings(words, short_side, regions, place=index.tables.place)
        return index

    @classmethod
    def open(cls, place: str | os.PathLike[str], predictor: Predictor) -> Index:
        """Open an index.

        Raises:
            FileNotFoundError: there is none.
            ValueError: another model made it.
        """
        return cls(Tables.open(place), predictor)

    @property
    def config(self) -> IndexConfig:
        """What it was made with."""
        return self.tables.config

    def update(
        self,
        folder: str | os.PathLike[str],
        *,
        optimize: bool = True,
        progress: ProgressCallback | None = None,
        debug: bool = False,
    ) -> IndexingReport:
        """Index a folder, or what has changed in it; see `xdecoder.search.indexing.index_folder`."""
        return index_folder(
            self.tables, self.predictor, folder, optimize=optimize, progress=progress, debug=debug
        )

    def find(self, query: str | Example, options: SearchOptions) -> Found:
        """What the options look for: `find_images`, `find_regions` or `ground`, and their errors."""
        match options.kind:
            case "images":
                return self.find_images(query, k=options.k, where=options.where)
            case "regions":
                return self.find_regions(query, k=options.k, where=options.where)
            case "grounded":
                if isinstance(query, Example):
                    raise ValueError("grounded hits are found by a query in words")
                return self.ground(query, k=options.k, where=options.where)

    def find_images(self, query: str | Example, *, k: int = 12, where: str | None = None) -> Found:
        """The images that fit best, by the mean of the decoder's and the backbone's cosine.

        Args:
            query: words, or a picture.
            k: hits at the most.
            where: an SQL filter on an image's path, width, height, labels (of its segments, as in
                "array_has(labels, 'car')"), file_size or file_time; None for none.

        Raises:
            ValueError: an empty query, a region as query, or a filter that is not understood.
        """
        if isinstance(query, Example):
            if query.region is not None:
                raise ValueError(
                    "a region is like other regions, not like whole images: search regions with it"
                )
            vector = self.predictor.embed_images(self._encoded(query.image)).joint
        else:
            vector = joint_texts(self.predictor.embed_texts(query))
        return self._found(query, vector, "images", k, where)

    def find_regions(self, query: str | Example, *, k: int = 12, where: str | None = None) -> Found:
        """The panoptic segments that fit best, by the cosine of their class embeddings.

        Args:
            query: words, or a picture or a region of one.
            k: hits at the most.
            where: an SQL filter on a region's path, width, height (of the image), label, is_thing, score,
                area, left, top, right or bottom (of its box, in pixels); None for none.

        Raises:
            ValueError: an empty query, a region outside its image, a filter that is not understood, or an
                index of images alone.
        """
        if not self.config.regions:
            raise ValueError(
                f"{self.tables.place} holds images alone; search images, or make another index with regions"
            )
        if not isinstance(query, Example):
            vector = self.predictor.embed_texts(query)
        elif query.region is None:
            vector = self.predictor.embed_images(self._encoded(query.image)).decoder
        else:
            vector = self.predictor.embed_region(self._encoded(query.image), query.region)
        return self._found(query, vector, "regions", k, where)

    def ground(self, phrase: str, *, k: int = 12, where: str | None = None) -> Found:
        """The images that fit best, and in each what the phrase means: the paper's region-based retrieval.

        Args:
            phrase: what to find and ground, in words.
            k: hits at the most.
            where: as for `find_images`.

        Raises:
            ValueError: an empty phrase, or a filter that is not understood.
        """
        found = self.find_images(phrase, k=k, where=where)
        return replace(found, kind="grounded", hits=tuple(self._grounded(hit, phrase) for hit in found.hits))

    def _grounded(self, hit: Hit, phrase: str) -> Hit:
        """The hit with the region that the phrase means; as it is where there is none."""
        try:
            image = read_image(hit.path)
        except (ValueError, OSError) as error:
            warnings.warn(f"{error}. The index still has this image: index its folder again", stacklevel=3)
            return hit
        result = self.predictor.refer(self._encoded(image), [phrase])
        mask = result.masks[0]
        if not mask.any():
            return hit
        region = FoundRegion(
            label=phrase,
            score=result.scores[0],
            area=int(np.count_nonzero(mask)),
            box=result.boxes[0],
            mask=encode_rle(mask),
        )
        return replace(hit, size=result.size, region=region)

    def _encoded(self, image: AnyImage) -> EncodedImage:
        if isinstance(image, EncodedImage):
            return image
        return self.predictor.encode(image, short_side=self.config.short_side)

    def _found(
        self, query: str | Example, vector: Tensor, table: TableName, k: int, where: str | None
    ) -> Found:
        hits = self.tables.nearest(table, vector[0].cpu().numpy(), k=k, where=where)
        return Found(
            query=query.name if isinstance(query, Example) else query,
            kind=table,
            where=where,
            hits=tuple(hits),
            searched=self.tables.count(table),
        )
