"""A run as a folder that Hugging Face's library and all commands of this one can open.

    model.safetensors, config.json          weights and configuration; bos, eos, pad ids
    tokenizer.json, tokenizer_config.json   the run's tokenizer, id for id; the chat program
    special_tokens_map.json, generation_config.json, README.md

The model must be of a published class (models/published/published_form.py); an objective without
one raises ConfigError. Read next: names.py, card.py, folder.py.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinylm.data.batches.prepare import END_OF_TEXT
from tinylm.errors import ConfigError
from tinylm.files import write_text
from tinylm.finetune.export.card import card
from tinylm.finetune.export.folder import WholeFolder, check_free
from tinylm.finetune.export.names import Named, named_tokens
from tinylm.finetune.instruct.saved import template_of_run
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Electra
from tinylm.models.published.chat.written import program_of
from tinylm.models.published.published_form import published_form
from tinylm.models.published.save import save_pretrained
from tinylm.nn import Module
from tinylm.pretrain.language.multi_token import MultiTokenHeads
from tinylm.pretrain.objectives import ENCODER, OBJECTIVES
from tinylm.tokenizers import Tokenizer
from tinylm.train import checkpoint as checkpoints
from tinylm.train.run.config import TrainConfig
from tinylm.train.run.saved import load_run

# Objectives whose models have no class in that library, and why.
REFUSED = {
    "prefix": "one stack reads a prefix from both sides and continues it",
    "span-boundary": "a head reads the tokens around a span",
    "translation": "every language has an embedding",
}
ENDS = "eos", "bos", "pad"  # roles whose ids are in config.json and generation_config.json


@dataclass(frozen=True)
class Opened:
    """A run with all that is written of it.

    path       of the checkpoint
    model      of a published class
    described  its config.json
    config     TrainConfig
    tokenizer  of the run;  tokens  Named, the written form
    template   chat template, or None
    notes      lines for the card on parts that are left out
    """

    path: Path
    model: Module
    described: dict
    config: TrainConfig
    tokenizer: Tokenizer
    tokens: Named
    template: object = None
    notes: list = field(default_factory=list)

    @property
    def context(self) -> int:
        """The longest text in ids, or None."""
        return getattr(self.model.config, "context", None)


def export_run(path: str | Path, folder: str | Path) -> Opened:
    """Write a run as a folder that other libraries open.

    path     a run (its newest checkpoint), or a checkpoint in it
    folder   created; an earlier export there is replaced
    returns  Opened
    raises   ConfigError for an objective, a part or a tokenizer without a published form, and for a
             folder that holds other files; CheckpointError if the run cannot be read or the folder
             not be written
    """
    check_free(Path(folder).absolute())  # before the work of reading a run
    opened = open_run(path)
    end = opened.tokenizer.special.get(END_OF_TEXT)
    begin = ()
    if end is not None and opened.template is None:
        begin = (end,)  # training texts begin behind <|endoftext|>, conversations with a mark
    with WholeFolder(folder, begin) as aside:
        ids = {f"{role}_token_id": opened.tokens.ids.get(role) for role in ENDS}
        save_pretrained(opened.model, aside, tokens=ids, described=opened.described)
        for name, text in texts(opened, ids).items():
            write_text(aside / name, text)
    return opened


def open_run(path: str | Path) -> Opened:
    """A run, ready to be written. Raises as export_run()."""
    run, found = checkpoints.find_run(path)
    model, tokenizer, config = load_run(found)
    model, notes = _of_class(model, config.recipe.name)
    size = model.config.vocab_size
    model, described = _described(model, config.recipe.name)
    template = template_of_run(found)
    tokens = named_tokens(tokenizer, config, template, size)
    return Opened(found, model, described, config, tokenizer, tokens, template, notes)


def _of_class(model, objective):
    """(the part of a run's model with a published class, notes on the rest)."""
    if isinstance(model, GPT):  # fine-tuned runs too, whatever their objective was
        return model, []
    if objective in REFUSED:
        raise ConfigError(
            f"objective = {objective!r} has no published class ({REFUSED[objective]}); "
            f"these can be exported: {', '.join(exported())}"
        )
    if isinstance(model, MultiTokenHeads):
        note = "The heads that predict tokens further ahead are not part of these files."
        return model.model, [note]
    if isinstance(model, Electra):
        return model.discriminator, ["The generator is not part of these files."]
    return model, []


def exported() -> Any:
    """The names of objectives whose runs can be exported."""
    return [name for name in OBJECTIVES if name not in REFUSED]


def _described(model, objective):
    """(model, config.json) of the published form; errors name the objective."""
    try:
        return published_form(model)
    except ConfigError as error:
        raise ConfigError(f"{error} (objective {objective})") from None


def texts(opened: Opened, ids: dict[str, int | None]) -> dict[str, str]:
    """{file: text} of all files but weights and config.json.

    ids  {"eos_token_id": id or None, ...}
    """
    named, template = opened.tokens, opened.template
    # special_tokens_map.json and tokenizer_config.json both name the tokens: {"eos_token": "</s>"}
    roles = {f"{role}_token": name for role, name in named.names.items()}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": getattr(opened.tokenizer, "clean", False),
        "model_input_names": _inputs(opened.config.recipe.architecture),
    }
    if opened.context:
        settings["model_max_length"] = opened.context
    settings |= roles
    if template is not None:
        settings["chat_template"] = _program(template)
    start = opened.described.get("decoder_start_token_id")
    generation = ids | {"decoder_start_token_id": start}
    generation = {name: value for name, value in generation.items() if value is not None}
    contents = {
        "tokenizer.json": named.described,
        "tokenizer_config.json": settings,
        "special_tokens_map.json": roles,
        "generation_config.json": generation,
    }
    found = {"README.md": card(opened)}
    for name, value in contents.items():
        found[name] = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return found


def _program(template):
    """The program of a chat template; of several a list of {"name", "template"}."""
    program = program_of(template)
    if not isinstance(program, dict):
        return program
    return [{"name": name, "template": text} for name, text in program.items()]


def _inputs(architecture):
    """The arguments that the library's tokenizer passes to its model."""
    if architecture == ENCODER:
        return ["input_ids", "token_type_ids", "attention_mask"]
    return ["input_ids", "attention_mask"]
