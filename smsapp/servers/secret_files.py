"""Secrets by file: `NAME_FILE` leads to a file that has the value of NAME, as Docker and Kubernetes mount secrets.

An environment is inherited by every child and shown by `docker inspect`; a file is not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

FILED = ("twilio_auth_token", "database_url", "redis_url")
"""The settings that are secrets or contain one."""

_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileFault:
    """Stands for a value that its file does not give; the setting reports the text, like all faults at once."""

    text: str


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the secrets whose files the environment or `.env` names."""

    def __init__(self, settings_cls: type[BaseSettings], *variables: PydanticBaseSettingsSource) -> None:
        """Look for names of files in these sources, the first of them first."""
        super().__init__(settings_cls)
        self._variables = [source for source in variables if isinstance(source, EnvSettingsSource)]

    def get_field_value(self, _field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a setting's value, None when no file gives it; the first source that says anything decides."""
        for source in self._variables:
            name, is_set = source.env_vars.get(f"{field_name}_file"), source.env_vars.get(field_name)
            if name and is_set:
                variable = field_name.upper()
                return FileFault(f"is set, and so is {variable}_FILE: remove one of them"), field_name, False
            if name:
                return _read(Path(name), f"{field_name.upper()}_FILE"), field_name, False
            if is_set:
                break
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values that come from files."""
        found = {name: self.get_field_value(self.settings_cls.model_fields[name], name)[0] for name in FILED}
        return {name: value for name, value in found.items() if value is not None}


def _read(path: Path, variable: str) -> str | FileFault:
    try:
        with path.open("rb") as file:
            value = file.read(_MOST_BYTES).decode().strip()
    except OSError as error:
        return FileFault(f"{variable} names a file that cannot be read ({error.strerror})")
    except ValueError:  # not UTF-8, or no path at all
        return FileFault(f"{variable} does not name a file of text")
    return value or FileFault(f"{variable} names a file that is empty")
