"""What docs/serving.md says can be asked can be asked."""

import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from xdecoder.predictor.predictor import Predictor
from xdecoder.server.app import create_app

PAGE = (Path(__file__).parents[1] / "docs/serving.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def address(served_predictor: Predictor) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(served_predictor), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(autouse=True)
def _photo(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.open(pictures / "0.png").save("photo.jpg")


def test_the_page_s_python_runs(address: str) -> None:
    namespace: dict[str, Any] = {}
    found = blocks("python")
    assert len(found) == 2
    for block in found:
        code = block.replace("http://localhost:8000", address)
        exec(compile(code, "serving.md", "exec"), namespace)
    assert namespace["grounded"]["groundings"][0]["phrase"] == "the red car"
    assert {"text", "score"} <= namespace["caption"].keys()
    assert len(namespace["texts"]["texts"]) == 2


def test_the_page_s_curl_commands_run(address: str) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]
    assert len(lines) == 3
    for line in lines:
        command = shlex.split(line.replace("http://localhost:8000", address))
        done = subprocess.run([*command, "--fail-with-body"], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith(b"\x89PNG" if "image/png" in line else b'{"kind":')
