import copy
import gzip
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from goldens import Golden
from xdecoder.tokenizer import Tokenizer, build_word_tokenizer
from xdecoder.weights import clip_merges as clip_vocabulary
from xdecoder.weights.clip_merges import installed_files, load_clip_tokenizer, read_merges
from xdecoder.weights.folder import read_tokenizer_file

SENTENCES = ["A red circle left of two blue squares.", "what is it?", "10 stars"]


@pytest.fixture(scope="module")
def clip() -> Tokenizer:
    return load_clip_tokenizer()


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return build_word_tokenizer(SENTENCES)


@pytest.mark.parametrize("name", ["golden_a", "golden_b"])
def test_ids_are_those_of_the_published_program(
    name: str, clip: Tokenizer, request: pytest.FixtureRequest
) -> None:
    golden: Golden = request.getfixturevalue(name)
    inputs, outputs = golden.meta["inputs"], golden.meta["outputs"]
    assert clip.encode_batch(inputs["b"]["class_names"], 77) == golden["b/ids"].tolist()
    assert [clip.encode_batch(texts, 77) for texts in outputs["b"]["eval_texts"]] == golden[
        "b/eval_ids"
    ].tolist()
    for group in ("e1", "e2"):
        phrases = [phrase for (phrase,) in inputs[group]["texts"]]
        assert clip.encode_batch(phrases, 77) == golden[f"{group}/ids"].tolist()


@pytest.mark.parametrize(
    ("name", "group"),
    [("golden_a", "f1"), ("golden_a", "f2"), ("golden_a", "f3"), ("golden_b", "f1"), ("golden_b", "f2")],
)
def test_captions_read_as_the_published_program_prints_them(
    name: str, group: str, clip: Tokenizer, request: pytest.FixtureRequest
) -> None:
    golden: Golden = request.getfixturevalue(name)
    captions = [clip.decode_caption(row) for row in golden[f"{group}/captioning_token"].tolist()]
    assert captions == golden.meta["outputs"][group]["captioning_text"]


def test_clip_has_its_known_ids(clip: Tokenizer) -> None:
    assert (clip.start_id, clip.end_id, clip.vocabulary_size) == (49406, 49407, 49408)
    assert clip.encode("a photo of a cat") == [49406, 320, 1125, 539, 320, 2368, 49407]


def test_long_texts_are_cut_and_still_end(clip: Tokenizer) -> None:
    ids = clip.encode("dog " * 200)
    assert len(ids) == 77
    assert ids[0] == clip.start_id
    assert ids[-1] == clip.end_id
    assert clip.end_id not in ids[:-1]
    assert clip.encode_batch(["dog " * 200], 5) == [[*ids[:4], clip.end_id]]


def test_rows_are_as_long_as_the_longest_text_unless_told(clip: Tokenizer) -> None:
    short, long = clip.encode_batch(["dog", "the dog runs"])
    assert len(short) == len(long) == 5
    assert short[2:] == [clip.end_id] * 3
    assert clip.encode_batch([]) == []
    assert clip.encode_batch([""]) == [[clip.start_id, clip.end_id]]


@pytest.mark.parametrize("length", [2, 78])
def test_a_row_length_out_of_range_is_refused(clip: Tokenizer, length: int) -> None:
    with pytest.raises(ValueError, match=f"length must be between 3 and 77, got {length}"):
        clip.encode_batch(["dog"], length)


def test_case_and_white_space_change_nothing(clip: Tokenizer) -> None:
    assert clip.encode(" The\tRed \n BUS ") == clip.encode("the red bus")
    assert clip.encode("Cafe\u0301") == clip.encode("café")


def test_special_tokens_in_a_text_are_only_text(clip: Tokenizer) -> None:
    ids = clip.encode("dog <|endoftext|> cat <|startoftext|>")
    assert ids.count(clip.end_id) == 1
    assert ids.count(clip.start_id) == 1
    assert clip.decode(ids).startswith("dog <|")


def test_decoding_stops_at_the_end_and_at_the_first_full_stop(clip: Tokenizer) -> None:
    ids = clip.encode("a dog. a cat.")
    assert clip.decode([*ids, *clip.encode("bus")]) == "a dog. a cat."
    assert clip.decode_caption(ids) == "a dog"


def test_decoding_cleans_up_spaces_as_published(clip: Tokenizer) -> None:
    assert clip.decode(clip.encode("the man's hat, isn't it ?")) == "the man's hat, isn 't it?"


def test_decoding_survives_ids_that_are_no_text(clip: Tokenizer) -> None:
    assert clip.decode([10**6, clip.start_id]) == ""
    assert clip.decode(range(188, 256)) == "\ufffd" * 68 or "\ufffd" in clip.decode(range(188, 256))


@given(st.text(max_size=30))
def test_any_text_is_accepted(text: str) -> None:
    for tokenizer in _TOKENIZERS():
        ids = tokenizer.encode(text)
        assert ids[0] == tokenizer.start_id
        assert ids[-1] == tokenizer.end_id
        assert all(0 <= i < tokenizer.vocabulary_size for i in ids)
        assert isinstance(tokenizer.decode(ids), str)


def _TOKENIZERS(cache: list[Tokenizer] = []) -> list[Tokenizer]:  # noqa: B006, N802
    if not cache:
        cache += [load_clip_tokenizer(), build_word_tokenizer(SENTENCES)]
    return cache


def test_lone_surrogates_are_accepted(clip: Tokenizer) -> None:
    assert clip.encode("dog \ud800") == clip.encode("dog ?")


def test_a_saved_tokenizer_is_the_same(clip: Tokenizer, words: Tokenizer, tmp_path: Path) -> None:
    for tokenizer in (clip, words):
        path = tmp_path / "tokenizer.json"
        path.write_bytes(tokenizer.to_bytes())
        copies = [
            read_tokenizer_file(path, context_length=77),
            pickle.loads(pickle.dumps(tokenizer)),
            copy.deepcopy(tokenizer),
        ]
        for other in copies:
            assert other.vocabulary_size == tokenizer.vocabulary_size
            for text in [*SENTENCES, "Ünïcode 日本 🙂 zebra's <|endoftext|>"]:
                assert other.encode(text) == tokenizer.encode(text)


def test_a_plain_hugging_face_tokenizer_reads_the_file_alike(clip: Tokenizer) -> None:
    plain = tokenizers.Tokenizer.from_buffer(clip.to_bytes())
    assert plain.encode("the red bus", add_special_tokens=False).ids == clip.encode("the red bus")[1:-1]


def test_a_missing_or_foreign_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no tokenizer at"):
        read_tokenizer_file(tmp_path / "tokenizer.json", context_length=77)
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": ')
    with pytest.raises(
        ValueError, match=r"tokenizer\.json: not a tokenizer\.json in the Hugging Face format"
    ):
        read_tokenizer_file(path, context_length=77)
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"dog": 0}, unk_token="dog")).save(str(path))
    with pytest.raises(ValueError, match=r"not a tokenizer of X-Decoder: it has no token <\|startoftext\|>"):
        read_tokenizer_file(path, context_length=77)


def test_a_known_word_is_one_token(words: Tokenizer) -> None:
    ids = words.encode("two RED squares, left of a blue circle?")
    assert len(ids) == 2 + 9 + 2  # nine known pieces; the comma is two bytes, with its space
    assert words.decode(ids) == "two red squares, left of a blue circle?"
    assert words.vocabulary_size == 256 + 16 + 2  # bytes, different words and signs, start and end
    assert (words.start_id, words.end_id) == (words.vocabulary_size - 2, words.vocabulary_size - 1)


def test_an_unknown_word_is_spelled_in_bytes(words: Tokenizer) -> None:
    assert words.decode(words.encode("a red zebra é")) == "a red zebra é"
    assert len(words.encode("zebra")) == 2 + 1 + len("zebra")


def test_the_order_of_words_decides_their_ids() -> None:
    first, second = build_word_tokenizer(["b a", "b"]), build_word_tokenizer(["b", "a"])
    assert first.to_bytes() == second.to_bytes()
    assert first.encode("b a")[1:-1] == [256, 257]


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="context_length must be at least 3, got 2"):
        build_word_tokenizer(["dog"], context_length=2)


def _merge_lines() -> bytes:
    file = next(installed_files())
    pairs = read_merges(file.read_bytes(), file)
    return "\n".join(["#version: 0.2", *(" ".join(pair) for pair in pairs), ""]).encode()


def test_every_form_of_the_vocabulary_file_gives_the_same_tokenizer(clip: Tokenizer, tmp_path: Path) -> None:
    lines = _merge_lines()
    (tmp_path / "merges.txt").write_bytes(lines)
    (tmp_path / "windows.txt").write_bytes(lines.replace(b"\n", b"\r\n"))
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress(lines + b"more merges\n"))
    with zipfile.ZipFile(tmp_path / "open_clip_torch.whl", "w") as wheel:
        wheel.writestr("open_clip/bpe_simple_vocab_16e6.txt.gz", gzip.compress(lines))
    with zipfile.ZipFile(tmp_path / "instant_clip_tokenizer.whl", "w") as wheel:
        wheel.writestr("instant_clip_tokenizer/instant_clip_tokenizer.abi3.so", b"\x7fELF" + lines + b"\0")
    (tmp_path / "tokenizer.json").write_bytes(clip.to_bytes())
    for path in tmp_path.iterdir():
        assert load_clip_tokenizer(path).to_bytes() == clip.to_bytes(), path.name


def test_a_wrong_or_damaged_vocabulary_file_is_refused(tmp_path: Path) -> None:
    lines = _merge_lines()
    for name, data in {
        "changed.txt": lines.replace(b"\nt h\n", b"\nt x\n"),
        "short.txt": lines[:-9],
        "other.txt": b"hello",
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name} does not hold CLIP's vocabulary: expected bpe_simple"):
            load_clip_tokenizer(path)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(lines)[:-100])
    with pytest.raises(ValueError, match=r"cut\.gz: damaged gzip file"):
        load_clip_tokenizer(tmp_path / "cut.gz")
    with pytest.raises(FileNotFoundError, match="no CLIP vocabulary at"):
        load_clip_tokenizer(tmp_path / "absent.txt")
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr("a.py", "")
    with pytest.raises(ValueError, match=r"x\.whl: no file of this wheel holds CLIP's vocabulary"):
        load_clip_tokenizer(tmp_path / "x.whl")


def test_where_nothing_has_the_vocabulary_the_ways_to_get_it_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clip_vocabulary, "installed_files", lambda: iter(()))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FileNotFoundError) as error:
        load_clip_tokenizer()
    for way in (
        "pip install --no-deps open-clip-torch",
        "--clip-vocabulary FILE",
        "huggingface.co",
        "ConnectError",
    ):
        assert way in str(error.value)


def test_merges_are_read_in_order() -> None:
    merges = read_merges(_merge_lines(), "x")
    assert len(merges) == 48894
    assert (merges[0], merges[-1]) == (("i", "n"), ("jeky", "ll</w>"))
    assert np.unique(["".join(m) for m in merges]).size == len(merges)
