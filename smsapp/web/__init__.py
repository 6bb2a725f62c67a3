"""The HTTP API.

APIFlask picks the validator of a view's input when the view is defined, so ours must be installed before any view is.
"""

from smsapp.web import inputs

inputs.install()
