"""What generate and chat open: the ids that begin and end a text are those of the model's files."""

import json

import pytest

from tests.tokenizers.published.test_pipeline import added, byte_level
from tinylm.cli import main
from tinylm.errors import CheckpointError
from tinylm.generate import Sampling
from tinylm.models import GPT, GPTConfig
from tinylm.models.published.save import save_pretrained
from tinylm.prompt.protocol.opened import check_there, open_model

FRAME = {
    "type": "TemplateProcessing",
    "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}},
    "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
}


@pytest.fixture
def published(tmp_path):
    """A folder of published weights with a tokenizer.json, and more files."""

    def make(described, **files):
        folder = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        save_pretrained(GPT(GPTConfig(260, 16, 1, 1, 8), 0), folder)
        for name, value in {"tokenizer": described, **files}.items():
            (folder / f"{name}.json").write_text(json.dumps(value))
        return str(folder)

    return make


TOKENS = [added("<s>", 258), added("<|end|>", 259)]


def test_a_text_begins_as_the_tokenizer_frames_it(published):
    opened = open_model(published(byte_level(tokens=TOKENS, post_processor=FRAME)))
    assert opened.prompt_ids("ab") == [258, *b"ab"] and opened.prompt_ids("") == [258]


def test_a_token_that_is_only_named_is_put_before_no_text(published):
    settings = {"bos_token": "<s>", "eos_token": "<|end|>"}
    opened = open_model(published(byte_level(tokens=TOKENS), tokenizer_config=settings))
    assert opened.prompt_ids("ab") == [*b"ab"] and opened.prompt_ids("") == [258]


def test_a_name_of_nothing_is_refused_with_the_names_that_are_known(tmp_path):
    for open_it in check_there, open_model:
        with pytest.raises(CheckpointError, match="no run at 'nomodel', .*: smollm2 .*; minilm"):
            open_it("nomodel")
    check_there("smollm2")  # whether it is installed or not
    check_there(tmp_path)


def test_sampling_is_what_was_given_else_what_the_files_want(published):
    wanted = {"do_sample": True, "temperature": 0.6, "top_k": 7}
    opened = open_model(published(byte_level(tokens=TOKENS), generation_config=wanted))
    found = opened.sampling(Sampling(top_k=3), {"top_k": 3}, answers=True)
    assert (found["temperature"], found["top_k"]) == (0.6, 3)
    opened = open_model(published(byte_level(tokens=TOKENS), generation_config={}))
    assert opened.sampling(Sampling(), {}, answers=True)["temperature"] == 0
    assert opened.sampling(Sampling(), {}, answers=False)["temperature"] == 1
    assert opened.sampling(Sampling(top_p=0.5), {"top_p": 0.5}, answers=True)["temperature"] == 1


def test_every_end_of_generation_config_ends_a_text(published, capsys):
    folder = published(
        byte_level(tokens=TOKENS), generation_config={"eos_token_id": [259, *range(256)]}
    )
    opened = open_model(folder)
    assert opened.ends == (259, *range(256)) and opened.eos == 259
    assert main(["generate", folder, "a", "--max-tokens", "50", "--no-echo"]) == 0
    assert set(capsys.readouterr().out.strip()) <= set("12Ġ a<s>")  # all else ends the text
