"""What clients may send: the verbs' own records of options, read from JSON, and the image beside them.

A body's fields are those of the records that Python and the command line check too; nothing of them is said
again here but what they cost a server that many share.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from xdecoder import editing
from xdecoder.bounds import require
from xdecoder.config import ModelConfig
from xdecoder.editing import Change, EditOptions
from xdecoder.predictor.options import (
    AnswerOptions,
    CaptionOptions,
    EncodeOptions,
    ReferOptions,
    SearchOptions,
    SegmentOptions,
)
from xdecoder.search.index import Index
from xdecoder.server.calls import (
    AnswerCall,
    Call,
    CaptionCall,
    EditCall,
    EmbedCall,
    EncodeCall,
    ReferCall,
    RunLengths,
    SearchCall,
    SegmentCall,
    SentPrompt,
)
from xdecoder.structures.masks import read_rle
from xdecoder.vocabularies import BUILT_IN, Vocabulary, parse_vocabulary

MOST_BEAMS = 16
MOST_HITS = 100
MOST_NAMES = 256
MOST_TEXTS = 64
"""What one request may ask for; built-in vocabularies may be longer."""

_LONGEST = 1000
_GROWN = 2  # times the model's own sides that an image may be brought to

_R = TypeVar("_R")


class Body(BaseModel):
    """JSON of known fields, each of its own type."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Mask(Body):
    """A mask in COCO's run lengths, compressed or not."""

    size: tuple[int, int]
    counts: str | list[int]


Text = Annotated[str, Field(max_length=_LONGEST)]
Texts = Annotated[list[Text], Field(max_length=MOST_TEXTS)]
Names = str | Annotated[list[str], Field(max_length=MOST_NAMES)]
RegionField = Text | tuple[float, float, float, float] | Mask


class ImageBody(Body):
    """An image, once: in base64 (`data:` addresses too), by its id, or as a file beside the options."""

    image: str | None = None
    image_id: str | None = None


def _fields_of(*records: type[Any]) -> dict[str, Any]:
    """The fields of records, as pydantic makes models of them."""
    found: dict[str, Any] = {}
    for record in records:
        hints, said = get_type_hints(record), _said(record)
        for field in fields(record):
            default = ... if field.default is MISSING else field.default
            found[field.name] = (hints[field.name], Field(default, description=said.get(field.name)))
    return found


def _said(record: type[Any]) -> dict[str, str]:
    """What a record's docstring says of each attribute."""
    text = inspect.getdoc(record) or ""
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", text, flags=re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in found}


def _optional(record: type[Any]) -> dict[str, Any]:
    found = _fields_of(record).items()
    return {name: (kind | None, Field(None, description=told.description)) for name, (kind, told) in found}


CHANGES: Mapping[str, type[Change]] = {
    "remove": editing.Remove,
    "recolor": editing.Recolor,
    "blur": editing.Blur,
}

KeepBody = create_model("KeepBody", __base__=ImageBody, **_fields_of(EncodeOptions))
SegmentBody = create_model(
    "SegmentBody",
    __base__=ImageBody,
    vocabulary=(Names | None, None),
    things=(Names | None, None),
    stuff=(Names | None, None),
    **_fields_of(SegmentOptions, EncodeOptions),
)
ReferBody = create_model(
    "ReferBody", __base__=ImageBody, phrases=(Texts, ...), **_fields_of(ReferOptions, EncodeOptions)
)
CaptionBody = create_model(
    "CaptionBody",
    __base__=ImageBody,
    region=(RegionField | None, None),
    **_fields_of(CaptionOptions, EncodeOptions),
)
AnswerBody = create_model(
    "AnswerBody", __base__=ImageBody, questions=(Texts, ...), **_fields_of(AnswerOptions, EncodeOptions)
)
EmbedBody = create_model(
    "EmbedBody",
    __base__=ImageBody,
    texts=(Texts, []),
    region=(RegionField | None, None),
    **_fields_of(EncodeOptions),
)
SearchBody = create_model(
    "SearchBody",
    __base__=ImageBody,
    query=(Text | None, None),
    region=(RegionField | None, None),
    **_fields_of(SearchOptions),
)
EditBody = create_model(
    "EditBody",
    __base__=ImageBody,
    region=(RegionField, ...),
    change=(Literal["remove", "recolor", "blur"], ...),
    **_optional(editing.Recolor),
    **_optional(editing.Blur),
    **_fields_of(EditOptions, EncodeOptions),
)

BODIES: Mapping[str, type[ImageBody]] = {
    "segment": SegmentBody,
    "refer": ReferBody,
    "caption": CaptionBody,
    "answer": AnswerBody,
    "embed": EmbedBody,
    "search": SearchBody,
    "edit": EditBody,
}
"""The body of each verb."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """The model and the index that calls are for.

    Attributes:
        config: the model's.
        index: the collection that is searched; None for none.
    """

    config: ModelConfig
    index: Index | None


def to_call(verb: str, body: ImageBody, served: Served) -> Call:
    """What a body asks.

    Args:
        verb: one of `BODIES`, or "encode".
        body: of that verb.
        served: what is asked.

    Raises:
        ValueError: an option is out of range, or asks for too much.
    """
    told: Any = body
    match verb:
        case "encode":
            return EncodeCall(encode=_encode(told, served))
        case "segment":
            return SegmentCall(
                encode=_encode(told, served), words=_words(told), options=_take(SegmentOptions, told)
            )
        case "refer":
            options = _take(ReferOptions, told)
            return ReferCall(encode=_encode(told, served), phrases=tuple(told.phrases), options=options)
        case "caption":
            captions = _take(CaptionOptions, told)
            beams, _ = captions.resolve(served.config)
            require(beams <= MOST_BEAMS, f"beams must be at most {MOST_BEAMS} on this server, got {beams}")
            return CaptionCall(encode=_encode(told, served), region=_region(told.region), options=captions)
        case "answer":
            answers = _take(AnswerOptions, told)
            return AnswerCall(encode=_encode(told, served), questions=tuple(told.questions), options=answers)
        case "embed":
            texts = tuple(told.texts)
            return EmbedCall(encode=_encode(told, served), texts=texts, region=_region(told.region))
        case "search":
            return _search(told, served)
        case "edit":
            region = _region(told.region)
            if region is None:
                raise ValueError("say which region: a phrase, a box or a mask")
            return EditCall(encode=_encode(told, served), region=region)
        case _:
            raise ValueError(f"no verb {verb!r}; there are {', '.join(BODIES)}")


def to_change(body: ImageBody) -> tuple[Change, EditOptions]:
    """The change that an edit's body asks for, and how it goes.

    Raises:
        ValueError: an option is out of range, lacks, or belongs to another change.
    """
    told: Any = body
    record = CHANGES[told.change]
    own = {f.name: getattr(told, f.name) for f in fields(cast("Any", record))}
    for name in {f.name for kind in CHANGES.values() for f in fields(cast("Any", kind))} - own.keys():
        require(getattr(told, name) is None, f"{name} says nothing to the change {told.change}; leave it out")
    if "color" in own:
        require(own["color"] is not None, "say which color: a CSS name, such as teal, or #rrggbb")
    require(told.size is None or told.size <= 8192, f"size must be at most 8192 pixels, got {told.size}")
    require(abs(told.grow_by or 0) <= 1000, f"grow_by must be at most 1000 pixels, got {told.grow_by}")
    require((told.feather or 0) <= 1000, f"feather must be at most 1000 pixels, got {told.feather}")
    return record(**own), _take(EditOptions, told)


def _take(record: type[_R], body: Any) -> _R:
    """The record among a body's fields, checked by itself."""
    return record(**{field.name: getattr(body, field.name) for field in fields(cast("Any", record))})


def _encode(body: Any, served: Served) -> EncodeOptions:
    options, settings = _take(EncodeOptions, body), served.config.inference
    short, long = options.resolve(settings)
    for name, side, own in (
        ("short_side", short, settings.short_side),
        ("long_side", long, settings.long_side),
    ):
        most = _GROWN * own
        require(side <= most, f"{name} must be at most {most} on this server, got {side}")
    return options


def _words(body: Any) -> Vocabulary | None:
    """The classes of a body. Never a file's: a name that looks like one is a name."""
    if body.vocabulary is None and body.things is None and body.stuff is None:
        return None
    for name in ("vocabulary", "things", "stuff"):
        value = getattr(body, name)
        count = value.count(",") + 1 if isinstance(value, str) else len(value or ())
        require(count <= MOST_NAMES, f"{name} has {count} names; this server takes {MOST_NAMES} at the most")
    spec = body.vocabulary
    if isinstance(spec, str) and spec.strip() not in BUILT_IN:
        parts = [part.strip() for part in spec.split(",")]
        spec = parts if parts[-1] or len(parts) == 1 else parts[:-1]
    return parse_vocabulary(spec, things=body.things, stuff=body.stuff)


def _region(told: str | tuple[float, float, float, float] | Mask | None) -> SentPrompt | None:
    if isinstance(told, Mask):
        code = read_rle({"size": list(told.size), "counts": told.counts})
        return RunLengths(size=(code["size"][0], code["size"][1]), counts=code["counts"])
    if isinstance(told, str):
        require(bool(told.strip()), "an empty phrase means nothing; leave it out or write some words")
    return told


def _search(told: Any, served: Served) -> SearchCall:
    if served.index is None:
        raise ValueError("this server searches nothing; start it with --index DIR")
    shown = told.image is not None or told.image_id is not None
    region, options = _region(told.region), _take(SearchOptions, told)
    # An image may come as a file beside the body: words, or an image, whichever it is.
    options.check(told.query, by_image=shown or told.query is None, by_region=region is not None)
    require(options.k <= MOST_HITS, f"k must be at most {MOST_HITS} on this server, got {options.k}")
    long = len(options.where or "")
    require(long <= _LONGEST, f"where must have at most {_LONGEST} characters on this server, got {long}")
    return SearchCall(index=served.index, options=options, query=told.query, region=region)
