import numpy as np
from conftest import tokenizer_of

from charlstm.ngram import order_selection
from charlstm.ngram.order_selection import fit_ngrams, fit_ngrams_of_order
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")
TOKENIZER = tokenizer_of(ABC, unknown_probability=1e-3)


def split_of(documents):
    return EncodedText.of(documents, ABC)


def test_order_is_chosen_on_held_out_text():
    generator = np.random.default_rng(0)
    noise = "".join(generator.choice(list("abc"), 4000))
    assert fit_ngrams(split_of([noise[:3000]]), split_of([noise[3000:]]), TOKENIZER).order <= 3
    # Without validation text, on the end of the training text.
    assert fit_ngrams(split_of([noise]), split_of([]), TOKENIZER).order <= 3
    regular = "aabbcacb" * 300
    assert fit_ngrams(split_of([regular]), split_of([regular]), TOKENIZER).order >= 2


def test_memory_limits_the_order(monkeypatch):
    monkeypatch.setattr(order_selection, "_MAX_NGRAMS", 30)
    text = split_of(["abcacbbca" * 40])
    assert fit_ngrams_of_order(text, TOKENIZER, 9).order < 5


def test_singletons_are_pruned_unless_validation_text_repeats_them():
    generator = np.random.default_rng(0)
    vocabulary = Vocabulary(" abcdefgh")
    tokenizer = tokenizer_of(vocabulary)
    lengths = generator.integers(2, 7, 300)
    words = ["".join(generator.choice(list("abcdefgh"), length)) for length in lengths]
    frequent = 1 / np.arange(1, 301)

    def text(number):
        chosen = generator.choice(words, number, p=frequent / frequent.sum())
        return EncodedText.of([" ".join(chosen)], vocabulary)

    def has_all(model, order):
        """Return whether singletons were kept."""
        unpruned = fit_ngrams_of_order(train, tokenizer, order)
        return len(model.levels[order].key_G) == len(unpruned.levels[order].key_G)

    # Word pairs that occur once do not generalize.
    train = text(3000)
    model = fit_ngrams(train, text(800), tokenizer)
    assert has_all(model, 2)
    assert not has_all(model, model.order)
    # They help if the validation text is a passage of the training text.
    copied = fit_ngrams(train, train.part(2000, 5000), tokenizer)
    assert has_all(copied, copied.order)
    assert copied.order > model.order
