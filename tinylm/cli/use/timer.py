"""The speed of a stream of tokens, for --stats."""

import time
from collections.abc import Iterator
from typing import Any


class Timer:
    """Tokens and seconds of a stream: `for piece in timer.watch(pieces)`.

    The first piece is counted apart, because its time includes reading the prompt.
    """

    def __init__(self) -> None:
        self.first, self.rest, self.count = 0.0, 0.0, 0

    def watch(self, tokens: Iterator) -> Iterator[str]:
        """Yield the items of `tokens`, measuring the time between them."""
        begun = time.perf_counter()
        for i, token in enumerate(tokens):
            now = time.perf_counter()
            # The first item waits for the whole prompt, each later one for a single step.
            if i:
                self.rest, self.count = self.rest + now - begun, self.count + 1
            else:
                self.first = now - begun
            # Time that the caller spends on the item, such as on printing it, is not counted.
            yield token
            begun = time.perf_counter()

    def report(self, lm: Any) -> str:
        """A line on the speed and, if the weights are read directly, the share of the bandwidth."""
        from tinylm.generate.fast.direct import DirectDecoder, memory_bandwidth
        from tinylm.generate.fast.fastest import fastest

        if not self.count:
            return "too few tokens to measure a speed"
        text = f"{self.count / self.rest:.1f} tokens/s after {self.first:.2f} s for the prompt"
        decoder = fastest(lm)
        if not isinstance(decoder, DirectDecoder):
            return text
        # A step reads every weight once, so bytes a second bound the tokens a second.
        nbytes, bandwidth = decoder.weight_bytes(), memory_bandwidth()
        rate = nbytes * self.count / self.rest
        return (
            f"{text}; each reads {nbytes / 1e6:.0f} MB of weights: {rate / 1e9:.1f} GB/s, "
            f"{rate / bandwidth:.0%} of the {bandwidth / 1e9:.1f} GB/s that this machine reads"
        )
