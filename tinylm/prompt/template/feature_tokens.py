"""Features as tokens before a text: formal or informal, as translation systems had them   (book
section 3.4; Sennrich et al. 2016, side constraints).

    <formal> How are you?   ->  Wie geht es Ihnen?
    <informal> How are you? ->  Wie geht es dir?

Before models followed instructions, a feature was designed by hand, put into the input, and learnt
in training. A prompt is the same condition in words. The tokens are special ones, so a text that
holds "<formal>" is only text. Read next: ../../finetune/instruct/vocabulary.py, which adds them.
"""

from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


class FeatureTokens:
    """The tokens of some features.

    features  {name: values}, such as {"formality": ("formal", "informal")}
    raises    ConfigError for a feature with less than two values, or a value that is given twice
    """

    def __init__(self, features: dict[str, tuple[str, ...]]) -> None:
        self.features = {name: tuple(values) for name, values in features.items()}
        # A token has the name of the value alone, so values of two features must differ.
        values = [value for group in self.features.values() for value in group]
        if len(set(values)) < len(values) or any(len(v) < 2 for v in self.features.values()):
            raise ConfigError(
                f"FeatureTokens: each feature needs two values or more, all different: {features}"
            )

    @property
    def tokens(self) -> tuple[str, ...]:
        """The names of all tokens, to be added to a tokenizer: ("<formal>", "<informal>")."""
        return tuple(f"<{value}>" for group in self.features.values() for value in group)

    def mark(self, text: str, **values: str) -> str:
        """The text with its features before it, as it is shown: "<formal> How are you?".

        values  one of each feature, by name
        raises  DataError for a feature without a value, or a value that it does not have
        """
        return " ".join([*(f"<{value}>" for value in self._checked(values)), text])

    def ids(self, tokenizer: "Tokenizer", text: str, **values: Any) -> list[int]:
        """The ids of a text after the special tokens of its features: list of int.

        tokenizer  has all of `tokens` among its special ones
        """
        lacking = [token for token in self.tokens if token not in tokenizer.special]
        if lacking:
            raise ConfigError(f"FeatureTokens: the tokenizer has no special token {lacking[0]}")
        front = [tokenizer.special[f"<{value}>"] for value in self._checked(values)]
        return [*front, *tokenizer.encode(text).tolist()]

    def _checked(self, values):
        """The value of every feature, in the order of the features."""
        if set(values) != set(self.features):
            raise DataError(
                f"FeatureTokens: values for {sorted(values)}, and the features are "
                f"{sorted(self.features)}"
            )
        for name, value in values.items():
            if value not in self.features[name]:
                known = ", ".join(self.features[name])
                raise DataError(f"FeatureTokens: {name} is {value!r}; it can be {known}")
        return [values[name] for name in self.features]
