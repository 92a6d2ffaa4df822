"""Several models as a method: they vote, or choose every token together   (book section 3.2.4,
Fig. 3.2a).

The model of the command is the first of them; the others are runs or published weights, named by an
option and opened once. What all of them read and write is in the account of the first. Read next:
../ensemble/models.py.
"""

from collections.abc import Sequence
from functools import lru_cache

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble import means
from tinylm.prompt.ensemble.models import ModelEnsemble, check_text_model, model_vote
from tinylm.prompt.evaluation.methods import method_named
from tinylm.prompt.evaluation.needs import check_needs
from tinylm.prompt.protocol import TextModel
from tinylm.prompt.protocol.text_lm import TextLM

MEANS = {"arithmetic": means.arithmetic_mean, "geometric": means.geometric_mean}
MOST = 8  # models that are kept open


def models_vote(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    models: str = "",
    method: str = "zero-shot",
    weights: str = "",
    device: str = "cpu",
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The answer that most of several models give, each by the same method   (book section 3.2.4)

    models   names of the others, with commas: runs or published weights, with any tokenizers
    method   a name of METHODS, which each of them uses
    weights  of all, the first one's first, with commas; "": equal
    device   of the others
    returns  Answer as of model_vote
    raises   ConfigError without another model, or as the method lacks something
    """
    used = method_named(method)
    check_needs(used, [item], demonstrations)
    lms = [lm]
    for name in _names("model-vote", models):
        other = opened_with(lm, name, device)
        other.share(lm)
        lms.append(other)
    return model_vote(
        lms,
        item,
        demonstrations,
        method=used.load(),
        seed=seed,
        max_tokens=max_tokens,
        weights=_weights("model-vote", weights),
    )


def models_average(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    models: str = "",
    method: str = "zero-shot",
    mean: str = "arithmetic",
    weights: str = "",
    device: str = "cpu",
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """A method on the average of several models, token by token   (book section 3.2.4)

    models   names of the others, with commas; all have the tokenizer of the first
    mean     "arithmetic" of the probabilities, or "geometric", which is that of their logarithms
    method, weights, device   as in models_vote
    returns  Answer of the method
    raises   ConfigError also for models with another tokenizer or chat template
    """
    if mean not in MEANS:
        raise ConfigError(f"model-average: mean={mean!r} must be one of {', '.join(MEANS)}")
    used = method_named(method)
    check_needs(used, [item], demonstrations)
    check_text_model("model-average", lm)
    names = tuple(_names("model-average", models))
    whole = _average(lm, names, mean, _weights("model-average", weights), device)
    whole.share(lm)
    return used.load()(whole, item, demonstrations, seed=seed, max_tokens=max_tokens)


def opened_with(lm: TextLM, name: str, device: str = "cpu") -> TextLM:
    """The TextModel of a name, which continues texts if `lm` does so in spite of a template."""
    chat = None
    if getattr(getattr(lm, "opened", None), "template", None) is not None and not lm.chat:
        chat = False
    return _opened(name, device, chat)


@lru_cache(maxsize=MOST)
def _opened(name, device, chat):
    # All questions of a run have the same models, and opening one takes longer than an answer.
    return TextModel.open(name, device, chat=chat)


@lru_cache(maxsize=MOST)
def _average(lm, names, mean, weights, device):
    others = [opened_with(lm, name, device) for name in names]
    return ModelEnsemble([lm, *others], weights, MEANS[mean])


def _names(method, models):
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise ConfigError(
            f"{method}: models must name one model or more beside the first, with commas"
        )
    return names


def _weights(method, text):
    """Weights with commas as a tuple of float; None for ""."""
    if not text.strip():
        return None
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise ConfigError(f"{method}: weights={text!r} must be numbers with commas") from None
