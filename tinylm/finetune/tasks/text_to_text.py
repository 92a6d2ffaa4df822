"""Text-to-text fine-tuning: the source names the task, the answer is a text   (book section
1.1.2.2; Raffel et al. 2020).

    "summarize: <article>" -> "<summary> </s>"          "sentiment: I love it" -> "positive </s>"

Three things differ from BERT's fine-tuning: the input names the task, the answer has any length,
since the decoder continues until </s>, and no layer is new. So one model is trained on batches of
mixed tasks with one loss. A decoder-only model reads the source as a prompt
(instruct/instructions.py); prompt_and_answer() makes its examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import Random, to_cpu
from tinylm.finetune import metrics
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.generate import generate_batch
from tinylm.generate.protocol.conditional import Conditional
from tinylm.nn.module import Module
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM, seq2seq_batch
from tinylm.pretrain.denoising.text_to_text import TextToText
from tinylm.pretrain.special import Special

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


def summarize(article: str, summary: str | None = None) -> TextToText:
    """A T5 example of summarization: TextToText("summarize:", article, summary)."""
    return TextToText("summarize:", article, summary)


def prompt_and_answer(example: TextToText, special: Special, tokenizer: "Tokenizer") -> Encoded:
    """A TextToText for a decoder-only model: source </s> target </s>, the loss on target </s>.

    returns  conversations.Encoded, an example of instructions.InstructionTuning
    """
    special.need("prompt_and_answer", "end")
    # the first </s> separates source and target, the second ends the answer
    source = tokenizer.encode(example.source).tolist()
    target = tokenizer.encode(example.target).tolist()
    return encode_sft([*source, special.end], [*target, special.end])


@dataclass(frozen=True)
class Answering:
    """The task of an encoder-decoder, models.Seq2Seq or grafted.Grafted; a batch may mix tasks.

    An example is a TextToText, or (source, target) of two sequences of ids; the target may be None
    for prediction.

    special    Special with start, pad and end; [CLS], where there is one, goes in front of sources,
               [SEP] behind them if framed
    tokenizer  encode(text) -> ids, decode(ids) -> text; None: examples are ids
    longest    most tokens of an answer
    framed     [SEP] after sources, as an encoder pretrained like BERT expects
    """

    special: Special
    tokenizer: object = None
    longest: int = 32
    framed: bool = False

    def __post_init__(self) -> None:
        self.special.need("Answering", "start", "pad", "end")

    def pair(self, example: TextToText) -> tuple[list[int], list[int]]:
        """Ids of source and target of one example: two lists."""
        if isinstance(example, TextToText):
            example = (example.source, example.target)
        source, target = (self._ids(text) for text in example)
        if self.framed:
            source = [*source, self.special.sep]
        return source, target

    def _ids(self, text):
        """The ids of a str, of a sequence of ids, or of None, as a list."""
        if text is None:
            return []
        if isinstance(text, str):
            return self.tokenizer.encode(text).tolist()
        return [int(i) for i in text]

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """-> Seq2SeqBatch; every target ends in </s>."""
        return seq2seq_batch([self.pair(example) for example in examples], self.special)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """-log Pr(target | source), the mean over tokens of targets."""
        return Seq2SeqLM(self.special, None).loss(model, batch)

    def predict(self, model: Module, batch: Any) -> list:
        """Greedy answers, until </s> or `longest` tokens: texts, or lists of ids."""
        mask, end = batch.mask, self.special.end
        if mask is not None:
            mask = to_cpu(mask)
        with no_grad():
            # The encoder reads the sources once; the decoder is a language model Pr(y | source).
            lm = Conditional(model, to_cpu(batch.inputs), mask)
            start = [[self.special.start]] * len(batch)
            rows = generate_batch(lm, start, self.longest, eos=end, temperature=0, notice=None)
        answers = [[int(i) for i in row if i != end] for row in rows]
        if self.tokenizer is None:
            return answers
        return [self.tokenizer.decode(row).strip() for row in answers]

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """exact: the share of answers that are the target; f1: of the tokens in common."""
        if self.tokenizer is None:
            # ids as a list, so that an array and a list of the same ids are equal
            gold = [[int(i) for i in target] for _, target in examples]
            exact = [a == b for a, b in zip(answers, gold)]
            f1 = [metrics.token_f1(a, b) for a, b in zip(answers, gold)]
            return {"exact": float(np.mean(exact)), "f1": float(np.mean(f1))}
        return metrics.answer_scores(answers, [example.target for example in examples])
