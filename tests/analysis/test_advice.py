from charlstm.analysis.advice import advise, overfits


def history(*rows, **more):
    return [
        {"epoch": epoch, "train_bits_per_char": train, "val_bits_per_char": val} | more
        for epoch, train, val in rows
    ]


def test_too_little_says_nothing():
    assert advise([], is_finished=True) is None
    assert advise(history((0, None, None), (1, 3.0, 3.0)), is_finished=True) is None
    assert advise(history((1, 3.0, None), (2, 2.0, None)), is_finished=True) is None


def test_what_only_got_worse_overfits():
    found = advise(history((1, 3.0, 3.0), (2, 2.0, 2.5), (9, 0.5, 4.0)), is_finished=True)
    assert "epoch 2.0 of 9.0" in found
    assert "overfits" in found


def test_the_gap_between_training_and_validation_tells_what_helps():
    begin = (1, 3.0, 3.1)
    assert "More minutes may" in advise(history(begin, (2, 2.0, 2.01)), is_finished=True)
    assert "larger text helps most" in advise(history(begin, (9, 1.0, 2.0)), is_finished=True)
    assert "both" in advise(history(begin, (9, 1.8, 2.0)), is_finished=True)
    assert "--resume" in advise(history(begin, (9, 1.8, 2.0)), is_finished=False)


def test_what_chance_could_make_is_no_advice():
    """At 10,000 characters 0.03 bits."""
    for worse, found in ((2.5, False), (2.52, False), (2.54, True)):
        rows = history((1, 3.0, 2.5), (9, 2.4, worse), num_val_chars=10_000)
        assert overfits(rows) == found
        assert ("overfits" in advise(rows, is_finished=True)) == found
    rows = history((1, 3.0, 3.1), (9, 1.8, 2.0), num_val_chars=10_000)
    for counts, said in ((1.98, "within chance"), (2.02, "within chance"), (1.96, "above")):
        assert said in advise(rows, is_finished=True, counts_bits=counts)


def test_advice_is_in_the_unit_of_the_budget():
    rows = history((1, 3.0, 3.1), (9, 1.8, 2.0))
    assert ": more steps and a" in advise(rows, is_finished=True, unit="steps")
    rows = history((1, 3.0, 3.1), (2, 2.0, 2.01))
    assert advise(rows, is_finished=True, unit="epochs").endswith("More epochs may help.")


def test_what_counting_reaches_is_said_where_it_is_known():
    rows = history((1, 3.0, 3.1), (9, 1.8, 2.0))
    alone = advise(rows, is_finished=True)
    better = advise(rows, is_finished=True, counts_bits=2.25)
    assert better == f"{alone} Validation is 0.25 bits below what counting n-grams reaches."
    worse = advise(rows, is_finished=True, counts_bits=1.75)
    assert worse.startswith(f"{alone} Validation is 0.25 bits above what counting n-grams reaches")
    assert "--with-counts" in worse
    one = history((1, 3.0, 3.1))
    assert advise(one, is_finished=True, counts_bits=4.1).startswith(
        "Validation is 1.00 bits below"
    )
    assert advise(history((1, 3.0, None)), is_finished=True, counts_bits=2.0) is None
