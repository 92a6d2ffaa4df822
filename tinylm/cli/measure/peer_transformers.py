"""The peer of `tinylm bench prompting`: the same weights in Hugging Face's transformers. Used only
to measure.

float32, its own key-value cache, all threads that torch takes. It gets the ids that tinylm reads,
and the best form of the same work that its interface has: the prefix of all prompts is read once
into a cache, whose copy every batch continues, and a token of an answer is scored at the end of the
prompt. Read next: bench_prompting.py.
"""

import copy
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.protocol.model import TextModel
from tinylm.prompt.protocol.prefix_store import shared_length

BATCH = 16  # prompts at a time, as TextModel reads them


class TransformersPeer:
    """A model of tinylm as transformers runs it.

    lm      TextModel whose weights have a layout of Hugging Face (models/published/save.py)
    raises  ImportError without torch or transformers; ConfigError for parts that no family has
    """

    def __init__(self, lm: TextModel) -> None:
        import torch
        import transformers

        from tinylm.models.published.save import save_pretrained

        self.torch, self.lm = torch, lm
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        with tempfile.TemporaryDirectory() as folder:
            save_pretrained(lm.opened.lm.model, folder)
            load = transformers.AutoModelForCausalLM.from_pretrained
            self.model = load(folder, dtype=torch.float32).eval()

    def score(self, prompts: Sequence[str], labels: Sequence[str]) -> Any:
        """Log-probabilities of one-token labels after each prompt: (n prompts, n labels).

        prompts  list of str that begin alike
        labels   list of str, each one token
        """
        torch = self.torch
        rows = [self.lm.ids(prompt) for prompt in prompts]
        columns = [self._one_token(label) for label in labels]
        shared = shared_length(rows)
        found = []
        with torch.inference_mode(), warnings.catch_warnings():
            # Its newest versions rename the parameter past_key_values, which older ones need.
            warnings.simplefilter("ignore", FutureWarning)
            prefix = self.model(torch.tensor([rows[0][:shared]]), use_cache=True).past_key_values
            for start in range(0, len(rows), BATCH):
                tails = [row[shared:] for row in rows[start : start + BATCH]]
                cache = copy.deepcopy(prefix)
                cache.batch_repeat_interleave(len(tails))
                found.append(self._after(tails, shared, cache)[:, columns])
        return np.concatenate(found)

    def _one_token(self, label):
        """The id of a label, which must be one token: its score is that of the next token."""
        ids = self.lm.tokenizer.encode(label)
        if len(ids) != 1:
            raise ConfigError(f"TransformersPeer: {label!r} has {len(ids)} tokens, it needs 1")
        return ids[0]

    def _after(self, tails, shared, cache):
        """Log-probabilities of the token after each row of a batch: (B, V)."""
        torch = self.torch
        longest = max(map(len, tails))
        # Padding stands behind the rows, where causal attention keeps it from their tokens.
        ids = torch.tensor([tail + [0] * (longest - len(tail)) for tail in tails])
        hidden = self.model.base_model(
            ids, past_key_values=cache, position_ids=shared + torch.arange(longest)[None]
        ).last_hidden_state
        last = hidden[torch.arange(len(tails)), torch.tensor([len(tail) - 1 for tail in tails])]
        return torch.log_softmax(self.model.lm_head(last), dim=1).numpy()

    def generate(self, prompts: Sequence[str], tokens: int) -> list[list[int]]:
        """The most probable continuation of each prompt, all in one batch: list of list of int.

        tokens  how many of each, whatever they are
        """
        torch = self.torch
        rows = [self.lm.ids(prompt) for prompt in prompts]
        longest = max(map(len, rows))
        # (B, T): padding in front, so that every row ends in the last column
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            out = self.model.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                pad_token_id=0,
            )
        return out[:, longest:].tolist()
