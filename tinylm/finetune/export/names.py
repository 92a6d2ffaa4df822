"""The special tokens of a run by the roles that other libraries know: bos, eos, pad, cls, ...

The ids that an objective puts behind the words of a text, [CLS] or <s>, have no names in the run's
tokenizer; here they get them. Read next: run.py.
"""

from dataclasses import dataclass

from tinylm.data.batches.prepare import END_OF_TEXT
from tinylm.finetune.inputs import UNKNOWN
from tinylm.pretrain.objectives import DECODER, SEQ2SEQ
from tinylm.tokenizers.published.write import tokenizer_json

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


def named_tokens(tokenizer, config, template=None, size=None):
    """The tokenizer of a run with its special tokens named.

    config    TrainConfig of the run
    template  chat template, or None
    size      ids of the model; behind the tokenizer's words are those of the objective
    returns   Named
    raises    ConfigError for a tokenizer that cannot be written
    """
    words, recipe = tokenizer.vocab_size, config.recipe
    special = config.special(words)
    # a published vocabulary may be smaller than its model, whose last rows stand for nothing
    behind = range(words, special.vocab_size if size == special.vocab_size else words)
    described, made = tokenizer_json(tokenizer, [special.name(i) or f"[#{i}]" for i in behind])
    by_id = {i: name for name, i in tokenizer.special.items()} | dict(zip(behind, made))
    ids = _decoder(tokenizer, template)
    if behind and recipe.architecture != DECODER:
        roles = _SEQ2SEQ if recipe.architecture == SEQ2SEQ else _ENCODER
        ids |= {role: getattr(special, kind) for kind, role in roles.items()}
        ids = {role: i for role, i in ids.items() if i is not None}
        described = described | {"post_processor": _frame(recipe, special, by_id)}
    return Named(described, {role: by_id[i] for role, i in ids.items()}, ids)


def _decoder(tokenizer, template):
    """{role: id} of what continues texts, or answers."""
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

    second = int(recipe.paired)  # a model of single texts knows one segment
    last = [] if recipe.architecture == SEQ2SEQ else [mark(sep)]
    single = [mark(cls), text("A"), *last]
    pair = [mark(cls), text("A"), mark(sep), text("B", second)]
    pair += [mark(sep, second)] * bool(last)
    tokens = {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in used.items()}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": tokens,
    }
