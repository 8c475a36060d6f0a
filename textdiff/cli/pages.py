"""Pages of HTML that are whole in one file: nothing is loaded, and nothing runs that is not ours."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files


def fill_page(template: str, **values: str) -> str:
    """The template with values for its {{names}}; what looks like one in a value is text."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def resource(name: str) -> str:
    """The text of a file beside this one."""
    return (files("textdiff.cli") / name).read_text(encoding="utf-8")


def policy(style: str, script: str | None = None, images: bool = False) -> str:
    """Nothing may be loaded, and no other style or script may run; `images`: those that stand in the page may be shown."""
    runs = f" script-src '{_hash(script)}';" if script is not None else ""
    shows = " img-src data:;" if images else ""
    return f"default-src 'none'; style-src '{_hash(style)}';{runs}{shows} base-uri 'none'; form-action 'none'"


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
