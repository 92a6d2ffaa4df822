"""SentencePiece's model files (Kudo & Richardson 2018): tokenizer.model, spiece.model and others.

One message of Protocol Buffers: pieces with scores and types, how text is normalized, and how the
pieces were trained, of which only the kind of model and a few names matter for reading. Read next:
pieces.py, which encodes with them.
"""

from pathlib import Path

from tinylm.errors import DataError
from tinylm.tokenizers.published.pieces import PieceTokenizer
from tinylm.tokenizers.published.protobuf import message
from tinylm.tokenizers.published.scored import BYTE, NORMAL

# The files' names, in the order in which they are searched.
FILES = (
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "sentencepiece.model",
)

# {number of a field: (name here, kind)}, as sentencepiece_model.proto numbers them.
_MODEL = {
    1: ("pieces", "list"),
    2: ("trainer", "bytes"),
    3: ("normalizer", "bytes"),
    5: ("denormalizer", "bytes"),
}
_PIECE = {1: ("piece", "text"), 2: ("score", "float"), 3: ("type", "int")}
_NORMALIZER = {
    1: ("name", "text"),
    2: ("charsmap", "bytes"),
    3: ("prefix", "bool"),
    4: ("squeeze", "bool"),
    5: ("escape", "bool"),
    6: ("rules", "text"),
}
_TRAINER = {
    3: ("model", "int"),
    24: ("suffix", "bool"),
    35: ("bytes", "bool"),
    40: ("unk", "int"),
    41: ("bos", "int"),
    42: ("eos", "int"),
    43: ("pad", "int"),
}
# Of trainer_spec.model_type.
_MODELS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


def read_sentencepiece(path: Path) -> tuple[dict, dict[str, int]]:
    """The description of a model file, for `PieceTokenizer.from_dict`, and the ids that it names.

    returns  (dict, {"bos": id, ...})
    raises   DataError naming the field that is damaged or not read here
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path.name}: {error.strerror}") from error
    found = message(data, _MODEL, path.name, ignored=(4,))  # 4: texts for its own test
    normalizer = message(found.get("normalizer", b""), _NORMALIZER, f"{path.name}.normalizer_spec")
    # The trainer's other fields, up to 54 in version 0.2, are about training.
    trainer = message(
        found.get("trainer", b""),
        _TRAINER,
        f"{path.name}.trainer_spec",
        set(range(1, 55)) - set(_TRAINER),
    )
    # What would change the text or the ids, and is not read here, is refused.
    denormalizer = message(
        found.get("denormalizer", b""), _NORMALIZER, f"{path.name}.denormalizer_spec"
    )
    if denormalizer.get("charsmap"):
        raise DataError(
            f"{path.name}.denormalizer_spec has a character map, which is not read here"
        )
    if trainer.get("suffix") or normalizer.get("escape") is False:
        raise DataError(
            f"{path.name}: white space as a suffix, or not written as a mark, is not read here"
        )
    model = _MODELS.get(trainer.get("model", 1), trainer.get("model"))
    if model not in ("unigram", "bpe"):
        raise DataError(
            f"{path.name}.trainer_spec.model_type is {model!r}; unigram and bpe are read here"
        )
    pieces = [_piece(one, f"{path.name}.pieces[{i}]") for i, one in enumerate(found["pieces"])]
    # The defaults of the .proto file; -1 is no token.
    defaults = {"unk": 0, "bos": 1, "eos": 2, "pad": -1}
    ids = {role: trainer.get(role, default) for role, default in defaults.items()}
    described = PieceTokenizer.described(
        model,
        pieces,
        charsmap=normalizer.get("charsmap", b""),
        prefix=normalizer.get("prefix", True),
        squeeze=normalizer.get("squeeze", True),
    )
    return described, {role: i for role, i in ids.items() if 0 <= i < len(pieces)}


def _piece(data, where):
    """[text, score, kind] of the message of one piece."""
    found = message(data, _PIECE, where)
    kind = found.get("type", NORMAL)
    if not NORMAL <= kind <= BYTE or not found.get("piece"):
        raise DataError(f"{where} is {found.get('piece')!r} of type {kind}; it is damaged")
    return [found["piece"], found.get("score", 0.0), kind]
