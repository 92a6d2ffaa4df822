"""Distillation of distributions over whole answers, exact by listing them or estimated from samples
(book section 3.3.2.1, eqs. 3.14-3.18; Kim & Rush 2016).

    cross-entropy (3.14)   - sum over y of Pr^t(y | c, z) log Pr^s(y | c', z)
                             (the minus sign is missing in the book)
    divergence    (3.16)   sum over y of Pr^t (log Pr^t - log Pr^s)
                             = (3.14) - the teacher's entropy: the same gradient
    hard targets  (3.15)   - log Pr^s(y^ | c', z), y^ = argmax Pr^t(y | c, z)

By the chain rule (3.16) = sum over j of E_{y_<j ~ Pr^t} KL of the next token, so the divergences
token by token along answers drawn from the teacher estimate it. For the reverse divergence the
answers must be drawn from the student: along the teacher's it is another loss with the same zero.
Sums are over answers of exactly n tokens, V^n of them.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Tensor, log_softmax, no_grad, take_along_axis, where
from tinylm.backend import device_of, to_device
from tinylm.errors import ConfigError
from tinylm.finetune.context.contexts import ContextExample, answer_logits, tokens
from tinylm.generate.loop import generate_batch
from tinylm.generate.protocol.enumerable import EnumerableLM
from tinylm.generate.protocol.language_model import Model
from tinylm.generate.strategies.beam import beam_search
from tinylm.models.decoder.gpt import GPT
from tinylm.nn.module import Module


def all_answers(vocab_size: int, n: int) -> np.ndarray:
    """Every answer of n tokens: (V^n, n) int64. ConfigError if there are more than 100,000."""
    if vocab_size**n > 100_000:
        raise ConfigError(
            f"{vocab_size}^{n} answers are too many to list: draw some, sampled_cross_entropy()"
        )
    answers = list(itertools.product(range(vocab_size), repeat=n))
    return np.array(answers, np.int64).reshape(len(answers), n)  # for n = 0 one empty answer


def answer_scores(model: Model, prompt: Sequence[int], answers: np.ndarray) -> Tensor:
    """Log-probabilities of every next token along answers to one prompt.

    model    GPT, or a language model (generate/protocol/language_model.py), such as EnumerableLM,
             without a graph
    prompt   (m,) ids, m >= 1;  answers (N, n) integers
    returns  Tensor (N, n + 1, V): index j is after y_<j, the last one after all of y
    """
    N, n = answers.shape
    prompts = np.broadcast_to(np.asarray(prompt, np.int64), (N, len(prompt)))
    if hasattr(model, "next_logits"):
        scores = model.logits(np.concatenate([prompts, answers], axis=1))  # (N, m + n, V)
        return log_softmax(Tensor(scores[:, len(prompt) - 1 :]))
    device = device_of(model.parameters()[0].data)
    # answer_logits() scores each target from what is before it: one more target, which is not read,
    # gives the scores after all of y
    targets = np.concatenate([answers, np.zeros((N, 1), np.int64)], axis=1)
    part = tokens(model, to_device(prompts.copy(), device))
    return log_softmax(answer_logits(model, [part], to_device(targets, device)))


def answer_log_probability(model: Model, prompt: tuple[int, ...], answers: np.ndarray) -> Tensor:
    """log Pr(y | prompt) of each answer: (N, n) integers -> Tensor (N,)."""
    scores = answer_scores(model, prompt, answers[:, :-1])  # (N, n, V)
    index = to_device(answers, device_of(scores.data))[..., None]  # (N, n, 1)
    return take_along_axis(scores, index, axis=-1).sum(axis=(1, 2))  # (N, n, 1) -> (N,)


def sequence_cross_entropy(
    teacher: EnumerableLM | GPT,
    student: EnumerableLM | GPT,
    prompt: tuple[int, ...],
    short_prompt: tuple[int, ...],
    n: int,
) -> Tensor:
    """Eq. 3.14 by listing all answers of n tokens, in nats per answer.

    teacher, student      as in answer_scores(), with the same vocabulary
    prompt, short_prompt  ids that teacher and student read: (c, z) and (c', z)
    returns               Tensor (), differentiable in the student
    """
    answers = all_answers(vocab_size(teacher), n)
    with no_grad():
        chance = answer_log_probability(teacher, prompt, answers).exp()  # Pr^t(y), (N,)
    log_q = answer_log_probability(student, short_prompt, answers)
    return -_weighted(chance, log_q).sum()


def sequence_kl(
    teacher: EnumerableLM,
    student: EnumerableLM,
    prompt: tuple[int, ...],
    short_prompt: tuple[int, ...],
    n: int,
) -> Tensor:
    """Eq. 3.16 by listing all answers, KL(Pr^t || Pr^s); arguments as sequence_cross_entropy()."""
    answers = all_answers(vocab_size(teacher), n)
    with no_grad():
        log_p = answer_log_probability(teacher, prompt, answers)  # (N,)
    log_q = answer_log_probability(student, short_prompt, answers)
    return _weighted(log_p.exp(), log_p - log_q).sum()


def sequence_reverse_kl(
    teacher: EnumerableLM,
    student: EnumerableLM,
    prompt: tuple[int, ...],
    short_prompt: tuple[int, ...],
    n: int,
) -> Tensor:
    """KL(Pr^s || Pr^t) by listing all answers; the student's weights Pr^s have a gradient too."""
    answers = all_answers(vocab_size(teacher), n)
    with no_grad():
        log_p = answer_log_probability(teacher, prompt, answers)
    log_q = answer_log_probability(student, short_prompt, answers)
    return _weighted(log_q.exp(), log_q - log_p).sum()


def _weighted(chance, values):
    """chance * values, 0 where the chance is 0: there values may be infinite."""
    return chance * where(chance.data > 0, values, 0.0)


def sequence_kl_by_tokens(
    teacher: EnumerableLM,
    student: EnumerableLM,
    prompt: tuple[int, ...],
    short_prompt: tuple[int, ...],
    n: int,
) -> Tensor:
    """Eq. 3.16 by the chain rule, listing all y_<n; equal to sequence_kl(), value and gradient.

    sum over j of E_{y_<j ~ Pr^t} KL(Pr^t(. | y_<j) || Pr^s(. | y_<j))
    """
    answers = all_answers(vocab_size(teacher), n - 1)  # the last token is summed out
    with no_grad():
        log_p = answer_scores(teacher, prompt, answers)  # (N, n, V)
        if n > 1:
            chance = answer_log_probability(teacher, prompt, answers).exp()  # (N,)
        else:  # one empty answer, of probability 1
            chance = Tensor(np.ones_like(log_p.data[:, 0, 0]))
    log_q = answer_scores(student, short_prompt, answers)
    per_token = _weighted(log_p.exp(), log_p - log_q).sum(axis=-1)  # (N, n, V) -> (N, n)
    return _weighted(chance, per_token.sum(axis=1)).sum()


def sampled_cross_entropy(
    teacher: GPT,
    student: GPT,
    prompt: tuple[int, ...],
    short_prompt: tuple[int, ...],
    n: int,
    samples: int,
    seed: int = 0,
) -> Tensor:
    """An unbiased estimate of eq. 3.14: the mean of -log Pr^s(y) over answers y ~ Pr^t.

    samples  number of answers drawn;  others as in sequence_cross_entropy()
    """
    answers = draw_answers(teacher, prompt, n, samples, seed)
    return -answer_log_probability(student, short_prompt, answers).mean()


def sampled_kl(
    teacher: GPT,
    student: Module,
    prompt: Sequence[int],
    short_prompt: Sequence[int],
    n: int,
    samples: int,
    seed: int = 0,
) -> tuple[float, float]:
    """An unbiased estimate of eq. 3.16: the sum of next-token divergences along answers y ~ Pr^t.

    Each position uses the exact mean over its V next tokens, so the variance is lower than that of
    sampled_cross_entropy().
    """
    answers = draw_answers(teacher, prompt, n, samples, seed)[:, :-1]
    with no_grad():
        log_p = answer_scores(teacher, prompt, answers)  # (samples, n, V)
    log_q = answer_scores(student, short_prompt, answers)
    divergence = _weighted(log_p.exp(), log_p - log_q)
    return divergence.sum(axis=(1, 2)).mean()


def draw_answers(
    teacher: GPT, prompt: tuple[int, ...], n: int, samples: int, seed: int = 0
) -> np.ndarray:
    """Answers of n tokens drawn from a teacher: (samples, n) int64."""
    # calls with different `seed` share no seeds, up to a million samples
    seeds = [seed * 1_000_003 + i for i in range(samples)]
    return np.array(generate_batch(teacher, [list(prompt)] * samples, n, seed=seeds), np.int64)


def vocab_size(model: Model) -> int:
    """V of a GPT or of a language model."""
    if hasattr(model, "vocab_size"):
        return model.vocab_size
    return model.config.vocab_size


def sampled_targets(
    teacher: GPT,
    examples: Sequence,
    n: int,
    eos: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> list[ContextExample]:
    """Examples with answers of at most n tokens drawn from the teacher, which reads the whole
    context.

    eos      id that ends an answer, kept in it; None: all have n tokens
    returns  list of ContextExample; earlier answers and logits of the teacher are replaced
    """
    answers = []
    for start in range(0, len(examples), batch_size):
        prompts = [[*e.context, *e.question] for e in examples[start : start + batch_size]]
        seeds = [seed * 1_000_003 + start + i for i in range(len(prompts))]
        answers += generate_batch(teacher, prompts, n, eos=eos, seed=seeds)
    return _with_answers(examples, answers)


def hard_targets(
    teacher: GPT,
    examples: Sequence,
    n: int,
    eos: int | None = None,
    width: int = 1,
    batch_size: int = 64,
) -> list[ContextExample]:
    """Examples with the teacher's best answer y^ of eq. 3.15, as far as a search finds it.

    width    1: greedy; more: a beam search of that width. Neither is certain to find the argmax
    others   as in sampled_targets()
    """
    answers = []
    if width == 1:
        for start in range(0, len(examples), batch_size):
            prompts = [[*e.context, *e.question] for e in examples[start : start + batch_size]]
            answers += generate_batch(teacher, prompts, n, eos=eos, temperature=0)
    else:
        for e in examples:
            best, *_ = beam_search(teacher, [*e.context, *e.question], n, width, eos)
            answers.append(best.tokens)
    return _with_answers(examples, answers)


def _with_answers(examples, answers):
    """The examples with new answers, and without logits of the teacher at old ones."""
    return [
        dataclasses.replace(e, answer=tuple(int(i) for i in y), teacher=None)
        for e, y in zip(examples, answers)
    ]
