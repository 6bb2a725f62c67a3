"""A logger for tests that look at what is logged."""

from typing import Any


class LogLines:
    """Replaces a module's logger and records level, event and facts."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **facts: self.lines.append((level, event, facts))
