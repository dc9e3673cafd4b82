"""Text to token ids and back, for CLIP's vocabulary and for small vocabularies of whole words.

A `Tokenizer` is one `tokenizer.json` (the Hugging Face format), which holds everything: it needs no download
and no other package. Texts are lower-cased and split as CLIP's are; every text can be encoded, because what
is not a known piece is spelled in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

START = "<|startoftext|>"
END = "<|endoftext|>"
CONTEXT_LENGTH = 77

_SUFFIX = "</w>"
_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# The published program's clean-up of decoded text, in its order.
_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Tokenizer:
    """Text to ids and back.

    Attributes:
        backend: the Hugging Face tokenizer, without padding and truncation.
        start_id: id before every text.
        end_id: id after every text, and padding.
        context_length: longest text in tokens, start and end included.
    """

    backend: tokenizers.Tokenizer
    start_id: int
    end_id: int
    context_length: int = CONTEXT_LENGTH

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocabulary_size} tokens, context of {self.context_length})"

    def __reduce__(self) -> tuple[Callable[[bytes, int], Tokenizer], tuple[bytes, int]]:
        return _restore, (self.to_bytes(), self.context_length)

    @classmethod
    def from_backend(
        cls, backend: tokenizers.Tokenizer, *, context_length: int = CONTEXT_LENGTH
    ) -> Tokenizer:
        """Wrap a Hugging Face tokenizer.

        Raises:
            ValueError: it has no start and end token, or `context_length` leaves no room for text.
        """
        if context_length < 3:
            raise ValueError(f"context_length must be at least 3, got {context_length}")
        ids: list[int] = []
        for token in (START, END):
            id = backend.token_to_id(token)
            if id is None:
                raise ValueError(
                    f"not a tokenizer of X-Decoder: it has no token {token}. Expected CLIP's vocabulary, "
                    "as `xdecoder weights convert` writes it, or one made by build_word_tokenizer"
                )
            ids.append(id)
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # a user's "<|endoftext|>" is text, never the end
        return cls(backend=backend, start_id=ids[0], end_id=ids[1], context_length=context_length)

    @classmethod
    def from_bytes(cls, data: bytes, *, context_length: int = CONTEXT_LENGTH) -> Tokenizer:
        """Read the contents of a `tokenizer.json`.

        Raises:
            ValueError: it is damaged or another kind of tokenizer.
        """
        try:
            backend = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the package raises bare Exception
            raise ValueError(
                f"not a tokenizer.json in the Hugging Face format ({' '.join(str(error).split())}). "
                "Restore the file, or convert the published checkpoint again"
            ) from error
        return cls.from_backend(backend, context_length=context_length)

    def to_bytes(self) -> bytes:
        """The contents of `tokenizer.json`."""
        return self.backend.to_str().encode()

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, start and end included."""
        return self.backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of a text: start, at most `context_length - 2` pieces, end."""
        return self._frame(self.backend.encode(_valid(text), add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str], length: int | None = None) -> list[list[int]]:
        """Ids of several texts, of one length, ready for `torch.tensor`.

        Args:
            texts: any number of texts.
            length: ids a row, padded with the end token; longer texts are cut and still end with it. By
                default that of the longest text. What follows a text's end changes none of its embeddings;
                the published program always takes 77.

        Raises:
            ValueError: `length` is less than 3 or more than the context length.
        """
        if length is not None and not 3 <= length <= self.context_length:
            raise ValueError(f"length must be between 3 and {self.context_length}, got {length}")
        encodings = self.backend.encode_batch([_valid(text) for text in texts], add_special_tokens=False)
        rows = [self._frame(encoding.ids, length) for encoding in encodings]
        width = length or max((len(row) for row in rows), default=0)
        return [row + [self.end_id] * (width - len(row)) for row in rows]

    def count(self, text: str) -> int:
        """Pieces of a text, start and end left out, before any cut."""
        return len(self.backend.encode(_valid(text), add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to the first end token, with the published program's clean-up.

        Bytes that are no valid UTF-8 become U+FFFD. An id outside of the vocabulary is dropped.
        """
        pieces: list[str] = []
        for id in ids:
            if id == self.end_id:
                break
            piece = self.backend.id_to_token(id)
            if piece is not None and id != self.start_id:
                pieces.append(piece)
        characters = "".join(pieces)
        data = bytearray()
        for character in characters:
            byte = _BYTE_OF_CHARACTER.get(character)
            data += bytes((byte,)) if byte is not None else character.encode()
        text = data.decode("utf-8", "replace").replace(_SUFFIX, " ").strip()
        for old, new in _CLEAN_UP:
            text = text.replace(old, new)
        return text

    def decode_caption(self, ids: Iterable[int]) -> str:
        """As `decode`, and cut at the first full stop: what the published program prints as a caption."""
        return self.decode(ids).split(".")[0]

    def _frame(self, ids: list[int], length: int | None = None) -> list[int]:
        return [self.start_id, *ids[: (length or self.context_length) - 2], self.end_id]


def build_clip_tokenizer(
    merges: Sequence[tuple[str, str]], *, context_length: int = CONTEXT_LENGTH
) -> Tokenizer:
    """CLIP's tokenizer from its byte-pair merges, in their order: 512 + len(merges) + 2 tokens."""
    characters = [_CHARACTER_OF_BYTE[byte] for byte in _BYTE_ORDER]
    pieces = [*characters, *(c + _SUFFIX for c in characters), *(a + b for a, b in merges)]
    model = models.BPE(
        vocab={piece: id for id, piece in enumerate([*pieces, START, END])},
        merges=list(merges),
        continuing_subword_prefix="",
        end_of_word_suffix=_SUFFIX,
        unk_token=END,
    )
    return _build(model, word_prefix=False, context_length=context_length)


def build_word_tokenizer(texts: Iterable[str], *, context_length: int = CONTEXT_LENGTH) -> Tokenizer:
    """A small tokenizer with one token for every word of `texts` and bytes for all others.

    Ids are the 256 bytes, the words in order of first appearance, start and end.

    Args:
        texts: words or whole sentences; split and lower-cased as every text is.
        context_length: longest text in tokens.
    """
    characters = [_CHARACTER_OF_BYTE[byte] for byte in _BYTE_ORDER]
    splitter = _build(models.BPE(), word_prefix=True, context_length=context_length).backend
    words: dict[str, None] = {}
    for text in texts:
        normalized = splitter.normalizer.normalize_str(_valid(text))
        words.update(dict.fromkeys(w for w, _ in splitter.pre_tokenizer.pre_tokenize_str(normalized)))
    pieces = [*characters, *words]
    model = models.BPE(
        vocab={piece: id for id, piece in enumerate([*pieces, START, END])},
        merges=[],
        ignore_merges=True,  # a known word is one token as it stands
    )
    return _build(model, word_prefix=True, context_length=context_length)


def _build(model: models.BPE, *, word_prefix: bool, context_length: int) -> Tokenizer:
    """The parts that all vocabularies share.

    Args:
        model: pieces and merges.
        word_prefix: words are marked by a space before them, not by CLIP's `</w>` after them.
        context_length: longest text in tokens.
    """
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=word_prefix, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (START, END)])
    return Tokenizer.from_backend(backend, context_length=context_length)


def _restore(data: bytes, context_length: int) -> Tokenizer:
    return Tokenizer.from_bytes(data, context_length=context_length)


def _valid(text: str) -> str:
    """Lone surrogates, which no UTF-8 holds, become question marks."""
    return text.encode("utf-8", "replace").decode()


def _printable_bytes() -> tuple[list[int], dict[int, str]]:
    """CLIP's (and GPT-2's) order of the 256 bytes and a printable character for each."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable}
    characters |= {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [*printable, *others], characters


_BYTE_ORDER, _CHARACTER_OF_BYTE = _printable_bytes()
_BYTE_OF_CHARACTER = {character: byte for byte, character in _CHARACTER_OF_BYTE.items()}
