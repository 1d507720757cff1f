"""Runs the `portal` command as `python -m portal_site.cli`."""

from portal_site.cli import main

main(prog_name="portal")
