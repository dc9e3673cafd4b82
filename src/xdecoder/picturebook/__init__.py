"""The picture-book world: drawn scenes that know their segments, captions, phrases, questions and answers."""

from xdecoder.picturebook.captions import STYLES, Style, caption, captions, description, region_caption
from xdecoder.picturebook.classes import VOCABULARY
from xdecoder.picturebook.composition import draw_patch, draw_scene
from xdecoder.picturebook.export import SceneExportReport, export
from xdecoder.picturebook.nouns import WORDS, Noun, words_rng
from xdecoder.picturebook.questions import (
    QUESTION_KINDS,
    QUESTION_SHARES,
    QuestionKind,
    SceneQuestion,
    ask,
    questions,
)
from xdecoder.picturebook.referring import Phrase, PhraseSpec, parse_phrase, phrases, resolve, thing_phrases
from xdecoder.picturebook.relations import Relation, relations
from xdecoder.picturebook.scene import Occlusion, Scene, SceneSegment
from xdecoder.picturebook.sheet import contact_sheet
from xdecoder.picturebook.statements import (
    Plays,
    Statement,
    detail,
    holds_true,
    is_true,
    is_true_of,
    statements,
)
from xdecoder.picturebook.styles import draw_flat, draw_in_ink
from xdecoder.picturebook.vocabulary import (
    ANSWERS,
    COLORS,
    HELD_OUT_PAIRS,
    SETTINGS,
    STUFF_CATEGORIES,
    SYNONYMS,
    THING_CATEGORIES,
    TIMES,
    Setting,
    Size,
    Split,
    Time,
    names,
    plural,
)

__all__ = [
    "ANSWERS",
    "COLORS",
    "HELD_OUT_PAIRS",
    "QUESTION_KINDS",
    "QUESTION_SHARES",
    "SETTINGS",
    "STUFF_CATEGORIES",
    "STYLES",
    "SYNONYMS",
    "THING_CATEGORIES",
    "TIMES",
    "VOCABULARY",
    "WORDS",
    "Noun",
    "Occlusion",
    "Phrase",
    "PhraseSpec",
    "Plays",
    "QuestionKind",
    "Relation",
    "Scene",
    "SceneExportReport",
    "SceneQuestion",
    "SceneSegment",
    "Setting",
    "Size",
    "Split",
    "Statement",
    "Style",
    "Time",
    "ask",
    "caption",
    "captions",
    "contact_sheet",
    "description",
    "detail",
    "draw_flat",
    "draw_in_ink",
    "draw_patch",
    "draw_scene",
    "export",
    "holds_true",
    "is_true",
    "is_true_of",
    "names",
    "parse_phrase",
    "phrases",
    "plural",
    "questions",
    "region_caption",
    "relations",
    "resolve",
    "statements",
    "thing_phrases",
    "words_rng",
]
