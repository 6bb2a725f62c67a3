"""Commands by subject; `smsapp.cli` puts them together."""
