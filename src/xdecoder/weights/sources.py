"""What users call a model, to the folder that holds it."""

from __future__ import annotations

import re
from pathlib import Path

from xdecoder.weights import hub
from xdecoder.weights.conversion import pull
from xdecoder.weights.default import BUNDLED_MODELS
from xdecoder.weights.folder import holds_model
from xdecoder.weights.published_models import PUBLISHED

_LONGEST = 200  # characters of a name
_ASSETS = Path(__file__).parents[1] / "assets"


def find_local(source: str) -> Path:
    """As `resolve_model`, of a model that is on this machine: nothing is downloaded.

    Raises:
        FileNotFoundError: it is not here, or there is no such model.
        ValueError: the source is a file.
    """
    by_name = source in PUBLISHED or re.fullmatch(hub.REPOSITORY_NAME, source[:_LONGEST])
    if not by_name or Path(source).exists():
        return resolve_model(source)
    if source in PUBLISHED:
        folder, bring = hub.cache_folder() / source, f"run `xdecoder weights pull {source}`"
    else:
        folder, bring = hub.cached_repository(source), "it comes when it is first used"
    if folder is None or not holds_model(folder):
        raise FileNotFoundError(f"{source} is not in the cache: {bring}")
    return folder


def resolve_model(source: str | Path) -> Path:
    """The folder of a model, downloaded and converted if need be.

    Args:
        source: a model folder; "picturebook" or "picturebook-lite", the small models that come with the
            package; the name of a published model (`xdecoder weights list`); or a Hugging Face repository
            that holds a model folder ("owner/name").

    Raises:
        FileNotFoundError: there is no such folder or model, or it could not be downloaded.
        ValueError: the source is a file, or what was downloaded is damaged.
    """
    name = str(source)
    try:
        path = Path(name).expanduser()
        is_folder, is_file = bool(name) and path.is_dir(), path.is_file()
    except (OSError, RuntimeError):  # a name too long for a file, or ~ of somebody who is not there
        path, is_folder, is_file = Path(), False, False
    if is_folder:
        return path
    if is_file:
        raise ValueError(
            f"{path} is a file, a model is a folder: turn a published checkpoint into one with "
            f"`xdecoder weights convert {path} FOLDER`"
        )
    if name in BUNDLED_MODELS:
        folder = _ASSETS / name
        if not folder.is_dir():
            raise FileNotFoundError(
                f"this installation does not contain the model {name} (expected at {folder}): "
                "reinstall the package, or name another model"
            )
        return folder
    if name in PUBLISHED:
        return pull(name)
    if isinstance(source, str) and re.fullmatch(hub.REPOSITORY_NAME, name):
        return hub.download_repository(name)
    raise FileNotFoundError(
        f"no model {name[:200]!r}: expected a folder, a Hugging Face repository (owner/name), or one of "
        f"{', '.join([*BUNDLED_MODELS, *PUBLISHED])}"
    )
