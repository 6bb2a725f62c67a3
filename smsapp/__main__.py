"""`python -m smsapp`."""

from smsapp.cli.main import main

main(prog_name="python -m smsapp")
