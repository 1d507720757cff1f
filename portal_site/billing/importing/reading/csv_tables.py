"""Reads CSV."""

from typing import BinaryIO


def as_json_lines(file: BinaryIO, name: str) -> BinaryIO:
    return file
