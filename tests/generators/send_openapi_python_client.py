"""A text through the client of openapi-python-client: `python send_openapi_python_client.py URL KEY TO`."""

import sys

from generated import AuthenticatedClient
from generated.api.messages import send_message
from generated.models import Message, SendRequest

url, key, to = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=key) as client:
    sent = send_message.sync(client=client, body=SendRequest(to=to, body="Hello from openapi-python-client"))
if not isinstance(sent, Message):
    sys.exit(f"not sent: {sent}")
print(sent.id)
