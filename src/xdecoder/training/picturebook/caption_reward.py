"""What a caption of a drawn scene is worth: nothing unless all of it is true, then more the more it says."""

from __future__ import annotations

from typing import Final

from xdecoder.picturebook import Plays, Scene, detail, is_true, statements

_TRUTH: Final = 0.4
_THINGS: Final = 3


def caption_reward(caption: str, scene: Scene) -> float:
    """From 0 to 1: 0 where a statement is false or the text no caption of this world.

    A true one is worth 0.4; the rest is for naming three things (or all, where there are fewer), each half
    for its category and half for its color, and where the scene plays. So a model gains by a third thing
    only where it is more than 85 % sure of it; a larger share for truth alone teaches it to name one thing.

    Args:
        caption: any text.
        scene: what it is about.
    """
    found = statements(caption)
    if found is None or not is_true(caption, scene):
        return 0.0
    wanted = min(_THINGS, len(scene.things))
    plays = any(isinstance(statement, Plays) for statement in found)
    return _TRUTH + (1 - _TRUTH) * (min(detail(found), wanted) + plays) / (wanted + 1)
