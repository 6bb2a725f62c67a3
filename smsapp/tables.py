"""Import every table, so that the metadata is complete: for Alembic, and for foreign keys between rooms."""

from smsapp.audit import models as _audit
from smsapp.breakers import models as _breakers
from smsapp.bulk import models as _bulk
from smsapp.callbacks import models as _callbacks
from smsapp.db import models as _db
from smsapp.db.base import Base
from smsapp.events import models as _events
from smsapp.health import models as _health
from smsapp.inbound import models as _inbound
from smsapp.keys import models as _keys
from smsapp.messages import models as _messages
from smsapp.pacing import models as _pacing
from smsapp.refusals import models as _refusals
from smsapp.retention import models as _retention
from smsapp.suppressions import models as _suppressions
from smsapp.templates import models as _templates
from smsapp.webhooks import models as _webhooks

ROOMS = (
    _audit,
    _breakers,
    _bulk,
    _callbacks,
    _db,
    _events,
    _health,
    _inbound,
    _keys,
    _messages,
    _pacing,
    _retention,
    _refusals,
    _suppressions,
    _templates,
    _webhooks,
)
metadata = Base.metadata
