"""Errors meant for users. Each message is one line: what is wrong, the value, what to do."""


class CharLSTMError(Exception):
    """Base class of errors that a user can cause or fix; shown as one line, exit code 1."""

    exit_code = 1


class ConfigError(CharLSTMError):
    """An invalid setting, or one that contradicts another (usage error, exit code 2)."""

    exit_code = 2


class CorpusError(CharLSTMError):
    """A text that can't be read, decoded, split or encoded."""


class ChangedTextError(CorpusError):
    """A text that differs from the one a model was trained on."""


class EncodingError(CorpusError):
    """Bytes that are invalid in the text's encoding.

    Args:
        what: the file, and the position of the invalid byte where known.
        advice: what to do for a training text; for other texts, callers use `what` with their own.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}; {advice}")
        self.what = what


class PatternError(CorpusError):
    """A user's regular expression that takes too long; the message doesn't name the file."""


class TensorFileError(CharLSTMError):
    """A file that is damaged or wasn't written by charlstm; the message doesn't name it."""


class CheckpointError(CharLSTMError):
    """A run or checkpoint that is missing, damaged, locked or not writable."""


class RunLockedError(CheckpointError):
    """A run that another process is training."""


class TrainingError(CharLSTMError):
    """Training that can't start or continue: it diverged or ran out of memory."""
