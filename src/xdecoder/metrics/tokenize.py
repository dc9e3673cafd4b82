"""Captions into Penn Treebank tokens, as the COCO caption evaluation tokenizes them, without Java.

The reference is `PTBTokenizer -preserveLines -lowerCase` of Stanford CoreNLP 3.4.1 followed by the removal of
the seventeen punctuation tokens that coco-caption lists. This is an independent rewrite from the reference
tool's observed behavior; `tests/goldens/metrics/ptb_tokens.json` stores what the tool itself answers.

The oddities that scores depend on are kept: brackets stay, as `-lrb-` and `-rrb-` (the tool lower-cases
before punctuation is removed, so that the list's `-LRB-` never matches); runs such as `?!` stay; an amount
such as `3 1/2` is one token around a no-break space. Two things differ: the reference reads on into the next
caption to decide the period of a caption's last "no." or initial, here a caption stands alone; and it splits
hyphenated words at the hyphen where an accent is a character of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""The tokens that coco-caption removes (`ptbtokenizer.py`)."""

_SPACE = r"[ \t\xa0\u2000-\u200b\u3000\ufeff]"
_A = r"['\u2019]"  # apostrophes
_MARK = r"[\u0300-\u036f]"  # accents of decomposed letters are letters
_L = rf"(?:[^\W\d_½¼¾⅓⅔]|{_MARK})"
_W = rf"(?:[^\W_½¼¾⅓⅔]|{_MARK})"  # a letter or a digit
_END = rf"(?!{_W})"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _any(words: tuple[str, ...]) -> str:
    longest_first = sorted(words, key=len, reverse=True)
    return "(?:" + "|".join(re.escape(w).replace("'", _A) for w in longest_first) + ")"


# Abbreviations keep their period, in either case.
_ABBREVIATIONS = _words(
    """
    adj adm adv al ala apr ariz assn asst aug ave bancorp bhd bldg blvd brig bros calif capt cf cmdr co colo
    comdr conn corp cos cpl ct dak dec dept dr drs ens esq est etc ext feb fla fri ft ga gen gov hon inc ind
    insp intl jan jr jul jun kan kans ky lt ltd maj md messrs mich minn mlle mme mo mon mont mr mrs ms mt
    natl neb nev nov oct okla penn pfc ph plc pres prof pvt rd rep reps rev rt sen sens sep sept sfc sgt sq
    sr st ste supt tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wyo col mar
    """
)
# These keep it in title or upper case only: in lower case they are words or names.
_CAPITAL_ABBREVIATIONS = _words("ark del ill la mass miss ore pa tex wash")
# These keep it before a number only.
_NUMBER_ABBREVIATIONS = _words("art ca fig figs no nos op pp")
# After an initial ("Z."), a sentence begins with one of these: the period stands alone.
_SENTENCE_STARTERS = _words(
    """
    A After An As At But Earlier He Her Here However If In It Last Many More Mr. Ms. Now Once One Other Our
    She Since So Some Such That The Their Then There These They This We What When While Yet You
    """
)
_APOSTROPHE_WORDS = _words(
    """
    o'clock o'er e'er ne'er ma'am cap'n s'mores nor'easter hallowe'en ta'en de'il l'il li'l nat'l ev'ry
    c'est qu'il
    """
)
_SPLITS = {
    "cannot": 3, "gonna": 3, "gotta": 3, "lemme": 3, "gimme": 3, "wanna": 3,
}  # fmt: skip


_FRACTIONS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_THING = rf"{_W}+(?:_+{_W}+)*"
_CLITIC = rf"{_A}(?:s|d|m|ll|re|ve|n)(?!{_L})"

# Ordered alternatives. The name of a group says how its token is written; see `_WRITERS`.
_TOKEN = re.compile(
    rf"""
    (?P<web> (?:https?|ftp)://[^\s"<>|()]+ (?<![.,!?;:'"])
        | www\.(?:[^\s"<>|.!?(){{}},]+\.)+[a-z]{{2,4}}(?:/[^\s"<>|()]*(?<![.,!?;:'"]))?
        | [\w.%+-]+@[\w-]+(?:\.[\w-]+)* )
    | (?P<sgml> </?[a-z!][^<>\s]*> )
    | (?P<entity> &(?:amp|lt|gt|quot|nbsp); )
    | (?P<verbatim> &\#\d+; | -[lr][rcs]b- | -{{5,}} | (?-i:[<>]?[:;=][-o*']?[()DPO]{_END}) )
    | (?P<split> (?:{"|".join(_SPLITS)}){_END} )
    | (?P<archaic> {_A}t(?:is|was) (?={_END}|n{_A}t{_END}) )
    | (?P<negated> {_W}*? n['\u2018\u2019`]t{_END} )
    | (?P<apostrophe> {_any(_APOSTROPHE_WORDS)}{_END}
        | (?:{_L}+-)*[dlno]{_A}(?!(?:ll|re|ve){_END}){_L}{{2,}}
        | (?:somethin|ol){_A}{_END}
        | [djly]{_A}(?!(?:[sdm]|ll|re|ve){_END})(?={_L})
        | {_A}n{_A} | {_A}(?:em|till?|cause){_END}
        | (?<!\w){_A}[1-9]0{_END}(?!{_A}s) | {_A}[1-9]0s(?!{_L}) )
    | (?P<clitic> {_CLITIC} )
    | (?P<phone> \([2-9]\d\d\){_SPACE}?\d{{3}}[-.]\d{{4}} )
    | (?P<mixed> \d+{_SPACE}\d{{1,2}}/\d{{1,2}}(?![\w/]) )
    | (?P<fraction> [{"".join(_FRACTIONS)}] )
    | (?P<company> (?-i:[A-Z]+(?:[&+][A-Z]+)+) )
    | (?P<dollar> (?-i:US|A|C|HK|NZ|S|NT)\$ | c\+\+ | (?-i:[CF]\#) )
    | (?P<number_abbreviation> {_any(_NUMBER_ABBREVIATIONS)}\.(?={_SPACE}*\d) )
    | (?P<acronym> {_L}(?:\.{_L})+{_END}\.?(?:-{_W}+)* | ph\.d\.? )
    | (?P<abbreviation>
        (?:{_any(_ABBREVIATIONS)} | (?-i:(?=[A-Z])){_any(_CAPITAL_ABBREVIATIONS)})\.(?!{_L}) )
    | (?P<initial> {_L}\.(?!{_W}) (?!{_SPACE}+(?-i:{_any(_SENTENCE_STARTERS)})(?:{_SPACE}|$)) )
    | (?P<slashed> {_W}+(?:-{_L}+){{0,2}}(?:\\?/{_W}+(?:-{_L}+){{0,2}}){{1,2}} )
    | (?P<measure> \d+(?:[.,]\d+)+(?:-{_THING})+ )
    | (?P<number> (?<!-)[-+]?(?:\d+(?:[.,:]\d+)+|[.,:]\d+(?:[.,:]\d+)*) )
    | (?P<word> {_L}{_W}*(?:[.!?]{_L}{_W}*)+(?:-{_W}+)*
        | {_THING}(?:-{_THING})*
        | (?<!-)[-+]\d+ )
    | (?P<tag> \#{_L}+ | @{_L}{_W}* )
    | (?P<run> [?!]+ | \*\*+ | _+ | << | >> )
    | (?P<symbol> \S )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORD_PERIOD = re.compile(r"\.(?=[,;:])")

_SYMBOLS = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "£": "#", "€": "$", "¢": "cents", "\u2013": "-", "\u2014": "-", "\u2026": ".",
    "\u2018": "`", "\u2019": "'", "\u201c": "`", "\u201d": "'", "«": "`", "»": "'",
    "‹": "`", "›": "'", '"': "'",
}  # fmt: skip
_ENTITIES = {"&amp;": ["&"], "&lt;": ["<"], "&gt;": [">"], "&quot;": [], "&nbsp;": []}


def _write_symbol(text: str) -> list[str]:
    # The reference drops what it cannot tokenize: control, private-use and astral characters.
    if ord(text) > 0xFFFF or not (text.isprintable()):
        return []
    return [_SYMBOLS.get(text, text)]


_WRITERS: dict[str, Callable[[str], list[str]]] = {
    "split": lambda t: [t[: _SPLITS[t.lower()]], t[_SPLITS[t.lower()] :]],
    "archaic": lambda t: ["'t", t[2:]],
    "negated": lambda t: [t[:-3], t[-3:].replace("\u2019", "'").replace("\u2018", "`")],
    "clitic": lambda t: [t.replace("\u2019", "'")],
    "phone": lambda t: [re.sub(_SPACE, "\xa0", t).replace("(", "-lrb-").replace(")", "-rrb-")],
    "mixed": lambda t: [re.sub(_SPACE, "\xa0", t)],
    "fraction": lambda t: [_FRACTIONS[t]],
    "entity": lambda t: _ENTITIES[t.lower()],
    "verbatim": lambda t: [t.replace("(", "-lrb-").replace(")", "-rrb-")],
    "symbol": _write_symbol,
}
_TAKE_PERIOD = frozenset({"word", "number", "slashed"})


def tokenize_caption(caption: str) -> list[str]:
    """The caption's tokens: lower-cased, Penn Treebank style, without punctuation.

    Args:
        caption: one sentence or several; line breaks count as spaces.

    Returns:
        Tokens in order. "A man's dog (brown) isn't here." gives
        `["a", "man", "'s", "dog", "-lrb-", "brown", "-rrb-", "is", "n't", "here"]`.
    """
    text = caption.replace("\n", " ").replace("\r", " ").replace("\xad", "")
    tokens: list[str] = []
    position = 0
    while match := _TOKEN.search(text, position):
        kind, token = str(match.lastgroup), match.group()
        position = match.end()
        # A period right before a comma, colon or semicolon reads as an abbreviation's.
        if kind in _TAKE_PERIOD and _WORD_PERIOD.match(text, position):
            token += "."
            position += 1
        writer = _WRITERS.get(kind)
        tokens += [token] if writer is None else writer(token)
    return [t for t in (token.lower() for token in tokens) if t and t not in PUNCTUATION]
