"""The selects of pages, and the frozen dataclasses that their rows become. Nothing here writes."""
