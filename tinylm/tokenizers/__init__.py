"""Tokenizers: from text to token ids and back.

Every kind has one small protocol, so that training, sampling and saving work with any of them:

    tokenizer.vocab_size                          V; ids are 0 .. V - 1
    tokenizer.encode(text, allow_special=False)   str -> (T,) int32
    tokenizer.encode_stream(source, chunk_bytes)  Path, open file or iterable of lines -> iterator
                                                  of (t,) int32, together encode(whole text)
    tokenizer.decode(ids)                         (T,) integers -> str, broken UTF-8 shown as U+FFFD
    tokenizer.decode_bytes(ids)                   (T,) integers -> bytes, exact
    tokenizer.token_bytes(id)                     the bytes of one token
    tokenizer.special                             {"<|endoftext|>": 256, ...}: name -> id
    tokenizer.to_dict(), from_dict(described)     JSON-able, kept in a checkpoint
    tokenizer.save(path), load(path)              the same as a file

Special tokens stand for what is not text: the end of a document, padding, a mask. Plain text never
encodes to one, even if it spells its name, unless `allow_special=True`. For valid text and any
tokenizer without an unknown token, decode(encode(text)) == text.

Kinds: `CharTokenizer` (characters.py), `ByteTokenizer` (byte.py), `BPETokenizer` (bpe.py, trained
in bpe_train.py), `WordPieceTokenizer` (wordpiece.py, trained in wordpiece_train.py),
`UnigramTokenizer` (unigram.py, trained in unigram_train.py), `WordTokenizer` (words.py);
`load_gpt2` (gpt2.py) reads GPT-2's files; `PipelineTokenizer` (published/) is whatever a
tokenizer.json describes, `PieceTokenizer` a model of SentencePiece, and `read_tokenizer` reads a
folder of published weights. To add a kind, derive from `Tokenizer` (base.py) and list it in KINDS.
Read first: characters.py.
"""

from pathlib import Path
from typing import Any

from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.fields import show
from tinylm.files import read_json
from tinylm.tokenizers.base import Tokenizer
from tinylm.tokenizers.bpe import BPETokenizer
from tinylm.tokenizers.byte import ByteTokenizer
from tinylm.tokenizers.characters import CharTokenizer
from tinylm.tokenizers.gpt2 import load_gpt2, save_gpt2
from tinylm.tokenizers.published import (
    FolderTokenizer,
    PieceTokenizer,
    PipelineTokenizer,
    read_tokenizer,
)
from tinylm.tokenizers.unigram import UnigramTokenizer
from tinylm.tokenizers.wordpiece import WordPieceTokenizer
from tinylm.tokenizers.wordpiece_train import train_wordpiece
from tinylm.tokenizers.words import WordTokenizer, words_and_punctuation

# The names that other rooms import.
__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "FolderTokenizer",
    "KINDS",
    "PieceTokenizer",
    "PipelineTokenizer",
    "Tokenizer",
    "UnigramTokenizer",
    "WordPieceTokenizer",
    "WordTokenizer",
    "from_dict",
    "load",
    "load_gpt2",
    "read_tokenizer",
    "save_gpt2",
    "train_wordpiece",
    "words_and_punctuation",
]

# Every kind by the name that `to_dict` writes.
KINDS = {
    kind.kind: kind
    for kind in (
        CharTokenizer,
        ByteTokenizer,
        BPETokenizer,
        WordPieceTokenizer,
        UnigramTokenizer,
        WordTokenizer,
        PipelineTokenizer,
        PieceTokenizer,
    )
}


# The type of each field of a description, the same for every kind of tokenizer. JSON may hold
# anything in its place.
_TYPES = {
    "tokens": list,
    "merges": list,
    "pieces": list,
    "scores": list,
    "words": list,
    "pipeline": dict,
    "characters": str,
    "lower": bool,
    "partial": bool,
    "prefix": bool,
}


def from_dict(described: dict[str, Any]) -> Tokenizer:
    """The tokenizer that `to_dict` described, of whatever kind.

    raises  DataError if the description is damaged
    """
    kind = None
    if isinstance(described, dict):
        kind = described.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise DataError(f"no tokenizer of kind {kind!r}; the kinds are {', '.join(KINDS)}")
    types = {**_TYPES, "special": list}
    if kind in ("bpe", "unigram"):
        types["special"] = dict  # their special tokens may have any id: {name: id}
    for name, wanted in types.items():
        if name in described and not isinstance(described[name], wanted):
            raise DataError(
                f"description of a {kind} tokenizer is damaged: {name} is "
                f"{show(described[name])}, not a {wanted.__name__}"
            )
    try:
        return KINDS[kind].from_dict(described)
    except KeyError as error:
        raise DataError(f"description of a {kind} tokenizer lacks {error}") from error
    # What is left to go wrong lies deeper: a score that is text, an id outside the list, and so on.
    except (
        ArithmeticError,
        AttributeError,
        ConfigError,
        IndexError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError(f"description of a {kind} tokenizer is damaged: {error}") from error


def _is_own(path):
    """Whether a tokenizer.json is one that `save` wrote."""
    try:
        described = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and "kind" in described


def load(path: Path) -> Tokenizer:
    """Read a tokenizer that `save` wrote, or one that others published.

    path    a file, or a folder of a run or of published weights
    raises  CheckpointError naming the file, if it is missing, cut short, or edited into something
            impossible
    """
    path = Path(path)
    # A folder of published weights may hold a tokenizer.json too, in another format.
    if path.is_dir() and not _is_own(path / "tokenizer.json"):
        found = read_tokenizer(path).tokenizer
        if found is None:
            raise CheckpointError(
                f"{path} holds no tokenizer: no tokenizer.json, tokenizer.model, "
                "vocab.json with merges.txt, or vocab.txt"
            )
        return found
    if path.is_dir():
        path = path / "tokenizer.json"
    try:
        described = read_json(path)
        published = isinstance(described, dict) and "kind" not in described and "model" in described
        if published:
            return PipelineTokenizer(described)
        return from_dict(described)
    except OSError as error:
        raise CheckpointError(f"cannot read the tokenizer {path}: {error.strerror}") from error
    except DataError as error:
        raise CheckpointError(f"tokenizer {path}: {error}") from error
    except ValueError as error:  # not JSON, or not UTF-8; DataError, its child, is caught above
        raise CheckpointError(
            f"tokenizer {path} is cut short or no tokenizer file ({error}); save it again"
        ) from error
