"""Phrases, captions, questions and image-text pairs, each on a fixture in its layout."""

import functools
import http.server
import io
import json
import pickle
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from builders import REFS, H, W, karpathy_row, ref, refer_layout, square, vqa_layout, write_image, write_json
from xdecoder.data.opening import open_dataset
from xdecoder.data.pair_files import PairTables, find_tables
from xdecoder.data.pairs import PairShards, open_pair_folder
from xdecoder.data.refer import read_plain_pickle


def jpeg(value: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((H, W, 3), value, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


# Referring.


def test_referring_groups_the_split_s_referents_by_image(tmp_path: Path) -> None:
    refer_layout(tmp_path, REFS)
    data = open_dataset("refcocog-umd", tmp_path)
    (sample,) = data
    assert sample.image_id == 9
    assert [(r.id, r.phrases) for r in sample.referents] == [(10, ("The man.", "a man")), (11, ("his dog",))]
    assert sample.referents[0].region.mask(*sample.image().shape[:2]).sum() == 6


@pytest.mark.parametrize(("name", "folder"), [("refcoco", "refcoco"), ("refcoco+", "refcoco+")])
def test_refcoco_and_refcoco_plus_have_test_splits_a_and_b(tmp_path: Path, name: str, folder: str) -> None:
    refer_layout(tmp_path, [ref(1, 1, 9, "testA", "left one"), ref(2, 3, 25, "testB", "tv")], folder, "unc")
    assert open_dataset(name, tmp_path, split="testA")[0].image_id == 9
    assert open_dataset(name, tmp_path, split="testB")[0].image_id == 25


def test_referring_reads_the_same_list_as_json(tmp_path: Path) -> None:
    base = refer_layout(tmp_path, [])
    (base / "refs(umd).p").unlink()
    write_json(base / "refs(umd).json", REFS)
    assert len(open_dataset("refcocog-umd", tmp_path)[0].referents) == 2


def test_referring_reads_x_decoders_coco_like_json_with_2017_images(tmp_path: Path) -> None:
    annotation = square(1, 1, image=9, ref_id=10, sentences=[{"raw": "The man."}])
    write_json(
        tmp_path / "coco/annotations/refcocog_umd_val.json",
        {
            "images": [{"id": 9, "file_name": "000000000009.jpg", "height": H, "width": W}],
            "annotations": [annotation],
        },
    )
    write_image(tmp_path / "coco/train2017/000000000009.jpg")
    sample = open_dataset("refcocog-umd", tmp_path)[0]
    assert sample.referents[0].phrases == ("The man.",)
    assert sample.image().shape == (H, W, 3)


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


@pytest.mark.parametrize("harmful", [_Harmful(), Path("x"), np.float64(3)])
def test_a_pickle_that_names_code_is_refused_and_runs_nothing(
    tmp_path: Path, harmful: object, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "refs(umd).p"
    path.write_bytes(pickle.dumps([harmful]))
    with pytest.raises(ValueError, match="only plain data is allowed"):
        read_plain_pickle(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_plain_pickles_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps(REFS, protocol=protocol))
    assert read_plain_pickle(path) == REFS


def test_a_python_2_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(b"(lp0\n(dp1\nS'raw'\np2\nS'caf\\xe9'\np3\nsa.")
    assert read_plain_pickle(path) == [{"raw": "café"}]


def test_a_broken_pickle_and_a_list_of_other_things_are_refused(tmp_path: Path) -> None:
    base = refer_layout(tmp_path, [])
    (base / "refs(umd).p").write_bytes(pickle.dumps(REFS)[:-9])
    with pytest.raises(ValueError, match="refused"):
        open_dataset("refcocog-umd", tmp_path)
    (base / "refs(umd).p").write_bytes(pickle.dumps([{"a": 1}]))
    with pytest.raises(ValueError, match="ref 0: lacks 'ref_id'"):
        open_dataset("refcocog-umd", tmp_path)


def test_refs_to_unknown_annotations_and_duplicate_refs_are_refused(tmp_path: Path) -> None:
    refer_layout(tmp_path, [ref(10, 99, 9, "val", "x")])
    with pytest.raises(ValueError, match=r"lacks annotation\(s\) \[99\] that refs"):
        open_dataset("refcocog-umd", tmp_path)
    refer_layout(tmp_path, [REFS[0], REFS[0]])
    with pytest.raises(ValueError, match=r"duplicate ref id\(s\) \[10\]"):
        open_dataset("refcocog-umd", tmp_path)


def generalized(number: int, objects: list[int], *phrases: str, **more: Any) -> dict[str, Any]:
    return {**ref(number, 1, 9, "val", *phrases), "ann_id": objects, **more}


def test_grefcoco_has_phrases_for_one_object_several_and_none(tmp_path: Path) -> None:
    base = refer_layout(tmp_path, [], "grefcoco", "unc")
    other = [[5, 2, 7, 2, 7, 4, 5, 4]]
    objects = [square(1, 1, image=9), square(2, 18, image=9, segmentation=other)]
    rows = [
        generalized(10, [1], "The man.", "a man"),
        generalized(11, [1, 2], "the man and his dog"),
        generalized(12, [-1], "two elephants"),
        generalized(13, [1], "elsewhere", split="train"),
    ]
    images = [{"id": 9, "file_name": "x.jpg", "height": H, "width": W}]
    write_json(base / "instances.json", {"images": images, "annotations": objects})
    write_json(base / "grefs(unc).json", rows)
    (sample,) = open_dataset("grefcoco", tmp_path)
    assert [(r.id, r.phrases) for r in sample.referents] == [
        ("10_0", ("The man.",)),
        ("10_1", ("a man",)),
        ("11_0", ("the man and his dog",)),
        ("12_0", ("two elephants",)),
    ]
    assert [int(r.region.mask(H, W).sum()) for r in sample.referents] == [6, 6, 10, 0]
    run = {"size": [H, W], "counts": [0, 3, H * W - 3]}
    write_json(
        base / "instances.json",
        {"images": images, "annotations": [objects[0], {**objects[1], "segmentation": run}]},
    )
    assert open_dataset("grefcoco", tmp_path)[0].referents[2].region.mask(H, W).sum() == 9
    write_json(base / "grefs(unc).json", [*rows, generalized(14, [77], "x")])
    with pytest.raises(ValueError, match=r"lacks annotation\(s\) \[77\] that grefs\(unc\).json names"):
        open_dataset("grefcoco", tmp_path)


def test_phrasecut_s_regions_are_drawn_as_phrasecut_draws_them(tmp_path: Path) -> None:
    task = {
        "image_id": 61,
        "phrase": "Black shirt",
        "Polygons": [[[[1.9, 1], [4, 1], [4, 3.5], [1, 3]]], [[[6, 0], [6, 4]]]],
    }
    rows = [{**task, "task_id": "61__1"}, {**task, "task_id": "61__2", "phrase": "sky", "Polygons": [[]]}]
    write_json(tmp_path / "phrasecut/refer_val.json", rows)
    write_image(tmp_path / "phrasecut/images/61.jpg")
    data = open_dataset("phrasecut", tmp_path)
    (referent,) = data[0].referents
    assert (referent.id, referent.phrases) == ("61__1", ("Black shirt",))
    # Coordinates are cut to whole ones and the border is inside: 4 x 3 pixels, and a line of 5.
    mask = referent.region.mask(H, W)
    assert mask[1:4, 1:5].all()
    assert mask[:5, 6].all()
    assert mask.sum() == 17
    assert [s.item for s in data.skipped] == ["task 61__2"]
    write_json(tmp_path / "phrasecut/refer_val.json", [{**task, "task_id": 3}])
    with pytest.raises(ValueError, match="entry 0: 'task_id' is 3, expected a text"):
        open_dataset("phrasecut", tmp_path)


# Captions and questions.


def karpathy_layout(root: Path) -> None:
    rows = [
        karpathy_row(1, "test", "val2014"),
        karpathy_row(2, "train", "train2014"),
        karpathy_row(3, "restval", "val2014"),
    ]
    write_json(root / "coco/annotations/dataset_coco.json", {"images": rows, "dataset": "coco"})
    for row in rows:
        write_image(root / "coco" / row["filepath"] / row["filename"])


def test_karpathy_splits_of_coco(tmp_path: Path) -> None:
    karpathy_layout(tmp_path)
    (sample,) = open_dataset("coco-karpathy", tmp_path)
    assert (sample.image_id, sample.captions) == (1, ("caption 1", "another"))
    assert sample.image().shape == (H, W, 3)
    assert [s.image_id for s in open_dataset("coco-karpathy", tmp_path, split="restval")] == [3]


def test_karpathy_splits_find_the_2017_folders(tmp_path: Path) -> None:
    write_json(
        tmp_path / "coco/annotations/dataset_coco.json", {"images": [karpathy_row(1, "test", "val2014")]}
    )
    write_image(tmp_path / "coco/train2017/000000000001.jpg")
    assert open_dataset("coco-karpathy", tmp_path)[0].image().shape == (H, W, 3)


def test_flickr30k(tmp_path: Path) -> None:
    rows = [
        {
            "imgid": 4,
            "filename": "1007.jpg",
            "split": "test",
            "sentences": [{"raw": f"c{i}"} for i in range(5)],
        }
    ]
    write_json(tmp_path / "flickr30k/dataset_flickr30k.json", {"images": rows})
    write_image(tmp_path / "flickr30k/flickr30k-images/1007.jpg")
    assert open_dataset("flickr30k", tmp_path)[0].captions == ("c0", "c1", "c2", "c3", "c4")


def test_vqav2_groups_questions_with_their_ten_answers(tmp_path: Path) -> None:
    vqa_layout(tmp_path, (42000, 42001))
    (sample,) = open_dataset("vqav2", tmp_path)
    assert [(q.id, q.text, len(q.answers), q.kind) for q in sample.questions] == [
        (42000, "What color?", 10, "yes/no"),
        (42001, "Is it a dog?", 10, "yes/no"),
    ]
    assert sample.image().shape == (H, W, 3)


def test_vqav2_questions_without_answers_are_refused_in_val_and_right_in_test(tmp_path: Path) -> None:
    vqa_layout(tmp_path, (42000,))
    with pytest.raises(ValueError, match=r"no answers for 1 question\(s\): \[42001\]"):
        open_dataset("vqav2", tmp_path)
    row = {"question_id": 1, "image_id": 7, "question": "Why?"}
    write_json(tmp_path / "vqa/v2_OpenEnded_mscoco_test-dev2015_questions.json", {"questions": [row]})
    write_image(tmp_path / "coco/test2015/COCO_test2015_000000000007.jpg")
    assert open_dataset("vqav2", tmp_path, split="test-dev")[0].questions[0].answers == ()


# Image-text pairs.


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def two_shards(folder: Path) -> None:
    captions = json.dumps({"captions": ["b", "c"]}).encode()
    write_shard(folder / "000000.tar", {"0.jpg": jpeg(), "0.txt": b"a dog"})
    write_shard(
        folder / "000001.tar",
        {
            "1.jpg": jpeg(),
            "1.json": captions,
            "2.jpg": jpeg(),
            "3.txt": b"no picture",
            "4.jpg": jpeg(),
            "4.json": b"{",
        },
    )


def test_tar_shards_stream_pairs_and_list_what_they_pass_over(tmp_path: Path) -> None:
    two_shards(tmp_path)
    shards = PairShards(str(tmp_path / "{000000..000001}.tar"))
    samples = list(shards)
    assert [(s.image_id, s.captions) for s in samples] == [("0", ("a dog",)), ("1", ("b", "c"))]
    assert samples[0].image().shape == (H, W, 3)
    reasons = [s.reason.split(":")[0] for s in shards.skipped]
    assert reasons == ["no caption", "no image", "unreadable caption"]
    assert len(list(shards)) == 2
    assert len(shards.skipped) == 3


def test_tar_shards_are_read_over_http(tmp_path: Path) -> None:
    two_shards(tmp_path)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/{{000000..000001}}.tar"
        assert [s.image_id for s in PairShards(address)] == ["0", "1"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_absent_or_broken_shard_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        list(PairShards(str(tmp_path / "absent.tar")))
    two_shards(tmp_path)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "000001.tar").read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        list(PairShards([str(tmp_path / "000000.tar"), str(tmp_path / "cut.tar")]))
    (tmp_path / "broken.tar").write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match="cannot be read"):
        list(PairShards(str(tmp_path / "broken.tar")))


def write_arrow(path: Path, table: pa.Table, *, stream: bool = False) -> None:
    with pa.OSFile(str(path), "wb") as sink:
        kind = pa.ipc.new_stream if stream else pa.ipc.new_file
        with kind(sink, table.schema) as writer:
            writer.write_table(table)


def vilt_table(start: int, count: int) -> pa.Table:
    """The columns of the 4M-pair files."""
    return pa.table(
        {
            "image": [jpeg(i) for i in range(start, start + count)],
            "caption": [[f"one {i}", f"two {i}"] for i in range(start, start + count)],
            "image_id": [f"{i:012d}.jpg" for i in range(start, start + count)],
            "split": ["train"] * count,
        }
    )


def test_arrow_tables_follow_one_another_and_survive_pickling(tmp_path: Path) -> None:
    write_arrow(tmp_path / "code224_sbu_0.arrow", vilt_table(0, 3))
    write_arrow(tmp_path / "code224_sbu_1.arrow", vilt_table(3, 2), stream=True)
    table = find_tables(tmp_path)
    assert len(table) == 5
    assert table[3].captions == ("one 3", "two 3")
    again: PairTables = pickle.loads(pickle.dumps(table))
    assert [s.image_id for s in again[-2:]] == ["000000000003.jpg", "000000000004.jpg"]
    assert again[0].image().shape == (H, W, 3)
    with pytest.raises(IndexError):
        table[5]


def test_parquet_tables_are_read_by_row_group_in_both_image_forms(tmp_path: Path) -> None:
    pq.write_table(vilt_table(0, 5), tmp_path / "a.parquet", row_group_size=2)
    hugging_face = pa.table({"image": [{"bytes": jpeg(), "path": "x.jpg"}], "caption": ["only one"]})
    pq.write_table(hugging_face, tmp_path / "b.parquet")
    table = find_tables(tmp_path)
    assert [s.captions[0] for s in table] == ["one 0", "one 1", "one 2", "one 3", "one 4", "only one"]
    assert table[5].image().shape == (H, W, 3)


def test_tables_with_other_columns_or_without_rows_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"jpg": [b"x"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match='columns "image" and "caption", got'):
        find_tables(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not an Arrow or Parquet table"):
        find_tables(tmp_path)
    pq.write_table(vilt_table(0, 0), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="no rows"):
        find_tables(tmp_path)


def test_a_folder_with_lines_of_json(tmp_path: Path) -> None:
    write_image(tmp_path / "deep/a.jpg")
    write_image(tmp_path / "b.jpg")
    lines = ['{"image": "deep/a.jpg", "caption": "a"}', "", '{"image": "b.jpg", "captions": ["b", "c"]}']
    (tmp_path / "pairs.jsonl").write_text("\n".join([*lines, '{"image": "c.jpg", "captions": []}']))
    data = open_pair_folder(tmp_path)
    assert [s.captions for s in data] == [("a",), ("b", "c")]
    assert [(s.item, s.reason) for s in data.skipped] == [("c.jpg", "no caption")]
    (tmp_path / "pairs.jsonl").write_text("\n".join([*lines, '{"image": 3']))
    with pytest.raises(ValueError, match=r"pairs\.jsonl, line 4: expected"):
        open_pair_folder(tmp_path)


@pytest.mark.parametrize("module", ["webdataset", "pyarrow"])
def test_an_absent_extra_is_named(tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    write_arrow(tmp_path / "a.arrow", vilt_table(0, 1))
    with pytest.raises(ImportError, match=r'pip install "xdecoder\[data\]"'):
        list(PairShards("a.tar") if module == "webdataset" else find_tables(tmp_path))


@pytest.mark.parametrize(
    "url", ["pipe:cat a.tar", "PIPE:touch ran", "gs://bucket/a.tar", "ais://a/b.tar", "-"]
)
def test_no_address_of_a_shard_runs_a_program_unless_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would run a program"):
        PairShards(["a.tar", url])
    with pytest.raises(ValueError, match="would run a program"):
        next(iter(PairShards(f"{tmp_path}/a.tar::{url}")))


def test_commands_of_shards_run_when_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"0.jpg": jpeg(), "0.txt": b"a dog"})
    assert len(list(PairShards(f"pipe:cat {tmp_path}/a.tar", run_commands=True))) > 0
