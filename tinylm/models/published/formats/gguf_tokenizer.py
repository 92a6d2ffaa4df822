"""The tokenizer that a GGUF file carries in its settings, tokenizer.ggml.*

    model       "gpt2": byte-level BPE; "llama": SentencePiece's BPE ranked by scores; "t5": its
                Unigram; "bert": WordPiece
    pre         for "gpt2", how text is split before merging (gguf_splits.py)
    tokens      V strings
    token_type  V numbers: 1 ordinary, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 a byte
    scores      V numbers, for "llama" and "t5"
    merges      "left right", first learnt first, for "gpt2"

and switches and ids by name. Each setting is read with its meaning, or refused by name. Read next:
`published/chat_template.py`, which puts the special tokens to use.
"""

import numpy as np

from tinylm.errors import CheckpointError, DataError
from tinylm.fields import show
from tinylm.models.published.formats.gguf_splits import COMPOSED, FRAMED, SPLITS, WHOLE
from tinylm.tokenizers import PieceTokenizer, PipelineTokenizer
from tinylm.tokenizers.printable import CHARACTER_TO_BYTE

_ORDINARY, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)
MARK = "▁"

# What names the special tokens, and ours of them.
_IDS = {
    "bos": "bos",
    "eos": "eos",
    "unknown": "unk",
    "padding": "pad",
    "separator": "sep",
    "seperator": "sep",
    "cls": "cls",
    "mask": "mask",
    "eot": "eot",
    "eom": "eom",
}
# For the middle of a text, which is not asked of a tokenizer here.
_FILLING = (
    "prefix",
    "suffix",
    "middle",
    "fim_pre",
    "fim_suf",
    "fim_mid",
    "fim_pad",
    "fim_rep",
    "fim_sep",
)
_SWITCHES = (
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
)
_KNOWN = {
    "model",
    "pre",
    "tokens",
    "token_type",
    "scores",
    "merges",
    "precompiled_charsmap",
    "token_type_count",
    *_SWITCHES,
    *(f"{name}_token_id" for name in (*_IDS, *_FILLING)),
}


def tokenizer_of(weights):
    """The tokenizer of a GGUF file.

    weights  WeightFile from `read_gguf`
    returns  Tokenizer; ids are the model's
    raises   CheckpointError naming the file and setting, if it carries none, a kind not read here,
             or a damaged one
    """
    settings = _Settings(weights)
    try:
        return _MODELS[settings.model](settings)
    except (DataError, ValueError) as error:
        raise CheckpointError(f"{weights.path}: the tokenizer is damaged: {error}") from error


class _Settings:
    """The settings of a file's tokenizer, checked."""

    def __init__(self, weights):
        self.weights = weights
        unread = [
            name
            for name in weights.metadata
            if name.startswith("tokenizer.ggml.") and name[15:] not in _KNOWN
        ]
        if unread:
            raise CheckpointError(
                f"{weights.path}: {unread[0]} is {show(weights.metadata[unread[0]])}; no setting "
                f"of that name "
                "is read here"
            )
        self.model = self.take("model", str)
        if self.model not in _MODELS:
            raise CheckpointError(
                f"{weights.path}: a tokenizer of model {self.model!r} is not read here, but "
                f"{', '.join(_MODELS)}"
            )
        self.tokens, types = self.take("tokens", list), self.take("token_type", np.ndarray, None)
        self.types = [_ORDINARY] * len(self.tokens) if types is None else types.tolist()
        self.switches = {name: self.take(name, bool, None) for name in _SWITCHES}
        if not all(isinstance(text, str) for text in self.tokens) or len(self.types) != len(
            self.tokens
        ):
            raise CheckpointError(
                f"{weights.path}: the tokenizer's tokens, types and merges do not fit together"
            )
        if len(set(self.tokens)) < len(self.tokens):
            twice = next(text for i, text in enumerate(self.tokens) if text in self.tokens[:i])
            raise CheckpointError(
                f"{weights.path}: the tokenizer is damaged: it has two ids for {twice!r}"
            )
        odd = [kind for kind in self.types if kind not in range(_ORDINARY, _BYTE + 1)]
        if odd:
            raise CheckpointError(
                f"{weights.path}: tokenizer.ggml.token_type holds {odd[0]}; 1 to 6 are read here"
            )
        self.ids = special_ids(weights)
        if types is None:  # what is named an end or a begin is no text
            for role in ("bos", "eos", "eot", "eom"):
                if role in self.ids:
                    self.types[self.ids[role]] = _CONTROL

    def take(self, name, kind, *default):
        """The value of a setting, of one type."""
        value = self.weights.metadata.get(f"tokenizer.ggml.{name}", *default)
        if value is None and default:
            return None
        if not isinstance(value, kind):
            wrong = "missing" if value is None else "of a wrong type"
            raise CheckpointError(f"{self.weights.path}: tokenizer.ggml.{name} is {wrong}")
        return value

    def on(self, name, default):
        """A switch."""
        return default if self.switches[name] is None else self.switches[name]

    def scores(self):
        """V finite numbers."""
        scores = self.take("scores", np.ndarray)
        if scores.shape != (len(self.tokens),):
            raise CheckpointError(
                f"{self.weights.path}: tokenizer.ggml.scores has {scores.size} numbers for "
                f"{len(self.tokens)} tokens"
            )
        return scores.tolist()

    def around(self, first, last):
        """The ids before and behind a text."""
        found = []
        for name, role, default in (
            ("add_bos_token", "bos", first),
            ("add_eos_token", "eos", last),
        ):
            on = self.on(name, default)
            if on and role not in self.ids:
                raise CheckpointError(
                    f"{self.weights.path}: tokenizer.ggml.{name} is true, and {role}_token_id is "
                    f"missing"
                )
            found.append([self.ids[role]] if on else [])
        return found

    def refuse(self, name):
        """Refuse a switch that has no meaning for this model."""
        if self.switches[name]:
            raise CheckpointError(
                f"{self.weights.path}: tokenizer.ggml.{name} is true, which is not read for a "
                f"tokenizer of "
                f"model {self.model!r}"
            )


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
    added, ids = [], {}
    for i, (text, kind) in enumerate(zip(settings.tokens, settings.types)):
        if kind in (_ORDINARY, _UNUSED):
            ids[text] = i
        else:
            added.append(_added(text, i, special=kind != _USER))
        odd = [c for c in text if c not in CHARACTER_TO_BYTE]
        if kind == _ORDINARY and odd:
            raise DataError(
                f"token {text!r}: the character {odd[0]!r} stands for no byte in GPT-2's byte "
                f"alphabet"
            )
    pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise DataError("a merge is not written 'left right'")
    lacking = next(
        (text for pair in pairs for text in (*pair, "".join(pair)) if text not in ids), None
    )
    if lacking is not None:
        raise DataError(f"the tokenizer merges {lacking!r}, which is no token")
    steps = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in SPLITS[split]
    ]
    steps.append({"type": "ByteLevel", "add_prefix_space": False, "use_regex": False})
    return PipelineTokenizer(
        {
            "model": {
                "type": "BPE",
                "vocab": ids,
                "merges": pairs,
                "ignore_merges": split in WHOLE,
            },
            "added_tokens": added,
            "normalizer": {"type": "NFC"} if split in COMPOSED else None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
            "decoder": {"type": "ByteLevel"},
            "post_processor": _frame(*settings.around(split in FRAMED, False)),
        }
    )


def _added(text, i, special=True):
    return {"id": i, "content": text, "special": special, "normalized": False}


def _frame(before, behind):
    """A TemplateProcessing with ids before and behind every text."""
    if not before and not behind:
        return None
    tokens = {str(i): {"id": str(i), "ids": [i], "tokens": [str(i)]} for i in (*before, *behind)}

    def around(text, segment):
        ids = [
            [{"SpecialToken": {"id": str(i), "type_id": segment}} for i in side]
            for side in (before, behind)
        ]
        return [*ids[0], {"Sequence": {"id": text, "type_id": segment}}, *ids[1]]

    return {
        "type": "TemplateProcessing",
        "special_tokens": tokens,
        "single": around("A", 0),
        "pair": around("A", 0) + around("B", 1),
    }


def _pieces(settings):
    """SentencePiece's BPE. llama.cpp squeezes no spaces, and puts a mark before every part between
    special tokens.
    """
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
    """SentencePiece's Unigram."""
    settings.refuse("add_sep_token")
    missing = [
        name
        for name in ("add_space_prefix", "remove_extra_whitespaces")
        if settings.switches[name] is None
    ]
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
    charsmap = settings.take("precompiled_charsmap", np.ndarray, None)
    pieces = [
        [text or f"[EMPTY_{i}]", score, kind]
        for i, (text, score, kind) in enumerate(
            zip(settings.tokens, settings.scores(), settings.types)
        )
    ]
    before, behind = ([[i, 0] for i in side] for side in around)
    single = [*before, ["A", 0], *behind]
    second = [[one if one != "A" else "B", 1] for one, _ in single]
    data = b"" if charsmap is None else charsmap.astype(np.uint8).tobytes()
    return PieceTokenizer(
        PieceTokenizer.described(
            model, pieces, data, prefix, squeeze, frame=[single, single + second]
        )
    )


def _words(settings):
    """WordPiece: a token that begins a word is written with a mark before it, one that continues
    it without.
    """
    ids, added = {}, []
    for i, (text, kind) in enumerate(zip(settings.tokens, settings.types)):
        if kind in (_CONTROL, _UNKNOWN):
            added.append(_added(text, i))
            ids[text] = i
        else:
            ids[text[1:] if text.startswith(MARK) else f"##{text}"] = i
    if any(
        c.isupper()
        for text, kind in zip(settings.tokens, settings.types)
        if kind == _ORDINARY
        for c in text
    ):
        raise DataError(
            "it has tokens in upper case, and a GGUF file does not tell whether text is made "
            "lower case; take the "
            "model's vocab.txt"
        )
    unknown = settings.ids.get("unk", ids.get("[UNK]"))
    if unknown is None:
        raise DataError("it names no unknown token")
    first = settings.ids.get("cls", settings.ids.get("bos"))
    last = settings.ids.get("sep", settings.ids.get("eos"))
    before = [first] if settings.on("add_bos_token", True) and first is not None else []
    behind = [last] if settings.on("add_sep_token", True) and last is not None else []
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


_MODELS = {"gpt2": _bytes, "llama": _pieces, "t5": _likely, "bert": _words}


def special_ids(weights):
    """{"bos": id, "eos": id, ...}: the tokens that begin and end a text, as far as the file names
    them.

    "eos" ends what the model says; for chat models that is the end of a turn.
    """
    found = {}
    for theirs, ours in _IDS.items():
        ids = _numbers(weights, f"{theirs}_token_id")
        if ids:
            found[ours] = ids[0]
    return found


def end_ids(weights):
    """The ids that end what a model says: the end of the text, of a turn, of a message."""
    found = [i for name in ("eos", "eot", "eom") for i in _numbers(weights, f"{name}_token_id")]
    return tuple(dict.fromkeys(found))


def _numbers(weights, name):
    """One id, or an array of them, as a list; what is written for none (-1 in 32 bits) is none."""
    value = weights.metadata.get(f"tokenizer.ggml.{name}")
    values = [] if value is None else value.tolist() if isinstance(value, np.ndarray) else [value]
    if not all(type(one) is int for one in values):
        raise CheckpointError(
            f"{weights.path}: tokenizer.ggml.{name} is {show(value)}; it must be an id"
        )
    size = len(weights.metadata.get("tokenizer.ggml.tokens", ()))
    values = [one for one in values if one not in (-1, 0xFFFFFFFF)]
    if any(not 0 <= one < size for one in values):
        raise CheckpointError(
            f"{weights.path}: tokenizer.ggml.{name} is {show(value)}; there are {size} tokens"
        )
    return values
