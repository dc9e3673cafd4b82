"""The container's files say what the server understands."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from xdecoder.cli.app import app
from xdecoder.server.guard import OPEN_PATHS

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def lines(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} (.*)$", DOCKERFILE, flags=re.MULTILINE)


def listed(instruction: str) -> list[str]:
    (line,) = lines(instruction)
    return yaml.safe_load(line)


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in lines("COPY"):
        if line.startswith("--from"):
            continue
        for name in shlex.split(line)[:-1]:
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored


def test_the_server_runs_as_nobody_special_and_its_health_is_asked_without_a_token() -> None:
    assert lines("USER") == ["1000:1000"]
    (check,) = lines("HEALTHCHECK")
    (address,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", check)
    assert address[1] in OPEN_PATHS
    assert lines("EXPOSE") == [address[0]] == ["8000"]


def test_the_commands_are_the_command_line_s(compose: Any) -> None:
    _, *entry = listed("ENTRYPOINT")
    services = compose["services"]
    for command in (
        [*entry, *listed("CMD")],
        [*entry, *services["server"]["command"]],
        [*services["index"]["entrypoint"][1:], *services["index"]["command"]],
    ):
        name, *options = command
        get_command(app).commands[name].make_context(name, options)  # raises for an unknown option


def test_what_one_service_writes_the_other_reads(compose: Any) -> None:
    index, server = (compose["services"][name] for name in ("index", "server"))
    assert set(index["volumes"]) == set(server["volumes"])
    assert index["command"][-1] == server["command"][-1]
    assert set(compose["volumes"]) == {"index", "cache"}
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
