"""Published models: parameters, tokens, operations, and the loss that the law predicts   (D2L 11.9;
book Table 2.3).

The numbers are those that the texts print, two with the papers' correction. Where a text gives no
tokens, tokens is None; C = 6 N D is only as good as both of its numbers. The architectures, and
parameters to the last one, are in models/decoder/sizes.py. Read next: laws.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.train.scaling.accounting import training_flops
from tinylm.train.scaling.amounts import TABLE_2_3
from tinylm.train.scaling.laws import CHINCHILLA, PF_DAY


@dataclass(frozen=True)
class Published:
    """A published model.

    parameters  N
    tokens      D that training read; None where the text gives none
    causal      True if it predicts next tokens
    """

    name: str
    parameters: float
    tokens: float | None = None
    note: str = ""
    causal: bool = True

    @property
    def flops(self) -> float:
        """Operations of its training, 6 N D; None where D is not given."""
        if self.tokens is None:
            return None
        return training_flops(self.parameters, self.tokens)

    @property
    def pf_days(self) -> float:
        """The operations of its training in petaflop/s-days, or None."""
        if self.tokens is None:
            return None
        return self.flops / PF_DAY

    @property
    def tokens_per_parameter(self) -> float:
        if self.tokens is None:
            return None
        return self.tokens / self.parameters

    @property
    def predicted_loss(self) -> float:
        """By eq. (2.39), or None. The law was fitted to one family of models on one text; for others
        it is only a number to compare with.
        """
        if self.tokens is None or not self.causal:
            return None
        return float(CHINCHILLA(self.parameters, self.tokens))


# fmt: off
MODELS = (
    Published("BERT-large", 350e6, 250e9, "the paper: 340 million; 250 billion tokens seen, about 40 times over its text", False),
    Published("RoBERTa-large", 350e6, 2000e9, "BERT's size; 2000 billion tokens seen", False),
    Published("T5-11B", 11e9, 1000e9, "C4", False),
    Published("T5-XXL encoder", 4.6e9, None, "the half of T5 that Imagen uses, frozen", False),
    Published("GPT", 100e6, None, "117 million in the paper"),
    Published("GPT-2", 1.5e9, None, "40 GB of text"),
    Published("GPT-3", 175e9, 300e9, "seen; Table 2.3 of the book has the 0.5 trillion that were collected"),
    Published("MT-NLG", 530e9, 270e9),
    Published("Gopher", 280e9, 300e9),
    Published("Chinchilla", 70e9, 1.4e12, "a quarter of Gopher's parameters for about the same compute"),
    Published("PaLM", 540e9, 780e9),
    Published("Llama 2 70B", 70e9, 2.0e12, "40 % more text than Llama 1's 1.4 trillion tokens"),
    Published("Parti", 350e6, None, "text to image; also 750 million, 3 and 20 billion", False),
    Published("Parti", 750e6, None, "", False),
    Published("Parti", 3e9, None, "", False),
    Published("Parti", 20e9, None, "", False),
)
# fmt: on


def find_model(name: str) -> Published:
    """The first row of that name. KeyError if there is none."""
    for row in MODELS:
        if row.name == name:
            return row
    raise KeyError(f"{name!r} is not one of {', '.join(row.name for row in MODELS)}")


def table(models: Sequence = MODELS) -> list[str]:
    """Lines of text: N, D, D/N, operations, PF-days, predicted loss."""
    lines = [f"{'model':<16}{'N':>9}{'D':>9}{'D/N':>9}{'6ND':>10}{'PF-days':>10}{'eq. 2.39':>10}"]
    for row in models:
        line = f"{row.name:<16}{row.parameters / 1e9:>8.3g}B"
        if row.tokens is None:
            line += f"{'-':>9}{'-':>9}{'-':>10}{'-':>10}{'-':>10}"
        else:
            line += f"{row.tokens / 1e9:>8.0f}B{row.tokens_per_parameter:>9.4g}"
            line += f"{row.flops:>10.2e}{row.pf_days:>10.0f}"
            line += f"{row.predicted_loss:>10.4f}" if row.causal else f"{'-':>10}"
        lines.append(line)
    return lines


def table_2_3_losses() -> dict[str, tuple[float, ...]]:
    """The losses by eq. (2.39) of the book's Table 2.3.

    returns  {printed name: (loss for its fewest tokens, for its most)}
    """
    losses = {}
    for row in TABLE_2_3:
        losses[row.book] = tuple(float(CHINCHILLA(row.parameters, n)) for n in row.tokens)
    return losses
