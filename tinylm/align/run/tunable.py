"""A model ready to be tuned on conversations: a run, or published weights, by its name.

Beside the weights it needs a tokenizer that has the marks of a chat template, rows of the embedding
for these marks, and low-rank updates where the weights stay frozen. `tinylm finetune` and `tinylm
align` open their models here. Read next: training.py; finetune/peft/lora.py.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import unfreeze
from tinylm.finetune.instruct.conversations import MARKS, ROLES, chat_template
from tinylm.finetune.instruct.saved import template_of_run
from tinylm.finetune.instruct.vocabulary import add_special, grow_vocabulary
from tinylm.finetune.peft.lora import lora as add_lora
from tinylm.models.published.chat_template import Mark
from tinylm.prompt.protocol.opened import check_decoder, check_there, is_published


@dataclass(frozen=True)
class Tunable:
    """A decoder with all that tuning on conversations needs.

    model      GPT, perhaps with LoRA
    tokenizer  with the marks of the template
    template   ChatTemplate
    base       TrainConfig of a run; None for published weights
    sha256     of the weights as they were opened, before rows and updates were added
    """

    model: object
    tokenizer: object
    template: object
    base: object
    sha256: str

    @property
    def end(self) -> int:
        """The id of the mark that ends an answer, or None."""
        return self.tokenizer.special.get(self.template.end)


def open_tunable(
    name: str, template: str = "", lora: int = 0, lora_alpha: float | None = None, seed: int = 0
) -> Tunable:
    """Open a model for tuning.

    name        path of a run, or what is_published() accepts
    template    name of a chat template; "": the one of the model, or "roles"
    lora        rank of low-rank updates, all else frozen; 0: all weights are trained
    lora_alpha  the updates are scaled by alpha / rank; None: twice the rank
    seed        of rows for new marks, and of the updates
    returns     Tunable
    raises      TinylmError if there is no such model, no tokenizer with it, or it is no decoder
    """
    model, tokenizer, known_template, base = _opened(name)
    sha256 = weights_sha256(model.named_arrays())
    if template:
        known_template = chat_template(template)
    chosen = known_template or ROLES
    marks = MARKS
    if chosen.name != ROLES.name:
        marks = _marks(chosen)
    known, tokenizer = tokenizer.vocab_size, add_special(tokenizer, marks)
    # A published table may have more rows than its tokenizer has ids: it never shrinks.
    grow_vocabulary(model, max(model.config.vocab_size, tokenizer.vocab_size), seed)
    if lora:
        # alpha / r scales the change; by default by 2, whatever the rank.
        add_lora(model, r=lora, alpha=lora_alpha or 2 * lora, seed=seed)
        if tokenizer.vocab_size > known:
            # LoRA freezes the tables, and the rows of new marks must be learnt.
            unfreeze([part for part in (model.tokens, model.head) if part is not None])
    return Tunable(model, tokenizer, chosen, base, sha256)


def _opened(name):
    """(GPT, tokenizer, template or None, TrainConfig of a run or None)."""
    check_there(name)
    if is_published(name):
        from tinylm.models.published.load import load_pretrained

        published = load_pretrained(name)
        check_decoder(name, published.model)
        if published.tokenizer is None:
            raise ConfigError(
                f"{published.path} has no tokenizer beside it "
                "(tokenizer.json, tokenizer.model, ...)"
            )
        return published.model, published.tokenizer, published.template, None
    from tinylm.train import load_run
    from tinylm.train.run.build import decoder_of

    # Only decoders answer; their heads for tokens further ahead are left out.
    model, tokenizer, base = load_run(name)
    model = decoder_of(model, base, tokenizer.vocab_size)
    return model, tokenizer, template_of_run(name), base


def _marks(template):
    """The special tokens that a template puts around a question and an answer, each once."""
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    marks = [str(piece) for piece in template.pieces(talk) if isinstance(piece, Mark)]
    return list(dict.fromkeys(marks))


def weights_sha256(arrays: dict[str, np.ndarray]) -> str:
    """The SHA-256 of named arrays, {name: array}: names, shapes, types and values."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(to_cpu(arrays[name]))
        found.update(f"{name} {array.shape} {array.dtype}\n".encode())
        found.update(array)
    return found.hexdigest()
