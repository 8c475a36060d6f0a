"""`textdiff list`."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from textdiff.cli.options import AsJson
from textdiff.cli.output import put, put_json
from textdiff.errors import UsageError, nearest

EXAMPLES = r"""Examples:
  textdiff list
  textdiff list accept
  textdiff list sampler
  textdiff list --json
"""


def components(
    family: Annotated[
        str | None, typer.Argument(metavar="FAMILY", help="accept, schedule, process, sampler, … By default all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what recipes and --sampler can name, with all options."""
    found = catalogue()
    if family is not None:
        found = [entry for entry in found if entry["family"] == _family_named(family, [e["family"] for e in found])]
    if as_json:
        put_json({"schema": "textdiff.list/1", "families": found})
    else:
        put("\n".join(map(_page, found)))


def catalogue() -> list[dict[str, Any]]:
    """Every family: its name, what it is, and its members with what they are and their options."""
    import textdiff.recipe  # noqa: F401  registers every component
    from textdiff.registry import families, member, names

    found = [
        {
            "family": name,
            "summary": _first_line(inspect.getmodule(base)),
            "members": [_entry(member_name, member(base, member_name)) for member_name in names(base)],
        }
        for name, base in families().items()
    ]
    return [*found, _samplers()]


def _samplers() -> dict[str, Any]:
    from textdiff.registry import to_config
    from textdiff.sampling import Sampler, preset, preset_names, preset_note

    default = to_config(Sampler())
    members = []
    for name in preset_names():
        config = to_config(preset(name))
        own = {key: value for key, value in config.items() if key == "steps" or value != default[key]}
        options = [{"name": k, "default": v} for k, v in own.items()]
        members.append({"name": name, "summary": preset_note(name), "options": options})
    summary = "What --sampler names, as they differ from the plain sampler."
    return {"family": "Sampler", "summary": summary, "members": members}


def _entry(name: str, cls: Any) -> dict[str, Any]:
    options = []
    for field in dataclasses.fields(cls):
        if field.init and not field.metadata.get("context"):
            options.append({"name": field.name, **_default(field)})
    return {"name": name, "summary": _first_line(cls), "options": options}


def _default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    from textdiff.registry import to_config

    if field.default is not dataclasses.MISSING:
        return {"default": to_config(field.default)}
    if field.default_factory is not dataclasses.MISSING:
        return {"default": to_config(field.default_factory())}
    return {"required": True}


def _first_line(documented: object) -> str:
    """What the documentation says first."""
    return (inspect.getdoc(documented) or "").split("\n")[0].partition(" Source:")[0]


def _family_named(word: str, known: Sequence[str]) -> str:
    """The family that a person means: any case, one or many, with or without underscores; a part of its name will do."""
    plain = word.lower().replace("_", "").replace("-", "")
    singular = {plain, plain.removesuffix("s"), plain.removesuffix("es")} - {""}
    for name in known:
        if any(form in name.lower() for form in singular):
            return name
    raise UsageError(f"no family is named {word!r}.{nearest(word, known)} Known: {', '.join(known)}")


def _page(family: dict[str, Any]) -> str:
    lines = [f"{family['family']}: {family['summary']}"]
    for entry in family["members"]:
        options = ", ".join(_option(option) for option in entry["options"])
        lines.append("  ".join(filter(None, [f"  {entry['name']}", entry["summary"]])))
        if options:
            lines.append(f"      {options}")
    return "\n".join(lines) + "\n"


def _option(option: dict[str, Any]) -> str:
    if "required" in option:
        return f"{option['name']} (required)"
    return f"{option['name']}={value_text(option['default'])}"


def value_text(value: Any) -> str:
    """A default as recipes write it; a component without options of its own by its name alone."""
    if isinstance(value, dict) and set(value) == {"name"}:
        return str(value["name"])
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={value_text(v)}" for k, v in value.items() if k != "name")
        return f"{value.get('name', '')}({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return json.dumps(value, ensure_ascii=False) if value is None or isinstance(value, bool) else str(value)
