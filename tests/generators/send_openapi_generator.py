"""A text through the Python client of openapi-generator: `python send_openapi_generator.py URL KEY TO`."""

import sys

from openapi_client import (
    ApiClient,
    Configuration,
    Message,
    MessagesApi,
    SendRequest,
)

url, key, to = sys.argv[1:]
with ApiClient(Configuration(host=url, access_token=key)) as client:
    sent = MessagesApi(client).send_message(SendRequest(to=to, body="Hello from openapi-generator"))
if not isinstance(sent, Message):
    sys.exit(f"not sent: {sent}")
print(sent.id)
