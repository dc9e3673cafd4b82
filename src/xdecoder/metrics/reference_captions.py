"""METEOR and SPICE by their reference programs, which need Java and the extra `captions` (pycocoevalcap).

METEOR (Denkowski and Lavie, WMT 2014) and SPICE (Anderson et al., ECCV 2016) are defined by their programs,
with word lists and a parser inside; pycocoevalcap has METEOR's with it and downloads SPICE's parser at its
first use. What cannot run here is left out.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import warnings
from collections.abc import Sequence
from typing import Any

from xdecoder.metrics.captions import TokenizedCaptions

_PROGRAMS = {
    "METEOR": ("pycocoevalcap.meteor.meteor", "Meteor"),
    "SPICE": ("pycocoevalcap.spice.spice", "Spice"),
}


def has_reference_programs() -> bool:
    """Whether Java and pycocoevalcap are there."""
    return shutil.which("java") is not None and importlib.util.find_spec("pycocoevalcap") is not None


def reference_scores(corpus: Sequence[TokenizedCaptions]) -> dict[str, float]:
    """METEOR and SPICE of a corpus, in 0..1, of those programs that run here.

    Args:
        corpus: of each image the tokens of the candidate and of the references.
    """
    scores: dict[str, float] = {}
    if not has_reference_programs():
        return scores
    references = {n: [" ".join(tokens) for tokens in image.references] for n, image in enumerate(corpus)}
    candidates = {n: [" ".join(image.candidate)] for n, image in enumerate(corpus)}
    for name, (module, program) in _PROGRAMS.items():
        try:
            scorer: Any = getattr(importlib.import_module(module), program)()
            scores[name] = float(scorer.compute_score(references, candidates)[0])
        except Exception as error:  # whatever a program of another language, or its download, dies of
            warnings.warn(f"no {name}: its reference program failed ({error})", stacklevel=2)
    return scores
