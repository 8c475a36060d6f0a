"""A clock that strikes. The gaps stand where a programmer stopped writing."""

from __future__ import annotations

HOURS = [MASK: 12|24|60]


def strokes(hour: int) -> int:
    """How many times the clock strikes: at noon [MASK: 6|12|24] times, and never [MASK: more than twelve|after dark]."""
    return hour % HOURS or HOURS  # an hour of 0 is [MASK: noon|midnight|one]


def strike(hour: int) -> str:
    """What is heard in the [MASK: 1 word]."""
    return "[MASK: dong|tick|cuckoo] ".join([""] * (strokes(hour) + 1)).strip()


if __name__ == "__main__":
    print(strike(hour=[MASK: /[1-9]|1[0-2]/]))
