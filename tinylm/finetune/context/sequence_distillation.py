"""Distillation between distributions of whole answers: exact where all can be listed, estimated
where not (book section 3.3.2.1, eqs. 3.14-3.18; Kim & Rush 2016).

    cross-entropy (3.14)   - sum over y of Pr^t(y | c, z) log Pr^s(y | c', z)     its minus sign is missing in the book
    divergence    (3.16)   sum over y of Pr^t (log Pr^t - log Pr^s) = (3.14) - the teacher's entropy: the same gradient
    hard targets  (3.15)   - log Pr^s(y^ | c', z), y^ = argmax Pr^t(y | c, z)

By the chain rule (3.16) = sum over j of E_{y_<j ~ Pr^t} KL of the next token, so drawing answers
from the teacher and taking the divergence token by token estimates it. The reverse divergence needs
answers of the student for that: along the teacher's it is another loss, which is 0 at the same
place. Sums are over answers of exactly n tokens: V^n.
"""

import dataclasses
import itertools

import numpy as np

from tinylm.autograd import Tensor, log_softmax, no_grad, take_along_axis, where
from tinylm.backend import device_of, to_device
from tinylm.errors import ConfigError
from tinylm.finetune.context.contexts import answer_logits, tokens
from tinylm.generate.loop import generate_batch
from tinylm.generate.strategies.beam import beam_search


def all_answers(vocab_size, n):
    """Every answer of n tokens: (V^n, n) int64. Raises ConfigError where there are more than
    100,000.
    """
    if vocab_size**n > 100_000:
        raise ConfigError(
            f"{vocab_size}^{n} answers are too many to list: draw some, sampled_cross_entropy()"
        )
    return np.array(list(itertools.product(range(vocab_size), repeat=n)), np.int64).reshape(-1, n)


def answer_scores(model, prompt, answers):
    """Log-probabilities of every next token along answers to one prompt.

    model    GPT, or a language model (generate/protocol/language_model.py), such as EnumerableLM,
             which records nothing
    prompt   (m,) ids, m >= 1;  answers (N, n) integers
    returns  Tensor (N, n + 1, V): place j is after y_<j, the last one after all of y
    """
    N, n = answers.shape
    prompts = np.broadcast_to(np.asarray(prompt, np.int64), (N, len(prompt)))
    if hasattr(model, "next_logits"):
        scores = model.logits(np.concatenate([prompts, answers], axis=1)[:, : len(prompt) + n])
        return log_softmax(Tensor(scores[:, len(prompt) - 1 :]))
    device = device_of(model.parameters()[0].data)
    ends = np.concatenate([answers, np.zeros((N, 1), np.int64)], axis=1)  # the last is never read
    return log_softmax(
        answer_logits(
            model, [tokens(model, to_device(prompts.copy(), device))], to_device(ends, device)
        )
    )


def answer_log_probability(model, prompt, answers):
    """log Pr(y | prompt) of each answer: (N, n) integers -> Tensor (N,)."""
    scores = answer_scores(model, prompt, answers[:, :-1])  # (N, n, V)
    at = to_device(answers, device_of(scores.data))[..., None]
    return take_along_axis(scores, at, axis=-1).sum(axis=(1, 2))  # (N, n, 1) -> (N,)


def sequence_cross_entropy(teacher, student, prompt, short_prompt, n):
    """Eq. 3.14 by listing all answers of n tokens, in nats per answer.

    teacher, student      as in answer_scores(); they share a vocabulary
    prompt, short_prompt  ids the teacher and the student read: (c, z) and (c', z)
    returns               Tensor (), differentiable in the student
    """
    answers = all_answers(vocab_size(teacher), n)
    with no_grad():
        chance = answer_log_probability(teacher, prompt, answers).exp()
    return -_weighted(chance, answer_log_probability(student, short_prompt, answers)).sum()


def sequence_kl(teacher, student, prompt, short_prompt, n):
    """Eq. 3.16 by listing all answers: KL(Pr^t || Pr^s) >= 0; arguments as in
    sequence_cross_entropy.
    """
    answers = all_answers(vocab_size(teacher), n)
    with no_grad():
        said = answer_log_probability(teacher, prompt, answers)
    return _weighted(
        said.exp(), said - answer_log_probability(student, short_prompt, answers)
    ).sum()


def sequence_reverse_kl(teacher, student, prompt, short_prompt, n):
    """KL(Pr^s || Pr^t) by listing all answers: the weights are the student's and are differentiated
    too.
    """
    answers = all_answers(vocab_size(teacher), n)
    with no_grad():
        said = answer_log_probability(teacher, prompt, answers)
    mine = answer_log_probability(student, short_prompt, answers)
    return _weighted(mine.exp(), mine - said).sum()


def _weighted(chance, values):
    """chance * values, 0 where the chance is 0: there values may be infinite."""
    return chance * where(chance.data > 0, values, 0.0)


def sequence_kl_by_tokens(teacher, student, prompt, short_prompt, n):
    """Eq. 3.16 by the chain rule: sum over j of E_{y_<j ~ Pr^t} KL(Pr^t(. | y_<j) || Pr^s(. |
    y_<j)), by listing all y_<n.

    Equal to sequence_kl(), value and gradient.
    """
    answers = all_answers(vocab_size(teacher), n - 1)  # the last token is summed out
    with no_grad():
        said = answer_scores(teacher, prompt, answers)  # (N, n, V)
        if n > 1:
            chance = answer_log_probability(teacher, prompt, answers).exp()
        else:
            chance = Tensor(np.ones_like(said.data[:, 0, 0]))
    per_token = _weighted(said.exp(), said - answer_scores(student, short_prompt, answers)).sum(
        axis=-1
    )  # (N, n)
    return _weighted(chance, per_token.sum(axis=1)).sum()


def sampled_cross_entropy(teacher, student, prompt, short_prompt, n, samples, seed=0):
    """An unbiased estimate of eq. 3.14: the mean of -log Pr^s(y) over answers y drawn from the
    teacher.

    samples  how many;  others as in sequence_cross_entropy
    """
    return -answer_log_probability(
        student, short_prompt, draw(teacher, prompt, n, samples, seed)
    ).mean()


def sampled_kl(teacher, student, prompt, short_prompt, n, samples, seed=0):
    """An unbiased estimate of eq. 3.16: divergences of the next token, added along answers drawn
    from the teacher.

    Of all V next tokens each place uses the exact mean, so it varies less than
    sampled_cross_entropy.
    """
    answers = draw(teacher, prompt, n, samples, seed)[:, :-1]
    with no_grad():
        said = answer_scores(teacher, prompt, answers)  # (samples, n, V)
    return (
        _weighted(said.exp(), said - answer_scores(student, short_prompt, answers))
        .sum(axis=(1, 2))
        .mean()
    )


def draw(teacher, prompt, n, samples, seed=0):
    """Answers of n tokens drawn from a teacher: (samples, n) int64."""
    seeds = [seed * 1_000_003 + i for i in range(samples)]
    return np.array(generate_batch(teacher, [list(prompt)] * samples, n, seed=seeds), np.int64)


def vocab_size(model):
    """V of a GPT or of a language model."""
    if hasattr(model, "vocab_size"):
        return model.vocab_size
    return model.config.vocab_size


def sampled_targets(teacher, examples, n, eos=None, seed=0, batch_size=64):
    """Examples with answers of at most n tokens drawn from the teacher, which reads the whole
    context.

    eos      id that ends an answer, kept in it; None: all have n tokens
    returns  list of ContextExample; what the teacher said before is replaced
    """
    said = []
    for start in range(0, len(examples), batch_size):
        prompts = [[*e.context, *e.question] for e in examples[start : start + batch_size]]
        said += generate_batch(
            teacher,
            prompts,
            n,
            eos=eos,
            seed=[seed * 1_000_003 + start + i for i in range(len(prompts))],
        )
    return [dataclasses.replace(e, answer=tuple(y), teacher=None) for e, y in zip(examples, said)]


def hard_targets(teacher, examples, n, eos=None, width=1, batch_size=64):
    """Examples with the teacher's best answer y^ of eq. 3.15, as far as a search finds it.

    width    1: greedy, the best token each time; more: a beam search of that width. Neither
             promises the argmax
    others   as in sampled_targets
    """
    if width == 1:
        said = []
        for start in range(0, len(examples), batch_size):
            prompts = [[*e.context, *e.question] for e in examples[start : start + batch_size]]
            said += generate_batch(teacher, prompts, n, eos=eos, temperature=0)
    else:
        said = [
            beam_search(teacher, [*e.context, *e.question], n, width, eos)[0].tokens
            for e in examples
        ]
    return [
        dataclasses.replace(e, answer=tuple(int(i) for i in y), teacher=None)
        for e, y in zip(examples, said)
    ]
