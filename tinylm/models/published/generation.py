"""generation_config.json: the sampling that a model was published with.

    do_sample true      temperature, top_k (50 where it is not given), top_p, min_p, typical_p,
                        epsilon_cutoff, eta_cutoff
    repetition_penalty  in any case

Where `do_sample` is not true, the model was published for greedy decoding: always the most probable
token. Here only a chat decodes so by default. A field with a value that generation here has no way
to follow is refused, and so is an unknown field. The ids that begin and end a text are read by
tokenizers/published/folder.py.
"""

from pathlib import Path

from tinylm.errors import CheckpointError, DataError
from tinylm.files import read_json
from tinylm.tokenizers.published.strict import Described

FILE = "generation_config.json"

# Fields that do not change which token is sampled from a model's logits.
_ANY = set(
    """
    _from_model_config transformers_version bos_token_id eos_token_id pad_token_id
    decoder_start_token_id max_length max_new_tokens use_cache cache_implementation cache_config
    return_legacy_cache output_attentions output_hidden_states output_scores output_logits
    return_dict_in_generate num_return_sequences low_memory prefill_chunk_size compile_config
    disable_compile is_assistant num_assistant_tokens num_assistant_tokens_schedule
    assistant_confidence_threshold assistant_early_exit assistant_lookbehind target_lookbehind
    prompt_lookup_num_tokens max_matching_ngram_size trust_remote_code early_stopping
    length_penalty num_beam_groups diversity_penalty remove_invalid_values renormalize_logits
    max_time chat_format max_window_size continuous_batching_config use_mtp top_h
    """.split()
)
# Fields that would change the text, with the values that leave it as it is.
_ONLY = {
    "num_beams": (1, None),
    "no_repeat_ngram_size": (0, None),
    "encoder_no_repeat_ngram_size": (0, None),
    "min_length": (0, None),
    "min_new_tokens": (None, 0),
    "penalty_alpha": (None, 0, 0.0),
    "dola_layers": (None,),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "suppress_tokens": (None, []),
    "constraints": (None, []),
    "begin_suppress_tokens": (None, []),
    "forced_decoder_ids": (None, []),
    "bad_words_ids": (None, []),
    "force_words_ids": (None, []),
    "sequence_bias": (None, {}, []),
    "exponential_decay_length_penalty": (None,),
    "encoder_repetition_penalty": (1.0, 1, None),
    "guidance_scale": (None, 1, 1.0),
    "token_healing": (False, None),
    "watermarking_config": (None,),
    "stop_strings": (None, []),
    "stop_words_ids": (None, []),
    "generation_kwargs": ({}, None),
}
_TOP_K = 50  # the library's default
# {field of the file: (field of Sampling, the value that switches it off)}
_FILTERS = {
    "top_p": ("top_p", 1.0),
    "min_p": ("min_p", 0.0),
    "typical_p": ("typical_p", 1.0),
    "epsilon_cutoff": ("epsilon", 0.0),
    "eta_cutoff": ("eta", 0.0),
}


def read_generation(folder: str | Path) -> dict:
    """The sampling of a folder's generation_config.json, as fields of generate.Sampling.

    returns  dict; empty where there is no such file
    raises   CheckpointError naming a field that is damaged or not supported here
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return {}
    try:
        return _sampling(Described(read_json(path), FILE))
    except DataError as error:  # its message names the file
        raise CheckpointError(f"{Path(folder)}: {error}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _sampling(given):
    """The fields of Sampling; every field of the file is taken out of `given` or refused."""
    for name in _ANY:
        given.raw(name)
    for name, values in _ONLY.items():
        if name in given:
            given.only(name, *values)
    found = {}
    penalty = given.take("repetition_penalty", float | None, None)
    if penalty is not None and penalty != 1:
        found["repetition_penalty"] = _above(given, "repetition_penalty", penalty)
    sampled = given.take("do_sample", bool | None, None)
    temperature = given.take("temperature", float | None, None)
    top_k = given.take("top_k", int | None, _TOP_K)
    filters = {}
    for theirs, (ours, off) in _FILTERS.items():
        value = given.take(theirs, float | None, None)
        if value is not None and not 0 <= value <= 1:
            raise given.wrong(theirs, value, "a number from 0 to 1")
        if value not in (None, off):
            filters[ours] = value
    given.close()
    if not sampled:
        return found
    # Without do_sample, the library ignores all of these.
    found["temperature"] = 1.0
    if temperature is not None:
        found["temperature"] = _above(given, "temperature", temperature)
    if top_k:  # 0 and null switch it off
        found["top_k"] = top_k
    return found | filters


def _above(given, name, value):
    if value <= 0:
        raise given.wrong(name, value, "a number above 0")
    return float(value)
