"""Dependencies of views: the runtime and the few objects that live as long as the application, looked up by type."""

from typing import TypeVar

from flask import Flask, current_app

from smsapp.runtime import Runtime

_EXTENSION = "smsapp"

T = TypeVar("T")


def provide(app: Flask, part: object) -> None:
    """Make this object available to the application's views."""
    app.extensions.setdefault(_EXTENSION, {})[type(part)] = part


def provided(kind: type[T], app: Flask | None = None) -> T:
    """Return the application's object of this type; without `app`, that of the current application."""
    part: T = (app or current_app).extensions[_EXTENSION][kind]
    return part


def runtime() -> Runtime:
    """Return the runtime of the current application."""
    return provided(Runtime)
