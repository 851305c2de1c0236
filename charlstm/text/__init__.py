"""Files, pipes and folders in; encoded documents out: `Corpus` with a train, val and test `Split`.

    source      bytes of one file or pipe -> decompressed, decoded pieces of text
    encodings   a guess at an encoding, for messages
    filelist    the files of a corpus, found once
    documents   where documents begin inside a file, and what ends them
    lines       lines as soon as they are complete
    tables      CSV, TSV and JSON lines whose rows are documents
    patterns    lines searched for a user's regular expression, in bounded time
    assignment  which documents are for training, validation and test, at random
    vocabulary  characters <-> ids
    alphabet    the vocabulary and the form of texts: text <-> symbols <-> ids
    visible     characters as people can see them
    split       an encoded text as documents in a row
    walk        reading many documents side by side
    corpus      files -> vocabulary and splits; begin here: `load_corpus`
    notices     what the owner of an encoded text may want to know
    storage     the encoded text in a run's folder
    duplicates  documents that stand in another text, too
    features    what a reader sees in a text: quotes, lines, words

Memory is bounded whatever the size of the text. Nothing here needs torch.
"""
