"""The tokenizer of a run is learnt from all that it will have to write."""

from tests.train.run.test_objectives import config_for
from tests.train.run.test_run import quiet
from tinylm.train import load_run, prepare_run, train_run
from tinylm.train.run.texts import documents, make_tokenizer, prepare_text


def test_a_tokenizer_with_a_dictionary_knows_the_other_words_too(tmp_path):
    config = config_for(tmp_path, "code-switching", tokenizer="bpe", vocab_size=300)
    (tmp_path / "words.tsv").write_text("cat\tkatze\ndog\thund\n")
    tokenizer = make_tokenizer(config)
    assert len(tokenizer.encode(" katze")) == len(tokenizer.encode(" hund")) == 1
    assert " katze" not in "".join(chunk for document in documents(config) for chunk in document)


def test_a_tokenizer_of_pairs_knows_both_languages_and_no_tab(tmp_path):
    tokenizer = make_tokenizer(config_for(tmp_path, "translation"))
    assert tokenizer.decode(tokenizer.encode("die katze the cat")) == "die katze the cat"
    assert "\t" not in [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)]


def test_the_special_ids_are_no_part_of_the_tokenizer(tmp_path):
    config = config_for(tmp_path, "masked")
    summary = train_run(prepare_run(config, quiet), None, quiet)
    model, tokenizer, _ = load_run(summary["run"])
    assert tokenizer.special == {} and model.config.vocab_size == tokenizer.vocab_size + 9
    assert tokenizer.to_dict() == make_tokenizer(config).to_dict()


def test_merges_are_learnt_from_the_training_part_alone(tmp_path):
    # " zyx" stands in the last tenth alone: as one token it would be cheap, though never seen.
    (tmp_path / "held.txt").write_text("the cat sat\n" * 180 + " zyx" * 60)
    config = config_for(tmp_path, "causal", tokenizer="bpe", vocab_size=300)
    config.data = (str(tmp_path / "held.txt"),)
    assert len(make_tokenizer(config).encode(" zyx")) == 4
    config.val_fraction = 0.0
    assert len(make_tokenizer(config).encode(" zyx")) == 1


def test_merges_are_learnt_from_the_documents_that_are_trained_on(tmp_path):
    words = ["aaab", "ccd", "eef", "gghh", "iij", "kkll", "mmn", "oopp", "qqr", "sstt"]
    for word in words:
        (tmp_path / f"{word}.txt").write_text(f" {word}" * 40)
    config = config_for(tmp_path, "causal", tokenizer="bpe", vocab_size=400)
    config.data = tuple(str(tmp_path / f"{word}.txt") for word in words)
    tokenizer = make_tokenizer(config)
    prepared = prepare_text(config, tokenizer, tmp_path / "data")
    held = tokenizer.decode(prepared.val.tokens.tolist())
    unseen = [word for word in words if word in held]
    assert len(unseen) == 1  # a tenth
    assert [word for word in words if len(tokenizer.encode(f" {word}")) > 1] == unseen
