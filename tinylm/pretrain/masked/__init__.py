"""Masked language modeling and its relatives   (book section 1.2.2; Table 1.1).

In order: choose.py (which tokens), spans.py, masked.py (BERT), span_boundary.py, permuted.py
(XLNet).
"""

from tinylm.pretrain.masked.masked import (
    MaskedLM,
    StaticMasks,
    causal_from_masked,
    corrupt_chosen,
    mask_tokens,
    targets_at,
    with_cls,
    without_padding,
)
