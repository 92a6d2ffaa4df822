"""Where files keep templates and tokens: each form that they come in, and which one counts."""

import json

import pytest

from tinylm.errors import CheckpointError, ConfigError
from tinylm.models.published.chat.found import folder_template, gguf_template, token_names
from tinylm.models.published.chat_template import RefusedTemplate

jinja2 = pytest.importorskip("jinja2")
ASK = [{"role": "user", "content": "x"}]


def folder(path, config=None, files=()):
    if config is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(config))
    for name, text in dict(files).items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return folder_template(path)


def test_a_folder_without_a_template_has_none(tmp_path):
    assert folder(tmp_path) is None
    assert folder(tmp_path, {"chat_template": None}) is None


@pytest.mark.parametrize(
    "config, files, written",
    [
        ({"chat_template": "a{{ bos_token }}", "bos_token": "<s>"}, {}, "a<s>"),
        (
            {"chat_template": "a{{ bos_token }}", "bos_token": {"content": "<s>", "lstrip": False}},
            {},
            "a<s>",
        ),
        ({"chat_template": "a{{ bos_token }}", "bos_token": None}, {}, "a"),
        (
            {"chat_template": "a{{ bos_token }}"},
            {"special_tokens_map.json": '{"bos_token": "<b>"}'},
            "a<b>",
        ),
        ({"chat_template": "a"}, {"chat_template.jinja": "é"}, "é"),
        (None, {"chat_template.jinja": "b"}, "b"),
        ({}, {"chat_template.json": '{"chat_template": "c"}'}, "c"),
        ({"chat_template": [{"name": "default", "template": "d"}]}, {}, "d"),
        ({"chat_template": {"default": "e"}}, {}, "e"),
        (
            {"chat_template": "{{ image_token }}", "extra_special_tokens": {"image_token": "<i>"}},
            {},
            "<i>",
        ),
        (
            {
                "chat_template": "{{ additional_special_tokens[0] }}",
                "additional_special_tokens": [{"content": "<x>"}],
            },
            {},
            "<x>",
        ),
    ],
)
def test_every_form_is_read(config, files, written, tmp_path):
    assert folder(tmp_path, config, files).text(ASK) == written


def test_more_programs_lie_in_a_folder_of_their_own(tmp_path):
    template = folder(
        tmp_path,
        {},
        {"chat_template.jinja": "a", "additional_chat_templates/tool_use.jinja": "t{{ tools }}"},
    )
    assert template.text(ASK) == "a" and template.text(ASK, tools=[]) == "t[]"


def test_a_program_that_may_not_run_is_refused_when_it_is_used(tmp_path):
    template = folder(tmp_path, {"chat_template": "{{ ''|attr('x') }}"})
    assert isinstance(template, RefusedTemplate)
    with pytest.raises(ConfigError, match="the filter 'attr' is not among"):
        template.text(ASK)


@pytest.mark.parametrize(
    "config, words",
    [
        ({"chat_template": 3}, "a chat template is a program"),
        ({"chat_template": "a", "bos_token": 3}, "bos_token is a text or an object with content"),
        ({"chat_template": "a", "eos_token": ["x"]}, "eos_token is a text"),
        ({"chat_template": "a", "additional_special_tokens": "x"}, "is a list"),
    ],
)
def test_what_is_no_template_or_token_is_named(config, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        folder(tmp_path, config).text(ASK)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"cannot read .*tokenizer_config.json"):
        folder_template(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match=r"cannot read .*chat_template.jinja"):
        folder_template(tmp_path)


class File:
    """What gguf_template looks at."""

    def __init__(self, **settings):
        self.metadata = {name.replace("__", "."): value for name, value in settings.items()}


def test_a_gguf_file_has_one_or_several():
    given = {
        "tokenizer__ggml__tokens": ["<s>", "</s>"],
        "tokenizer__ggml__bos_token_id": 0,
        "tokenizer__ggml__eos_token_id": 1,
    }
    one = gguf_template(File(tokenizer__chat_template="{{ bos_token ~ eos_token }}", **given))
    assert one.text(ASK) == "<s></s>"
    two = gguf_template(
        File(tokenizer__chat_template="a", tokenizer__chat_template__tool_use="b{{ tools }}")
    )
    assert two.text(ASK) == "a" and two.text(ASK, tools=[1]) == "b[1]"
    assert gguf_template(File(**given)) is None


def test_tokens_that_are_not_named_are_nothing():
    assert token_names({"eos_token": "x"})["bos_token"] is None
