from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builders import save_tiny_model
from xdecoder.model import XDecoder
from xdecoder.predictor.loading import load
from xdecoder.predictor.predictor import Predictor
from xdecoder.tokenizer import build_word_tokenizer
from xdecoder.weights.digest import digest_model, digest_text_encoder
from xdecoder.weights.folder import build_model, load_model


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(save_tiny_model(tmp_path_factory.mktemp("digest") / "tiny", answers=["yes", "no"]))


def changed(predictor: Predictor, name: str) -> XDecoder:
    model = build_model(predictor.config)
    state = {key: tensor.clone() for key, tensor in predictor.model.state_dict().items()}
    state[name].view(-1)[-1] += 1
    model.load_state_dict(state, assign=True)
    return model


def test_a_digest_is_that_of_the_model_wherever_it_lies(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "copy")
    assert load(tmp_path / "copy").digest() == predictor.digest()
    assert len(predictor.digest()) == 32


def test_a_digest_does_not_depend_on_the_kind_of_numbers_that_lost_nothing(
    predictor: Predictor, tmp_path: Path
) -> None:
    predictor.save(tmp_path / "copy")
    half = Predictor(*load_model(tmp_path / "copy", dtype=torch.float16))
    half.save(tmp_path / "half")
    digests = {load(tmp_path / "half", dtype=dtype).digest() for dtype in (torch.float16, torch.float32)}
    assert digests == {half.digest()}
    assert half.digest() != predictor.digest()  # digits were lost


@pytest.mark.parametrize(
    "name", ["backbone_projection", "decoder.query_features", "text_encoder.projection", "logit_scale"]
)
def test_one_number_makes_another_digest(name: str, predictor: Predictor) -> None:
    model = changed(predictor, name)
    own = predictor.tokenizer
    assert digest_model(model, own, predictor.answer_head) != predictor.digest()
    same = digest_text_encoder(model, own) == digest_text_encoder(predictor.model, own)
    assert same == (not name.startswith("text_encoder"))


def test_settings_answers_and_tokens_make_another_digest(predictor: Predictor) -> None:
    settings = replace(predictor.config, inference=replace(predictor.config.inference, object_threshold=0.5))
    other = build_model(settings)
    other.load_state_dict(predictor.model.state_dict(), assign=True)
    digests = {
        digest_model(predictor.model, predictor.tokenizer, predictor.answer_head),
        digest_model(other, predictor.tokenizer, predictor.answer_head),
        digest_model(predictor.model, predictor.tokenizer),
        digest_model(predictor.model, build_word_tokenizer(["a b"]), predictor.answer_head),
    }
    assert len(digests) == 4
