"""What bytes that are no UTF-8 may be."""

from __future__ import annotations

import codecs

_BOMS = [
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_PACKED = [
    (b"\x1f\x8b", "a gzip archive", "; rename it to end in .gz"),
    (b"\xfd7zXZ\x00", "an xz archive", "; rename it to end in .xz"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "; unpack it first"),
    (b"PK\x03\x04", "a zip archive or an office document", "; unpack it, or save it as plain text"),
    (b"%PDF-", "a PDF", "; convert it to plain text first"),
]
_UNDEFINED_IN_CP1252 = set(b"\x81\x8d\x8f\x90\x9d")
_CONTROL = set(range(32)) - set(b"\t\n\r\f")


def archive_of(head: bytes) -> tuple[str, str] | None:
    """What kind of archive begins so, and what to do with it; None if it is none."""
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        return "a bzip2 archive", "; unpack it first"
    return next(((name, advice) for start, name, advice in _PACKED if head.startswith(start)), None)


def wide_encoding(sample: bytes) -> str | None:
    """utf-16 or utf-32 where the byte order mark says so, or where every other byte is NUL; else None."""
    for mark, name in _BOMS:
        if sample.startswith(mark):
            return name
    half = max(1, len(sample) // 2)
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.4 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.1 else None


def guess_encoding(sample: bytes) -> str | None:
    """The likeliest encoding of a sample that is not UTF-8, or None if it does not look like text at all."""
    wide = wide_encoding(sample)
    if wide is not None:
        return wide
    values = [*sample]
    if sum(value in _CONTROL for value in values) * 20 > len(values):
        return None
    if not any(0x80 <= value < 0xA0 for value in values):
        return "latin-1"
    return None if _UNDEFINED_IN_CP1252 & {*values} else "cp1252"
