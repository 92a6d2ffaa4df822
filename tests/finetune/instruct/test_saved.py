"""A fine-tuned model comes back as it was, whatever it is made of."""

import json
import sys

import numpy as np
import pytest

from tests.finetune.instruct.talks import TOKENIZER
from tests.models.published.test_chat_template import PROGRAMS
from tinylm.errors import CheckpointError, ConfigError, MissingExtra
from tinylm.fields import Fields
from tinylm.finetune.instruct.conversations import ROLES, chat_template
from tinylm.finetune.instruct.saved import of_dict, save_tuned, template_of_run
from tinylm.models import GPT, GPTConfig
from tinylm.models.published.chat_template import RefusedTemplate, template_of
from tinylm.train import TrainConfig, checkpoint, load_run


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"norm": "rms", "positions": "rope", "rope_base": 1e5, "norm_eps": 1e-5, "n_kv_head": 1},
        {
            "norm_placement": "parallel",
            "positions": "t5",
            "attention": ("window", "full"),
            "window": 4,
        },
    ],
)
def test_the_model_comes_back(parts, tmp_path):
    model = GPT(GPTConfig(TOKENIZER.vocab_size, 16, 2, 2, 8, **parts), 3).eval()
    save_tuned(tmp_path / "run", model, TOKENIZER, ROLES, step=5, settings={"lr": 1.0})
    again, tokenizer, config = load_run(tmp_path / "run")
    ids = np.arange(6)[None]
    np.testing.assert_array_equal(again(ids).data, model(ids).data)
    assert (
        again.config == model.config
        and tokenizer.special == TOKENIZER.special
        and config.context == 16
    )
    assert template_of_run(tmp_path / "run") == ROLES


def test_the_configuration_of_the_run_it_comes_from_is_kept(tmp_path):
    base = TrainConfig(n_layer=1, n_head=1, d_model=8, context=16, batch_size=3, lr=0.5)
    save_tuned(tmp_path, GPT(base.model(TOKENIZER.vocab_size), 0), TOKENIZER, base=base)
    _, _, config = load_run(tmp_path)
    assert (config.batch_size, config.lr, config.n_layer) == (3, 0.5, 1) and template_of_run(
        tmp_path
    ) is None


def test_a_run_may_lie_deep_and_go_on_and_says_how_it_was_tuned(tmp_path):
    model, folder = GPT(GPTConfig(TOKENIZER.vocab_size, 16, 1, 1, 4), 0), tmp_path / "a" / "b"
    for step in (1, 2):
        path = save_tuned(folder, model, TOKENIZER, step=step, settings={"lr": 0.5})
    shown = json.loads((folder / "config.json").read_text())
    assert shown["finetune"] == {"lr": 0.5} and shown["gpt"]["context"] == 16
    state = checkpoint.load(path, files=()).state
    assert state["finetune"] == {"lr": 0.5} and state["chat_template"] is None
    bare = save_tuned(tmp_path / "c", model, TOKENIZER)
    assert checkpoint.load(bare, files=()).state["finetune"] == {}


def test_the_default_system_message_of_a_template_is_kept(tmp_path):
    template = chat_template("chatml", "Be kind.")
    save_tuned(tmp_path, GPT(GPTConfig(TOKENIZER.vocab_size, 16, 1, 1, 4), 0), TOKENIZER, template)
    assert template_of_run(tmp_path) == template


def test_no_run_has_no_template(tmp_path):
    with pytest.raises(CheckpointError, match="holds no complete checkpoint"):
        template_of_run(tmp_path)


@pytest.mark.parametrize(
    "program",
    ["{{ bos_token }}{{ messages[0].content }}", {"default": "a{{ messages|length }}", "rag": "b"}],
)
def test_a_models_own_program_comes_back(program, tmp_path):
    pytest.importorskip("jinja2")
    template = template_of(program, {"bos_token": "<s>"}, TOKENIZER.special, "a file")
    model = GPT(GPTConfig(TOKENIZER.vocab_size, 16, 1, 1, 8), 3).eval()
    save_tuned(tmp_path, model, TOKENIZER, template)
    again, messages = template_of_run(tmp_path), [{"role": "user", "content": "x"}]
    assert again == template and again.text(messages) == template.text(messages)


def test_tokens_and_the_program_of_a_known_family_come_back(tmp_path):
    template = template_of(PROGRAMS["zephyr"], {"eos_token": "<|end|>"})
    model = GPT(GPTConfig(TOKENIZER.vocab_size, 16, 1, 1, 8), 3).eval()
    save_tuned(tmp_path, model, TOKENIZER, template)
    again = template_of_run(tmp_path)
    assert again == template and again.end == "<|end|>" and again.program == PROGRAMS["zephyr"]


SAVED = {
    "name": "x",
    "program": "{{ messages|length }}",
    "tokens": {"bos_token": "<s>"},
    "special": ["<s>"],
}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"tokens": 3}, "tokens is 3; it must be an object of texts"),
        ({"tokens": {"bos_token": 3}}, "tokens is .* must be an object of texts"),
        ({"special": [3]}, "special is .* must be a list of texts"),
        ({"special": None}, "special"),
        ({"name": 3}, "name is 3"),
        ({"program": 3}, "a chat template is a program"),
        ({"program": "{{ ''|attr('x') }}"}, "the filter 'attr' is not among"),
        ({"program": "{{"}, "not a program that can be run"),
    ],
)
def test_a_damaged_program_is_named(change, words, tmp_path):
    pytest.importorskip("jinja2")
    with pytest.raises((CheckpointError, ConfigError), match=words):
        of_dict(Fields({**SAVED, **change}, "state.json"))
    assert of_dict(Fields({**SAVED, "tokens": None}, "state.json")).text([{"role": "user"}]) == "1"


def test_without_jinja_the_weights_of_a_run_can_be_used(monkeypatch):
    from tinylm.models.published.chat.program import compiled

    monkeypatch.setitem(sys.modules, "jinja2", None)
    compiled.cache_clear()
    template = of_dict(Fields(SAVED, "state.json"))
    assert isinstance(template, RefusedTemplate)
    with pytest.raises(MissingExtra, match="tinylm.chat"):
        template.text([{"role": "user", "content": "a"}])
