import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xdecoder
from builders import draw_picture
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.search import Example, Index, write_page
from xdecoder.search import indexing as indexing_module
from xdecoder.search.rows import region_schema
from xdecoder.search.tables import WORTH_INDEXING
from xdecoder.structures import decode_rle, mask_box
from xdecoder.vocabularies import parse_vocabulary

WORDS = parse_vocabulary(["car", "cat", "tree", "grass", "sky"], stuff=["tree", "grass", "sky"])
SIDE = 48
NAMES = ["a.png", "b's.png", "deep/c.png", "d.png"]


@pytest.fixture(scope="module")
def predictor(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        loaded = xdecoder.load(folder, batch_size=2)
        settings = replace(loaded.config.inference, prompt_ensemble=False)  # one text a name, not 81
        loaded.model.config = replace(loaded.config, inference=settings)
        yield loaded


def read(predictor: Predictor, path: Path) -> EncodedImage:
    return predictor.encode(path, short_side=SIDE)


def draw_pictures(folder: Path) -> Path:
    for seed, name in enumerate(NAMES):
        draw_picture(folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def index(predictor: Predictor, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index of the pictures, for tests that only search."""
    made = Index.create(tmp_path_factory.mktemp("index"), predictor, vocabulary=WORDS, short_side=SIDE)
    assert made.update(pictures).indexed == len(NAMES)
    return made


@pytest.fixture
def own(predictor: Predictor, tmp_path: Path) -> tuple[Index, Path]:
    """An index and its pictures, to be changed."""
    folder = draw_pictures(tmp_path / "pictures")
    made = Index.create(tmp_path / "index", predictor, vocabulary=WORDS, short_side=SIDE)
    made.update(folder)
    return made, folder


def rows(index: Index) -> dict[str, list[str]]:
    """The regions of each indexed image."""
    images = index.tables.known(Path("/"))
    found: dict[str, list[str]] = {path: [] for path in images}
    everything = index.find_regions("anything", k=10_000)
    for hit in everything.hits:
        assert hit.region is not None
        found[hit.path].append(f"{hit.region.label} {hit.region.area} {hit.region.mask['counts']}")
    return {path: sorted(regions) for path, regions in found.items()}


# Embeddings


def test_a_segments_embedding_gives_its_class_probability(predictor: Predictor, pictures: Path) -> None:
    words = parse_vocabulary(WORDS, things=list(WORDS.classes))  # things alone: none is merged
    texts = predictor.embed_vocabulary(words)
    result = predictor.embed_segments(read(predictor, pictures / "a.png"), words)
    assert len(result.segmentation.segments) > 1
    assert torch.allclose(result.vectors.norm(dim=1), torch.ones(len(result.vectors)), atol=1e-5)
    scale = predictor.model.logit_scale.exp().detach()
    probabilities = (scale * result.vectors @ texts.T).softmax(-1)
    for segment, row in zip(result.segmentation.segments, probabilities, strict=True):
        assert float(row[segment.category]) == pytest.approx(segment.score, abs=1e-4)
        assert int(row.argmax()) == segment.category


def test_merged_stuff_is_embedded_by_its_largest_part(predictor: Predictor, pictures: Path) -> None:
    merged = parse_vocabulary(WORDS, stuff=list(WORDS.classes))
    apart = parse_vocabulary(WORDS, things=list(WORDS.classes))
    for name in NAMES[:2]:
        image = read(predictor, pictures / name)
        whole, parts = (predictor.embed_segments(image, words) for words in (merged, apart))
        for segment, vector in zip(whole.segmentation.segments, whole.vectors, strict=True):
            own = [i for i, part in enumerate(parts.segmentation.segments) if part.label == segment.label]
            largest = max(own, key=lambda i: parts.segmentation.segments[i].area)
            assert torch.allclose(vector, parts.vectors[largest], atol=1e-5)
    assert len(parts.vectors) > len(whole.vectors)  # something was merged


def test_a_region_is_embedded_by_the_query_that_fits_it_best(predictor: Predictor, pictures: Path) -> None:
    image = read(predictor, pictures / "a.png")
    with torch.inference_mode():
        heads = predictor.model.decoder.query_outputs(image.batch.latents.states[-1][0, :-1])
        masks = torch.zeros(len(heads.masks), 80, 96, dtype=torch.bool)
        for tile in image.geometry.tiles(image.batch.features.mask_logits_of(0, heads.masks)):
            masks[:, tile.rows, tile.columns] = tile.values > 0
    box = torch.zeros(80, 96, dtype=torch.bool)
    box[10:50, 20:90] = True
    best = max(range(len(masks)), key=lambda q: float((masks[q] & box).sum() / (masks[q] | box).sum()))
    found = predictor.embed_region(image, (20, 10, 90, 50))
    wanted = torch.nn.functional.normalize(heads.embeddings[best], dim=0)
    assert torch.allclose(found[0], wanted, atol=1e-5)


# Searching


def test_images_come_in_the_order_of_their_joint_similarity(
    index: Index, predictor: Predictor, pictures: Path
) -> None:
    paths = [str(pictures / name) for name in NAMES]
    images = predictor.encode(paths, short_side=SIDE)
    wanted = predictor.embed_images(images).similarity(predictor.embed_texts("a red car"))[:, 0]
    found = index.find_images("a red car", k=3)
    order = wanted.argsort(descending=True).tolist()[:3]
    assert [hit.path for hit in found.hits] == [paths[i] for i in order]
    assert [hit.similarity for hit in found.hits] == pytest.approx(wanted[order].tolist(), abs=1e-5)
    assert found.hits[0].size == (80, 96)
    assert (found.kind, found.searched, found.query) == ("images", len(NAMES), "a red car")


def test_regions_come_in_the_order_of_their_similarity_with_their_masks(
    index: Index, predictor: Predictor, pictures: Path
) -> None:
    text = predictor.embed_texts("a red car")
    wanted = []
    for name in NAMES:
        result = predictor.embed_segments(read(predictor, pictures / name), WORDS)
        for segment, cosine in zip(result.segmentation.segments, result.vectors @ text[0], strict=True):
            wanted.append((float(cosine), str(pictures / name), segment, result.segmentation.mask(segment)))
    wanted.sort(key=lambda row: -row[0])
    found = index.find_regions("a red car", k=len(wanted) + 5)
    assert found.searched == len(found.hits) == len(wanted)
    for hit, (cosine, path, segment, mask) in zip(found.hits[:4], wanted, strict=False):
        assert hit.region is not None
        assert hit.similarity == pytest.approx(cosine, abs=1e-5)
        assert (hit.path, hit.region.label, hit.region.area) == (path, segment.label, segment.area)
        assert hit.region.box == segment.box == mask_box(mask)
        np.testing.assert_array_equal(decode_rle(hit.region.mask), mask)


def test_an_image_is_most_like_itself(index: Index, pictures: Path) -> None:
    hit = index.find_images(Example(image=pictures / "d.png"), k=1).hits[0]
    assert hit.path == str(pictures / "d.png")
    assert hit.similarity == pytest.approx(1, abs=1e-5)


def test_a_region_is_most_like_itself(index: Index, predictor: Predictor, pictures: Path) -> None:
    segmentation = predictor.segment(read(predictor, pictures / "b's.png"), WORDS)
    segment = max(segmentation.segments, key=lambda s: s.area)
    example = Example(image=pictures / "b's.png", region=segmentation.mask(segment))
    assert index.find_regions(example, k=1).hits[0].similarity == pytest.approx(1, abs=1e-4)


def test_grounding_gives_each_found_image_what_the_phrase_means(
    index: Index, predictor: Predictor, pictures: Path
) -> None:
    found = index.ground("the cat", k=2)
    assert [hit.path for hit in found.hits] == [hit.path for hit in index.find_images("the cat", k=2).hits]
    for hit in found.hits:
        mask = predictor.refer(read(predictor, Path(hit.path)), ["the cat"]).masks[0]
        assert (hit.region is None) == (not mask.any())
        if hit.region is not None:
            np.testing.assert_array_equal(decode_rle(hit.region.mask), mask)
            assert (hit.region.label, hit.region.area) == ("the cat", mask.sum())


def test_filters_choose_among_images_and_regions(index: Index) -> None:
    label = index.find_regions("x", k=1).hits[0].region
    assert label is not None
    some = index.find_regions("x", k=1000, where=f"label = '{label.label}' AND area > 5")
    assert some.hits
    assert all(hit.region is not None and hit.region.label == label.label for hit in some.hits)
    assert len(some.hits) < index.find_regions("x", k=1000).searched
    images = index.find_images("x", where=f"array_has(labels, '{label.label}') AND path LIKE '%/deep/%'")
    assert {Path(hit.path).name for hit in images.hits} <= {"c.png"}
    assert index.find_images("x", where="width > 96").hits == ()


@pytest.mark.parametrize(
    "where",
    [
        "width > 5; DROP TABLE images",
        "width > 5 width > 7",
        "width > 5 ORDER BY width",
        "width > 5)",
        "1) foo (",
    ],
)
def test_a_filter_is_read_to_its_end_or_refused(index: Index, where: str) -> None:
    with pytest.raises(ValueError, match=r"the filter .* is not understood"):
        index.find_images("x", where=where)


def test_a_filter_may_hold_quotes_and_comments(index: Index) -> None:
    everything = index.find_images("x", k=100).hits
    assert index.find_images("x", k=100, where="path <> ';)''(' -- all of them )").hits == everything


def test_an_index_that_has_lost_a_table_says_so(own: tuple[Index, Path], predictor: Predictor) -> None:
    index, _ = own
    place = Path(index.tables.place)
    for table, rest in (("images", "regions"), ("regions", "images")):
        (place / f"{table}.lance").rename(place / "kept")
        with pytest.raises(ValueError, match=f"has lost its table of {table}; delete what is left of it"):
            Index.create(place, predictor)
        assert {path.name for path in place.iterdir()} == {"kept", f"{rest}.lance"}
        (place / "kept").rename(place / f"{table}.lance")
    assert Index.create(place, predictor).tables.count("images") > 0


@pytest.mark.parametrize("listed", [("regions",), ("regions", "images")])
def test_an_index_that_another_process_is_making_is_not_there_yet(
    listed: tuple[str, ...], tmp_path: Path, predictor: Predictor
) -> None:
    for table in listed:  # as LanceDB leaves a table for a moment
        (tmp_path / "index" / f"{table}.lance").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="no index in"):
        Index.open(tmp_path / "index", predictor)
    assert Index.create(tmp_path / "index", predictor, vocabulary=WORDS).tables.count("regions") == 0


def test_an_approximate_index_is_built_when_it_pays_and_finds_what_the_exact_one_finds(
    index: Index, tmp_path: Path, predictor: Predictor
) -> None:
    made = Index.create(tmp_path / "large", predictor, vocabulary=WORDS, short_side=SIDE)
    table, schema = made.tables.raw("regions"), region_schema(made.config)
    random = np.random.default_rng(0)
    centers = random.standard_normal((300, made.config.width))
    vectors = centers[random.integers(300, size=WORTH_INDEXING)]
    vectors = (vectors + 0.5 * random.standard_normal(vectors.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    same = {name: [0] * len(vectors) for name in schema.names}
    text = {name: [str(i) for i in range(len(vectors))] for name in ("id", "path", "label", "mask")}
    flags = {"is_thing": [True] * len(vectors)}
    made.tables.optimize()
    assert not list(table.list_indices())
    table.add(schema.empty_table().from_pydict({**same, **text, **flags, "vector": list(vectors)}, schema))
    made.tables.optimize()
    assert len(list(table.list_indices())) == 1
    hits = 0
    for query in vectors[:20]:
        exact = made.tables.nearest("regions", query, k=10, exact=True)
        assert exact[0].similarity == pytest.approx(1, abs=1e-5)
        near = made.tables.nearest("regions", query, k=10)
        hits += len({hit.path for hit in exact} & {hit.path for hit in near})
    assert hits >= 0.95 * 200
    names = [i.name for i in table.list_indices()]
    made.tables.optimize()
    assert [i.name for i in table.list_indices()] == names  # not built again


# Keeping up with a folder


def test_unchanged_images_are_not_read_again(
    own: tuple[Index, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, folder = own
    before = rows(index)
    os.utime(folder / "a.png", ns=(1, 1))  # another time, the same content
    monkeypatch.setattr(index.predictor, "encode", None)
    report = index.update(folder)
    assert (report.indexed, report.unchanged, report.removed) == (0, len(NAMES), 0)
    monkeypatch.setattr(Path, "open", None)
    assert index.update(folder).unchanged == len(NAMES)  # the new time is known: not even hashed
    assert rows(index) == before


def test_changed_new_and_deleted_images_are_followed(own: tuple[Index, Path], predictor: Predictor) -> None:
    index, folder = own
    before = rows(index)
    draw_picture(folder / "a.png", 31)
    draw_picture(folder / "new" / "f.png", 32)
    (folder / "d.png").unlink()
    report = index.update(folder)
    assert (report.indexed, report.unchanged, report.removed, report.failures) == (2, 2, 1, ())
    after = rows(index)
    fresh = Index.create(folder.parent / "fresh", predictor, vocabulary=WORDS, short_side=SIDE)
    fresh.update(folder)
    assert after == rows(fresh)
    assert after[str(folder / "a.png")] != before[str(folder / "a.png")]
    assert after[str(folder / "b's.png")] == before[str(folder / "b's.png")]


def test_folders_of_one_index_do_not_touch_each_other(own: tuple[Index, Path], tmp_path: Path) -> None:
    index, folder = own
    draw_picture(tmp_path / "pictures_2" / "z.png", 40)
    assert index.update(tmp_path / "pictures_2").removed == 0
    assert set(rows(index)) == {str(folder / name) for name in NAMES} | {
        str(tmp_path / "pictures_2" / "z.png")
    }


def test_what_another_process_has_indexed_meanwhile_is_not_read_again(
    predictor: Predictor, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index.create(tmp_path / "index", predictor, vocabulary=WORDS, short_side=SIDE)
    compare = indexing_module.compare

    def compare_and_be_overtaken(folder: Path, known: dict[str, object]) -> object:
        monkeypatch.setattr(indexing_module, "compare", compare)
        changes = compare(folder, known)
        Index.create(tmp_path / "index", predictor).update(folder)
        return changes

    monkeypatch.setattr(indexing_module, "compare", compare_and_be_overtaken)
    report = index.update(pictures)
    assert (report.indexed, report.unchanged) == (0, len(NAMES))


def test_progress_counts_up_to_all_images(predictor: Predictor, pictures: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    Index.create(tmp_path / "index", predictor, vocabulary=WORDS, short_side=SIDE).update(
        pictures, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(2, 4), (4, 4)]


# The page


def test_the_page_shows_each_hit_and_needs_nothing_beside_it(index: Index) -> None:
    found = index.find_regions("a <car> & more", k=4)
    page = write_page(found)
    assert page.count('<article class="card">') == 4
    assert page.count("data:image/webp;base64,") == 8  # the plain picture and the lit one
    assert "a &lt;car&gt; &amp; more" in page
    assert "<car>" not in page
    assert not re.search(r"https?://|@import|url\(|src=\"(?!data:)", page)


def test_the_page_says_which_pictures_are_gone_or_have_changed(own: tuple[Index, Path]) -> None:
    index, folder = own
    found = index.find_regions("a car", k=1000)
    (folder / "a.png").unlink()
    Image.new("RGB", (7, 5)).save(folder / "d.png")
    page = write_page(found)
    assert "no such image file" in page
    assert "has changed since it was indexed" in page


def test_the_page_of_no_hits_says_so(index: Index) -> None:
    assert "Nothing in the index fits the filter" in write_page(
        index.find_images("a car", where="width > 96")
    )
