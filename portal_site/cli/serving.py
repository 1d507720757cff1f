"""What the commands that serve share: an error as one line, and the server in the foreground."""

import sys
from typing import NoReturn

import click
from flask import Flask


def fail(sentence: str) -> NoReturn:
    """Print an error message to standard error and exit with code 1."""
    click.echo(sentence, err=True)
    sys.exit(1)


def serve(app: Flask, host: str, port: int, threads: int = 8) -> None:
    """Serve until stopped. If the address cannot be used, fail with one line instead of a traceback."""
    from portal_site.web.servers.waitress_server import make_server

    try:
        server = make_server(app, host, port, threads)
    except OSError as error:
        fail(f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port.")
    except ValueError:  # waitress raises it for a host name that cannot be resolved
        fail(f"Cannot listen on {host}: it is no address of this machine. Choose another with --host.")
    server.run()
