"""all-MiniLM-L6-v2, published weights: hidden states against transformers, and sentences that mean
alike.
"""

import numpy as np
import pytest

from tinylm.errors import MissingExtra
from tinylm.models.published.formats.found import find_weights
from tinylm.models.published.sentence_encoder import load_sentence_encoder

TEXTS = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A woman is playing violin.",
]


@pytest.fixture(scope="module")
def encoder():
    try:
        return load_sentence_encoder("minilm")
    except MissingExtra as missing:
        pytest.skip(str(missing))


def test_hidden_states_agree_with_transformers(encoder):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.BertModel.from_pretrained(
        find_weights("minilm"), dtype=torch.float32
    ).eval()
    ids, mask = encoder.batch(TEXTS)
    with torch.no_grad():
        expected = model(
            input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask.astype(np.int64))
        ).last_hidden_state.numpy()
    found = encoder.encoder.hidden(ids, mask=mask).numpy()
    assert (
        np.abs(found - expected)[mask].max() < 5e-6
    )  # float32, six layers, values up to 5.2; measured: 1.9e-6


def test_ids_are_those_of_its_own_tokenizer(encoder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(find_weights("minilm"))
    for text in [*TEXTS, "Ünïcode, naïve café; 東京 & $5.00!"]:
        assert encoder.tokenizer.framed(text)[0].tolist() == theirs(text)["input_ids"]


def test_what_means_alike_lies_close(encoder):
    vectors = encoder(TEXTS)
    cosines = vectors @ vectors.T
    assert (
        abs(cosines[0, 1] - 0.755) < 1e-3
    )  # what these weights gave when this was written, and so for
    assert cosines[0, 2:].max() < 0  # the two others: -0.105, -0.070
