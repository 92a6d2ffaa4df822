"""The tokenizer that a GGUF file carries in its settings.

    tokenizer.ggml.model       "gpt2": byte-level BPE. Others ("llama": SentencePiece) are not read here
    tokenizer.ggml.pre         how text is split before merging
    tokenizer.ggml.tokens      V strings in GPT-2's alphabet of printable bytes
    tokenizer.ggml.token_type  V numbers: 1 ordinary; any other is a special token, written as plain text
    tokenizer.ggml.merges      "left right", first learnt first

Read next: `published/chat_template.py`, which puts the special tokens to use.
"""
import numpy as np

from tinylm.errors import CheckpointError, DataError
from tinylm.tokenizers import BPETokenizer
from tinylm.tokenizers.printable import from_printable

# llama.cpp's names of ways to split, and ours.
_PATTERNS = {"gpt-2": "gpt2", "phi-2": "gpt2", "olmo": "gpt2", "smollm": "gpt2-digits", "starcoder": "gpt2-digits",
             "refact": "gpt2-digits", "command-r": "gpt2-digits", "codeshell": "gpt2-digits", "exaone": "gpt2-digits",
             "llama-bpe": "llama3", "llama3": "llama3", "llama-v3": "llama3", "qwen2": "qwen2", "deepseek-r1-qwen": "qwen2"}
_ORDINARY = 1


def tokenizer_of(weights):
    """The BPETokenizer of a GGUF file.

    weights  WeightFile from `read_gguf`
    returns  BPETokenizer; ids are the model's
    raises   CheckpointError naming the file, if it carries none, a kind not read here, or a damaged one
    """
    def setting(name, kind):
        value = weights.metadata.get(f"tokenizer.ggml.{name}")
        if not isinstance(value, kind):
            raise CheckpointError(f"{weights.path}: tokenizer.ggml.{name} is {'missing' if value is None else 'of a wrong type'}")
        return value

    model, split = setting("model", str), setting("pre", str)
    if model != "gpt2" or split not in _PATTERNS:
        raise CheckpointError(f"{weights.path}: a tokenizer of model {model!r} and splitting {split!r} is not read here, but "
                              f"'gpt2' with {', '.join(_PATTERNS)}")
    written, merges, types = setting("tokens", list), setting("merges", list), setting("token_type", np.ndarray)
    if not all(isinstance(text, str) for text in [*written, *merges]) or len(types) != len(written):
        raise CheckpointError(f"{weights.path}: the tokenizer's tokens, types and merges do not fit together")
    special = {written[i]: int(i) for i in np.flatnonzero(types != _ORDINARY)}
    ordinary = {text: i for i, text in enumerate(written) if types[i] == _ORDINARY}
    try:
        tokens = [from_printable(text) if types[i] == _ORDINARY else None for i, text in enumerate(written)]
        pairs = [tuple(ordinary[half] for half in merge.split(" ", 1)) for merge in merges]
        return BPETokenizer(tokens, pairs, special, _PATTERNS[split], partial=True)
    except KeyError as error:
        raise CheckpointError(f"{weights.path}: the tokenizer merges {error}, which is no token; the file is damaged") from error
    except (DataError, ValueError) as error:
        raise CheckpointError(f"{weights.path}: the tokenizer is damaged: {error}") from error


def special_ids(weights):
    """{"bos": id, "eos": id, ...}: the tokens that begin and end a text, as far as the file names them.

    "eos" ends what the model says; for chat models that is the end of a turn.
    """
    names = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    found = {ours: weights.metadata.get(f"tokenizer.ggml.{theirs}_token_id") for theirs, ours in names.items()}
    return {name: token for name, token in found.items() if isinstance(token, int)}
