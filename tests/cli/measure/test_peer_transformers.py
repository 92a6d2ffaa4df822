"""The peer of `tinylm bench prompting` does the same work: scores and replies agree."""

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.cli.measure.bench_prompting import generation, review_prompts
from tinylm.errors import ConfigError, TinylmError

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tinylm.cli.measure.peer_transformers import BATCH, TransformersPeer  # noqa: E402

LABELS = ["a", "b", "c"]  # bytes, of one token each


def test_scores_are_those_of_tinylm_in_every_batch_and_for_prompts_of_any_length():
    lm = text_model(context=512, dtype=np.float32)
    prompts = review_prompts(BATCH + 2, shots=1)  # two batches
    prompts[3] += " a longer end"
    ours = np.array([scores.sums for scores in lm.score_batch(prompts, LABELS)])
    np.testing.assert_allclose(TransformersPeer(lm).score(prompts, LABELS), ours, atol=1e-4)


def test_replies_are_those_of_tinylm():
    lm = text_model(context=64, dtype=np.float32)
    prompts = ["One", "A longer one", "2"]
    replies = [list(reply.tokens) for reply in lm.complete_batch(prompts, max_tokens=8)]
    found = TransformersPeer(lm).generate(prompts, 8)
    assert all(len(reply) == 8 for reply in found)
    for ours, theirs in zip(replies, found):
        assert theirs[: len(ours)] == ours  # ours end with the model's mark of an end


def test_the_bench_times_it_in_turn():
    lm = text_model(context=1024, dtype=np.float32)
    peer = TransformersPeer(lm)
    *_, theirs = generation(lm, rounds=2, tokens=2, peer=peer)
    assert len(theirs) == 2 and min(theirs) > 0
    other = text_model(context=1024, dtype=np.float32, seed=1)
    with pytest.raises(TinylmError, match="not those of transformers"):
        generation(other, rounds=1, tokens=8, peer=peer)


def test_a_label_of_two_tokens_is_refused():
    with pytest.raises(ConfigError, match="'ab' has 2 tokens"):
        TransformersPeer(text_model(dtype=np.float32)).score(["One", "Two"], ["ab"])
