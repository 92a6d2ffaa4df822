"""Alignment from its logs, and what choosing by an imperfect reward does (book sections 4.3, 4.4).

Of a run of `tinylm align`: margins and implicit rewards of DPO and its kin, or rewards and
divergence of policy training. Beside it over-optimization by its exact law: the reward that chooses
rises for ever, the one that is wanted does not. Read first: align/preference/metrics.py,
align/inference/law.py.
"""

from pathlib import Path

import numpy as np

from tinylm.align.inference.law import over_optimization_curve
from tinylm.align.preference.metrics import preference_metrics
from tinylm.backend import Random
from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.explore.training.runs import names_of, panels, read_run

PANELS = {
    "margin": ("Margin", "reward of the chosen answer less that of the rejected", False),
    "reward_chosen": ("Reward of chosen answers", "implicit reward, in units of beta", False),
    "reward_rejected": ("Reward of rejected answers", "implicit reward, in units of beta", False),
    "accuracy": ("Pairs in the right order", "share", False),
    "logp_chosen": ("Chosen answers themselves", "log Pr, nats", False),
    "logp_rejected": ("Rejected answers themselves", "log Pr, nats", False),
    "reward_good": ("Reward of good answers", "implicit reward", False),
    "reward_bad": ("Reward of bad answers", "implicit reward", False),
    "reward": ("Reward", "reward of a response", False),
    "kl": ("Distance to the reference", "nats per response", False),
    "entropy": ("Entropy", "nats per token", False),
    "clip_fraction": ("Clipped tokens", "share", False),
    "length": ("Length", "tokens of a response", False),
    "loss": ("Loss", "loss", False),
}

RESPONSES = 4096  # of the world in which all can be listed
CHOICES = [2**k for k in range(13)]  # n of best-of-n
NOISES = (0.0, 0.5, 1.0, 2.0)  # spread of the proxy's error; the gold reward has spread 1


def gold_and_proxy(noise: float, seed: int = 0) -> np.ndarray:
    """Best-of-n by a proxy, in a world of 4,096 equally probable responses, exactly.

    The proxy is the gold reward plus an error. Most errors are small; one response in fifty is a
    loophole, which the proxy likes by three spreads and the gold reward does not.

    noise    spread of the error; 0: the proxy is the gold reward, and there is no loophole
    returns  (13, 3) float64: KL(best of n || policy) in nats, E[proxy], E[gold]; n = 1, 2, 4, ...
    """
    rng = Random(seed, "explore")
    gold = rng.normal((RESPONSES,), np.float64)
    error = noise * rng.normal((RESPONSES,), np.float64)
    loophole = rng.uniform((RESPONSES,), np.float64) < 0.02
    proxy = gold + error + 3 * noise * loophole
    gold = np.where(loophole & (noise > 0), gold - 2, gold)
    return over_optimization_curve(np.full(RESPONSES, 1 / RESPONSES), proxy, gold, CHOICES)


def figures(at_hand: AtHand) -> list[Figure]:
    """The curves of a run of `tinylm align`, if that is at hand, and over-optimization."""
    found = []
    if at_hand.name and Path(at_hand.name).is_dir():
        folders = [at_hand.run(), *map(Path, at_hand.compare)]
        try:
            found += _of_runs(folders)
        except Unsuitable:  # a run of another command: its log has no rewards
            pass
    curves = [{"noise": noise, "rows": gold_and_proxy(noise, at_hand.seed)} for noise in NOISES]
    text = (
        f"Of {RESPONSES:,} responses the best of n by a proxy, as n grows: the proxy's own reward "
        "never falls, the gold reward does once errors are what is chosen. A made-up world, by "
        f"its exact law. Book section 4.4.1.4; code: `{source_of(over_optimization_curve)}`."
    )
    data = {"curves": curves, "n": CHOICES}
    return [*found, Figure("proxy", "Gold against proxy", text, data)]


def _of_runs(folders):
    """The figure of the logs of `tinylm align`; raises Unsuitable for others."""
    runs = [read_run(folder) for folder in folders]
    shown = panels(runs, PANELS)
    if not any(panel["key"] in ("margin", "reward", "reward_good") for panel in shown):
        raise Unsuitable("needs a run of `tinylm align`")
    data = {
        "runs": [
            {
                "name": name,
                "parameters": run["start"].get("parameters"),
                "objective": run["start"].get("method"),
                "samples": [],
            }
            for name, run in zip(names_of(folders), runs)
        ],
        "panels": shown,
        "x": "step",
        "temperature": 0.0,
    }
    text = (
        "A loss of differences says nothing about levels: watch the answers themselves beside the "
        f"margin. Book sections 4.3 and 4.4.2; measured by `{source_of(preference_metrics)}`."
    )
    return [Figure("runs", "Rewards while the model is aligned", text, data, id="align")]
