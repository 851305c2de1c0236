"""Read files: bytes on a disk or in a pipe become decoded documents.

    filelist   the files of a corpus
    source     bytes of one file or pipe -> decompressed, decoded chunks of text
    encodings  encoding detection for error messages
    documents  document starts inside a file, and end-of-document characters
    lines      lines from a stream, as soon as they are complete
    tables     CSV, TSV and JSON Lines, each row a document
    patterns   search for a user's regular expression with a time limit

Input: paths and a `ReadingConfig`. Output: chunks of text with the starts of their documents.
Memory use is bounded, regardless of the file's size. Start with `filelist.FileList.of`.
"""
