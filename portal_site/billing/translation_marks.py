"""Marks sentences of the engine for translation without translating them: that is the door's work."""


def N_(sentence: str) -> str:
    """The sentence itself; the name tells the extraction to take it into the catalogue."""
    return sentence


def NN_(one: str, many: str) -> tuple[str, str]:
    """The same for a sentence that depends on a number."""
    return one, many
