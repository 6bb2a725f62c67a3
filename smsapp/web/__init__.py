"""The HTTP API.

APIFlask picks the validator of a view's input when the view is defined, so ours is put in place before any is.
"""

from smsapp.web import inputs

inputs.install()
