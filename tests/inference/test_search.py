import itertools
import math

import numpy as np

from charlstm.inference.search import most_likely


def by_hand(predictor, is_end_V, length):
    """Return all (nats, ids) of continuations of up to `length` tokens, sorted."""
    found = []
    tokens = [token for token in np.flatnonzero(~is_end_V).tolist() if token]
    for number in range(length + 1):
        for ids in itertools.product(tokens, repeat=number):
            state, nats = predictor.start(), 0.0
            for token in ids:
                nats -= float(state.log_p[0, token])
                state = predictor.read(np.array([token]), state)
            ends = state.log_p[0, is_end_V].astype(float)
            found.append((nats - math.log(np.exp(ends).sum()), ids))
    return sorted(found)


def test_most_likely_matches_brute_force(predictor):
    # Only three tokens continue.
    is_end_V = np.ones(len(predictor.tokenizer), np.bool_)
    is_end_V[[1, 5, 9]] = False
    expected = by_hand(predictor, is_end_V, 4)[:6]
    assert max(len(ids) for _, ids in expected) < 4  # longer ones are less likely
    search = most_likely(predictor, predictor.start(), is_end_V, 6)
    assert search.is_exact
    assert [found.ids for found in search.found] == [ids for _, ids in expected]
    np.testing.assert_allclose(
        [found.nats for found in search.found], [nats for nats, _ in expected], rtol=1e-4
    )


def test_most_likely_returns_only_certain_results_at_the_limit(predictor):
    is_end_V = np.zeros(len(predictor.tokenizer), np.bool_)
    is_end_V[3] = True
    search = most_likely(predictor, predictor.start(), is_end_V, 200, max_open=100)
    assert not search.is_exact
    assert len(search.found) < 200


def test_sample_most_likely_and_predict_words(run, stored, known_names):
    def rows(*arguments):
        return [line.split("\t") for line in run.works(*arguments)[0].splitlines()]

    found = rows("sample", "--run", "names", "--most-likely", 4)
    assert {text for _, text in found} == {"anna", "berta", "clara", "dora"}
    assert 0.3 < sum(float(percent.rstrip("%")) for percent, _ in found) / 100 <= 1
    likely = run.json("sample", "--run", "names", "--most-likely", 1, "--prime", "b")
    assert likely["text"] == "berta"
    found = rows("predict", "the qu", "--run", "tiny", "--words", 3)
    assert len(found) == 3
    assert all(text.startswith("the qu") and text.isprintable() for _, text in found)
    run.fails(2, "sample", "--run", "names", "--most-likely", 2, "--new")
    run.fails(2, "sample", "--run", "tiny", "--most-likely", 1)


def test_sample_match_keeps_matching_items(run, known_names):
    options = ["--run", "names", "--seed", 1, "--num-samples", 5]
    items = run.works("sample", *options, "--match", "[ab].*a")[0].splitlines()
    assert len(items) == 5
    assert all(item[0] in "ab" and item[-1] == "a" for item in items)
    assert "only 0 of 5" in run.fails(1, "sample", *options, "--match", "zzz")
    run.fails(2, "sample", *options, "--match", "(")
