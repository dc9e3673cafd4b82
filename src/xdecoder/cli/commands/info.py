"""`xdecoder info`: what is installed, and what it can run on."""

from __future__ import annotations

import json
import os
import platform
import re
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from xdecoder.cli.options import JsonFacts

EPILOG = "xdecoder info\n\nxdecoder info --json"


def info(as_json: JsonFacts = False) -> None:
    """Show versions, devices, the cache, installed extras and the default model."""
    facts = {**_software(), **_hardware(), "extras": _extras(), "model": _model()}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in _rows(facts):
        table.add_row(name, escape(value))
    Console().print(table)


def _software() -> dict[str, Any]:
    from xdecoder.weights import hub

    packages = ("torch", "numpy", "pillow", "safetensors", "tokenizers", "huggingface-hub")
    return {
        "xdecoder": _version("xdecoder"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in packages},
        "cache": str(hub.cache_folder()),
    }


def _hardware() -> dict[str, Any]:
    import torch

    devices: list[dict[str, Any]] = [
        {
            "name": "cpu",
            "model": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
            "threads": torch.get_num_threads(),
            "fast_bfloat16": _cpu_has_bfloat16(),
        }
    ]
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        devices.append(
            {
                "name": f"cuda:{i}",
                "model": properties.name,
                "gigabytes": round(properties.total_memory / 1e9, 1),
                "fast_bfloat16": properties.major >= 8,
            }
        )
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "model": "Apple GPU", "fast_bfloat16": True})
    return {"cores": os.cpu_count(), "devices": devices}


def _cpu_has_bfloat16() -> bool:
    import torch

    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a torch without oneDNN
        return False


def _extras() -> dict[str, list[str]]:
    """The packages that each extra lacks; none: it is installed."""
    from importlib.metadata import requires

    lacking: dict[str, list[str]] = {}
    for requirement in requires("xdecoder") or ():
        match = re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]", requirement)
        if match and match[1] != "xdecoder" and match[2] != "dev":
            missing = lacking.setdefault(match[2], [])
            missing += [match[1]] if _version(match[1]) is None else []
    return lacking


def _model() -> dict[str, Any]:
    from xdecoder.weights.default import default_weights
    from xdecoder.weights.inspection import inspect
    from xdecoder.weights.sources import find_local

    default = default_weights()
    named = {"name": default.name, "chosen_in": default.chosen_in}
    try:
        found = inspect(find_local(default.name))
    except (ValueError, FileNotFoundError) as error:
        return {**named, "problem": str(error)}
    settings = found.config.inference
    return {
        **named,
        "folder": str(found.folder),
        "parameters": sum(found.parameters.values()),
        "bytes": found.bytes,
        "dtypes": list(found.dtypes),
        "backbone": found.config.backbone.kind,
        "queries": found.config.decoder.queries,
        "short_side": settings.short_side,
        "answers": len(found.answers),
    }


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    model, packages = facts["model"], facts["packages"]
    rows = [
        ("xdecoder", f"{facts['xdecoder']}, Python {facts['python']}, {facts['platform']}"),
        ("packages", ", ".join(f"{name} {number}" for name, number in packages.items())),
    ]
    for device in facts["devices"]:
        words = [device["model"]]
        words += [f"{device['threads']} threads of {facts['cores']} cores"] if "threads" in device else []
        words += [f"{device['gigabytes']} GB"] if "gigabytes" in device else []
        words += ["fast bfloat16" if device["fast_bfloat16"] else "no fast bfloat16"]
        rows.append((device["name"], ", ".join(words)))
    rows.append(("cache", facts["cache"]))
    for name, missing in facts["extras"].items():
        lacks = f'lacks {", ".join(missing)}: pip install "xdecoder[{name}]"'
        rows.append((f"extra {name}", lacks if missing else "installed"))
    chosen = f"chosen in {model['chosen_in']}" if model["chosen_in"] else "comes with the package"
    rows.append(("default model", f"{model['name']}, {chosen} (xdecoder weights default)"))
    if "problem" in model:
        rows.append((f"model {model['name']}", model["problem"]))
    else:
        size = f"{model['parameters'] / 1e6:.1f} million parameters, {', '.join(model['dtypes'])}"
        form = f"{model['backbone']}, {model['queries']} queries, short side {model['short_side']}"
        form += f", {model['answers']} answers" if model["answers"] else ""
        rows.append(
            (f"model {model['name']}", f"{size}, {form}; more: xdecoder weights info {model['name']}")
        )
    return rows


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
