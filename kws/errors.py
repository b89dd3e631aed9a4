"""The one exception that a user is meant to read."""


class KwsError(Exception):
    """Bad input, said in one sentence: which file or key, what is wrong with it, and what to do.

    The command line prints the sentence and exits with status 2; a traceback is a bug.

    >>> raise KwsError("take.wav: the file is empty; record it again")
    Traceback (most recent call last):
    kws.errors.KwsError: take.wav: the file is empty; record it again
    """
