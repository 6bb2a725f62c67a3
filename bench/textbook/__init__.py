"""The service as a tutorial would write it: Flask, the official validator, one UPDATE within the request."""
