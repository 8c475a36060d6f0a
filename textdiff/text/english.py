"""Word lists for setting English that was written in lower case and with spaces everywhere."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ENDINGS = _set("s t d m ll re ve em am all")
"""What an apostrophe joins to the word before it: it's, don't, ma'am, y'all."""

ELISIONS = _set("o d l c j n qu ma y")
"""What an apostrophe joins to the word after it: o'clock, l'eau."""

TITLES = _set("mr mrs ms dr mme mlle prof")
"""What is followed by a name."""

ABBREVIATIONS = _set("a e p u etc vs cf viz approx fig vol pp ch ed inc co ltd jr sr")
"""What is followed by a dot that ends no sentence; the letters begin a.m., e.g., p.m. and U.S."""

INITIALS = frozenset("bcdfhijkqrstuvwxyz")
"""Letters that stand alone as names or initials rather than as words."""

CAPITALS = TITLES | _set(
    """
    monday tuesday wednesday thursday friday saturday sunday
    january february april june july august september october november december christmas easter thanksgiving
    god jesus christ christian christians christianity catholic protestant jewish jews muslim islam bible buddhist hindu
    english england britain british scotland scottish scotch ireland irish wales welsh london oxford cambridge
    europe european france french paris germany german germans berlin italy italian rome roman romans spain spanish
    portugal portuguese greece greek greeks russia russian russians poland austria austrian sweden swedish norway
    norwegian denmark danish dutch holland switzerland swiss
    america american americans canada canadian mexico mexican brazil california texas florida washington york boston
    chicago philadelphia
    africa african asia asian india indian indians chinese japan japanese australia australian egypt egyptian israel
    latin hebrew arab arabic
    john william charles george thomas james henry robert edward richard david michael peter paul joseph mary
    elizabeth anne margaret jane sarah susan alice tom bob jim sam joe jack ben kate emily emma anna maria
    """
)
"""Words that are written with a capital wherever they stand."""
