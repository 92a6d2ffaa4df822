"""The merges of the figure are those that encode the piece, and each was the first learnt."""

import pytest

from tests.explore.models import at_hand, unfolded, with_tokenizer
from tinylm.explore import Unsuitable, page
from tinylm.explore.input.merges import can_merge, figures, merges_of
from tinylm.tokenizers import BPETokenizer, PipelineTokenizer
from tinylm.tokenizers.published.write import tokenizer_json

TEXT = "the cat sat on the mat, the rat ate that; naïve 😀 the end of the hat"


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([TEXT * 3], 300)


def test_the_last_step_is_what_encode_gives(tokenizer):
    found = merges_of(tokenizer, TEXT)
    assert [one["piece"]["text"] for one in found][:3] == ["the", " cat", " sat"]
    for one in found:
        assert one["ids"] == tokenizer.encode(one["piece"]["text"]).tolist()
        last = one["steps"][-1]
        assert last["place"] == -1 and set(last["ranks"]) <= {None}
        assert len(last["tokens"]) == len(one["ids"])


def test_a_published_tokenizer_merges_as_its_original_does(tokenizer):
    published = PipelineTokenizer(tokenizer_json(tokenizer)[0])
    assert can_merge(published)
    for ours, theirs in zip(merges_of(tokenizer, TEXT), merges_of(published, TEXT), strict=True):
        assert theirs["piece"] == ours["piece"] and theirs["ids"] == ours["ids"]
        for a, b in zip(ours["steps"], theirs["steps"], strict=True):
            assert (a["tokens"], a["place"], a["rank"]) == (b["tokens"], b["place"], b["rank"])


def test_each_merge_has_the_lowest_rank_and_joins_the_two(tokenizer):
    merged = 0
    for one in merges_of(tokenizer, TEXT):
        for before, after in zip(one["steps"], one["steps"][1:]):
            place, ranks = before["place"], before["ranks"]
            assert ranks[place] == before["rank"] == min(r for r in ranks if r is not None)
            assert before["rank"] not in ranks[:place]  # of equals the leftmost
            pair = sum(before["sizes"][place : place + 2])
            sizes = [*before["sizes"][:place], pair, *before["sizes"][place + 2 :]]
            assert after["sizes"] == sizes
            merged += 1
    assert merged > 10


def test_bytes_of_half_a_character_are_shown_as_bytes(tokenizer):
    first = next(one for one in merges_of(tokenizer, "😀"))["steps"][0]
    assert [token["bytes"] for token in first["tokens"]] == ["f0", "9f", "98", "80"]


def test_pieces_come_once_and_endless_ones_not_at_all(tokenizer):
    found = merges_of(tokenizer, "the " * 5 + "the" + " " + "x" * 100)
    assert [one["piece"]["text"] for one in found] == ["the", " the"]


def test_a_tokenizer_that_does_not_merge_is_refused():
    with pytest.raises(Unsuitable, match="not a ByteTokenizer"):
        figures(at_hand())


# In the browser.


def test_the_tree_grows_and_shrinks_again(open_page, tokenizer):
    thing = at_hand(prompt="the that")
    with_tokenizer(thing, thing.model, tokenizer)
    made = figures(thing)
    opened = open_page(page("merges", made), width=360, dark=True).drawn()
    steps = made[0].data["pieces"][0]["steps"]
    ranks = unfolded(opened.page).evaluate(
        "t => [...t.querySelectorAll('tbody tr')].map(r => r.children[2].textContent)"
    )
    assert ranks == [str(step["rank"]) for step in steps[:-1]] + ["none"]
    stage = opened.page.locator(".stage svg")
    seen = [stage.inner_html()]
    back = opened.page.get_by_role("button", name="Step back")
    while back.is_enabled():
        back.click()
        seen.append(stage.inner_html())
    assert len(set(seen)) == len(steps)
    for before in seen[-2::-1]:
        opened.page.get_by_role("button", name="Step forward").click()
        assert stage.inner_html() == before
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.complaints == [] and opened.requests == []
