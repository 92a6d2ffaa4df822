"""The interface that every decoder uses: a language model as an object with `next_logits`   (book
eq. 2.1).

In order: language_model.py (the protocol, and models of tinylm behind it), enumerable.py (a model
whose every expectation is a finite sum), conditional.py (encoder-decoders), streaming.py (texts
without end), score.py (log-probabilities of given texts).
"""

from tinylm.generate.protocol.language_model import (
    ModelLM,
    as_language_model,
    check_token_ids,
    check_tokens,
    padded,
)
