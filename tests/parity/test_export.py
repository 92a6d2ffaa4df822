"""What `tinylm export` writes is opened by transformers: the same ids, the same logits."""

import json

import numpy as np
import pytest

from tests.train.tiny import tiny_config
from tinylm.finetune.export.run import export_run
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.instruct.conversations import chat_template
from tinylm.finetune.instruct.saved import save_tuned
from tinylm.finetune.instruct.vocabulary import add_special, grow_vocabulary
from tinylm.generate import generate
from tinylm.models.published.chat_template import TEMPLATES, Mark
from tinylm.models.published.load import load_pretrained
from tinylm.train import load_run
from tinylm.train.run.run import train_run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# Both compute in float64; sums of a few hundred terms in another order differ in the last digits.
TOLERANCE = 1e-10
# What the library computes in float32 whatever the dtype: the angles of rope.
FLOAT32 = 1e-5
TEXTS = ["the cat 3 times; ", "a dog", " no bird  6 times", "<|endoftext|>the"]
MODERN = dict(norm="rms", positions="rope", activation="swiglu")

LEARNED = dict(positions="learned")

DECODERS = {
    "default": dict(),  # with rope
    "learned": LEARNED,
    "bytes": LEARNED | dict(tokenizer="bytes"),
    "bpe": LEARNED | dict(tokenizer="bpe", vocab_size=300),
    "modern": MODERN | dict(tokenizer="bpe", vocab_size=300),
    "modern, no biases": MODERN | dict(bias=False, tied=False, n_kv_head=1),
    "no biases": LEARNED | dict(bias=False),
    "sinusoidal": dict(positions="sinusoidal"),
    "no positions": dict(positions="none"),
    "post-norm": LEARNED | dict(norm_placement="post"),
    "multi-token": LEARNED | dict(objective="multi-token"),
    "fim": LEARNED | dict(objective="fim"),
}
ENCODERS = {
    "masked": LEARNED | dict(objective="masked"),
    "masked, post-norm": LEARNED
    | dict(objective="masked", norm_placement="post", tokenizer="bytes"),
    "bert": LEARNED | dict(objective="bert", norm_placement="post"),
    "bert, pre-norm": LEARNED | dict(objective="bert"),
    "next-sentence": LEARNED | dict(objective="next-sentence"),
    "replaced": LEARNED | dict(objective="replaced", norm_placement="post"),
    "permuted": dict(objective="permuted"),
    "contrastive": LEARNED | dict(objective="contrastive", norm_placement="post"),
}
SEQ2SEQ = {
    "causal": LEARNED | dict(architecture="seq2seq"),
    "sentinels": LEARNED | dict(objective="sentinels", tokenizer="bpe", vocab_size=300),
    "infilling, post-norm": LEARNED | dict(objective="text-infilling", norm_placement="post"),
}


@pytest.fixture
def exported(tmp_path):
    """A function: settings of a run -> (path of the run, folder)."""

    def make(changes):
        config = tiny_config(tmp_path, steps=2, dtype="float64", dropout=0.0, **changes)
        train_run(config, report=lambda line: None)
        export_run(tmp_path / "run", tmp_path / "model")
        return tmp_path / "run", tmp_path / "model"

    return make


def close(found, wanted, tolerance=TOLERANCE):
    found, wanted = found.detach().numpy(), wanted.numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < tolerance * max(1, np.abs(wanted).max())


def opened(folder, kind):
    """(the library's tokenizer and model, this package's) of a folder; nothing is missing in it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, report = kind.from_pretrained(folder, dtype=torch.float64, output_loading_info=True)
    named = json.loads((folder / "config.json").read_text())["architectures"][0]
    if type(model).__name__ == named:
        assert not report["unexpected_keys"]
    missing = {key for key in report["missing_keys"] if "pooler" not in key}
    assert not missing
    return tokenizer, model.eval(), load_pretrained(folder, np.float64)


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_give_the_same_ids_and_logits(name, exported):
    run, folder = exported(DECODERS[name])
    model, words, _ = load_run(run)
    model = getattr(model, "model", model)  # of multi-token
    tokenizer, theirs, again = opened(folder, transformers.AutoModelForCausalLM)
    tolerance = FLOAT32 if DECODERS[name].get("positions", "rope") == "rope" else TOLERANCE
    for text in TEXTS[:3]:
        ids = words.encode(text)
        assert tokenizer(text)["input_ids"] == again.tokenizer.encode(text).tolist() == ids.tolist()
        assert tokenizer.decode(ids) == again.tokenizer.decode(ids) == words.decode(ids)
        ids = ids[None, :8]
        close(theirs(torch.tensor(ids)).logits, model(ids), tolerance)
        np.testing.assert_allclose(again.model(ids).numpy(), model(ids).numpy(), 0, TOLERANCE)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_give_the_same_ids_and_logits(name, exported):
    run, folder = exported(ENCODERS[name])
    model, words, config = load_run(run)
    model = getattr(model, "discriminator", model)
    special = config.special(words.vocab_size)
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    tokenizer, theirs, again = opened(folder, getattr(transformers, kind))
    row, _ = EncoderInput(special, words).row("the cat")
    assert tokenizer("the cat")["input_ids"] == row.tolist()
    assert again.tokenizer.framed("the cat")[0].tolist() == row.tolist()
    assert tokenizer.mask_token_id == special.mask and tokenizer.pad_token_id == special.pad
    ids = row[None, :8]
    hidden = model.hidden(ids)
    made = hidden if getattr(model, "head", 0) is None else model.logits(hidden)
    if getattr(model, "classifier", None) is not None and model.head is None:
        made = model.pair_logits(hidden)
    # its angles are float32
    if name == "permuted":
        theirs = theirs.float()
    close(theirs(torch.tensor(ids))[0], made, FLOAT32 if name == "permuted" else TOLERANCE)
    if "ForPreTraining" in kind and model.classifier is not None:
        close(theirs(torch.tensor(ids))[1], model.pair_logits(hidden))


def test_pairs_have_their_segments(exported):
    run, folder = exported(ENCODERS["bert"])
    model, words, config = load_run(run)
    special = config.special(words.vocab_size)
    tokenizer, theirs, _ = opened(folder, transformers.AutoModelForPreTraining)
    row, segments = EncoderInput(special, words).row(("a", "dog"))
    found = tokenizer("a", "dog", return_tensors="pt")
    assert found["input_ids"][0].tolist() == row.tolist()
    assert found["token_type_ids"][0].tolist() == segments.tolist()
    hidden = model.hidden(row[None], segments[None])
    close(theirs(**found).seq_relationship_logits, model.pair_logits(hidden))


def test_masked_models_fill_masks_in_the_library(exported):
    _, folder = exported(ENCODERS["masked"])
    tokenizer, theirs, again = opened(folder, transformers.AutoModelForMaskedLM)
    fill = transformers.pipeline("fill-mask", model=theirs, tokenizer=tokenizer)
    found = fill(f"the {tokenizer.mask_token}at")
    ids, _ = again.tokenizer.framed(f"the {tokenizer.mask_token}at", allow_special=True)
    logits = again.model(ids[None]).numpy()[0, list(ids).index(tokenizer.mask_token_id)]
    assert found[0]["token"] == logits.argmax()


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_encoder_decoders_give_the_same_ids_and_logits(name, exported):
    run, folder = exported(SEQ2SEQ[name])
    model, words, config = load_run(run)
    special = config.special(words.vocab_size)
    tokenizer, theirs, again = opened(folder, transformers.AutoModelForSeq2SeqLM)
    source = np.array([[special.cls, *words.encode("the cat")]])
    assert tokenizer("the cat")["input_ids"] == source[0].tolist()
    assert theirs.config.decoder_start_token_id == special.start == model.config.start
    assert tokenizer.eos_token_id == special.end
    target = np.array([[special.start, *words.encode("a dog")]])
    found = theirs(torch.tensor(source), decoder_input_ids=torch.tensor(target)).logits
    close(found, model(source, target))
    np.testing.assert_allclose(
        again.model(source, target).numpy(), model(source, target).numpy(), 0, TOLERANCE
    )


TALK = [
    {"role": "user", "content": "Hi there"},
    {"role": "assistant", "content": "Yes. "},
    {"role": "user", "content": " Who?"},
]


@pytest.mark.parametrize("name", [*TEMPLATES, "roles", "chatml, told"])
def test_a_tuned_run_talks_in_the_library_as_here(name, tmp_path):
    """The ids of a conversation, and the answer to it."""
    train_run(tiny_config(tmp_path, steps=2, tokenizer="bytes"), report=lambda line: None)
    model, tokenizer, config = load_run(tmp_path / "run")
    template = chat_template(name.split(",")[0], "Be 'brief'.\n" if "told" in name else None)
    marks = [str(piece) for piece in template.pieces(TALK + TALK[1:2]) if isinstance(piece, Mark)]
    tokenizer = add_special(tokenizer, dict.fromkeys(marks))
    grow_vocabulary(model, tokenizer.vocab_size)
    save_tuned(tmp_path / "tuned", model, tokenizer, template, config)
    export_run(tmp_path / "tuned", tmp_path / "model")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    found = theirs.apply_chat_template(TALK, add_generation_prompt=True)
    wanted = template.encode(tokenizer, TALK).tolist()
    assert found["input_ids"] == wanted
    assert theirs.eos_token == template.end
    again = load_pretrained(tmp_path / "model")
    assert again.template.name == template.name and again.template.default == template.default
    assert again.template.encode(again.tokenizer, TALK).tolist() == wanted
    config = transformers.GenerationConfig.from_pretrained(tmp_path / "model")
    assert config.eos_token_id == tokenizer.special[template.end]


def test_the_library_continues_a_text_as_the_run_does(exported):
    run, folder = exported({})
    model, words, _ = load_run(run)
    tokenizer, theirs, _ = opened(folder, transformers.AutoModelForCausalLM)
    ids = words.encode("the ")
    said = list(generate(model, ids, 4, temperature=0.0))
    made = theirs.generate(
        **tokenizer("the ", return_tensors="pt"), max_new_tokens=4, do_sample=False
    )
    assert made[0].tolist() == [*ids.tolist(), *said]
