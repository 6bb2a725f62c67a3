"""The settings that a command works with."""

import os
import sys

import click

from smsapp.config import ConfigurationError, Settings, load_settings


def settings_or_exit() -> Settings:
    """Return the settings, or end the process with every fault on stderr."""
    try:
        return load_settings()
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
