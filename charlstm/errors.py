"""Errors meant for the user: one line that names the thing, the value and the way out."""


class CharLSTMError(Exception):
    """Base of every error that a user can cause or mend; shown as one line, exit code 1."""

    exit_code = 1


class ConfigError(CharLSTMError):
    """A setting that is impossible or contradicts another one (wrong usage, exit code 2)."""

    exit_code = 2


class CorpusError(CharLSTMError):
    """A text that can't be read, decoded, split or encoded."""


class ChangedTextError(CorpusError):
    """A text that isn't the one a model was trained on."""


class EncodingError(CorpusError):
    """Bytes that aren't valid in the encoding that a text was read in.

    Args:
        what: where they are.
        advice: for a corpus; a text for a model is read as the model's own was.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}; {advice}")
        self.what = what


class PatternError(CorpusError):
    """A user's regular expression that takes too long; the message lacks the file's name."""


class ContainerError(CharLSTMError):
    """A file of charlstm's own that is damaged or something else; the message lacks its name."""


class CheckpointError(CharLSTMError):
    """A run or checkpoint that is missing, damaged, locked or can't be written."""


class RunLockedError(CheckpointError):
    """A run that another process trains."""


class TrainingError(CharLSTMError):
    """Training that can't start or continue: divergence, memory."""
