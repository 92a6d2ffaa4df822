"""The stages one after another: base, SFT, reward model, then DPO or PPO, each from the last."""

import json
from pathlib import Path

import numpy as np
import pytest

from tinylm.align.run import policy, training
from tinylm.align.run.saved import RewardRun, open_reward, plain_decoder, read_begun
from tinylm.align.run.tunable import weights_sha256
from tinylm.autograd import no_grad
from tinylm.cli import main
from tinylm.nn import evaluating
from tinylm.train import load_run

PAIRS = [{"prompt": f"{w}?", "chosen": f"{w} is", "rejected": "no"} for w in "abcdef"]
TUNING = ["--epochs=1", "--batch-size=2", "--val-fraction=0.34", "--lr=0.01"]
SAMPLING = ["--steps=2", "--batch-size=2", "--max-tokens=3", "--lr=0.01"]


def logits(model):
    """Of a fixed text, by the decoder of a model."""
    decoder = plain_decoder(model)
    ids = np.random.default_rng(0).integers(0, decoder.config.vocab_size, (2, 8))
    with no_grad(), evaluating(decoder):
        return decoder(ids).data.copy()


@pytest.fixture
def stage(text, tiny, tmp_path, monkeypatch):
    """Run a command and return (the run's path, logits of its model in memory as it was saved)."""
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    seen = []
    for module in (training, policy):

        def saved(directory, model, *more, into=module.save_aligned):
            seen.append((logits(model), model))
            return into(directory, model, *more)

        monkeypatch.setattr(module, "save_aligned", saved)

    def run(method, start, *words):
        path = str(tmp_path / f"{method}-run")
        if method == "train":
            settings = [word for word in tiny if "context" not in word]
            argv = ["train", "--data", str(text), "--out", path, *settings, "--context=48"]
        else:
            argv = ["align", method, start, "--data", str(data), "--out", path, *words]
        seen.clear()
        assert main(argv) == 0
        return path, list(seen)

    return run


def test_every_stage_begins_where_the_one_before_it_ended(stage):
    base, _ = stage("train", "")
    sft, sft_end = stage("sft", base, *TUNING)
    reward, reward_end = stage("reward", sft, *TUNING)
    dpo, dpo_end = stage("dpo", sft, *TUNING)
    ppo, ppo_end = stage("ppo", sft, "--reward", reward, *SAMPLING)
    opened = [load_run(sft)[0], load_run(reward, reward=True)[0], load_run(dpo)[0]]
    opened.append(load_run(ppo)[0])
    ends = [end[-1][0] for end in (sft_end, reward_end, dpo_end, ppo_end)]
    for model, end in zip(opened, ends):
        np.testing.assert_array_equal(logits(model), end)
    for earlier, later in ((base, sft), (sft, reward), (sft, dpo), (sft, ppo)):
        begun = read_begun(later)
        assert begun.run == earlier
        assert begun.sha256 == weights_sha256(load_run(earlier)[0].named_arrays())
        card = json.loads((Path(later) / "config.json").read_text())["finetune"]
        assert card["run"] == earlier and card["steps"] == 2
    # Four different models: each stage has changed what it was given.
    for other in ends[1:]:
        assert np.abs(other - ends[0]).max() > 1e-4


def test_a_reward_model_scores_as_it_did_when_it_was_saved(stage):
    base, _ = stage("train", "")
    path, end = stage("reward", base, *TUNING)
    talks = [
        [{"role": "user", "content": p["prompt"]}, {"role": "assistant", "content": p["chosen"]}]
        for p in PAIRS
    ]
    opened = open_reward(path)
    before = RewardRun(end[-1][1], opened.tokenizer, opened.template)
    np.testing.assert_array_equal(opened.rewards(talks), before.rewards(talks))
    assert len(set(opened.rewards(talks))) > 1
