"""LLMLingua: a prompt is compressed from coarse to fine (Jiang et al. 2023; book section 3.3.3).

A prompt is an instruction, demonstrations and a question. Demonstrations are the longest part and
the most redundant, so the budget controller compresses them most:

    tau_dem = (tau L - tau_ins L_ins - tau_que L_que) / L_dem                 (eq. 2 of the paper)

Coarse: the demonstrations that surprise the model most are kept, up to k tau_dem L_dem tokens.
Fine: what is left is read in segments, each after what was kept of the ones before it, and of each
segment the most informative tokens stay. The paper's budget for the fine step does not add up to
tau L; here the demonstrations share what the other parts leave, so it does. Read first:
selective_context.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.compress.compressed import Compressed
from tinylm.prompt.compress.information import split_units, token_information, unit_information
from tinylm.prompt.protocol.text_lm import TextLM


@dataclass(frozen=True)
class Rates:
    """The share of tokens that stays in each part of a prompt."""

    instruction: float
    demonstrations: float
    question: float


def demonstration_rate(
    rate: float,
    lengths: tuple[int, ...],
    instruction_rate: float = 0.85,
    question_rate: float = 0.9,
) -> float:
    """tau_dem, so that all parts together keep the share `rate`   (eq. 2 of the paper)

    lengths  (L_ins, L_dem, L_que): tokens of the parts
    returns  float, 0 .. 1: out of reach of the other parts' rates it is cut off
    """
    of_instruction, of_demonstrations, of_question = lengths
    rest = rate * sum(lengths) - instruction_rate * of_instruction - question_rate * of_question
    if not of_demonstrations:
        return 0.0
    return float(np.clip(rest / of_demonstrations, 0, 1))


def final_rates(
    rate: float,
    lengths: tuple[int, ...],
    selected: int,
    instruction_rate: float = 0.85,
    question_rate: float = 0.9,
) -> Rates:
    """The rates of the fine step, by which rate * (L_ins + L_dem + L_que) tokens stay.

    The selected demonstrations get what the other parts leave; what they do not use (they keep all
    of their tokens) goes to the others in proportion, and what they lack is taken from these.

    selected  tokens of the demonstrations that the coarse step kept
    returns   Rates
    """
    of_instruction, _, of_question = lengths
    budget = rate * sum(lengths)
    others = instruction_rate * of_instruction + question_rate * of_question
    demonstrations = float(np.clip(budget - others, 0, selected))
    # The other parts change in proportion; one that is full hands its surplus to the other.
    left, factor = budget - demonstrations, 0.0
    if others:
        factor = left / others
    instruction, question = factor * instruction_rate, factor * question_rate
    if instruction > 1 and of_question:
        question = (left - of_instruction) / of_question
    elif question > 1 and of_instruction:
        instruction = (left - of_question) / of_instruction
    share = 0.0
    if selected:
        share = demonstrations / selected
    return Rates(min(instruction, 1.0), share, min(question, 1.0))


def select_demonstrations(
    lm: TextLM, demonstrations: Sequence[str], budget: float
) -> tuple[list[int], np.ndarray]:
    """The coarse step: demonstrations by perplexity, the highest first, until the budget is used.

    budget   tokens, k tau_dem L_dem; the demonstration that exceeds it is the last (algorithm 1)
    returns  (numbers of those kept, in their order in the prompt; (n,) perplexities). An empty one
             is not kept; its perplexity is nan
    """
    perplexities = np.full(len(demonstrations), np.nan)
    for i, text in enumerate(demonstrations):
        if text:
            perplexities[i] = np.exp(token_information(lm, text)[1].mean())
    kept, used = [], 0
    # A demonstration that the model expects teaches it little. nan is sorted to the end.
    for i in np.argsort(-perplexities, kind="stable"):
        if used >= budget or np.isnan(perplexities[i]):
            break
        kept.append(int(i))
        used += lm.count(demonstrations[i])
    return sorted(kept), perplexities


def compress_tokens(
    lm: TextLM,
    parts: Sequence[str],
    rates: Sequence[float],
    segment: int = 100,
    separator: str = "",
) -> list[str]:
    """The fine step: iterative token-level compression   (algorithm 2 of the paper)

    parts      texts that follow each other
    rates      the share of tokens that stays in each; tokens of one character count as one
    segment    tokens that are read at a time
    separator  text between parts, which is read and does not count
    returns    list of str, the compressed parts. Of the first t tokens of a part with rate r,
               floor(r t) have stayed at the end of every segment; of equal tokens the first stay
    raises     ConfigError for a segment without tokens
    """
    if segment < 1:
        raise ConfigError(f"compress_tokens: a segment of {segment} tokens is too short")
    found, before = [], ""
    for part, rate in zip(parts, rates):
        lead = ""
        if before:
            lead = separator
        kept, read, stayed = "", 0, 0
        for text in _segments(lm.token_texts(lead + part), segment):
            # p(x_t | what was kept before this segment, the segment up to t)
            pieces, information = token_information(lm, text, before + kept)
            units = split_units(pieces, "token")
            worth = unit_information(pieces, information, units)
            # Tokens of the separator, at the beginning of the first segment, stay.
            free = 0
            while len(kept) < len(lead):
                kept += units[free]
                free += 1
            read += len(units) - free
            # 1e-9: a product such as 0.29 * 100 may be a little less than its integer
            count = int(rate * read + 1e-9) - stayed
            best = np.sort(np.argsort(-worth[free:], kind="stable")[:count])
            kept += "".join(units[free + i] for i in best)
            stayed += count
        found.append(kept.removeprefix(lead))
        if found[-1]:
            before += kept
    return found


def _segments(pieces, size):
    """Texts of about `size` tokens; a text is cut before white space, where it has some."""
    texts, now = [], []
    for piece in pieces:
        if len(now) >= size and (piece[:1].isspace() or len(now) >= 2 * size):
            texts.append("".join(now))
            now = []
        now.append(piece)
    if now:
        texts.append("".join(now))
    return texts


def llmlingua(
    lm: TextLM,
    instruction: str,
    demonstrations: Sequence[str],
    question: str,
    rate: float = 0.5,
    *,
    instruction_rate: float = 0.85,
    question_rate: float = 0.9,
    control: float = 2.0,
    segment: int = 100,
    separator: str = "\n\n",
) -> Compressed:
    """The prompt "instruction, demonstrations, question" with a share of its tokens.

    lm               TextLM that scores texts; a small one will do
    instruction, question  str; demonstrations  list of str
    rate             tau: share of all tokens that stays, 0 < tau <= 1; separators do not count
    instruction_rate, question_rate  of these parts, before what demonstrations leave is added
    control          k: the coarse step keeps k times the demonstrations' tokens
    segment          tokens that are read at a time
    returns          Compressed; details: "selected" (numbers of demonstrations), "perplexities",
                     "rates" (Rates), "parts" (the compressed texts)
    raises           ConfigError for another share
    """
    if not 0 < rate <= 1:
        raise ConfigError(f"llmlingua: the share {rate} must be above 0 and at most 1")
    long = separator.join(filter(None, [instruction, *demonstrations, question]))
    lengths = lm.count(instruction), sum(map(lm.count, demonstrations)), lm.count(question)
    given = instruction_rate, question_rate
    # Coarse: k times the tokens that the fine step will leave.
    budget = control * demonstration_rate(rate, lengths, *given) * lengths[1]
    selected, perplexities = select_demonstrations(lm, demonstrations, budget)
    shown = [demonstrations[i] for i in selected]
    rates = final_rates(rate, lengths, sum(map(lm.count, shown)), *given)
    shares = [rates.instruction, *[rates.demonstrations] * len(shown), rates.question]
    parts = compress_tokens(lm, [instruction, *shown, question], shares, segment, separator)
    short = separator.join(filter(None, parts))
    details = {"selected": selected, "perplexities": perplexities, "rates": rates, "parts": parts}
    return Compressed.of(lm, long, short, **details)
