"""Tools of the working copy: set-up, development servers and the demo. Never imported by the service."""
