"""What a caption of a drawn scene is worth: nothing unless all of it is true, then more the more it says."""

from __future__ import annotations

from typing import Final

from xdecoder.picturebook import Mention, Noun, Plays, Related, Scene, is_true, statements

_TRUTH: Final = 0.7
_THINGS: Final = 3


def caption_reward(caption: str, scene: Scene) -> float:
    """From 0 to 1: 0 where a statement is false or the text no caption of this world.

    A true one is worth 0.7; the rest is for naming three things (or all, where there are fewer), each half
    for its category and half for its colour, and where the scene plays. So a model gains by one thing more
    only where it is about nine tenths sure of it.

    Args:
        caption: any text.
        scene: what it is about.
    """
    found = statements(caption)
    if found is None or not is_true(caption, scene):
        return 0.0
    named = 0.0
    for statement in found:
        match statement:
            case Mention(noun=noun, count=count):
                named += (count or 1) * _detail(noun)
            case Related(subject=subject, other=other):
                named += _detail(subject) + _detail(other)
            case _:
                pass
    wanted = min(_THINGS, len(scene.things))
    plays = any(isinstance(statement, Plays) for statement in found)
    return _TRUTH + (1 - _TRUTH) * (min(named, wanted) + plays) / (wanted + 1)


def _detail(noun: Noun) -> float:
    return ((noun.category is not None) + (noun.colour is not None)) / 2
