"""Post-processors of tokenizer.json: the special tokens around one text, or around two.

A frame is two lists, for one text and for two: ("A", segment) and ("B", segment) stand for the
texts, (id, segment) for a special token. Read next: pipeline.py.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.errors import DataError
from tinylm.fields import of_type
from tinylm.tokenizers.published.strict import Described, built

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


# No special tokens: the text alone, or both texts one after the other.
PLAIN = [("A", 0)], [("A", 0), ("B", 1)]


def frame(value: dict[str, Any] | None, name: str = "post_processor") -> tuple[list[tuple], ...]:
    """The frame of a description; for null the texts alone."""
    if value is None:
        return PLAIN
    return built(value, name, KINDS)


def _sequence(described):
    # ByteLevel changes offsets only and stands beside another processor; two that add special
    # tokens would nest.
    frames = [built(*part, KINDS) for part in described.parts("processors")]
    framing = [one for one in frames if one != PLAIN]
    if len(framing) > 1:
        raise DataError(
            f"{described.name}.processors puts special tokens around the text twice, which is not "
            f"read here"
        )
    if framing:
        return framing[0]
    return PLAIN


def _byte_level(described):
    for field in ("add_prefix_space", "trim_offsets", "use_regex"):  # they concern offsets
        described.take(field, bool, True)
    return PLAIN


def _bert(described):
    """[CLS] A [SEP], and [CLS] A [SEP] B [SEP]."""
    first, last = _pair(described, "cls"), _pair(described, "sep")
    single = [(first, 0), ("A", 0), (last, 0)]
    return single, [*single, ("B", 1), (last, 1)]


def _roberta(described):
    """<s> A </s>, and <s> A </s> </s> B </s>, all of one segment."""
    first, last = _pair(described, "cls"), _pair(described, "sep")
    for field in ("trim_offsets", "add_prefix_space"):
        described.take(field, bool, True)
    single = [(first, 0), ("A", 0), (last, 0)]
    return single, [*single, (last, 0), ("B", 0), (last, 0)]


def _pair(described, field):
    """The id of ["[CLS]", 101]."""
    value = described.raw(field)
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not of_type(value[0], str)
        or not of_type(value[1], int)
    ):
        raise described.wrong(field, value, "[token, id]")
    return value[1]


def _template(described):
    tokens = {}  # {name: list of ids}: one name may stand for several tokens
    for name, value in described.take("special_tokens", dict, {}).items():
        given = Described(value, f"{described.name}.special_tokens[{name!r}]")
        given.take("id", str, name)
        given.raw("tokens")
        tokens[name] = given.take("ids", list)
        if not all(of_type(i, int) and i >= 0 for i in tokens[name]):
            raise given.wrong("ids", tokens[name], "a list of ids")
        given.close()
    return (_items(described, "single", tokens, "A"), _items(described, "pair", tokens, "AB"))


def _items(described, field, tokens, texts):
    """One list of a template: [(id or "A" or "B", segment), ...]; `texts` are those allowed."""
    found = []
    for value, name in described.parts(field):
        # {"Sequence": {"id": "A", "type_id": 0}} or {"SpecialToken": {"id": name, "type_id": 0}}
        item = Described(value, name)
        kind = next(iter(item.left), None)
        given = Described(item.raw(kind), f"{name}.{kind}")
        segment = given.take("type_id", int, 0)
        if kind == "Sequence":
            found.append((given.one_of("id", texts), segment))
        elif kind == "SpecialToken":
            found += [(i, segment) for i in tokens[given.one_of("id", tokens)]]
        else:
            raise item.wrong(kind, value, "Sequence or SpecialToken")
        given.close()
        item.close()
    if [one for one, _ in found if isinstance(one, str)].count("A") != 1:
        raise DataError(f"{described.name}.{field} must hold the text A once")
    return found


# {type: function Described -> frame}
KINDS = {
    "Sequence": _sequence,
    "ByteLevel": _byte_level,
    "BertProcessing": _bert,
    "RobertaProcessing": _roberta,
    "TemplateProcessing": _template,
}


def framed(
    tokenizer: "Tokenizer", first: str, second: str | None, limit: int | None, allow_special: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The ids of one text or two with the special tokens that a tokenizer's frame puts around them.

    returns  (ids (T,) int32, segments (T,) int32)
    """
    items = tokenizer.frame[second is not None]
    texts = {"A": tokenizer.encode(first, allow_special)}
    if second is not None:
        texts["B"] = tokenizer.encode(second, allow_special)
    # Special tokens are never cut: the texts share the rest. The longer one loses its last id; of
    # equals B does.
    room = math.inf
    if limit is not None:
        room = max(0, limit - sum(not isinstance(one, str) for one, _ in items))
    while sum(map(len, texts.values())) > room:
        longest = max(texts, key=lambda name: (len(texts[name]), name))
        texts[longest] = texts[longest][:-1]
    ids, segments = [], []
    for one, segment in items:
        if isinstance(one, str):
            part = texts[one]  # "A" or "B"
        else:
            part = np.array([one], np.int32)
        ids.append(part)
        segments.append(np.full(len(part), segment, np.int32))
    return np.concatenate(ids), np.concatenate(segments)
