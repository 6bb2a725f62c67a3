"""Templates as callers see them."""

from typing import Any

from smsapp.templates.models import TemplateVersion
from smsapp.templates.rules import parse_template
from smsapp.times import optional_rfc3339


def template_view(version: TemplateVersion) -> dict[str, Any]:
    """Return a version of a template."""
    return {
        "name": version.name,
        "version": version.version,
        "body": version.body,
        "placeholders": list(parse_template(version.body).placeholders),
        "created_at": optional_rfc3339(version.created_at),
    }
