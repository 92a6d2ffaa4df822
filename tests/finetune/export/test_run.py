"""A run is exported whole, or refused by the name of what has no place."""

import json

import numpy as np
import pytest

from tests.train.tiny import tiny_config
from tinylm.errors import ConfigError
from tinylm.finetune.export.run import REFUSED, export_run, exported
from tinylm.finetune.instruct.saved import save_tuned
from tinylm.finetune.instruct.vocabulary import add_special, grow_vocabulary
from tinylm.models.published.chat.builtin import TEMPLATES
from tinylm.models.published.load import load_pretrained
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.train import load_run
from tinylm.train.run.run import train_run

MODERN = dict(norm="rms", positions="rope", activation="swiglu")
LEARNED = dict(positions="learned")


@pytest.fixture
def run(tmp_path):
    """A function: settings -> the path of a run of two steps."""

    def make(**changes):
        config = tiny_config(tmp_path, steps=2, dropout=0.0, **changes)
        train_run(config, report=lambda line: None)
        return tmp_path / "run"

    return make


@pytest.mark.parametrize(
    "changes", [{}, MODERN, dict(bias=False, positions="none"), dict(tokenizer="bytes")]
)
def test_a_folder_is_opened_as_the_run_is(changes, run, tmp_path):
    path = run(**changes)
    export_run(path, tmp_path / "model")
    model, tokenizer, _ = load_run(path)
    again = load_pretrained(tmp_path / "model")
    ids = tokenizer.encode("the cat 3 t")
    assert again.tokenizer.encode("the cat 3 t").tolist() == ids.tolist()
    found, wanted = again.model(ids[None, :8]).numpy(), model(ids[None, :8]).numpy()
    # matrices lie otherwise in memory: float32 sums in another order
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_the_card_has_the_figures_of_the_run(run, tmp_path):
    path = run()
    export_run(path, tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    events = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    end = next(event for event in events if event["event"] == "end")
    step = next(one for one in events if one["event"] == "step" and one["step"] == 2)
    for figure in (
        f"| training loss | {step['loss']:.4f} nats",
        f"| validation loss | {end['validation_loss']:.4f} nats, at step 2 |",
        f"| validation perplexity | {end['perplexity']:.3f} |",
        f"| parameters | {end['parameters']:,} |",
        "| steps | 2 |",
        "| layers, heads, width | 2, 2, 16 |",
        "text.txt |",
        "AutoModelForCausalLM",
        "tinylm generate",
    ):
        assert figure in card
    assert "| training loss" in card and card.startswith("---\n")


@pytest.mark.parametrize("objective", REFUSED)
def test_an_objective_without_a_published_class_is_refused_by_name(objective, run, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"a cat {i}\tb cat {i}\n" for i in range(40)))
    path = run(objective=objective, **({"data": str(pairs)} if objective == "translation" else {}))
    with pytest.raises(
        ConfigError, match=f"objective = '{objective}' has no published class .*causal"
    ):
        export_run(path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_every_objective_is_exported_or_refused():
    assert set(exported()) | set(REFUSED) == set(OBJECTIVES)
    assert not set(exported()) & set(REFUSED)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(norm_placement="branch"), "norm_placement = 'branch', and .* has 'p"),
        (dict(norm="rms"), "is made of these parts: .*= 'rms'|positions = 'learned'"),
        (dict(objective="masked", activation="swiglu"), "activation = 'swiglu' is in no bert"),
        (dict(objective="masked"), "'rope' is in no bert, .* exported with --positions learned"),
        (dict(objective="sentinels"), "'t5' is in no bart .* exported with --positions learned"),
        (
            LEARNED | dict(objective="replaced"),
            "norm_placement = 'pre' is in no electra, but 'post'",
        ),
        (
            LEARNED | dict(objective="sentinels", norm="rms"),
            "norm = 'rms' is in no bart or blenderbot, but",
        ),
        (
            dict(objective="bart", tied=False),
            "tied = False is in no bart or blenderbot, but True",
        ),
    ],
)
def test_a_part_without_a_published_class_is_named(changes, message, run, tmp_path):
    path = run(**changes)
    with pytest.raises(ConfigError, match=message):
        export_run(path, tmp_path / "model")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_tuned_run_keeps_its_chat_template(name, run, tmp_path):
    model, tokenizer, config = load_run(run(tokenizer="bytes"))
    template = TEMPLATES[name]
    marks = ["<|system|>", "<|user|>", "<|assistant|>", "<|im_start|>", "<start_of_turn>"]
    marks += ["<|start_header_id|>", "<|end_header_id|>", template.end]
    marks += [template.begin] if template.begin else []
    tokenizer = add_special(tokenizer, dict.fromkeys(marks))
    grow_vocabulary(model, tokenizer.vocab_size)
    save_tuned(tmp_path / "tuned", model, tokenizer, template, config, 3, {"data": ["talk.jsonl"]})
    export_run(tmp_path / "tuned", tmp_path / "model")
    again = load_pretrained(tmp_path / "model")
    talk = [{"role": "user", "content": "Hi <|end|>"}, {"role": "assistant", "content": "Yes"}]
    talk += talk[:1]
    assert again.template.name == name
    assert (
        again.template.encode(again.tokenizer, talk).tolist()
        == template.encode(tokenizer, talk).tolist()
    )
    described = json.loads((tmp_path / "model" / "config.json").read_text())
    assert described["eos_token_id"] == tokenizer.special[template.end]
    assert "| tuned on | talk.jsonl |" in (tmp_path / "model" / "README.md").read_text()
