from pathlib import Path

import hypothesis
import pytest
import torch

from goldens import Golden, load_golden
from xdecoder.model import XDecoder
from xdecoder.tokenizer import Tokenizer
from xdecoder.weights import published
from xdecoder.weights.checkpoint_files import read_yaml
from xdecoder.weights.clip_merges import load_clip_tokenizer
from xdecoder.weights.folder import save_model
from xdecoder.weights.published_config import config_from_checkpoint

pytest_plugins = ["export_fixtures", "server_fixtures", "page_fixtures", "bulk_fixtures"]

# The same examples every time, and no limit on how long one takes: machines differ.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def golden_a() -> Golden:
    return load_golden("A")


@pytest.fixture(scope="session")
def golden_b() -> Golden:
    return load_golden("B")


@pytest.fixture(scope="session")
def golden_c() -> Golden:
    return load_golden("C")


@pytest.fixture(scope="session")
def golden_d() -> Golden:
    return load_golden("D")


@pytest.fixture(scope="session")
def goldens(golden_a: Golden, golden_b: Golden) -> dict[str, Golden]:
    return {"A": golden_a, "B": golden_b}


@pytest.fixture(scope="session", params=["A", "B"])
def golden(request: pytest.FixtureRequest, goldens: dict[str, Golden]) -> Golden:
    return goldens[request.param]


@pytest.fixture(scope="session")
def clip_tokenizer() -> Tokenizer:
    return load_clip_tokenizer()


@pytest.fixture(scope="session")
def folder(
    models: dict[str, XDecoder], clip_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Golden A's model, saved; not to be written to."""
    path = tmp_path_factory.mktemp("models") / "a"
    save_model(path, models["A"], clip_tokenizer)
    return path


def build(golden: Golden) -> XDecoder:
    """The golden's model, with its weights."""
    shapes = {key: tuple(tensor.shape) for key, tensor in golden.weights.items()}
    config = config_from_checkpoint(shapes, read_yaml(golden.config_path))
    model = XDecoder(config)
    model.load_state_dict(published.rename(golden.weights).state)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def models(goldens: dict[str, Golden]) -> dict[str, XDecoder]:
    return {name: build(golden) for name, golden in goldens.items()}


@pytest.fixture(scope="session")
def model(golden: Golden, models: dict[str, XDecoder]) -> XDecoder:
    return models[golden.name]


@pytest.fixture(autouse=True)
def _no_default_model(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """None that whoever runs the tests, or another test, has chosen."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.delenv("XDECODER_WEIGHTS", raising=False)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
