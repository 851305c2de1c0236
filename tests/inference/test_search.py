import itertools
import math

import numpy as np

from charlstm.inference.search import most_likely


def by_hand(predictor, is_end_V, length):
    """Every continuation of up to so many symbols, and what it costs with its end."""
    found = []
    symbols = [one for one in np.flatnonzero(~is_end_V).tolist() if one]
    for number in range(length + 1):
        for ids in itertools.product(symbols, repeat=number):
            state, nats = predictor.start(), 0.0
            for symbol in ids:
                nats -= float(state.log_p[0, symbol])
                state = predictor.read(np.array([symbol]), state)
            ends = state.log_p[0, is_end_V].astype(float)
            found.append((nats - math.log(np.exp(ends).sum()), ids))
    return sorted(found)


def test_nothing_likelier_is_missing(predictor):
    # All but three symbols end one.
    is_end_V = np.ones(len(predictor.alphabet), np.bool_)
    is_end_V[[1, 5, 9]] = False
    expected = by_hand(predictor, is_end_V, 4)[:6]
    assert max(len(ids) for _, ids in expected) < 4  # nothing longer can be among them
    search = most_likely(predictor, predictor.start(), is_end_V, 6)
    assert search.is_exact
    assert [one.ids for one in search.found] == [ids for _, ids in expected]
    np.testing.assert_allclose(
        [one.nats for one in search.found], [nats for nats, _ in expected], rtol=1e-4
    )


def test_what_memory_leaves_unsearched_is_not_claimed(predictor):
    is_end_V = np.zeros(len(predictor.alphabet), np.bool_)
    is_end_V[3] = True
    search = most_likely(predictor, predictor.start(), is_end_V, 200, max_open=100)
    assert not search.is_exact
    assert len(search.found) < 200


def test_the_likeliest_items_and_words(run, stored, known_names):
    found = [
        line.split("\t")
        for line in run("sample", "--run", "names", "--most-likely", 4)[1].splitlines()
    ]
    assert {text for _, text in found} == {"anna", "berta", "clara", "dora"}
    assert 0.3 < sum(float(share.rstrip("%")) for share, _ in found) / 100 <= 1
    assert (
        run.json("sample", "--run", "names", "--most-likely", 1, "--prime", "b")["text"] == "berta"
    )
    assert run("sample", "--run", "names", "--most-likely", 2, "--new")[0] == 2
    found = [
        line.split("\t")
        for line in run("predict", "the qu", "--run", "tiny", "--words", 3)[1].splitlines()
    ]
    assert len(found) == 3
    assert all(text.startswith("the qu") and text.isprintable() for _, text in found)
    assert run("sample", "--run", "tiny", "--most-likely", 1)[0] == 2


def test_samples_can_be_asked_to_match(run, known_names):
    options = ["--run", "names", "--seed", 1, "--num-samples", 5]
    out, _ = run.works("sample", *options, "--match", "[ab].*a")
    assert len(out.splitlines()) == 5
    assert set(out.splitlines()) <= {
        one for one in out.splitlines() if one[0] in "ab" and one[-1] == "a"
    }
    assert "only 0 of 5" in run.fails(1, "sample", *options, "--match", "zzz")
    assert run("sample", *options, "--match", "(")[0] == 2
