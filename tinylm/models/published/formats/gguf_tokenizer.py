"""The tokenizer that a GGUF file carries in its settings, tokenizer.ggml.*

    model       "gpt2": byte-level BPE; "llama": SentencePiece's BPE ranked by scores; "t5": its
                Unigram; "bert": WordPiece
    pre         for "gpt2", how text is split before merging (gguf_splits.py)
    tokens      V strings
    token_type  V numbers: 1 ordinary, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 a byte
    scores      V numbers, for "llama" and "t5"
    merges      "left right", first learnt first, for "gpt2"

and switches and ids by name (gguf_settings.py). Every setting is read, or refused by name. Read
next: `published/chat_template.py`, which uses the special tokens.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import CheckpointError, DataError
from tinylm.models.published.formats.gguf_settings import (
    CONTROL,
    ORDINARY,
    UNKNOWN,
    UNUSED,
    USER,
    Settings,
    end_ids,
    special_ids,
)
from tinylm.models.published.formats.gguf_splits import COMPOSED, FRAMED, SPLITS, WHOLE
from tinylm.tokenizers import PieceTokenizer, PipelineTokenizer
from tinylm.tokenizers.printable import CHARACTER_TO_BYTE

if TYPE_CHECKING:
    from tinylm.models.published.formats.mapped import WeightFile


MARK = "▁"


def tokenizer_of(weights: "WeightFile") -> PipelineTokenizer:
    """The tokenizer of a GGUF file.

    weights  WeightFile from `read_gguf`
    returns  Tokenizer; ids are the model's
    raises   CheckpointError naming the file and setting, if it carries none, a kind not read here,
             or a damaged one
    """
    settings = Settings(weights, _MODELS)
    # What the readers below build is checked by the tokenizers' own readers, whose errors name no
    # file.
    try:
        return _MODELS[settings.model](settings)
    except (DataError, ValueError) as error:
        raise CheckpointError(f"{weights.path}: the tokenizer is damaged: {error}") from error


def _bytes(settings):
    """Byte-level BPE."""
    path, split = settings.weights.path, settings.take("pre", str)
    if split not in SPLITS:
        raise CheckpointError(
            f"{path}: tokenizer.ggml.pre is {split!r}, a way to split that is not read here, but "
            f"{', '.join(SPLITS)}"
        )
    for name in ("add_space_prefix", "remove_extra_whitespaces", "add_sep_token"):
        settings.refuse(name)
    merges = settings.take("merges", list)
    # Ordinary tokens are written as in tokenizers/printable.py, and merges make them; all others
    # are added tokens, which are found in the text as they are.
    added, ids = [], {}
    for i, (text, kind) in enumerate(zip(settings.tokens, settings.types)):
        if kind in (ORDINARY, UNUSED):
            ids[text] = i
        else:
            added.append(_added(text, i, special=kind != USER))
        # No byte stands for such a character: it could never be decoded.
        odd = [c for c in text if c not in CHARACTER_TO_BYTE]
        if kind == ORDINARY and odd:
            raise DataError(
                f"token {text!r}: the character {odd[0]!r} stands for no byte in GPT-2's byte "
                f"alphabet"
            )
    pairs = [_pair(merge) for merge in merges]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise DataError("a merge is not written 'left right'")
    needed = (text for pair in pairs for text in (*pair, "".join(pair)))
    lacking = next((text for text in needed if text not in ids), None)
    if lacking is not None:
        raise DataError(f"the tokenizer merges {lacking!r}, which is no token")
    # What follows is a tokenizer.json: split by the expressions one after another, then bytes.
    isolated = {"type": "Split", "behavior": "Isolated", "invert": False}
    steps = [isolated | {"pattern": {"Regex": pattern}} for pattern in SPLITS[split]]
    steps.append({"type": "ByteLevel", "add_prefix_space": False, "use_regex": False})
    normalizer = None
    if split in COMPOSED:
        normalizer = {"type": "NFC"}
    return PipelineTokenizer(
        {
            "model": {
                "type": "BPE",
                "vocab": ids,
                "merges": pairs,
                "ignore_merges": split in WHOLE,
            },
            "added_tokens": added,
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
            "decoder": {"type": "ByteLevel"},
            "post_processor": _frame(*settings.around(split in FRAMED, False)),
        }
    )


def _pair(merge):
    """["left", "right"] of a merge "left right"; a list is returned as it is."""
    if isinstance(merge, str):
        return merge.split(" ", 1)
    return merge


def _added(text, i, special=True):
    """An added token, as in a tokenizer.json."""
    return {"id": i, "content": text, "special": special, "normalized": False}


def _frame(before, behind):
    """A TemplateProcessing with ids before and behind every text; None without any."""
    if not before and not behind:
        return None
    # The format refers to special tokens by name: their ids in digits serve as names.
    tokens = {str(i): {"id": str(i), "ids": [i], "tokens": [str(i)]} for i in (*before, *behind)}

    def items(ids, segment):
        return [{"SpecialToken": {"id": str(i), "type_id": segment}} for i in ids]

    def around(text, segment):
        middle = {"Sequence": {"id": text, "type_id": segment}}
        return [*items(before, segment), middle, *items(behind, segment)]

    return {
        "type": "TemplateProcessing",
        "special_tokens": tokens,
        "single": around("A", 0),
        "pair": around("A", 0) + around("B", 1),
    }


def _pieces(settings):
    """SentencePiece's BPE, with the defaults of llama.cpp: a mark first, spaces not squeezed."""
    # It also puts a mark before every part between special tokens, the default of PieceTokenizer.
    settings.refuse("add_sep_token")
    settings.ids = {"unk": 0, "bos": 1, "eos": 2} | settings.ids  # where the file names none
    return _of_pieces(
        settings,
        "bpe",
        settings.on("add_space_prefix", True),
        settings.on("remove_extra_whitespaces", False),
        settings.around(True, False),
    )


def _likely(settings):
    """SentencePiece's Unigram. Its models differ in two switches, so the file must have both."""
    settings.refuse("add_sep_token")
    needed = ("add_space_prefix", "remove_extra_whitespaces")
    missing = [name for name in needed if settings.switches[name] is None]
    if missing:
        raise CheckpointError(f"{settings.weights.path}: tokenizer.ggml.{missing[0]} is missing")
    return _of_pieces(
        settings,
        "unigram",
        settings.switches["add_space_prefix"],
        settings.switches["remove_extra_whitespaces"],
        settings.around(False, True),
    )


def _of_pieces(settings, model, prefix, squeeze, around):
    """A PieceTokenizer of the settings.

    model            "bpe" or "unigram"
    prefix, squeeze  as `PieceTokenizer.described` takes them
    around           ids before and behind a text
    """
    charsmap = settings.take("precompiled_charsmap", np.ndarray, None)
    columns = zip(settings.tokens, settings.scores(), settings.types)
    # Some files pad the vocabulary with empty tokens; a piece must have a name.
    pieces = [
        [text or f"[EMPTY_{i}]", score, kind] for i, (text, score, kind) in enumerate(columns)
    ]
    # A frame as in tokenizers/published/frame.py: for one text, and for two.
    before, behind = around
    single = [[item, 0] for item in (*before, "A", *behind)]
    second = [[item, 1] for item in (*before, "B", *behind)]
    frame = [single, single + second]
    data = b""
    if charsmap is not None:
        data = charsmap.astype(np.uint8).tobytes()
    return PieceTokenizer(
        PieceTokenizer.described(model, pieces, data, prefix, squeeze, frame=frame)
    )


def _words(settings):
    """WordPiece: GGUF marks a token that begins a word, "▁the", and BERT one that continues it."""
    # Rewritten in BERT's way, which a tokenizer.json uses.
    ids, added = {}, []
    for i, (text, kind) in enumerate(zip(settings.tokens, settings.types)):
        if kind in (CONTROL, UNKNOWN):
            added.append(_added(text, i))
            ids[text] = i
        elif text.startswith(MARK):
            ids[text.removeprefix(MARK)] = i
        else:
            ids[f"##{text}"] = i
    ordinary = [text for text, kind in zip(settings.tokens, settings.types) if kind == ORDINARY]
    if any(c.isupper() for text in ordinary for c in text):
        raise DataError(
            "it has tokens in upper case, and a GGUF file does not record whether text is made "
            "lower case; take the model's vocab.txt"
        )
    unknown = settings.ids.get("unk", ids.get("[UNK]"))
    if unknown is None:
        raise DataError("it names no unknown token")
    # BERT's names of the frame, or those of a plain text.
    first = settings.ids.get("cls", settings.ids.get("bos"))
    last = settings.ids.get("sep", settings.ids.get("eos"))
    before, behind = [], []
    if settings.on("add_bos_token", True) and first is not None:
        before.append(first)
    if settings.on("add_sep_token", True) and last is not None:
        behind.append(last)
    return PipelineTokenizer(
        {
            "model": {"type": "WordPiece", "vocab": ids, "unk_token": settings.tokens[unknown]},
            "added_tokens": added,
            "normalizer": {"type": "BertNormalizer"},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "decoder": {"type": "WordPiece"},
            "post_processor": _frame(before, behind),
        }
    )


# {tokenizer.ggml.model: function Settings -> tokenizer}
_MODELS = {"gpt2": _bytes, "llama": _pieces, "t5": _likely, "bert": _words}

__all__ = ["end_ids", "special_ids", "tokenizer_of"]
