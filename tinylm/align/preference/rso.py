"""RSO: DPO's pairs as its derivation wants them, samples of the optimal policy   (book section
4.2.3; Liu et al. 2024, statistical rejection sampling optimization, algorithm 1).

The loss of DPO follows from preferences between samples of pi* = ref exp(r / beta) / Z, while its
data are answers of some other model. A reward model makes the missing ones, without training:

    1  draw candidates for each prompt from the SFT policy
    2  keep some of them by statistical rejection sampling   (inference/rejection.py)
    3  pair those at random; the reward model says which of the two is better

The paper trains on these pairs with a hinge (`tinylm align dpo --loss rso`) or with DPO's loss.
Step 1 and 3 alone are the `sample-rank` of SLiC. Read first: online.py, whose pairs are samples of
the policy itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.inference.rejection import accepted_candidates, statistical_rejection_sample
from tinylm.align.rlhf.rollout import check_prompts
from tinylm.align.rlhf.scoring import scores_of
from tinylm.data.synthetic.draws import generator
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.generate.loop import generate_batch
from tinylm.generate.protocol.enumerable import EnumerableLM


def rso_samples(
    model: EnumerableLM,
    prompt: Sequence[int],
    reward: Callable,
    max_tokens: int,
    *,
    candidates: int = 64,
    kept: int = 8,
    beta: float = 0.5,
    maximum: float | None = None,
    seed: int = 0,
    eos: int | None = None,
    temperature: float = 1.0,
) -> tuple[list[list[int]], np.ndarray]:
    """Responses of the optimal policy by rejection of those of the SFT policy   (steps 1 and 2)

    model       the SFT policy: GPT, or another that generate() reads
    prompt      sequence of ids
    reward      function (prompt, response) -> number, or a reward model: see rlhf/scoring.py
    candidates  responses that are drawn;  kept  most of them that are kept
    beta        of pi*; in the unit of the reward
    maximum     the greatest reward of any response, if it is known: then each response that is kept
                is a sample of pi*, and there may be fewer than `kept`. None: the greatest of the
                candidates, and `kept` are kept, as in the paper
    temperature of sampling: the reference of pi* is the policy at this temperature
    returns     list of responses, in random order; their rewards (n,) float64
    raises      ConfigError for a reward above the maximum, or more to keep than candidates;
                DataError for a reward that is no finite number, or a prompt that leaves less than
                max_tokens of the model's context
    """
    check_prompts(model, [prompt], max_tokens)
    seeds = [seed * candidates + i for i in range(candidates)]
    options = {"eos": eos, "temperature": temperature}
    responses = generate_batch(model, [prompt] * candidates, max_tokens, seed=seeds, **options)
    rewards = scores_of(reward, [prompt] * candidates, responses)
    rng = generator(seed, "rejection sampling")
    if maximum is None:
        rows = accepted_candidates(rewards, beta, kept, rng)
    else:
        accepted = statistical_rejection_sample(rewards, beta, rng, maximum)
        rows = np.flatnonzero(accepted)[:kept]
    # Later passes keep lower rewards: in another order, neighbours are a random pair.
    rows = rng.permutation(rows)
    return [responses[i] for i in rows], rewards[rows]


def rso_pairs(
    model: EnumerableLM,
    prompts: Sequence[list[int]],
    reward: Callable,
    max_tokens: int,
    *,
    kept: int = 8,
    seed: int = 0,
    **options: Any,
) -> list[EncodedPair]:
    """Pairs of samples of the optimal policy, labelled by the reward   (Liu et al. 2024, section 3)

    prompts  list of P sequences of ids
    kept     responses to each, an even number: kept / 2 pairs
    options  of rso_samples(): candidates, beta, maximum, eos, temperature
    returns  list of EncodedPair for DPO("hinge") or DPO(), at most P kept / 2: pairs of equal
             rewards are left out, for nothing says which is better
    raises   as rso_samples(); a prompt that is too long is named before anything is drawn
    """
    check_prompts(model, prompts, max_tokens)
    found = []
    for i, prompt in enumerate(prompts):
        given = {"kept": kept, "seed": seed * len(prompts) + i, **options}
        responses, rewards = rso_samples(model, prompt, reward, max_tokens, **given)
        for a in range(0, len(responses) - 1, 2):
            better, worse = a, a + 1
            if rewards[better] < rewards[worse]:
                better, worse = worse, better
            if rewards[better] > rewards[worse]:
                pair = (encode_sft(prompt, responses[k]) for k in (better, worse))
                found.append(EncodedPair(*pair))
    return found
