"""File formats of published weights: from a path to arrays by name, settings, tokenizer and chat
template.

    weights = read_weights(find_weights("smollm2"))      GGUF or safetensors, one file or shards
    weights["token_embd.weight"]                         an array, read at this moment
    weights.metadata                                     the file's settings
    tokenizer = tokenizer_of(weights)                    of a GGUF file
    template = template_of(weights.metadata["tokenizer.chat_template"])
    ids = template.encode(tokenizer, [{"role": "user", "content": "Hi"}])
    QuantizedMatrix.from_file(weights, "token_embd.weight").matvec(x)    multiplied in 8 or 4 bits
    write_sharded(folder, {name: array})                 for Hugging Face to read

Files are not trusted: whatever they hold, the result is arrays, or one CheckpointError that names
file and tensor. What the names mean to a model stands in layouts/. Read first: `mapped.py`.
"""

from pathlib import Path

from tinylm.models.low_bit.quantized import QuantizedMatrix
from tinylm.models.published.chat_template import TEMPLATES, ChatTemplate, template_of
from tinylm.models.published.formats.found import PUBLISHED, find_weights
from tinylm.models.published.formats.gguf import read_gguf
from tinylm.models.published.formats.gguf_tokenizer import end_ids, special_ids, tokenizer_of
from tinylm.models.published.formats.mapped import WeightFile
from tinylm.models.published.formats.safetensors import (
    read_safetensors,
    write_safetensors,
    write_sharded,
)

# The names that other rooms import from here.
__all__ = [
    "ChatTemplate",
    "PUBLISHED",
    "QuantizedMatrix",
    "TEMPLATES",
    "WeightFile",
    "find_weights",
    "read_gguf",
    "read_safetensors",
    "read_weights",
    "end_ids",
    "special_ids",
    "template_of",
    "tokenizer_of",
    "write_safetensors",
    "write_sharded",
]


def read_weights(path: str | Path) -> WeightFile:
    """Open a .gguf file, a .safetensors file, an index of shards, or a folder of the last two."""
    # By the suffix alone: a folder or an index is always safetensors.
    if Path(path).suffix == ".gguf":
        return read_gguf(path)
    return read_safetensors(path)
