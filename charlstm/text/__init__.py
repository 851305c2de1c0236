"""Read texts: files, pipes and folders become encoded documents.

    source      bytes of one file or pipe -> decompressed, decoded pieces of text
    encodings   a guess at an encoding, for messages
    filelist    the files of a corpus, found once
    documents   where documents start inside a file, and what ends them
    lines       lines as soon as they are complete
    tables      CSV, TSV and JSON lines, each row a document
    patterns    a user's regular expression, searched in bounded time
    assignment  which documents are for training, validation and test, at random
    vocabulary  characters <-> ids
    alphabet    the vocabulary and the normalization: text <-> ids
    visible     visible forms of characters
    split       an encoded text: documents one after another
    walk        many documents read in parallel
    corpus      files -> vocabulary and splits; start here: `load_corpus`
    notices     notices about an encoded text
    storage     the encoded text in a run's folder
    duplicates  documents that also occur in another text
    features    what a reader sees in a text: quotes, lines, words

Input: paths or strings. Output: a `Corpus` with a train, val and test `Split`. Memory is bounded
whatever the size of the text. Nothing here needs torch.
"""
