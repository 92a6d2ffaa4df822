"""The special tokens of a run by the roles of other libraries: bos, eos, pad, cls, ...

An objective adds ids behind the tokenizer's, such as [CLS] or <s>, which have no names in the run's
tokenizer; here they get them. Read next: run.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinylm.data.batches.prepare import END_OF_TEXT
from tinylm.finetune.inputs import UNKNOWN
from tinylm.models.published.chat.builtin import ChatTemplate
from tinylm.pretrain.objectives import DECODER, SEQ2SEQ
from tinylm.tokenizers.base import Tokenizer
from tinylm.tokenizers.published.write import tokenizer_json

if TYPE_CHECKING:
    from tinylm.train.run.config import TrainConfig


# Roles of the ids of pretrain/special.py, for the two architectures that frame their texts.
_ENCODER = {"cls": "cls", "sep": "sep", "mask": "mask", "pad": "pad"}
_SEQ2SEQ = {"start": "bos", "end": "eos", "cls": "cls", "sep": "sep", "mask": "mask", "pad": "pad"}


@dataclass(frozen=True)
class Named:
    """A tokenizer with all of its special tokens.

    described  the tokenizer.json, a dict
    names      {role: name}
    ids        {role: id}
    """

    described: dict
    names: dict
    ids: dict


def named_tokens(
    tokenizer: Tokenizer,
    config: "TrainConfig",
    template: ChatTemplate | None = None,
    size: int | None = None,
) -> Named:
    """The tokenizer of a run with its special tokens named.

    config    TrainConfig of the run
    template  chat template, or None
    size      V of the model: the tokenizer's ids, then those of the objective
    returns   Named
    raises    ConfigError for a tokenizer that cannot be written
    """
    words, recipe = tokenizer.vocab_size, config.recipe
    special = config.special(words)
    # The ids of the objective. A published vocabulary may also be smaller than its model, whose
    # last rows are unused: then there are none.
    behind = range(words, words)
    if size == special.vocab_size:
        behind = range(words, special.vocab_size)
    described, made = tokenizer_json(tokenizer, [special.name(i) or f"[#{i}]" for i in behind])
    by_id = {i: name for name, i in tokenizer.special.items()} | dict(zip(behind, made))
    ids = _decoder(tokenizer, template)
    if behind and recipe.architecture != DECODER:
        roles = _ENCODER
        if recipe.architecture == SEQ2SEQ:
            roles = _SEQ2SEQ
        ids |= {role: getattr(special, kind) for kind, role in roles.items()}
        ids = {role: i for role, i in ids.items() if i is not None}
        described = described | {"post_processor": _frame(recipe, special, by_id)}
    return Named(described, {role: by_id[i] for role, i in ids.items()}, ids)


def _decoder(tokenizer, template):
    """{role: id} of a decoder, which continues texts or answers in conversations."""
    special = tokenizer.special
    ids = dict.fromkeys(("bos", "eos"), special.get(END_OF_TEXT))
    unknown = next((special[name] for name in UNKNOWN if name in special), None)
    unknown = special.get(getattr(tokenizer, "unk", None), unknown)
    ids |= {"unk": unknown, "pad": special.get("[PAD]")}
    if template is not None:
        ids["bos"] = special.get(getattr(template, "begin", None), ids["bos"])
        ids["eos"] = special.get(template.end, ids["eos"])
    return {role: i for role, i in ids.items() if i is not None}


def _frame(recipe, special, by_id):
    """The post-processor: [CLS] text [SEP] for an encoder, [CLS] text for an encoder-decoder."""
    used = {by_id[i]: i for i in (special.cls, special.sep)}
    cls, sep = used

    def mark(name, segment=0):
        return {"SpecialToken": {"id": name, "type_id": segment}}

    def text(name, segment=0):
        return {"Sequence": {"id": name, "type_id": segment}}

    second = int(recipe.paired)  # segment of the second text: a model of single texts has only 0
    single = [mark(cls), text("A")]
    pair = [mark(cls), text("A"), mark(sep), text("B", second)]
    if recipe.architecture != SEQ2SEQ:  # whose sources do not end in [SEP]
        single.append(mark(sep))
        pair.append(mark(sep, second))
    tokens = {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in used.items()}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": tokens,
    }
