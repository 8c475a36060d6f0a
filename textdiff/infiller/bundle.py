"""The code of a model as files that need no textdiff: what transformers runs where remote code is allowed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from textdiff import __version__
from textdiff.errors import TextdiffError

MAIN = "modeling_textdiff"
"""The name of the module that holds the model."""
_MODEL = "textdiff.model"
_ROOT = Path(__file__).resolve().parent.parent
_IMPORT = re.compile(r"^(\s*from )(textdiff(?:\.\w+)*)( import )", re.MULTILINE)


def bundle() -> dict[str, str]:
    """The sources of the model and of all that it imports from textdiff, by file name.

    They are our own files, with other names: transformers copies a model's code from one flat folder, and follows relative
    imports. So `from textdiff.backbones.dit import DiT` becomes `from .backbones_dit import DiT`.
    """
    sources: dict[str, str] = {}
    waiting = [_MODEL]
    while waiting:
        module = waiting.pop()
        if _flat(module) not in sources:
            text = _place(module).read_text(encoding="utf8")
            waiting += _imported(module, text)
            sources[_flat(module)] = _header(module) + _IMPORT.sub(_relative, text)
    return {f"{name}.py": text for name, text in sorted(sources.items())}


def _flat(module: str) -> str:
    return MAIN if module == _MODEL else module.removeprefix("textdiff.").replace(".", "_")


def _relative(found: re.Match[str]) -> str:
    return f"{found[1]}.{_flat(found[2])}{found[3]}"


def _header(module: str) -> str:
    file = _place(module).relative_to(_ROOT.parent).as_posix()
    return f"# {file} of textdiff {__version__}, Apache-2.0. Only the names of the imported modules were changed.\n"


def _place(module: str) -> Path:
    path = _ROOT.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(module: str, text: str) -> Iterator[str]:
    """The modules of textdiff that a source imports.

    Raises:
        TextdiffError: in a way that has no relative form which transformers would find.
    """
    for node in ast.walk(ast.parse(text)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.partition(".")[0] != "textdiff":
                continue
            if isinstance(node, ast.Import) or name == "textdiff" or _is_of_modules(node):
                raise TextdiffError(f"{module} imports {name} as a module, which cannot be exported")
            yield name


def _is_of_modules(node: ast.AST) -> bool:
    """Whether what is imported from a package is a module of it."""
    assert isinstance(node, ast.ImportFrom)
    package = _ROOT.parent.joinpath(*(node.module or "").split("."))
    return any((package / f"{alias.name}.py").exists() for alias in node.names)
