"""Models that others trained, from their files and back   (book section 2.1.2; the layouts of
Hugging Face and GGUF).

    published = load_pretrained("smollm2")               a name of formats.PUBLISHED, a file, or a
    folder logits = published.model(ids)
    save_pretrained(model, "folder")                     config.json and model.safetensors, for
    Hugging Face to read

No weight is drawn before it is read: the model is made of placeholders, and each array of the file
becomes a parameter in turn, so memory holds the model once and one tensor besides. Read next:
layouts/rules.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import read_object
from tinylm.models.published import formats
from tinylm.models.published.build import check_size, fill, new_model
from tinylm.models.published.chat.found import folder_template, gguf_template
from tinylm.models.published.layouts import LAYOUTS, LEFT_OUT, gguf, prefix_of
from tinylm.models.published.layouts.fields import Fields
from tinylm.nn import Module
from tinylm.tokenizers.published import begin_of, read_tokenizer


@dataclass(frozen=True)
class Published:
    """What a file of published weights gives.

    model      GPT, Encoder, Seq2Seq or XLNet, in evaluation mode
    tokenizer  or None where its files are missing
    template   formats.ChatTemplate of a model tuned to follow instructions, or None
    special    {"bos": id, "eos": id}, as far as they are known
    path       Path of the file or folder
    weights    WeightFile, for those who want the numbers as they lie
    begin      ids that belong before every text
    ends       ids that end what the model says
    """

    model: Module
    tokenizer: object
    template: formats.ChatTemplate | None
    special: dict
    path: Path
    weights: formats.WeightFile
    begin: tuple = ()
    ends: tuple = ()


def load_pretrained(name, dtype=np.float32, tokenizer=True):
    """A published model with its tokenizer and chat template.

    name       "smollm2", a .gguf or .safetensors file, or a folder with config.json and weights
    dtype      of the parameters
    tokenizer  False: the weights alone, where the tokenizer is one that is not read here
    returns    Published
    raises     MissingExtra or ConfigError if there is no such thing; CheckpointError for a file
               that is damaged, or of a family that is not read here
    """
    path = formats.find_weights(name)
    weights = formats.read_weights(path)
    if path.suffix == ".gguf":
        return _from_gguf(path, weights, dtype, tokenizer)
    folder = path if path.is_dir() else path.parent
    hint = "; weights in Hugging Face's layout have it beside them"
    described = read_object(folder / "config.json", hint)
    config, kind = read_layout(described, folder / "config.json", weights)
    check_size(config, weights)
    model = new_model(config, dtype)
    fill(model, LAYOUTS[kind].rules(config, kind), weights, dtype, prefix_of(kind), LAYOUTS[kind])
    if not tokenizer:
        return Published(model, None, None, {}, path, weights)
    words = _readable(read_tokenizer, folder, described)
    template = folder_template(folder, tuple(words.tokenizer.special) if words.tokenizer else ())
    tokenizer, special, begin, ends = words.tokenizer, words.special, words.begin, words.ends
    return Published(model, tokenizer, template, special, path, weights, begin, ends)


def _readable(read, *where):
    """What a reader of tokenizers gives; its error tells how to do without."""
    try:
        return read(*where)
    except CheckpointError as error:
        hint = "load_pretrained(..., tokenizer=False) reads the weights alone"
        raise CheckpointError(f"{error}; {hint}") from error


def _from_gguf(path, weights, dtype, tokenizer):
    config, kind = gguf.read_config(weights), weights.metadata["general.architecture"]
    check_size(config, weights)
    model = new_model(config, dtype)
    fill(model, gguf.rules(config, kind), weights, dtype, layout=gguf)
    if not tokenizer:
        return Published(model, None, None, {}, path, weights)
    tokenizer = _readable(formats.tokenizer_of, weights)
    template = gguf_template(weights, tuple(tokenizer.special))
    special, ends = formats.special_ids(weights), formats.end_ids(weights)
    return Published(model, tokenizer, template, special, path, weights, begin_of(tokenizer), ends)


def read_layout(described, where="config.json", weights=None):
    """(configuration, model_type) of a config.json that has been read into a dict.

    weights  names of the tensors there are: heads that have none are left out; None: all are kept
    raises   CheckpointError for a family not read here, a field that is missing, misstated, or not
             known
    """
    kind = Fields(described, where).described.get("model_type")
    if not isinstance(kind, str) or kind not in LAYOUTS:
        raise CheckpointError(
            f"{where}: a model of type {kind!r} is not read here, but {', '.join(LAYOUTS)}"
        )
    fields = Fields(LEFT_OUT.get(kind, {}) | described, where)
    try:
        config = LAYOUTS[kind].read_config(fields, weights)
    except (ConfigError, OverflowError, ZeroDivisionError) as error:
        raise CheckpointError(f"{where}: {error}") from error
    fields.finish()
    return config, kind


__all__ = ["Published", "load_pretrained", "read_layout"]
