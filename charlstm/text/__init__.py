"""Read texts: files, pipes and folders become encoded documents.

    source        bytes of one file or pipe -> decompressed, decoded chunks of text
    encodings     encoding detection for error messages
    filelist      the files of a corpus
    documents     document starts inside a file, and end-of-document characters
    lines         lines from a stream, as soon as they are complete
    tables        CSV, TSV and JSON lines, each row a document
    patterns      search for a user's regular expression with a time limit
    assignment    random assignment of documents to training, validation and test
    vocabulary    characters <-> ids
    tokenizer     vocabulary and normalization: text <-> ids
    visible       visible forms of characters
    encoded_text  encoded text: concatenated documents, and windows of many of them
    corpus        files -> vocabulary and splits; start here: `load_corpus`
    notices       notices about an encoded text
    storage       the encoded text in a run's folder
    duplicates    documents that also occur in another text
    features      quotes, brackets, words and lines of a text

Input: paths or strings. Output: a `Corpus` with a train, val and test `EncodedText`. Memory use is
bounded, regardless of the text's size. Nothing here needs torch.
"""
