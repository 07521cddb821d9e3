"""Run in an image's own container (.ci/image-answers): `python - SERVICE PORT`. Ends when the service answers
`/healthz`; fails when it does not within a minute, or when it may do more than in a pod.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from pathlib import Path
from urllib.request import urlopen

ANSWER_S = 60
UID = 10001
NO_CAPABILITY = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: {found}, not {wanted}")


def answer(port: int) -> object:
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as response:
                return json.load(response)
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"no answer within {ANSWER_S} s: {error}") from None
            time.sleep(0.2)


def status() -> dict[str, str]:
    """Of the service itself, which is the first process here."""
    return dict(line.split(":\t", 1) for line in Path("/proc/1/status").read_text(encoding="ascii").splitlines())


def why_nothing_is_written() -> str:
    try:
        Path("/app/written").touch()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "")
    return "written"


def main(service: str, port: int) -> None:
    said = status()
    expect(said["Uid"].split() + said["Gid"].split(), [str(UID)] * 8, "user and group")
    expect({kind: int(said[kind], 16) for kind in NO_CAPABILITY}, NO_CAPABILITY, "capabilities")
    expect(said["NoNewPrivs"], "1", "no new privileges")
    expect(why_nothing_is_written(), "EROFS", "its root file system")
    bill = json.loads(Path(f"/usr/share/sbom/atrium-{service}.cdx.json").read_text(encoding="utf-8"))
    expect((bill["bomFormat"], len(bill["components"]) > 10), ("CycloneDX", True), "SBOM")
    expect(answer(port), {"status": "ok"}, "/healthz")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
