"""Components and their configurations: laws for every registered member of every family, and the errors."""

from __future__ import annotations

import dataclasses
import importlib
from abc import ABC
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from oracles import VOCABULARY

from textdiff.errors import ConfigError
from textdiff.registry import build, context_field, families, family, member, name_of, names, register, to_config

for package in ("schedules", "processes", "objectives", "sampling", "backbones"):
    importlib.import_module(f"textdiff.{package}")


def members() -> list[tuple[type, str]]:
    """Those of every family that need nothing but a context to be built."""

    def complete(cls: type) -> bool:
        return all(
            field.metadata.get("context")
            or field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
            for field in dataclasses.fields(cls)
        )

    return [(base, name) for base in families().values() for name in names(base) if complete(member(base, name))]


MEMBERS = members()
NEEDED: dict[str, dict[str, Any]] = {"pretrained": {"path": "a/folder"}, "bidirectional": {"path": "a/folder"}}
"""Options of members that cannot be built from their defaults."""


def made(base: type, name: str) -> Any:
    return build(base, {"name": name, **NEEDED.get(name, {})}, vocabulary=VOCABULARY)


@pytest.mark.parametrize(("base", "name"), MEMBERS, ids=lambda value: getattr(value, "__name__", value))
class TestEveryMember:
    def test_build_and_to_config_are_inverses(self, base: type, name: str) -> None:
        component = made(base, name)
        config = to_config(component)
        assert isinstance(component, base)
        assert config["name"] == name == name_of(component)
        assert build(base, config, vocabulary=VOCABULARY) == component
        assert to_config(build(base, config, vocabulary=VOCABULARY)) == config

    def test_is_a_frozen_dataclass_that_hashes(self, base: type, name: str) -> None:
        component = made(base, name)
        assert hash(component) == hash(made(base, name))
        for field in dataclasses.fields(component):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(component, field.name, None)

    def test_unknown_keys_are_refused(self, base: type, name: str) -> None:
        with pytest.raises(ConfigError, match=r"^here\.no_such_key: unknown key"):
            build(base, {"name": name, "no_such_key": 1}, "here", vocabulary=VOCABULARY)

    def test_has_a_docstring(self, base: type, name: str) -> None:
        text = member(base, name).__doc__ or ""
        assert text and not text.startswith(f"{member(base, name).__name__}(")


def test_there_are_members() -> None:
    assert {base.__name__ for base, _ in MEMBERS} >= {"Schedule", "ForwardProcess"}


@family
class Shape(ABC):  # noqa: B024
    """A family for these tests only."""


@register(Shape, "circle")
@dataclass(frozen=True)
class Circle(Shape):
    radius: float = 1.0
    style: Literal["filled", "hollow"] = "filled"


@register(Shape, "group")
@dataclass(frozen=True)
class Group(Shape):
    canvas: str = context_field()
    parts: tuple[Shape, ...]
    extra: Shape | None = None
    scale: int = 1


@dataclass(frozen=True)
class Drawing:
    shape: Shape
    title: str = ""


NESTED = {
    "shape": {"name": "group", "parts": ["circle", {"name": "circle", "radius": 2}], "extra": {"name": "circle"}},
    "title": "two",
}


class TestBuild:
    def test_nested(self) -> None:
        drawing = build(Drawing, NESTED, canvas="paper")
        assert drawing == Drawing(Group("paper", (Circle(), Circle(2.0)), Circle()), "two")
        assert build(Drawing, to_config(drawing), canvas="paper") == drawing
        assert "canvas" not in to_config(drawing)["shape"]

    def test_instances_pass(self) -> None:
        circle = Circle(3.0)
        assert build(Shape, circle) is circle
        assert build(Drawing, {"shape": circle}).shape is circle

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ("circel", r"^at: no Shape is named 'circel'\. Did you mean 'circle'\? Known: circle, group$"),
            (
                {"name": "circle", "radios": 1},
                r"^at\.radios: unknown key\. Did you mean 'radius'\? Known: radius, style$",
            ),
            ({"name": "circle", "radius": "wide"}, r"^at\.radius: input should be a valid number.*'wide'$"),
            ({"name": "circle", "radius": True}, r"^at\.radius: expected a number, got True$"),
            ({"name": "circle", "style": "dotted"}, r"^at\.style: .*'filled' or 'hollow'.*'dotted'$"),
            ({"radius": 1}, r"^at: the key 'name' of a Shape is missing\. Known: circle, group$"),
            ({"name": "group"}, r"^at\.parts: this key of Group is required and missing$"),
            ({"name": "group", "parts": "circle"}, r"^at\.parts: expected a list, got 'circle'$"),
            ({"name": "group", "parts": [{"name": "circle", "radius": []}]}, r"^at\.parts\[0\]\.radius: "),
            ({"name": "group", "parts": [], "canvas": "paper"}, r"^at\.canvas: unknown key"),
            ({"name": "group", "parts": [], "scale": 1.5}, r"^at\.scale: "),
            (7, r"^at: expected a mapping of keys to values, got 7$"),
        ],
        ids=str,
    )
    def test_errors_say_where_what_and_what_is_allowed(self, config: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            build(Shape, config, "at", canvas="paper")

    def test_a_component_s_own_refusal_gets_the_path(self) -> None:
        from textdiff.schedules import Schedule

        with pytest.raises(ConfigError, match=r"^process\.schedule: power must be greater than 0, got 0"):
            build(Schedule, {"name": "polynomial", "power": 0}, "process.schedule")


class TestNames:
    def test_a_name_is_given_once(self) -> None:
        with pytest.raises(ConfigError, match="two Shape classes are named 'circle': Circle and Other"):

            @register(Shape, "circle")
            class Other(Shape):
                pass

        assert member(Shape, "circle") is Circle
        assert register(Shape, "circle")(Circle) is Circle

    def test_names_are_sorted_and_found(self) -> None:
        assert names(Shape) == ["circle", "group"]
        assert families()["Shape"] is Shape
        assert name_of(Circle()) == "circle"

    def test_strangers_have_no_name(self) -> None:
        with pytest.raises(ConfigError, match="int is not a registered component"):
            name_of(3)
