"""Texts as ids: what was read becomes encoded documents in three splits.

    corpus        files -> vocabulary and splits; start here: `load_corpus`
    vocabulary    characters <-> ids
    tokenizer     vocabulary and normalization: text <-> ids
    encoded_text  encoded text: concatenated documents, and windows of many of them
    assignment    random assignment of documents to training, validation and test
    notices       notices about an encoded text
    storage       the encoded text in a run's folder
    duplicates    documents that also occur in another text
    features      quotes, brackets, words and lines of a text
    visible       visible forms of characters

Input: paths or strings. Output: a `Corpus` with a train, val and test `EncodedText`. Memory use is
bounded, regardless of the text's size. Nothing here needs torch.
"""
