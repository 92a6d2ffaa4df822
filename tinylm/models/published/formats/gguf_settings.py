"""The settings of a GGUF file's tokenizer, tokenizer.ggml.*: an unknown one raises CheckpointError.

Read next: gguf_tokenizer.py, which makes a tokenizer of them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.errors import CheckpointError
from tinylm.fields import show

if TYPE_CHECKING:
    from tinylm.models.published.formats.mapped import WeightFile


# The types of tokens, by llama.cpp's numbers.
ORDINARY, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)

# {name in "..._token_id": role here}; "seperator" is how llama.cpp spells it.
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
# Tokens of fill-in-the-middle prompts, which no tokenizer here writes: known, and not read.
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
# Booleans; None where the file lacks one, because the default depends on the model.
_SWITCHES = (
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
)
# The settings that this file and gguf_tokenizer.py read or knowingly ignore.
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


class Settings:
    """The settings of a file's tokenizer, checked.

    weights  WeightFile
    models   names of the models that are read
    """

    def __init__(self, weights: "WeightFile", models: dict[str, Callable]) -> None:
        self.weights = weights
        start = "tokenizer.ggml."
        given = [name for name in weights.metadata if name.startswith(start)]
        unread = [name for name in given if name.removeprefix(start) not in _KNOWN]
        if unread:
            raise CheckpointError(
                f"{weights.path}: {unread[0]} is {show(weights.metadata[unread[0]])}; no setting "
                "of that name is read here"
            )
        # Without the checks below, a damaged file could be read as another tokenizer.
        self.model = self.take("model", str)
        if self.model not in models:
            raise CheckpointError(
                f"{weights.path}: a tokenizer of model {self.model!r} is not read here, but "
                f"{', '.join(models)}"
            )
        self.tokens = self.take("tokens", list)
        types = self.take("token_type", np.ndarray, None)
        self.types = [ORDINARY] * len(self.tokens)
        if types is not None:
            self.types = types.tolist()
        self.switches = {name: self.take(name, bool, None) for name in _SWITCHES}
        texts = all(isinstance(text, str) for text in self.tokens)
        if not texts or len(self.types) != len(self.tokens):
            raise CheckpointError(
                f"{weights.path}: the tokenizer's tokens, types and merges do not fit together"
            )
        # Two ids for one text: the table from text to id would lose one of them.
        if len(set(self.tokens)) < len(self.tokens):
            twice = next(text for i, text in enumerate(self.tokens) if text in self.tokens[:i])
            raise CheckpointError(
                f"{weights.path}: the tokenizer is damaged: it has two ids for {twice!r}"
            )
        odd = [kind for kind in self.types if kind not in range(ORDINARY, BYTE + 1)]
        if odd:
            raise CheckpointError(
                f"{weights.path}: tokenizer.ggml.token_type holds {odd[0]}; 1 to 6 are read here"
            )
        self.ids = special_ids(weights)
        if types is None:  # then the named tokens are the special ones
            for role in ("bos", "eos", "eot", "eom"):
                if role in self.ids:
                    self.types[self.ids[role]] = CONTROL

    def take(self, name: str, kind: type, *default: Any) -> Any:
        """The value of a setting of the type `kind`; `default` where the file lacks it."""
        value = self.weights.metadata.get(f"tokenizer.ggml.{name}", *default)
        if value is None and default:
            return None
        if not isinstance(value, kind):
            wrong = "of a wrong type"
            if value is None:
                wrong = "missing"
            raise CheckpointError(f"{self.weights.path}: tokenizer.ggml.{name} is {wrong}")
        return value

    def on(self, name: str, default: Any) -> bool:
        """A switch; `default` where the file lacks it."""
        if self.switches[name] is None:
            return default
        return self.switches[name]

    def scores(self) -> list[float]:
        """The score of each token, a list of V numbers."""
        scores = self.take("scores", np.ndarray)
        if scores.shape != (len(self.tokens),):
            raise CheckpointError(
                f"{self.weights.path}: tokenizer.ggml.scores has {scores.size} numbers for "
                f"{len(self.tokens)} tokens"
            )
        return scores.tolist()

    def around(self, first: bool, last: bool) -> list[list]:
        """The ids before and behind a text: ([bos] or [], [eos] or []).

        first, last  the defaults of add_bos_token and add_eos_token
        """
        found = []
        for name, role, default in (
            ("add_bos_token", "bos", first),
            ("add_eos_token", "eos", last),
        ):
            on = self.on(name, default)
            # A switch for a token that the file does not name cannot be followed.
            if on and role not in self.ids:
                raise CheckpointError(
                    f"{self.weights.path}: tokenizer.ggml.{name} is true, and {role}_token_id is "
                    f"missing"
                )
            ids = []
            if on:
                ids.append(self.ids[role])
            found.append(ids)
        return found

    def refuse(self, name: str) -> None:
        """Refuse a switch that has no meaning for this model."""
        if self.switches[name]:
            raise CheckpointError(
                f"{self.weights.path}: tokenizer.ggml.{name} is true, which is not read for a "
                f"tokenizer of model {self.model!r}"
            )


def special_ids(weights: "WeightFile") -> dict[str, int]:
    """{"bos": id, "eos": id, ...} of the special tokens that the file names.

    "eos" ends what the model generates; for chat models that is the end of a turn.
    """
    # Of several ids the first; end_ids has all of those that end a text.
    found = {}
    for theirs, ours in _IDS.items():
        ids = _numbers(weights, f"{theirs}_token_id")
        if ids:
            found[ours] = ids[0]
    return found


def end_ids(weights: "WeightFile") -> tuple[int, ...]:
    """The ids that end what a model generates: the end of the text, of a turn, of a message."""
    found = [i for name in ("eos", "eot", "eom") for i in _numbers(weights, f"{name}_token_id")]
    return tuple(dict.fromkeys(found))  # each once, in this order


def _numbers(weights, name):
    """The ids of a setting, one or an array, as a list; -1, written for none, is left out."""
    value = weights.metadata.get(f"tokenizer.ggml.{name}")
    values = [value]
    if value is None:
        values = []
    elif isinstance(value, np.ndarray):
        values = value.tolist()
    if not all(type(one) is int for one in values):
        raise CheckpointError(
            f"{weights.path}: tokenizer.ggml.{name} is {show(value)}; it must be an id"
        )
    size = len(weights.metadata.get("tokenizer.ggml.tokens", ()))
    values = [one for one in values if one not in (-1, 0xFFFFFFFF)]  # -1 in 32 bits, either way
    if any(not 0 <= one < size for one in values):  # would index another token, or none
        raise CheckpointError(
            f"{weights.path}: tokenizer.ggml.{name} is {show(value)}; there are {size} tokens"
        )
    return values
