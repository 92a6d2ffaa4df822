"""The fields of a config.json, read strictly: one that may change the outputs is never skipped.

    f = Fields({"model_type": "gpt2", "n_layer": 12, "bias": True})
    f.integer("n_layer", "num_hidden_layers")     12, under any of the names of this field
    f.only("bias", True)                          refused at any other value
    f.finish()                                    refuses fields that are unread, unless they are
                                                  known to have no effect

Each layout reads the fields that a model here has, names those without effect, and ends with
finish(). Read next: gpt2.py.
"""

import math
from pathlib import Path
from typing import Any, NoReturn

from tinylm.errors import CheckpointError

REQUIRED = object()  # the default of a field without a default: None is a value

# Fields for the library's book-keeping, for training, and for generation: no logit depends on them.
BOOKKEEPING = """
    _name_or_path name_or_path architectures model_type transformers_version torch_dtype
    dtype auto_map _commit_hash _attn_implementation _attn_implementation_autoset
    attn_implementation _attn_implementation_internal _experts_implementation_internal
    experts_implementation use_cache gradient_checkpointing torchscript tf_legacy_loss
    use_bfloat16 return_dict return_dict_in_generate output_attentions output_hidden_states
    output_scores output_past problem_type id2label label2id num_labels _num_labels
    finetuning_task tokenizer_class prefix task_specific_params chunk_size_feed_forward
    transformers_weights use_flash_attn init_device
"""
TRAINING = """
    initializer_range initializer_factor init_std embed_init_std initializer_cutoff_factor
    attention_dropout hidden_dropout hidden_dropout_prob attention_probs_dropout_prob
    attn_pdrop embd_pdrop emb_pdrop resid_pdrop residual_dropout embedding_dropout
    activation_dropout dropout dropout_rate classifier_dropout classifier_dropout_prob
    classif_dropout qa_dropout seq_classif_dropout encoder_layerdrop decoder_layerdrop
    layerdrop router_aux_loss_coef router_jitter_noise output_router_logits summary_type
    summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout
    summary_last_dropout start_n_top end_n_top gradient_checkpointing_kwargs
"""
GENERATION = """
    bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id cls_token_id
    mask_token_id max_length min_length max_new_tokens do_sample early_stopping num_beams
    num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty
    length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences forced_bos_token_id forced_eos_token_id remove_invalid_values
    exponential_decay_length_penalty suppress_tokens begin_suppress_tokens generation_config
"""
NO_EFFECT = frozenset(f"{BOOKKEEPING} {TRAINING} {GENERATION}".split())
# Fields that every layout accepts with these values only, unless it reads them itself.
AT_DEFAULT = {
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "tie_encoder_decoder": (False,),
    "pruned_heads": ({}, []),
    "quantization_config": (),
    "cross_attention_hidden_size": (),
}


class Fields:
    """A dict of settings, each of which must be read, be without effect, or be refused.

    described  dict, the parsed JSON
    where      its file, for messages
    raises     CheckpointError, in every method, naming the field, its value, and the values that
               are read
    """

    def __init__(self, described: dict[str, Any], where: str | Path = "config.json") -> None:
        if not isinstance(described, dict):
            raise CheckpointError(f"{where} is {described!r}, not a JSON object")
        self.described, self.where = described, where
        self.known = set()  # names of fields that were read, or have no effect

    def integer(self, *names: str, default: Any = REQUIRED) -> int | None:
        """A whole number. Several names are spellings of one field; null counts as missing."""
        name, value = self._found(names, default)
        if name is not None and type(value) is not int:  # True is an instance of int
            self.refuse(name, value, "a whole number")
        return value

    def number(self, *names: str, default: Any = REQUIRED) -> float | None:
        """A finite number."""
        name, value = self._found(names, default)
        if name is not None and not _is_number(value):
            self.refuse(name, value, "a finite number")
        return value

    def flag(self, *names: str, default: Any = REQUIRED) -> bool:
        """true or false."""
        name, value = self._found(names, default)
        if name is not None and type(value) is not bool:
            self.refuse(name, value, "true or false")
        return value

    def choice(self, *names: str, table: dict[str, str], default: Any = REQUIRED) -> str:
        """The value in `table` of a word; `default` is a word of the table, too."""
        name, value = self._found(names, default)
        if not isinstance(value, str) or value not in table:  # a list has no hash to look up
            self.refuse(name or names[0], value, f"one of {', '.join(table)}")
        return table[value]

    def items(
        self, name: str, table: dict[str, str] | None = None, default: Any = REQUIRED
    ) -> list[str] | None:
        """A list; with `table`, the values of its words."""
        found, values = self._found((name,), default)
        if found is None:
            return values
        if not isinstance(values, list):
            self.refuse(name, values, "a list")
        if not table:
            return values
        for value in values:
            if not isinstance(value, str) or value not in table:
                self.refuse(name, value, f"a list of {', '.join(table)}")
        return [table[value] for value in values]

    def numbers(self, name: str, default: Any = REQUIRED) -> Any:
        """A list of finite numbers."""
        values = self.items(name, default=default)
        for value in values or ():
            if not _is_number(value):
                self.refuse(name, value, "a list of finite numbers")
        return values

    def section(self, *names: str) -> "Fields | None":
        """The Fields of an object inside, or None if it is missing; call finish() on it, too."""
        name, value = self._found(names, None)
        if name is None:
            return None
        return Fields(value, f"{self.where}: {name}")

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse any value but these; the field may be missing."""
        # A missing field is accepted: the default of the library's class is among those allowed.
        found, value = self._found((name,), None)
        same = any(_alike(value, a) and value == a for a in allowed)
        if found is not None and not same:
            self.refuse(name, value, " or ".join(map(repr, allowed)) or "none at all")

    def ignore(self, names: str) -> None:
        """Accept fields that have no effect in this family; `names` is one string."""
        self.known.update(names.split())

    def has(self, name: str) -> bool:
        """Whether the field is there and not null; this does not count as reading it."""
        return self.described.get(name) is not None

    def refuse(self, name: str, value: str, read: str) -> NoReturn:
        """Raise the CheckpointError of a value that is not read; `read` names those that are."""
        raise CheckpointError(f"{self.where}: {name} = {value!r} is not read here, but {read}")

    def finish(self) -> None:
        """Refuse the fields that are neither read nor known to have no effect."""
        # Fields of AT_DEFAULT that the layout has not read itself.
        for name, allowed in AT_DEFAULT.items():
            if name not in self.known:
                self.only(name, *allowed)
        unknown = [
            name
            for name, value in self.described.items()
            if value is not None and name not in self.known and name not in NO_EFFECT
        ]
        if unknown:
            name = unknown[0]
            raise CheckpointError(
                f"{self.where}: {name} = {self.described[name]!r} is not known here, and may "
                f"change what the model computes; read are {', '.join(sorted(self.known))}"
            )

    def _found(self, names, default):
        """(the spelling that is there, its value), or (None, default)."""
        self.known.update(names)
        there = [(name, self.described[name]) for name in names if self.has(name)]
        if not there:
            if default is REQUIRED:
                raise CheckpointError(f"{self.where} lacks {' or '.join(names)}")
            return None, default
        # The same field under two names must have one value.
        for name, value in there[1:]:
            if value != there[0][1]:
                first = f"{there[0][0]} = {there[0][1]!r}"
                raise CheckpointError(
                    f"{self.where}: {first} and {name} = {value!r} contradict each other"
                )
        return there[0]


def _alike(one, other):
    """Whether two values are of one type; 1 and 1.0 count as one, 1 and true do not."""
    return type(one) is type(other) or (_is_number(one) and _is_number(other))


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def where_of(folder: str | Path) -> str:
    """The path of a folder's config.json, for messages."""
    return str(Path(folder) / "config.json")
