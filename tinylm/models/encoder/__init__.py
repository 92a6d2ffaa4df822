"""Encoders and encoder-decoders   (book sections 1.2 and 1.3).

In order: heads.py, encoder.py (BERT and its family), seq2seq.py (T5, BART), xlnet.py, presets.py
(published families). cases.py has their gradient checks.
"""

from tinylm.models.encoder.encoder import (
    Electra,
    Encoder,
    EncoderConfig,
    distilled,
    encoder_block,
    without_head,
)
