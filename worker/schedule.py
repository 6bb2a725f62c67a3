"""The Celery application of beat and Flower: `celery -A worker.schedule beat`. It publishes tasks and runs none."""

from worker.base import make_app

app, _ = make_app()
