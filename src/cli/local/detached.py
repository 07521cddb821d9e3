"""`atrium up --detach`: the same supervisor in a session of its own; this command shows its start and leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable

from pydantic import ValidationError

from cli.console import ERR, OUT
from cli.errors import CliError
from cli.local.logs import open_log, tail
from cli.local.reporter import LineReporter, LiveReporter, Message, Reporter
from cli.local.wishes import Wishes, choose_engine, user_environment

STOP_TIMEOUT_S = 60.0


def run_detached(wishes: Wishes) -> None:
    """Returns when the stack is ready. Raises CliError with the supervisor's own reason when it is not going to be."""
    wishes.data_dir.create()
    choose_engine(wishes, user_environment(wishes.vllm_url))  # what takes minutes, and what is wrong, is shown here
    command = [sys.executable, "-P", "-m", "cli", "up", "--report", *wishes.arguments()]
    log = wishes.data_dir.logs / "supervisor.log"
    with open_log(log) as errors:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    try:
        end = _follow(supervisor.stdout or ())
    except KeyboardInterrupt:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait(STOP_TIMEOUT_S)
        raise
    if end is None:
        raise CliError("the supervisor ended without a word:\n" + "\n".join(tail(log)))
    if end.error is not None:
        supervisor.wait(STOP_TIMEOUT_S)
        raise CliError(end.error, hint=end.hint)
    OUT.print(end.summary, markup=False)


def _follow(lines: Iterable[str]) -> Message | None:
    """Shows each change; returns the summary or the failure, None if neither came."""
    reporter: Reporter = (
        LiveReporter(ERR) if ERR.is_terminal else LineReporter(lambda text: ERR.print(text, markup=False))
    )
    with reporter:
        for line in lines:
            try:
                message = Message.model_validate_json(line)
            except ValidationError:
                continue
            if message.summary is not None or message.error is not None:
                return message
            if message.service and message.state:
                reporter.service(message.service, message.state, message.note)
    return None
