"""textdiff fills in text: infilling and generation by discrete diffusion.

    import textdiff

    infiller = textdiff.load("default")
    print(infiller.infill("The old house [MASK: 2-5 words] by the sea.", seed=1).document)

The names below are loaded when they are first used, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Document", "Infiller", "Sampler", "__version__", "load"]

if TYPE_CHECKING:
    from textdiff.infiller import Infiller, load
    from textdiff.sampling.sampler import Sampler
    from textdiff.text.document import Document
else:
    _HOMES = {
        "Document": "textdiff.text.document",
        "Infiller": "textdiff.infiller",
        "Sampler": "textdiff.sampling.sampler",
        "load": "textdiff.infiller",
    }

    def __getattr__(name):
        """Imports a public name from its module (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module 'textdiff' has no attribute {name!r}")
        import importlib

        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})
