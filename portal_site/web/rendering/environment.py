"""Jinja's environment with one dictionary of globals for all templates."""

from collections.abc import MutableMapping
from typing import Any

from flask import templating


class Environment(templating.Environment):
    """Flask's environment, for templates that have no globals of their own.

    Jinja gives each template a ChainMap for them. Each include goes over all its names, which takes a third of the include.
    """

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """The environment's globals. Raises ValueError for a template with some of its own, which all others would get."""
        if d:
            raise ValueError(f"globals of one template: {', '.join(d)}")
        return self.globals
