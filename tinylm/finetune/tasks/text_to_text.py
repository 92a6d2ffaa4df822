"""Fine-tuning that adds nothing to the model: the task is said in the source, the answer is a text
(book section 1.1.2.2; Raffel et al. 2020).

    "summarize: <article>" -> "<summary> </s>"          "sentiment: I love it" -> "positive </s>"

Three things differ from BERT's fine-tuning: the input says the task, the answer has any length, for
the decoder goes on until </s>, and no layer is new. So one model is trained on batches of mixed
tasks with one loss. Decoder-only models do the same with the source as a prompt:
../instruct/instructions.py, of which prompt_and_answer here makes the examples.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import to_cpu
from tinylm.finetune import metrics
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.generate import generate_batch
from tinylm.generate.protocol.conditional import Conditional
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM, seq2seq_batch
from tinylm.pretrain.denoising.text_to_text import TextToText
from tinylm.pretrain.special import Special


def summarize(article, summary=None):
    """The example that has T5 say a summary: TextToText("summarize:", article, summary)."""
    return TextToText("summarize:", article, summary)


def say_label(instruction, examples):
    """Classification as text: (text, label) pairs as TextToText examples whose target is the
    label's name.
    """
    return [TextToText(instruction, text, str(label)) for text, label in examples]


def prompt_and_answer(example, special, tokenizer):
    """A TextToText as what a decoder-only model reads: source </s> target </s>, of which it says
    what follows the first </s>.

    returns  conversations.Encoded, an example of instructions.InstructionTuning
    """
    special.need("prompt_and_answer", "end")
    source, target = (tokenizer.encode(text).tolist() for text in (example.source, example.target))
    return encode_sft([*source, special.end], [*target, special.end])


@dataclass(frozen=True)
class Answering:
    """The task of an encoder-decoder, models.Seq2Seq or grafted.Grafted; any tasks may be mixed in
    a batch.

    An example is a TextToText, or (source, target) of two sequences of ids; the target may be None
    where only an answer is wanted.

    special    Special with start, pad and end; [CLS], where there is one, goes in front of sources,
               [SEP] after them if framed
    tokenizer  encode(text) -> ids, decode(ids) -> text; None: examples are ids
    longest    most tokens of an answer
    framed     [SEP] after sources, as an encoder pretrained like BERT expects
    """

    special: Special
    tokenizer: object = None
    longest: int = 32
    framed: bool = False

    def __post_init__(self):
        self.special.need("Answering", "start", "pad", "end")

    def pair(self, example):
        """Ids of source and target of one example: two lists."""
        texts = (example.source, example.target) if isinstance(example, TextToText) else example
        source, target = (
            []
            if text is None
            else self.tokenizer.encode(text).tolist()
            if isinstance(text, str)
            else [int(i) for i in text]
            for text in texts
        )
        return source + ([self.special.sep] if self.framed else []), target

    def make_batch(self, examples, rng=None):
        """-> Seq2SeqBatch; every target ends in </s>."""
        return seq2seq_batch([self.pair(example) for example in examples], self.special)

    def loss(self, model, batch):
        """-log Pr(target | source), the mean over tokens of targets."""
        return Seq2SeqLM(self.special, None).loss(model, batch)

    def predict(self, model, batch):
        """What the model says, most probable token by token, until </s> or `longest` tokens: texts,
        or lists of ids.
        """
        with no_grad():
            lm = Conditional(
                model, to_cpu(batch.inputs), None if batch.mask is None else to_cpu(batch.mask)
            )
            start = [[self.special.start]] * len(batch)
            said = generate_batch(
                lm, start, self.longest, eos=self.special.end, temperature=0, notice=None
            )
        said = [[int(i) for i in row if i != self.special.end] for row in said]
        if self.tokenizer is None:
            return said
        return [self.tokenizer.decode(row).strip() for row in said]

    def measure(self, answers, examples):
        """exact: the share of answers that are the target; f1: of the tokens in common."""
        if self.tokenizer is None:
            gold = [[int(i) for i in target] for _, target in examples]
            pairs = list(zip(answers, gold))
            return {
                "exact": float(np.mean([a == b for a, b in pairs])),
                "f1": float(np.mean([metrics.token_f1(a, b) for a, b in pairs])),
            }
        return metrics.answer_scores(answers, [example.target for example in examples])
