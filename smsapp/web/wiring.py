"""What views are given: the runtime and the few objects that live as long as the application, found by their type."""

from typing import TypeVar

from flask import Flask, current_app

from smsapp.runtime import Runtime

_EXTENSION = "smsapp"

T = TypeVar("T")


def provide(app: Flask, part: object) -> None:
    """Give the application's views this object."""
    app.extensions.setdefault(_EXTENSION, {})[type(part)] = part


def provided(kind: type[T], app: Flask | None = None) -> T:
    """Return the object of this type that the application was given; of the current application unless told."""
    part: T = (app or current_app).extensions[_EXTENSION][kind]
    return part


def runtime() -> Runtime:
    """Return the runtime of the current application."""
    return provided(Runtime)
