"""Models that others trained, from Hugging Face's folders and GGUF files   (book section 2.1.2).

    published = load_pretrained("smollm2")    a name of formats.PUBLISHED, a file, or a folder
    logits = published.model(ids)
    save_pretrained(model, "folder")          and back (save.py): config.json and model.safetensors

No weights are initialized: the model is made of placeholders, and each array of the file becomes a
parameter in turn. So memory holds the model once, and one more tensor. Read next: layouts/rules.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.backend import DType
from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import read_object
from tinylm.models.published import formats
from tinylm.models.published.build import check_size, fill, new_model
from tinylm.models.published.chat.found import folder_template, gguf_template
from tinylm.models.published.formats.mapped import WeightFile
from tinylm.models.published.layouts import LAYOUTS, LEFT_OUT, gguf, prefix_of
from tinylm.models.published.layouts.fields import Fields
from tinylm.nn import Module
from tinylm.tokenizers.published import begin_of, read_tokenizer


@dataclass(frozen=True)
class PublishedModel:
    """A model from its files, with all that is needed to use it.

    model      GPT, Encoder, Seq2Seq or XLNet, in evaluation mode
    tokenizer  or None where its files are missing
    template   formats.ChatTemplate of a model tuned to follow instructions, or None
    special    {"bos": id, "eos": id} for the roles that the files name
    path       Path of the file or folder
    weights    WeightFile, the tensors as the file holds them
    begin      ids that belong before every text
    ends       ids that end what the model generates
    """

    model: Module
    tokenizer: object
    template: formats.ChatTemplate | None
    special: dict
    path: Path
    weights: formats.WeightFile
    begin: tuple = ()
    ends: tuple = ()


def load_pretrained(
    name: str | Path, dtype: DType = np.float32, tokenizer: bool = True
) -> PublishedModel:
    """A published model with its tokenizer and chat template.

    name       "smollm2", a .gguf or .safetensors file, or a folder with config.json and weights
    dtype      of the parameters
    tokenizer  False: the weights alone, for a model whose tokenizer is not read here
    returns    PublishedModel
    raises     MissingExtra or ConfigError if `name` is not found; CheckpointError for a file that
               is damaged, or of a family that is not read here
    """
    path = formats.find_weights(name)
    weights = formats.read_weights(path)
    if path.suffix == ".gguf":  # one file with everything; else a folder with several
        return _from_gguf(path, weights, dtype, tokenizer)
    folder = path if path.is_dir() else path.parent
    hint = "; weights in Hugging Face's layout have it beside them"
    described = read_object(folder / "config.json", hint)
    # config.json -> configuration -> placeholders -> parameters; the size is checked before
    # anything is allocated.
    config, kind = read_layout(described, folder / "config.json", weights)
    check_size(config, weights)
    model = new_model(config, dtype)
    fill(model, LAYOUTS[kind].rules(config, kind), weights, dtype, prefix_of(kind), LAYOUTS[kind])
    if not tokenizer:
        return PublishedModel(model, None, None, {}, path, weights)
    found = _tokenizer_of(read_tokenizer, folder, described)
    names = ()
    if found.tokenizer:
        names = tuple(found.tokenizer.special)
    template = folder_template(folder, names)
    return PublishedModel(
        model, found.tokenizer, template, found.special, path, weights, found.begin, found.ends
    )


def _tokenizer_of(read, *where):
    """The result of a reader of tokenizers; its error gets a hint how to load without one."""
    try:
        return read(*where)
    except CheckpointError as error:
        hint = "load_pretrained(..., tokenizer=False) reads the weights alone"
        raise CheckpointError(f"{error}; {hint}") from error


def _from_gguf(path, weights, dtype, tokenizer):
    """The PublishedModel of a GGUF file, which holds its configuration and tokenizer itself."""
    config, kind = gguf.read_config(weights), weights.metadata["general.architecture"]
    check_size(config, weights)
    model = new_model(config, dtype)
    # GGUF has its own names of tensors, the same for all families, and no prefix.
    fill(model, gguf.rules(config, kind), weights, dtype, layout=gguf)
    if not tokenizer:
        return PublishedModel(model, None, None, {}, path, weights)
    tokenizer = _tokenizer_of(formats.tokenizer_of, weights)
    template = gguf_template(weights, tuple(tokenizer.special))
    special, ends = formats.special_ids(weights), formats.end_ids(weights)
    return PublishedModel(
        model, tokenizer, template, special, path, weights, begin_of(tokenizer), ends
    )


def read_layout(
    described: dict[str, Any],
    where: str | Path = "config.json",
    weights: Sequence[str] | WeightFile | None = None,
) -> tuple[Any, str]:
    """(configuration, model_type) of a config.json that has been read into a dict.

    weights  names of the tensors: heads without tensors are left out; None: all heads are kept
    raises   CheckpointError for a family not read here, or a field that is missing, wrong, or
             unknown
    """
    kind = Fields(described, where).described.get("model_type")
    if not isinstance(kind, str) or kind not in LAYOUTS:
        raise CheckpointError(
            f"{where}: a model of type {kind!r} is not read here, but {', '.join(LAYOUTS)}"
        )
    # Fields that files leave out have the defaults of the family's class.
    fields = Fields(LEFT_OUT.get(kind, {}) | described, where)
    try:
        config = LAYOUTS[kind].read_config(fields, weights)
    except (ConfigError, OverflowError, ZeroDivisionError) as error:
        raise CheckpointError(f"{where}: {error}") from error
    fields.finish()  # refuses the fields that nothing has read
    return config, kind


__all__ = ["PublishedModel", "load_pretrained", "read_layout"]
