"""UL2: a mixture of denoisers, each announced by a mode token   (Tay et al. 2022; extends book
section 1.2.4)

    [R]  regular: short spans, few of them                 as T5
    [S]  sequential: everything after a prefix             as prefix LM
    [X]  extreme: long spans, or many of them, or both     nearly generation

Each is a task of seq2seq.py; their mixture is one too. Read next: sentinels.py, language/prefix.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.pretrain.denoising.noise import Mixture
from tinylm.pretrain.denoising.sentinels import Sentinels
from tinylm.pretrain.language.prefix import PrefixTask
from tinylm.pretrain.special import Special


@dataclass(frozen=True)
class Sequential:
    """The S-denoiser: a prefix, a sentinel where the rest was, and the rest; mode in front."""

    special: Special
    mode: int
    shortest: float = 0.25
    longest: float = 0.75

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prefix, rest = PrefixTask(self.shortest, self.longest)(ids, draws)
        mark = [self.special.sentinels[0]]
        return np.concatenate([[self.mode], prefix, mark]), np.concatenate([mark, rest])


def ul2(
    special: Special, modes: Sequence[int] | None = None, weights: Sequence[float] | None = None
) -> Mixture:
    """The seven denoisers of UL2's table 1, equally likely.

    modes    ids of [R], [S], [X]; the first three of special.others if None
    returns  Mixture
    """
    if modes is None:
        modes = special.others[:3]
    if len(modes) != 3:
        raise ConfigError(
            f"ul2: {len(modes)} mode tokens, needs three: give Special others, or modes="
        )
    r, s, x = modes
    # (mode, mean length of a span, share of the tokens)
    settings = [(r, 3, 0.15), (r, 8, 0.15), (x, 3, 0.5), (x, 8, 0.5), (x, 64, 0.15), (x, 64, 0.5)]
    parts = [Sentinels(special, rate, mean, mode=mode) for mode, mean, rate in settings]
    return Mixture((*parts, Sequential(special, s)), weights)
