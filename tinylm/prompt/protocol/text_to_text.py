"""Text in, text out: an encoder-decoder as a model that answers   (book section 1.2.3).

The text is encoded once; what the decoder writes is then generated like any continuation. What that
is depends on the objective, and `writes` of its Recipe says it. Read first: opened.py,
generate/protocol/conditional.py; read next: filler.py.
"""

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.generate.protocol.conditional import Conditional
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.pretrain.marked_text import MarkedText
from tinylm.prompt.protocol.opened import Opened, Read


def is_text_to_text(found: Read) -> bool:
    """True for an encoder-decoder."""
    return isinstance(found.model, Seq2Seq)


def open_answer(name: str, found: Read, prompt: str) -> tuple[Opened, list[int], str]:
    """The decoder of an encoder-decoder that has read a text.

    name     of the model, for messages
    found    of read_model(), on its device
    prompt   the text; in that of a run [MASK] and sentinels ([X], <extra_id_0>) are read as such
    returns  (Opened, whose language model is Pr(. | prompt); the ids that the output begins with;
             the text to show before what is generated)
    raises   ConfigError for a model that writes nothing by itself; DataError for a text that is
             empty or too long
    """
    model = found.model
    if found.config is None:
        text = MarkedText(found.tokenizer, None)
        source = _framed(found, text.encode(prompt))
        ends = found.published.ends or tuple(
            i for i in (found.published.special.get("eos"),) if i is not None
        )
        writes, start = "text", model.config.start
    else:
        recipe = found.config.recipe
        special = found.config.special(found.tokenizer.vocab_size)
        text, writes = MarkedText(found.tokenizer, special), recipe.writes
        ends, start = (special.end,), special.start
        source = [special.cls, *special.others[:1], *text.encode(prompt)]
        if writes is None:
            raise ConfigError(
                f"{name}: objective {recipe.name} predicts hidden tokens and writes no text: "
                f'`tinylm fill {name} "... [MASK] ..."` shows its guesses'
            )
        if writes == "all":  # the decoder is a language model, whose encoder reads [CLS] alone
            source = [special.cls]
    if not prompt.strip() and writes != "all":
        raise DataError(f"{name} is an encoder-decoder: give it a text to read")
    _check_length(name, model, source)
    begun, shown = [start], ""
    if writes == "all":
        begun, shown = [start, *text.encode(prompt).tolist()], prompt
    elif writes == "rest":
        shown = prompt
    lm = Conditional(model, np.asarray(source, np.int64))
    opened = Opened(lm, text, None, ends[0] if ends else None, start, (), ends, {})
    return opened, begun, shown


def _framed(found, ids):
    """The ids of a text with those that a published tokenizer puts around it."""
    frame = getattr(found.tokenizer, "frame", None)
    if frame is None:
        return [*found.published.begin, *ids]
    framed = []
    for one, _ in frame[0]:
        framed += ids.tolist() if one == "A" else [one]
    return framed


def _check_length(name, model, source):
    most = model.config.context
    if most is not None and len(source) > most:
        raise DataError(
            f"the text has {len(source)} tokens with its marks, and {name} reads at most {most}: "
            "give a shorter one"
        )
