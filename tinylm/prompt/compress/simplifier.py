"""A small trained simplifier: an encoder-decoder from long to short instructions   (book section
3.3.3).

    loss = - sum over t of log Pr(short_t | long, short_<t)

The pairs are instructions with words that add nothing (data/synthetic/prompted/verbose.py), so
exactness has three grades: the very words, the same meaning by the grammar's parser, and how much
shorter. Here are data, model and measures; finetune/fitting.py trains it. Read first:
finetune/tasks/text_to_text.py.
"""

from collections.abc import Sequence

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.verbose import meaning
from tinylm.errors import DataError
from tinylm.finetune.fitting import answers
from tinylm.finetune.tasks.text_to_text import Answering
from tinylm.models.encoder.presets import build, tiny
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.pretrain.denoising.text_to_text import TextToText
from tinylm.pretrain.special import Special
from tinylm.tokenizers import WordTokenizer

TASK = "simplify:"


def simplify_examples(items: Sequence[Item]) -> list[TextToText]:
    """Items with long instructions and their short forms as answers -> list of TextToText."""
    return [TextToText(TASK, item.question, item.answer) for item in items]


class Simplifier:
    """An encoder-decoder that makes instructions shorter.

    model  models Seq2Seq;  task  finetune.tasks.text_to_text.Answering
    Check: tinylm gradcheck prompt.Simplifier
    """

    def __init__(self, model: Seq2Seq, task: Answering) -> None:
        self.model, self.task = model, task

    @classmethod
    def untrained(
        cls, items: Sequence[Item], seed: int = 0, longest: int = 32, **settings: int
    ) -> "Simplifier":
        """A small T5 over the words of the items: finetune.fit(s.model, s.task, examples, ..).

        longest   most tokens of a short form
        settings  of models.encoder.presets.tiny("t5-v1.1-small"), such as d_model, n_layer
        """
        # T5 without pre-training, over the few words that instructions are made of.
        texts = [TASK, *(f"{item.question} {item.answer}" for item in items)]
        tokenizer = WordTokenizer.from_text(" ".join(texts))
        special = Special.after(tokenizer.vocab_size, sentinels=0)
        settings = {"dropout": 0.0, **settings}
        sizes = {"vocab_size": special.vocab_size, "start": special.start, **settings}
        model = build(tiny("t5-v1.1-small", **sizes), seed)
        assert isinstance(model, Seq2Seq)
        return cls(model, Answering(special, tokenizer, longest=longest))

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The short forms of texts: list of str."""
        examples = [TextToText(TASK, text, None) for text in texts]
        return answers(self.model, self.task, examples)


def measure(short: str, items: Sequence[Item]) -> dict[str, float]:
    """How good are short forms?

    short    list of str;  items  the Items they were made from
    returns  {"exact": share that is the gold answer, "meaning": share with the meaning of the long
             form, "ratio": words of all short forms / words of all long ones}
    """
    # Another order of words or a filler left in may still mean the same.
    exact = [text == item.answer for text, item in zip(short, items, strict=True)]
    same = [_means(text) == meaning(item.question) for text, item in zip(short, items)]
    words = sum(len(text.split()) for text in short)
    before = sum(len(item.question.split()) for item in items)
    return {
        "exact": sum(exact) / len(items),
        "meaning": sum(same) / len(items),
        "ratio": words / before,
    }


def _means(text):
    """The meaning of a text, or None for one that is no instruction of the grammar."""
    try:
        return meaning(text)
    except DataError:
        return None
