"""The extras of the package, where the build takes place: from a checkout, the embedded audio is that of its ``data/``.

An index accepts no address in what is uploaded to it. ``GREENBENCH_CORPORA=index python -m build`` names
``greenbench-corpora`` by its version alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

CORPORA = "greenbench-corpora"


class CheckoutExtras(MetadataHookInterface):
    """Reads ``extras`` of its own table in ``pyproject.toml``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the optional dependencies."""
        data = Path(self.root) / "data"
        here = (data / "pyproject.toml").is_file() and os.environ.get("GREENBENCH_CORPORA") != "index"
        metadata["optional-dependencies"] = {
            extra: [f"{CORPORA} @ {data.as_uri()}" if here and name.startswith(CORPORA) else name for name in names]
            for extra, names in self.config["extras"].items()
        }
