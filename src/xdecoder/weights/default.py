"""Which model is meant where none is named: the user's own default, or the bundled one."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from xdecoder.jobs.files import write_whole
from xdecoder.weights import hub
from xdecoder.weights.documents import read_json, shown
from xdecoder.weights.published_models import PUBLISHED

BUNDLED = "picturebook"
BUNDLED_LITE = "picturebook-lite"
"""The bundled model with a backbone that has seen photographs: a start for training on one's own."""

BUNDLED_MODELS = (BUNDLED, BUNDLED_LITE)
"""The models that come with the package, by name."""

VARIABLE = "XDECODER_WEIGHTS"

BUNDLED_IS_FOR_DRAWN_SCENES = (
    f"no model was named: this is {BUNDLED}, which comes with the package and knows drawn scenes only, no "
    "photographs. For photographs take published weights: `--weights xdecoder_focalt_last`, or "
    "`xdecoder weights default xdecoder_focalt_last` for good. Naming the model ends this warning"
)

_KEY = "weights"
_MOST = 100_000


@dataclass(frozen=True, kw_only=True)
class DefaultWeights:
    """The model that is meant where none is named.

    Attributes:
        name: as `xdecoder.load` takes it.
        chosen_in: where the user chose it: `VARIABLE` or the configuration file; None if nowhere.
    """

    name: str
    chosen_in: str | None


def config_file() -> Path:
    """The user's configuration: `xdecoder/config.json` in `$XDG_CONFIG_HOME`, or in ~/.config."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "xdecoder" / "config.json"


def default_weights() -> DefaultWeights:
    """`$XDECODER_WEIGHTS`, else what the configuration file says, else the bundled model.

    Raises:
        ValueError: the configuration file is damaged.
    """
    if told := os.environ.get(VARIABLE):
        return DefaultWeights(name=told, chosen_in=VARIABLE)
    stored = _read_config().get(_KEY)
    if stored is None:
        return DefaultWeights(name=BUNDLED, chosen_in=None)
    if not isinstance(stored, str) or not stored:
        raise ValueError(
            f"{config_file()}: {_KEY} must be the name or folder of a model, got {shown(stored)}"
        )
    return DefaultWeights(name=stored, chosen_in=str(config_file()))


def set_default_weights(name: str | None) -> DefaultWeights:
    """Write the user's default into the configuration file; None takes it out again.

    Args:
        name: one of `BUNDLED_MODELS`, a published name, a model folder (kept as an absolute path) or a
            repository.

    Returns:
        What is in force now: `VARIABLE` goes before the file.

    Raises:
        FileNotFoundError: the name is none of these.
        ValueError: the configuration file is damaged.
    """
    config = _read_config()
    if name is None:
        config.pop(_KEY, None)
    elif name and Path(name).expanduser().is_dir():
        folder = Path(name).expanduser().absolute()
        if not (folder / hub.FOLDER_FILES[0]).is_file():
            raise FileNotFoundError(f"{folder} is not a model folder: it has no {hub.FOLDER_FILES[0]}")
        config[_KEY] = str(folder)
    elif name in (*BUNDLED_MODELS, *PUBLISHED) or re.fullmatch(hub.REPOSITORY_NAME, name):
        config[_KEY] = name
    else:
        raise FileNotFoundError(
            f"no model {name[:200]!r}: expected a folder, a Hugging Face repository (owner/name), or one of "
            f"{', '.join([*BUNDLED_MODELS, *PUBLISHED])}"
        )
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(config, indent=2) + "\n").encode())
    return default_weights()


def _read_config() -> dict[str, object]:
    path = config_file()
    if not path.is_file():
        return {}
    data = read_json(path, most=_MOST)
    if not isinstance(data, dict):
        raise ValueError(f"{path} is damaged: expected an object of settings; delete it to begin anew")
    return cast("dict[str, object]", data)
