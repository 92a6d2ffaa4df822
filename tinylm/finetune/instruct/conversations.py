"""A conversation as token ids, and the mask of the tokens that count in the loss.

Only the assistant's turns are learnt: its words and the mark that ends them, not the marks that
open its turn, which the prompt contains. Attention is causal, so one pass scores every turn given
all before it, and

    loss = - sum over turns k of log Pr(y_k | x_1, y_1, ..., x_k)
                                       (book section 2.1.3; eqs. 2.17 and 2.18 for one turn)

Question and answer are tokenized separately, as at inference: no token spans both. Read next:
instructions.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.batches.packing import best_fit
from tinylm.errors import ConfigError, DataError
from tinylm.models.published.chat.builtin import ROLES_MARKS, ChatTemplate
from tinylm.models.published.chat.pieces import encode_pieces, merged
from tinylm.models.published.chat_template import ROLES, TEMPLATES, Mark
from tinylm.pretrain.batch import IGNORE

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


MARKS = ROLES_MARKS  # the special tokens of our own template, ROLES


@dataclass(frozen=True)
class Encoded:
    """Tokens, and a mask of those that count in the loss.

    ids      (T,) int64
    answer   (T,) bool, True for tokens of answers; the first of all tokens is no target even if it
             is of an answer, since nothing predicts it
    """

    ids: np.ndarray
    answer: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def prompt(self) -> int:
        """The number of tokens before the first answer."""
        if self.answer.any():
            return int(self.answer.argmax())
        return len(self.ids)

    def targets(self, whole: bool = False) -> np.ndarray:
        """The target after each token but the last: (T - 1,) int64, IGNORE outside of answers.

        whole    every token counts: the loss of pre-training
        """
        if whole:
            return self.ids[1:].copy()
        return np.where(self.answer[1:], self.ids[1:], IGNORE)

    def first_answer(self) -> np.ndarray:
        """The ids of the first answer, including its end mark."""
        start = self.prompt
        rest = self.answer[start:]
        length = len(rest)
        if not rest.all():
            length = int(rest.argmin())  # the first False
        return self.ids[start : start + length]


def encode_sft(x: ArrayLike, y: ArrayLike) -> Encoded:
    """A sample [x, y] of context and answer   (book eq. 2.17; x first, for a left-to-right model)

    x        (m,) ids, at least one: begin with the start token
    y        (n,) ids, at least one
    returns  Encoded
    """
    if not len(x) or not len(y):
        raise DataError(
            f"encode_sft: {len(x)} tokens of context and {len(y)} of answer; both need one at least"
        )
    ids = np.concatenate([x, y]).astype(np.int64)
    return Encoded(ids, np.arange(len(ids)) >= len(x))


def chat_template(name: str, default: str | None = None) -> ChatTemplate:
    """A template by its name: roles, or one of TEMPLATES in models/published/chat_template.py.

    default  system message of conversations without one, if the template has system messages
    raises   ConfigError that lists the names
    """
    known = {ROLES.name: ROLES, **TEMPLATES}
    if name not in known:
        raise ConfigError(f"no chat template {name!r}: choose one of {', '.join(known)}")
    return replace(known[name], default=default)


def encode_conversation(
    tokenizer: "Tokenizer",
    template: ChatTemplate,
    messages: Sequence[dict[str, str]],
    turns: str = "all",
    prompt_turns: int = 0,
    **given: Any,
) -> Encoded:
    """The tokens of a conversation up to its last answer.

    Answers are what the template's program puts between {% generation %} marks; without marks, what
    it writes for messages[:k + 1] beyond what it writes for messages[:k].

    template      ChatTemplate, or the model's own program (models/published/chat_template.py)
    messages      list of {"role", "content", ...}
    turns         "all" answers count in the loss, or only the "last"
    prompt_turns  messages at the beginning in which no answer counts
    given         tools, documents and other variables of the template
    returns       Encoded; decode(ids[answer]) gives the answers as the template writes them, each
                  with its end mark
    raises        DataError if there is no answer, if the template writes the text before an answer
                  differently once the answer is there, or as template.pieces does
    """
    replies = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
    learnt = [i for i in replies if i >= prompt_turns]
    if not learnt:
        where = ""
        if prompt_turns:
            where = " in its completion"
        raise DataError(
            "encode_conversation: there is no answer: the conversation has no message of "
            f"the assistant{where}"
        )
    last = learnt[-1]
    if turns != "all":
        learnt = [last]
    marked = template.spans(messages[: last + 1], tuple(tokenizer.special), **given)
    if marked is not None:
        start = 0
        if prompt_turns or turns == "last":
            start = _length(template, messages, learnt[0], given)
        return _of_marked(tokenizer, template, *marked, start)
    return _by_difference(tokenizer, template, messages, replies, learnt, given)


def _by_difference(tokenizer, template, messages, replies, learnt, given):
    """Encoded of messages: an answer is what the template adds when its message is added.

    replies  indices of the assistant's messages;  learnt  those that count
    """
    special = tuple(tokenizer.special)
    ids, answer, before = [], [], []  # `before`: pieces that are encoded so far
    for i in replies:
        question = template.pieces(messages[:i], True, special, **given)  # opens the answer's turn
        answered = template.pieces(messages[: i + 1], False, special, **given)
        opening = _after(before, question, template)
        reply = _after(question, answered, template)
        # what follows the end mark, such as a line break, belongs to the next opening
        ends = [k for k, piece in enumerate(reply) if _is_end(piece, template)]
        reply = reply[: max(ends, default=len(reply) - 1) + 1]
        opening_ids = encode_pieces(tokenizer, opening, template.name, before)
        reply_ids = encode_pieces(tokenizer, reply, template.name, question)
        ids += [opening_ids, reply_ids]
        answer += [np.zeros(len(opening_ids), bool), np.full(len(reply_ids), i in learnt)]
        before = merged([*question, *reply])
    return Encoded(np.concatenate(ids).astype(np.int64), np.concatenate(answer))


def _is_end(piece, template):
    return isinstance(piece, Mark) and piece == template.end


def _length(template, messages, count, given):
    """Characters that the template writes for the first `count` messages."""
    if not count:
        return 0
    start = template.text(messages[:count], False, **given)
    if not template.text(messages, False, **given).startswith(start):
        raise DataError(
            f"encode_conversation: the template {template.name!r} writes the first "
            f"{count} messages in another way when more follow; learn all answers"
        )
    return len(start)


def _of_marked(tokenizer, template, pieces, generated, start):
    """Encoded of pieces; generated ones from the character `start` on are answers."""
    runs, at = [], 0  # runs of pieces of one kind, and the character of the present piece
    for piece, is_generated in zip(pieces, generated):
        learnt = is_generated and at >= start
        if not runs or runs[-1][1] != learnt:
            runs.append(([], learnt))
        runs[-1][0].append(piece)
        at += len(piece)
    if runs and not runs[-1][1]:
        runs.pop()  # the text after the last answer is left out
    if not runs:
        raise DataError(
            f"encode_conversation: the template {template.name!r} marks no answer of "
            "this conversation as generated"
        )
    ids, answer, before = [], [], []
    for run, learnt in runs:  # each run is tokenized by itself
        ids.append(encode_pieces(tokenizer, run, template.name, before))
        before = [*before, *run]
        answer.append(np.full(len(ids[-1]), learnt))
    return Encoded(np.concatenate(ids).astype(np.int64), np.concatenate(answer))


def _after(start, pieces, template):
    """The pieces without those of their beginning `start`.

    raises  DataError if they do not begin so
    """
    start, pieces = merged(start), merged(pieces)
    if not start:
        return pieces
    # All pieces but the last must be equal; the last may end inside a longer piece of text, though
    # not inside a mark.
    n, last = len(start) - 1, start[-1]
    whole = len(pieces) > n and start[:n] == pieces[:n] and pieces[n].startswith(last)
    if not whole or isinstance(last, Mark) and last != pieces[n]:
        raise DataError(
            f"encode_conversation: the template {template.name!r} writes "
            f"{''.join(start)[-60:]!r} before an answer and something else when the "
            "answer is there: its turns cannot be told apart"
        )
    if isinstance(last, Mark):
        return pieces[n + 1 :]
    return [piece for piece in (pieces[n][len(last) :], *pieces[n + 1 :]) if piece]


def encode_samples(
    tokenizer: "Tokenizer",
    template: ChatTemplate,
    samples: Sequence,
    context: int | None = None,
    turns: str = "all",
    begin: int | None = None,
) -> tuple[list[Encoded], int, int]:
    """Samples as examples for InstructionTuning, without those whose answers do not fit.

    samples   Instructions, Conversations (data/read/instructions.py), or lists of messages
    context   most inputs of the model; a longer sample is cut at its end
    begin     id put before each, or None
    returns   (list of Encoded, number of samples cut, number dropped because no answer was left)
    """
    examples = []
    for sample in samples:
        messages, prompt_turns, options = sample, 0, {}
        if not isinstance(sample, list):
            messages = sample.messages()
            prompt_turns = getattr(sample, "prompt_turns", 0)
            options = getattr(sample, "template_options", {})
        one = encode_conversation(tokenizer, template, messages, turns, prompt_turns, **options)
        if begin is not None:
            ids, answer = np.concatenate([[begin], one.ids]), np.concatenate([[False], one.answer])
            one = Encoded(ids, answer)
        examples.append(one)
    return fitted(examples, context)[:3]


def fitted(
    examples: Sequence[Encoded], context: int | None = None
) -> tuple[list[Encoded], int, int, int]:
    """Examples that a model can read, without those whose answers do not fit.

    examples  list of Encoded
    context   most inputs of the model; a longer example is cut at its end. None: no limit
    returns   (list of Encoded, number cut, number dropped because no answer was left, tokens lost
              by both)
    """
    kept, cut, dropped, lost = [], 0, 0, 0
    for one in examples:
        whole = len(one)
        if context is not None and whole > context + 1:  # one more: the last is only a target
            one = Encoded(one.ids[: context + 1], one.answer[: context + 1])
            if one.answer.any():
                cut, lost = cut + 1, lost + whole - len(one)
            else:
                dropped, lost = dropped + 1, lost + whole
        if one.answer.any():
            kept.append(one)
    return kept, cut, dropped, lost


def pack(examples: Sequence, length: int) -> list[list[Encoded]]:
    """Several conversations in one row, to compute less padding; the attention mask separates them.

    examples  list of Encoded, each of at most length + 1 tokens
    length    most inputs of a row
    returns   list of lists of Encoded, rows of InstructionTuning. Longest first, best fit
              (data/batches/packing.py)
    """
    sizes = np.array([len(example) - 1 for example in examples], np.int64)  # inputs of each
    if (sizes > length).any():
        raise DataError(
            f"pack: example {int(sizes.argmax())} has {int(sizes.max()) + 1} tokens and rows have "
            f"room for {length + 1}: cut it, see encode_samples(context=)"
        )
    return [[examples[i] for i in row] for row in best_fit(sizes, length)]


def packing_efficiency(rows: Sequence[list[Encoded]], length: int) -> float:
    """The share of tokens in rows of `length` inputs, the rest being padding: 0 to 1."""
    tokens = sum(len(one) - 1 for row in rows for one in row)
    return tokens / (len(rows) * length)
