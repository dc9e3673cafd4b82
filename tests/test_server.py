"""The server's verbs, images and formats, asked through the application itself."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from server_fixtures import WORDS, in_base64, plain_png
from xdecoder.editing import Blur, edit
from xdecoder.labeling.brush import decode_brush
from xdecoder.labeling.outlines import from_shares
from xdecoder.predictor.predictor import Predictor
from xdecoder.search import Index
from xdecoder.server.app import create_app
from xdecoder.server.label_studio import parse_interface
from xdecoder.server.settings import ServerSettings
from xdecoder.structures import PanopticSegmentation, decode_rle, mask_box
from xdecoder.structures.masks import segmentation_rle

RED_CAR = "the red car"


@pytest.fixture(scope="module")
def index(served_predictor: Predictor, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index.create(tmp_path_factory.mktemp("index"), served_predictor, vocabulary=WORDS)
    made.update(pictures)
    return made


@pytest.fixture(scope="module")
def client(served_predictor: Predictor, index: Index) -> Iterator[TestClient]:
    settings = ServerSettings(max_megapixels=0.1, max_megabytes=0.3, cache_images=3)
    app = create_app(served_predictor, settings, index=index, name="tiny")
    with TestClient(app, base_url="http://localhost") as opened:
        yield opened


def post(client: TestClient, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Images


def test_an_image_is_kept_however_it_is_sent(client: TestClient, picture: bytes) -> None:
    sent = [
        client.post("/v1/images", files={"image": ("a.png", picture, "image/png")}),
        client.post("/v1/images", json={"image": in_base64(picture)}),
        client.post("/v1/images", json={"image": f"data:image/png;base64,{in_base64(picture)}"}),
        client.post("/v1/images", content=picture, headers={"content-type": "image/png"}),
    ]
    assert [answer.status_code for answer in sent] == [201] * 4
    assert {(a.json()["height"], a.json()["width"]) for a in sent} == {(80, 96)}
    answers = [post(client, "/v1/caption", image_id=answer.json()["id"]) for answer in sent[1:]]
    assert answers[0] == answers[1] == answers[2]


def test_the_image_asked_for_least_recently_goes_first(client: TestClient, picture: bytes) -> None:
    keys = [client.post("/v1/images", json={"image": in_base64(picture)}).json()["id"] for _ in range(3)]
    post(client, "/v1/caption", image_id=keys[0])
    client.post("/v1/images", json={"image": in_base64(picture)})
    assert client.post("/v1/caption", json={"image_id": keys[1]}).status_code == 404
    post(client, "/v1/caption", image_id=keys[0])
    assert client.delete(f"/v1/images/{keys[0]}").status_code == 204
    assert client.post("/v1/caption", json={"image_id": keys[0]}).status_code == 404


# Verbs: the server answers as the predictor does


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_segment_answers_as_the_predictor(
    client: TestClient, served_predictor: Predictor, picture: bytes, task: Any
) -> None:
    told = post(client, "/v1/segment", image=in_base64(picture), vocabulary=WORDS, stuff=["grass"], task=task)
    expected: Any = served_predictor.segment(picture, WORDS, stuff=["grass"], task=task)
    assert told == json.loads(json.dumps(expected.to_dict()))


def test_options_and_an_image_come_in_a_form_too(
    client: TestClient, served_predictor: Predictor, picture: bytes
) -> None:
    form = {"options": json.dumps({"vocabulary": "car, tree", "object_threshold": 0.2})}
    told = client.post("/v1/segment", files={"image": picture}, data=form).json()
    expected = served_predictor.segment(picture, ["car", "tree"], object_threshold=0.2)
    assert told == json.loads(json.dumps(expected.to_dict()))


def test_refer_caption_and_answer_answer_as_the_predictor(
    client: TestClient, served_predictor: Predictor, picture: bytes
) -> None:
    image = in_base64(picture)
    phrases = [RED_CAR, "a tree"]
    told = post(client, "/v1/refer", image=image, phrases=phrases, together=False)
    assert told == json.loads(json.dumps(served_predictor.refer(picture, phrases, together=False).to_dict()))
    box = (10.0, 5.0, 60.0, 70.0)
    told = post(client, "/v1/caption", image=image, region=list(box), beams=2, steps=3)
    expected = served_predictor.caption(picture, region=box, beams=2, steps=3)
    assert told == {"kind": "caption", **expected.to_dict()}
    told = post(client, "/v1/answer", image=image, questions=["is it red?", "what is it?"], top_k=2)
    answers = served_predictor.answer(picture, ["is it red?", "what is it?"], top_k=2)
    assert told["answers"] == [answer.to_dict() for answer in answers]


def test_a_region_may_be_a_mask_that_a_verb_gave(
    client: TestClient, served_predictor: Predictor, picture: bytes
) -> None:
    found = post(client, "/v1/segment", image=in_base64(picture))["segments"][0]["segmentation"]
    told = post(client, "/v1/caption", image=in_base64(picture), region=found)
    assert told["text"] == served_predictor.caption(picture, region=decode_rle(found)).text
    wrong = client.post("/v1/caption", json={"image": in_base64(plain_png(8, 9)), "region": found})
    assert wrong.status_code == 422
    assert "the mask is 96x80 and its image 9x8" in wrong.json()["detail"]


def test_embed_holds_images_and_regions_against_texts(
    client: TestClient, served_predictor: Predictor, picture: bytes
) -> None:
    texts = ["a car", "a tree"]
    told = post(client, "/v1/embed", image=in_base64(picture), texts=texts)
    rows = served_predictor.embed_images(picture)
    np.testing.assert_allclose(told["decoder"], rows.decoder[0], atol=1e-6)
    expected = rows.similarity(served_predictor.embed_texts(texts))[0]
    np.testing.assert_allclose([row["similarity"] for row in told["texts"]], expected, atol=1e-6)
    box = (10.0, 5.0, 60.0, 70.0)
    told = post(client, "/v1/embed", image=in_base64(picture), region=list(box))
    np.testing.assert_allclose(told["decoder"], served_predictor.embed_region(picture, box)[0], atol=1e-6)


def test_search_finds_by_words_by_the_image_and_by_a_region_and_tells_no_paths(
    client: TestClient, picture: bytes, pictures: Path, index: Index
) -> None:
    by_words = post(client, "/v1/search", query="a car", k=2)
    assert [hit["name"] for hit in by_words["hits"]] == [
        Path(hit.path).name for hit in index.find_images("a car", k=2).hits
    ]
    assert str(pictures) not in json.dumps(by_words)
    by_image = post(client, "/v1/search", image=in_base64(picture), k=1)
    assert by_image["hits"][0]["name"] == "0.png"
    box = [10.0, 5.0, 60.0, 70.0]
    by_region = post(client, "/v1/search", image=in_base64(picture), region=box, kind="regions", k=1)
    assert decode_rle(by_region["hits"][0]["region"]["segmentation"]).shape == (80, 96)
    shown = client.get(f"/v1/hits/{by_image['hits'][0]['hit']}", params={"side": 48})
    assert Image.open(io.BytesIO(shown.content)).size == (48, 40)
    assert client.get("/v1/hits/unknown").status_code == 404


def test_edit_changes_the_region_alone(client: TestClient, picture: bytes) -> None:
    box = [10, 5, 60, 70]
    body = {"image": in_base64(picture), "region": box, "change": "blur", "radius": 3.0, "feather": 2}
    shown = client.post("/v1/edit", json=body, headers={"accept": "image/png"})
    mask = np.zeros((80, 96), np.bool_)
    mask[5:70, 10:60] = True
    expected = edit(picture, mask, Blur(radius=3.0), feather=2)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown.content))), expected)
    told = post(client, "/v1/edit", **body)
    assert np.array_equal(decode_rle(told["region"]["segmentation"]), mask)
    assert base64.b64decode(told["png"]) == shown.content
    for wrong, message in (
        ({"change": "recolor"}, "say which color"),
        ({"change": "remove", "color": "teal"}, "color says nothing to the change remove"),
        ({"change": "blur", "radius": -1.0}, "radius must be over 0"),
        ({"change": "melt"}, "change: Input should be 'remove', 'recolor' or 'blur'"),
    ):
        answer = client.post("/v1/edit", json={"image": in_base64(picture), "region": box, **wrong})
        assert (answer.status_code, message in answer.json()["detail"]) == (422, True), answer.text


# Formats


def test_masks_come_as_pictures_where_asked(client: TestClient, picture: bytes) -> None:
    body = {"image": in_base64(picture), "vocabulary": WORDS}
    plain = client.post("/v1/segment", json=body).json()["segments"]
    shown = client.post("/v1/segment?masks=png", json=body).json()["segments"]
    assert plain
    for row, other in zip(plain, shown, strict=True):
        drawn = Image.open(io.BytesIO(base64.b64decode(other["segmentation"]["png"])))
        assert np.array_equal(np.asarray(drawn) > 0, decode_rle(row["segmentation"]))


def test_coco_s_format_is_coco_s(client: TestClient, served_predictor: Predictor, picture: bytes) -> None:
    body = {"image": in_base64(picture), "vocabulary": WORDS}
    expected = served_predictor.segment(picture, WORDS)
    assert isinstance(expected, PanopticSegmentation)
    told = client.post("/v1/segment?format=coco", json=body).json()
    row, coded = expected.to_coco(image_id="image")
    drawn = told["annotations"][0].pop("png")
    assert told["annotations"] == [json.loads(json.dumps(row))]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(drawn)))), coded)
    assert [category["name"] for category in told["categories"]] == WORDS
    told = client.post("/v1/segment?format=coco", json={**body, "task": "instance"}).json()
    rows: Any = served_predictor.segment(picture, WORDS, task="instance").to_coco(image_id="image")
    assert [{k: v for k, v in a.items() if k != "id"} for a in told["annotations"]] == rows
    told = client.post("/v1/caption?format=coco", json={"image": in_base64(picture)}).json()
    assert told == [{"image_id": "image", "caption": served_predictor.caption(picture).text}]


def test_roboflow_s_boxes_are_given_by_their_centers(
    client: TestClient, served_predictor: Predictor, picture: bytes
) -> None:
    told = client.post(
        "/v1/segment?format=roboflow",
        content=in_base64(picture),
        headers={"content-type": "application/x-www-form-urlencoded"},
    ).json()
    assert told["image"] == {"width": 96, "height": 80}
    parts = {part.label: part for part in served_predictor.segment(picture).regions()}
    assert told["predictions"]
    for row in told["predictions"]:
        left, top, right, bottom = mask_box(parts[row["class"]].mask)
        if len([r for r in told["predictions"] if r["class"] == row["class"]]) == 1:
            assert (row["x"], row["y"]) == ((left + right) / 2, (top + bottom) / 2)
            assert (row["width"], row["height"]) == (right - left, bottom - top)
        assert all(0 <= p["x"] <= 96 and 0 <= p["y"] <= 80 for p in row["points"])


def test_yolo_s_lines_cover_what_the_masks_do(
    client: TestClient, served_predictor: Predictor, picture: bytes
) -> None:
    told = client.post("/v1/segment?format=yolo", json={"image": in_base64(picture), "vocabulary": WORDS})
    parts = list(served_predictor.segment(picture, WORDS).regions())
    assert told.json()["names"] == WORDS
    assert told.json()["lines"]
    for line, part in zip(told.json()["lines"], parts, strict=True):
        category, *values = line.split()
        assert int(category) == part.category
        polygon = tuple(from_shares([float(v) for v in values], (80, 96)))
        filled = decode_rle(segmentation_rle((polygon,), 80, 96))
        assert filled[part.mask].all()
        assert told.json()["notes"] or np.array_equal(filled, part.mask)


def test_label_studio_s_task_holds_the_masks_and_its_interface_the_labels(
    client: TestClient, served_predictor: Predictor, picture: bytes
) -> None:
    body = {"image": in_base64(picture), "phrases": ["the red car", "a <tree>"]}
    told = client.post("/v1/refer?format=labelstudio", json=body).json()
    (task,) = told["tasks"]
    found = served_predictor.refer(picture, ["the red car", "a <tree>"])
    drawn = {r["value"]["brushlabels"][0]: r for r in task["predictions"][0]["result"]}
    for phrase, mask in zip(found.phrases, found.masks, strict=True):
        if mask.any():
            assert np.array_equal(decode_brush(drawn[phrase]["value"]["rle"], (80, 96)), mask)
    assert parse_interface(told["label_config"]).labels == ("the red car", "a <tree>")


@pytest.mark.parametrize("form", ["roboflow", "yolo", "labelstudio"])
def test_a_format_without_a_shape_for_a_result_is_refused(
    form: str, client: TestClient, picture: bytes
) -> None:
    answer = client.post(f"/v1/caption?format={form}", json={"image": in_base64(picture)})
    assert answer.status_code == 422
    assert f"{form} has no shape" in answer.json()["detail"]
    assert client.post("/v1/caption?format=xml", json={"image": in_base64(picture)}).status_code == 422


# Bodies


@pytest.mark.parametrize(
    ("verb", "body", "message"),
    [
        ("segment", {"vocabulary": ["car"], "task": "panoptics"}, "task: Input should be 'panoptic'"),
        ("segment", {"score_threshold": 0.5}, "score_threshold says nothing to the task panoptic"),
        ("segment", {"object_threshold": 7}, "object_threshold must be a number from 0 to 1"),
        ("segment", {"object_threshold": True}, "object_threshold: Input should be a valid number"),
        ("segment", {"vocabulary": []}, "the vocabulary is empty"),
        ("segment", {"vocabulary": [f"c{i}" for i in range(257)]}, "vocabulary"),
        ("segment", {"vocabularies": "coco"}, "vocabularies: Extra inputs are not permitted"),
        ("segment", {"short_side": 4000}, "short_side must be at most 128 on this server"),
        ("refer", {"phrases": []}, "no phrases given"),
        ("refer", {}, "phrases: Field required"),
        ("caption", {"region": [0, 0, 500, 4]}, "within the image of 96 x 80"),
        ("caption", {"region": {"size": [80, 96], "counts": "!"}}, "damaged run lengths"),
        ("caption", {"beams": 17}, "beams must be at most 16"),
        ("answer", {"questions": [" "]}, "an empty question"),
        ("search", {}, "no image"),
        ("search", {"query": "car", "where": "DROP TABLE"}, ""),
        ("search", {"query": "car", "k": 0}, "k must be a whole number of at least 1, got 0"),
    ],
)
def test_what_cannot_be_asked_is_told(
    client: TestClient, picture: bytes, verb: str, body: dict[str, Any], message: str
) -> None:
    image = {} if verb == "search" else {"image": in_base64(picture)}
    answer = client.post(f"/v1/{verb}", json={**image, **body})
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["detail"]


def test_a_vocabulary_is_never_a_file(client: TestClient, picture: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("zebra\n")
    told = post(client, "/v1/segment", image=in_base64(picture), vocabulary=str(secret))
    assert told["vocabulary"] == [str(secret)]


def test_an_image_is_neither_a_path_nor_an_address(client: TestClient, pictures: Path) -> None:
    for image in (str(pictures / "0.png"), "http://localhost/a.png", "file:///etc/passwd"):
        answer = client.post("/v1/caption", json={"image": image})
        assert answer.status_code == 422
        assert "paths and web addresses are not read" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 422),
        (b"{", "application/json", 422),
        (b"[1]", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"image": "\\ud800"}', "application/json", 422),
        (b"not an image", "image/png", 422),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/png", 422),
        (b"", "image/png", 422),
        (b"x", "text/plain", 415),
        (b"x", "", 422),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=a", 400),
        (b"--a\r\n\r\n\r\n--a--", "multipart/form-data; boundary=a", 400),
    ],
)
@pytest.mark.parametrize("path", ["/v1/images", "/v1/segment", "/v1/answer?format=hf"])
def test_malformed_bodies_are_refused(
    client: TestClient, path: str, content: bytes, kind: str, status: int
) -> None:
    answer = client.post(path, content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)


def test_too_many_bytes_or_pixels_are_refused_before_they_are_decoded(client: TestClient) -> None:
    kind = {"content-type": "image/png"}
    assert client.post("/v1/images", content=bytes(300_001), headers=kind).status_code == 413
    chunks = (bytes(1000) for _ in range(301))
    assert client.post("/v1/images", content=chunks, headers=kind).status_code == 413
    answer = client.post("/v1/segment", content=plain_png(400, 300), headers=kind)
    assert answer.status_code == 422
    assert "300 x 400 = 120,000 pixels, over the limit of 100,000" in answer.json()["detail"]


# Facts


def test_the_model_its_health_and_its_numbers_are_told(client: TestClient, picture: bytes) -> None:
    post(client, "/v1/caption", image=in_base64(picture))
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 200
    (model,) = client.get("/v1/models").json()["models"]
    assert model["id"] == "tiny"
    assert set(model["verbs"]) == {"segment", "refer", "caption", "answer", "embed", "search", "edit"}
    assert "does not read photographs" in model["note"]
    text = client.get("/metrics").text
    for name in (
        'xdecoder_requests_total{status="200",verb="caption"}',
        "xdecoder_request_seconds_bucket",
        "xdecoder_batch_size_bucket",
        "xdecoder_queue 0.0",
        "xdecoder_cache_hits_total",
        "xdecoder_cache_bytes",
        "process_resident_memory_bytes",
    ):
        assert name in text


def test_every_answer_is_described_errors_too(client: TestClient) -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}
    answers = {
        ("get", "/metrics"): client.get("/metrics"),
        ("delete", "/v1/images/{image_id}"): client.delete("/v1/images/none"),
        ("get", "/v1/hits/{hit_id}"): client.get("/v1/hits/none"),
        ("get", "/v1/samples/{seed}"): client.get("/v1/samples/10000"),
        ("get", "/v1/colors"): client.get("/v1/colors"),
        ("post", "/predict"): client.post("/predict"),
        ("post", "/v1/images"): client.post("/v1/images"),
        ("post", "/v1/segment"): client.post("/v1/segment", json={}),
        ("post", "/v1/refer"): client.post("/v1/refer", json={"image_id": "none", "phrases": ["dog"]}),
        ("post", "/v1/caption"): client.post("/v1/caption", content=b"--x\r\nNone--x--\r\n", headers=form),
        ("post", "/v1/answer"): client.post("/v1/answer", content=b"", headers={"content-type": "text/css"}),
    }
    assert {answer.status_code for answer in answers.values()} == {200, 400, 404, 415, 422}
    document = client.get("/openapi.json").json()
    for (method, path), answer in answers.items():
        told = document["paths"][path][method]["responses"][str(answer.status_code)]
        assert answer.headers["content-type"].partition(";")[0] in {
            kind.partition(";")[0] for kind in told["content"]
        }
        if answer.status_code >= 400:
            schema = told["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert document["components"]["schemas"][schema]["required"] == list(answer.json()) == ["detail"]


def test_the_api_is_described_by_a_page_that_fetches_nothing(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["schemas"]["SegmentBody"]["properties"]["task"]["default"] == "panoptic"
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= document["components"]["schemas"].keys()
    page = client.get("/docs")
    assert "POST /v1/segment" in page.text
    assert "object_threshold" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "<script" not in page.text
    assert "default-src 'none'; style-src 'sha256-" in page.headers["content-security-policy"]
