"""Makes reward_scores.json: what transformers' GPT2ForSequenceClassification with one label gives
for rows with padding at the right, and what losses torch gives for such scores.

Run once, by hand; nothing is fetched:

    pip install torch==2.13.0 transformers==5.24.0
    OMP_NUM_THREADS=1 python -m tests.oracle.reward_scores

The weights are a formula (`model`), so they are the same wherever they are made. Read next:
tests/align/rewards/test_against_transformers.py, which compares tinylm with the file.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tinylm.align.rewards.reward_model import RewardModel
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.models.published.save import save_pretrained

FILE = Path(__file__).with_suffix(".json")
PAD = 11  # never in a text: transformers takes the last token that is another one
TEXTS = [[1, 5, 2, 9], [3, 4], [7, 7, 1, 2, 8, 6, 3], [10]]
MARGINS = [0.0, 0.5, 1.0, 2.0]


def model():
    """A RewardModel of width 16 in float64 whose weights are a formula."""
    config = GPTConfig(PAD + 1, context=8, n_layer=2, n_head=2, d_model=16, dropout=0.0)
    made = RewardModel(GPT(config, dtype=np.float64))
    for k, (name, p) in enumerate(made.named_parameters().items()):
        # squares: neighbors in a row or column are no shifted copies of each other
        wave = np.sin(1 + k + 0.37 * np.arange(p.size, dtype=np.float64) ** 2).reshape(p.shape)
        p.data[...] = 0.4 * wave
        if name.endswith("gain"):
            p.data += 1
    return made.eval()


def rows():
    """The texts padded at the right: ids (4, 7), mask (4, 7)."""
    ids, mask = np.full((len(TEXTS), 7), PAD), np.zeros((len(TEXTS), 7), bool)
    for row, text in enumerate(TEXTS):
        ids[row, : len(text)], mask[row, : len(text)] = text, True
    return ids, mask


def main():
    """Write the file."""
    import torch
    from transformers import GPT2ForSequenceClassification

    made, (ids, mask) = model(), rows()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(made.values.decoder, folder, "gpt2")
        options = {"num_labels": 1, "pad_token_id": PAD, "dtype": torch.float64}
        theirs = GPT2ForSequenceClassification.from_pretrained(folder, **options).eval()
    head = torch.tensor(made.values.head.weight.data.T.copy())  # (D, 1) -> (1, D)
    with torch.no_grad():
        theirs.score.weight.copy_(head)
        inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask).long()}
        scores = theirs(**inputs).logits[:, 0]
    chosen, rejected = scores, scores.flip(0)
    log_sigmoid = torch.nn.functional.logsigmoid
    # trl/trainer/reward_trainer.py: -logsigmoid(chosen - rejected - margin).mean(), and with
    # center_rewards_coefficient + coefficient * ((chosen + rejected) ** 2).mean()
    margins = torch.tensor(MARGINS)
    found = {
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "scores": scores.tolist(),
        "pairwise": -log_sigmoid(chosen - rejected).mean().item(),
        "margin": -log_sigmoid(chosen - rejected - margins).mean().item(),
        "center .01": 0.01 * ((chosen + rejected) ** 2).mean().item(),
        "hinge": torch.nn.functional.relu(1 - scores).mean().item(),
    }
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
