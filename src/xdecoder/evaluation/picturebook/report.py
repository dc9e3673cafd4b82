"""What a model reaches in the drawn world, beside what it should, as Markdown and JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from xdecoder.evaluation.picturebook.scores import PictureBookScores
from xdecoder.jobs.files import write_whole

COLUMNS: dict[str, str] = {
    "pq": "PQ",
    "pq_things": "things",
    "pq_stuff": "stuff",
    "miou": "mIoU",
    "referring": "referring mean IoU",
    "captions": "captions true",
    "caption_detail": "three things named",
    "region_captions": "region captions true",
    "retrieval": "R@1",
    "answers": "answers",
}
"""The scores that the table shows, and what it calls them."""

AIMS: dict[str, float] = {
    "pq": 0.85,
    "pq_things": 0.80,
    "miou": 0.90,
    "referring": 0.85,
    "captions": 0.95,
    "retrieval": 0.80,
    "answers": 0.95,
}
"""What the bundled model is trained for, on 1,000 scenes; with unseen pairs, PQ within 0.05 of that."""


@final
@dataclass(frozen=True, kw_only=True)
class PictureBookReport:
    """One model's outcome.

    Attributes:
        weights: the model, as the user called it.
        digest: of its weights.
        scenes: how many of each kind.
        size: side of the pictures in pixels.
        seen: on held-out scenes.
        unseen: on scenes with (color, category) pairs that no training scene shows.
        seconds: that it took.
    """

    weights: str
    digest: str
    scenes: int
    size: int
    seen: PictureBookScores
    unseen: PictureBookScores
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; `scenes` and `scores` are what a model folder's scores.json has."""
        return {
            "weights": self.weights,
            "weights_digest": self.digest,
            "scenes": self.scenes,
            "size": self.size,
            "scores": self.seen.to_dict(),
            "unseen_pairs": self.unseen.to_dict(),
            "aims": AIMS,
            "seconds": round(self.seconds, 1),
        }

    def to_markdown(self) -> str:
        """The table, and how it was made."""
        rows = {
            f"{self.scenes:,} held-out": self.seen.to_dict(),
            f"{self.scenes:,} with unseen (color, category) pairs": self.unseen.to_dict(),
            "aim": AIMS,
        }
        lines = [
            f"# The drawn world, read by {self.weights}",
            "",
            f"| scenes | {' | '.join(COLUMNS.values())} |",
            f"|---|{'---:|' * len(COLUMNS)}",
            *(f"| {name} | {' | '.join(_cells(scores))} |" for name, scores in rows.items()),
            "",
            f"In percent, on drawn pictures of {self.size} pixels that no training shows. Captions true: of"
            " which every statement holds; region captions are of one thing, by its mask. R@1: captions'"
            " scenes and scenes' captions found first among all of a row, where scenes of one description are"
            " one. Answers: up to four questions a scene.",
            "",
            f"Weights: {self.weights} ({self.digest[:12]}).",
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> Path:
        """Write `report.md` and `report.json`; the first one's path."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "report.json", (json.dumps(self.to_dict(), indent=1) + "\n").encode())
        write_whole(folder / "report.md", self.to_markdown().encode())
        return folder / "report.md"


def _cells(scores: dict[str, float]) -> list[str]:
    return [f"{100 * scores[name]:.1f}" if name in scores else "–" for name in COLUMNS]
