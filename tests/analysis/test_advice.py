from charlstm.analysis.advice import advise, overfits


def history(*rows, **more):
    return [
        {"epoch": epoch, "train_bits_per_char": train, "val_bits_per_char": val} | more
        for epoch, train, val in rows
    ]


def test_too_few_evaluations_give_no_advice():
    assert advise([], is_finished=True) is None
    assert advise(history((0, None, None), (1, 3.0, 3.0)), is_finished=True) is None
    assert advise(history((1, 3.0, None), (2, 2.0, None)), is_finished=True) is None


def test_early_best_validation_is_overfitting():
    found = advise(history((1, 3.0, 3.0), (2, 2.0, 2.5), (9, 0.5, 4.0)), is_finished=True)
    assert "epoch 2.0 of 9.0" in found
    assert "overfits" in found


def test_advice_depends_on_the_gap_between_training_and_validation():
    first = (1, 3.0, 3.1)
    assert "More minutes may" in advise(history(first, (2, 2.0, 2.01)), is_finished=True)
    assert "larger text helps most" in advise(history(first, (9, 1.0, 2.0)), is_finished=True)
    assert "both" in advise(history(first, (9, 1.8, 2.0)), is_finished=True)
    assert "--resume" in advise(history(first, (9, 1.8, 2.0)), is_finished=False)


def test_insignificant_differences_give_no_advice():
    """With 10,000 characters, differences up to 0.03 bits are not significant."""
    for worse, found in ((2.5, False), (2.52, False), (2.54, True)):
        rows = history((1, 3.0, 2.5), (9, 2.4, worse), num_val_chars=10_000)
        assert overfits(rows) == found
        assert ("overfits" in advise(rows, is_finished=True)) == found
    rows = history((1, 3.0, 3.1), (9, 1.8, 2.0), num_val_chars=10_000)
    for counts, expected in ((1.98, "not differ"), (2.02, "not differ"), (1.96, "above")):
        assert expected in advise(rows, is_finished=True, counts_bits=counts)


def test_flat_validation_gives_no_advice_to_train_longer():
    flat = history((2, 2.0, 2.01), (4, 2.0, 2.0), num_val_chars=10_000)
    falling = history((2, 2.2, 2.2), (4, 2.0, 2.0), num_val_chars=10_000)
    assert "will not help" in advise(flat, is_finished=True)
    assert "More minutes may help" in advise(falling, is_finished=True)


def test_advice_names_the_unit_of_the_budget():
    rows = history((1, 3.0, 3.1), (9, 1.8, 2.0))
    assert ": more steps and a" in advise(rows, is_finished=True, unit="steps")
    rows = history((1, 3.0, 3.1), (2, 2.0, 2.01))
    assert advise(rows, is_finished=True, unit="epochs").endswith("More epochs may help.")


def test_advice_compares_with_an_ngram_model():
    rows = history((1, 3.0, 3.1), (9, 1.8, 2.0))
    alone = advise(rows, is_finished=True)
    better = advise(rows, is_finished=True, counts_bits=2.25)
    assert better == f"{alone} The validation loss is 0.25 bits below an n-gram model's."
    worse = advise(rows, is_finished=True, counts_bits=1.75)
    assert worse.startswith(f"{alone} The validation loss is 0.25 bits above an n-gram model's")
    assert "--with-counts" in worse
    one = history((1, 3.0, 3.1))
    assert advise(one, is_finished=True, counts_bits=4.1).startswith(
        "The validation loss is 1.00 bits below"
    )
    assert advise(history((1, 3.0, None)), is_finished=True, counts_bits=2.0) is None
