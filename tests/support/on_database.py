"""Marks for tests that need the running service, but on one database only."""

import pytest

on_sqlite = pytest.mark.parametrize("stack", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("stack", ["postgres"], indirect=True)
