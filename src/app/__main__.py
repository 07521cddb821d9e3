"""`python -m app`: the orchestrator under uvicorn, with its settings from the environment."""

from __future__ import annotations

from app.main import create_app
from app.settings import Settings
from observability.logging import configure_logging
from servicekit.server import serve


def main() -> None:
    settings = Settings()
    configure_logging("orchestrator", settings.log_level)
    serve(create_app(settings), settings, host=settings.orchestrator_host, port=settings.orchestrator_port)


if __name__ == "__main__":
    main()
