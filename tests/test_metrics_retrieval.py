import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdecoder.metrics import retrieval
from xdecoder.metrics.retrieval import Retrieval, recall


def drawn_rows(seed: int, B: int, E: int = 2, C: int = 5) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Few distinct values, so that ties occur; some captions close to their image."""
    rng = np.random.default_rng(seed)
    rows = {}
    for i in range(B):
        image = rng.integers(-1, 2, (E, C)) + 0.25
        captions = rng.integers(-1, 2, (rng.integers(1, 4), C)) + 0.25
        if rng.random() < 0.5:
            captions[0] = image[0]
        rows[i * 7] = (image, captions)
    return rows


def unit(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / np.linalg.norm(x.astype(np.float32), axis=-1, keepdims=True)


def gather(rows: dict, keys: list[int]) -> Retrieval:
    scores = Retrieval()
    for key in keys:
        scores.update(key, *rows[key])
    return scores


@given(st.integers(0, 10**6), st.integers(1, 17), st.sampled_from([3, 256]))
def test_recalls_equal_the_naive_version(seed: int, B: int, block: int) -> None:
    rows = drawn_rows(seed, B)
    image_of = [i for i, (_, captions) in enumerate(rows.values()) for _ in captions]
    images = np.stack([unit(i) for i, _ in rows.values()])
    texts = np.concatenate([unit(c) for _, c in rows.values()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_BLOCK", block)
        result = gather(rows, list(rows)).result()
        scores = np.concatenate([s for _, s in retrieval._blocks(images, texts)])
    decoder, backbone = images[:, 0] @ texts.T, images[:, 1] @ texts.T
    assert np.allclose(scores, 0.5 * decoder + 0.5 * backbone, atol=1e-6)
    for k in (1, 5, 10):
        texts_found = [np.argsort(-row, kind="stable")[:k] for row in scores]
        images_found = [np.argsort(-column, kind="stable")[:k] for column in scores.T]
        hits = [any(image_of[c] == i for c in found) for i, found in enumerate(texts_found)]
        assert result.text_retrieval[k] == pytest.approx(np.mean(hits))
        hits = [image_of[c] in found for c, found in enumerate(images_found)]
        assert result.image_retrieval[k] == pytest.approx(np.mean(hits))


def test_captions_at_their_images_are_all_found() -> None:
    rows = {i: (np.eye(13)[[i]], np.eye(13)[[i, i]]) for i in range(13)}
    result = gather(rows, list(rows)).result()
    assert set(result.text_retrieval.values()) == set(result.image_retrieval.values()) == {1.0}
    assert (result.images, result.captions) == (13, 26)


def test_constant_scores_earn_no_credit() -> None:
    result = recall(np.ones((20, 1, 3)), np.ones((40, 3)), np.repeat(np.arange(20), 2))
    assert result.image_retrieval == {1: 1 / 20, 5: 5 / 20, 10: 10 / 20}
    assert result.text_retrieval == {1: 1 / 20, 5: 3 / 20, 10: 5 / 20}


def test_the_mean_of_both_scores_decides() -> None:
    images = np.array([[[1.0, 0], [0, 1]], [[0.8, 0.6], [0.8, 0.6]]])  # the decoder's and the backbone's
    captions, image_of = np.array([[1.0, 0], [0.8, 0.6]]), np.array([0, 1])
    # Caption 0: the decoder prefers image 0 (1 > 0.8), the mean image 1 (0.5 < 0.8).
    assert recall(images[:, :1], captions, image_of).image_retrieval[1] == 1
    assert recall(images, captions, image_of).image_retrieval[1] == 0.5


def test_bad_input_says_what_to_do() -> None:
    one, scores = np.ones((1, 3)), Retrieval()
    with pytest.raises(ValueError, match="no image was added"):
        scores.result()
    with pytest.raises(ValueError, match="image 4: image embeddings have 3 channels, captions 2"):
        scores.update(4, one, np.ones((1, 2)))
    with pytest.raises(ValueError, match="image 4 needs an embedding and a caption"):
        scores.update(4, one, np.ones((0, 3)))
    scores.update(4, one, one)
    with pytest.raises(ValueError, match="image 4 was added before"):
        scores.update(4, one, one)
    with pytest.raises(ValueError, match=r"image 5 has embeddings \(2, 3\), others \(1, 3\)"):
        scores.update(5, np.ones((2, 3)), one)
    with pytest.raises(ValueError, match="finite and not zero"):
        recall(np.zeros((1, 1, 3)), one, np.array([0]))
    with pytest.raises(ValueError, match=r"1 images have no caption \(rows \[1\]\)"):
        recall(np.ones((2, 1, 3)), one, np.array([0]))
    with pytest.raises(ValueError, match=r"image row is outside 0..0"):
        recall(np.ones((1, 1, 3)), one, np.array([1]))
    with pytest.raises(ValueError, match="2 image rows for 1 captions"):
        recall(np.ones((1, 1, 3)), one, np.array([0, 0]))
    with pytest.raises(ValueError, match="got 0 images and 1 captions"):
        recall(np.ones((0, 1, 3)), one, np.array([0]))
