"""A conversation as token ids, and which of them the model is to say.

Of a conversation of several turns only the assistant's are learnt: its words and the mark that ends
them, never the marks that open its turn, which are given to it. Attention is causal, so one pass
scores every turn given all before it, and

    loss = - sum over turns k of log Pr(y_k | x_1, y_1, ..., x_k)        (book section 2.1.3; eqs. 2.17 and 2.18 for one turn)

The ids before an answer are cut from the answer's where the question ends, as they are when the
model is asked: no token spans both. Read next: instructions.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinylm.data.batches.packing import best_fit
from tinylm.errors import ConfigError, DataError
from tinylm.models.published.chat.builtin import ROLES_MARKS
from tinylm.models.published.chat.pieces import encode_pieces, merged
from tinylm.models.published.chat_template import ROLES, TEMPLATES, Mark
from tinylm.pretrain.batch import IGNORE

MARKS = ROLES_MARKS  # the special tokens of our own template, ROLES


@dataclass(frozen=True)
class Encoded:
    """Tokens, and whether each is the model's to say.

    ids      (T,) int64
    answer   (T,) bool; the first is never True, for nothing stands before it to predict it from
    """

    ids: np.ndarray
    answer: np.ndarray

    def __len__(self):
        return len(self.ids)

    @property
    def prompt(self):
        """How many tokens stand before the first that is to be said."""
        if self.answer.any():
            return int(self.answer.argmax())
        return len(self.ids)

    def targets(self, whole=False):
        """What is to be said after each token but the last: (T - 1,) int64, IGNORE where it does
        not count.

        whole    every token counts: the loss of pre-training
        """
        if whole:
            return self.ids[1:].copy()
        return np.where(self.answer[1:], self.ids[1:], IGNORE)

    def first_answer(self):
        """The ids of the first answer, its end mark among them."""
        start = self.prompt
        rest = self.answer[start:]
        return self.ids[start : start + (len(rest) if rest.all() else int(rest.argmin()))]


def encode_sft(x, y):
    """A sample [x, y]: the context and, after it, the answer   (book eq. 2.17, which for a
    left-to-right model has x first)

    x        (m,) ids, at least one: begin with the start token
    y        (n,) ids, at least one
    returns  Encoded
    """
    if not len(x) or not len(y):
        raise DataError(
            f"encode_sft: {len(x)} tokens of context and {len(y)} of answer; both need one at least"
        )
    return Encoded(np.concatenate([x, y]).astype(np.int64), np.arange(len(x) + len(y)) >= len(x))


def chat_template(name, default=None):
    """A template by its name: roles, or one of models.formats.chat_template.

    default  system message where a conversation has none, for templates that have such a thing
    raises   ConfigError that lists the names
    """
    known = {ROLES.name: ROLES, **TEMPLATES}
    if name not in known:
        raise ConfigError(f"no chat template {name!r}: choose one of {', '.join(known)}")
    return replace(known[name], default=default)


def encode_conversation(tokenizer, template, messages, turns="all", asked=0, **given):
    """The tokens of a conversation up to its last answer.

    Which tokens are answers: what the template's program puts between {% generation %} marks, or
    else what it writes for messages[:k + 1] after what it writes for messages[:k].

    template   ChatTemplate, or the model's own program (models/published/chat_template.py)
    messages   list of {"role", "content", ...}
    turns      "all" answers are the model's to say, or the "last" one alone
    asked      messages at the beginning that are only given: no answer among them is learnt
    given      tools, documents and what else the template reads
    returns    Encoded; decode(ids[answer]) gives the answers as the template writes them, each
               with its end mark
    raises     DataError if there is no answer, if the template writes an answer's beginning in
               another way when the answer is there, or as template.pieces does
    """
    places = [
        i for i, message in enumerate(messages) if message.get("role") == "assistant" and i >= asked
    ]
    if not places:
        raise DataError(
            "encode_conversation: nobody answers: the conversation has no message of "
            "the assistant" + (" in its completion" if asked else "")
        )
    learnt = places if turns == "all" else places[-1:]
    special = tuple(tokenizer.special)
    marked = template.spans(messages[: places[-1] + 1], special, **given)
    if marked is not None:
        first = learnt[0] if asked or turns == "last" else 0
        start = _length(template, messages, first, given)
        return _of_blocks(tokenizer, template, *marked, start)
    ids, answer, before = [], [], []
    for i in [i for i, message in enumerate(messages) if message.get("role") == "assistant"]:
        question = template.pieces(messages[:i], True, special, **given)
        said = template.pieces(messages[: i + 1], False, special, **given)
        opening = _after(before, question, template)
        opening = encode_pieces(tokenizer, opening, template.name, before)
        rest = _after(question, said, template)
        ends = [
            k for k, piece in enumerate(rest) if isinstance(piece, Mark) and piece == template.end
        ]
        rest = rest[: max(ends, default=len(rest) - 1) + 1]
        reply = encode_pieces(tokenizer, rest, template.name, question)
        ids += [opening, reply]
        answer += [np.zeros(len(opening), bool), np.full(len(reply), i in learnt)]
        before = merged([*question, *rest])
    return Encoded(np.concatenate(ids).astype(np.int64), np.concatenate(answer))


def _length(template, messages, count, given):
    """Characters that the template writes for the first messages, which begin the whole."""
    if not count:
        return 0
    start = template.text(messages[:count], False, **given)
    if not template.text(messages, False, **given).startswith(start):
        raise DataError(
            f"encode_conversation: the template {template.name!r} writes the first "
            f"{count} messages in another way when more follow; learn all answers"
        )
    return len(start)


def _of_blocks(tokenizer, template, pieces, said, start):
    """Encoded of pieces, of which those said from the character `start` on are learnt."""
    ids, answer, at, runs = [], [], 0, []
    for piece, told in zip(pieces, said):
        learnt = told and at >= start
        if not runs or runs[-1][1] != learnt:
            runs.append(([], learnt))
        runs[-1][0].append(piece)
        at += len(piece)
    if runs and not runs[-1][1]:
        runs.pop()  # what is after the last answer is left out
    if not runs:
        raise DataError(
            f"encode_conversation: the template {template.name!r} marks no answer of "
            "this conversation as generated"
        )
    before = []
    for run, learnt in runs:
        ids.append(encode_pieces(tokenizer, run, template.name, before))
        before = [*before, *run]
        answer.append(np.full(len(ids[-1]), learnt))
    return Encoded(np.concatenate(ids).astype(np.int64), np.concatenate(answer))


def _after(start, pieces, template):
    """What is left of the pieces when those of their beginning are taken away."""
    start, pieces = merged(start), merged(pieces)
    if not start:
        return pieces
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


def encode_samples(tokenizer, template, samples, context=None, turns="all", begin=None):
    """Samples as examples for InstructionTuning, those dropped of which the model could not read an
    answer's token.

    samples   Instructions, Conversations (data/read/instructions.py), or lists of messages
    context   longest sequence the model reads, counted in inputs; a longer sample is cut at its end
    begin     id put before each, or None
    returns   (list of Encoded, how many were cut, how many were dropped because no answer was left)
    """
    examples, cut, dropped = [], 0, 0
    for sample in samples:
        if isinstance(sample, list):
            one = encode_conversation(tokenizer, template, sample, turns)
        else:
            one = encode_conversation(
                tokenizer,
                template,
                sample.messages(),
                turns,
                getattr(sample, "prompt_turns", 0),
                **getattr(sample, "template_options", {}),
            )
        if begin is not None:
            one = Encoded(np.concatenate([[begin], one.ids]), np.concatenate([[False], one.answer]))
        if context is not None and len(one) > context + 1:
            one = Encoded(one.ids[: context + 1], one.answer[: context + 1])
            cut, dropped = cut + 1, dropped + (not one.answer.any())
        if one.answer.any():
            examples.append(one)
    return examples, cut - dropped, dropped


def pack(examples, length):
    """Several conversations in one row, so that little is computed for padding; attention keeps
    them apart.

    examples  list of Encoded, each of at most length + 1 tokens
    length    inputs of a row at most
    returns   list of lists of Encoded, to be given to InstructionTuning as examples. Longest first,
              best fit (data/batches/packing.py)
    """
    sizes = np.array([len(example) - 1 for example in examples], np.int64)
    if (sizes > length).any():
        raise DataError(
            f"pack: example {int(sizes.argmax())} has {int(sizes.max()) + 1} tokens and rows have room for "
            f"{length + 1}: cut it, see encode_samples(context=)"
        )
    return [[examples[i] for i in row] for row in best_fit(sizes, length)]


def packing_efficiency(rows, length):
    """The part of the rows that is not padding."""
    return sum(len(one) - 1 for row in rows for one in row) / (len(rows) * length)
