"""What the tests of infrastructure share: Terraform, and what takes long, begun before it is asked for.

A test that needs the outcome of a long job says so by a mark, `ahead(job)`, where `job` is a function of `Terraform`
and of a folder of its own. With the first such test all that the selected ones ask for begin, a few at a time; each
test then waits for its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from support.terraform import Terraform

Job = Callable[[Terraform, Path], object]
WAITING = 2
"""Jobs beyond one a core: those against moto mostly wait until the provider asks again."""


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    made = Terraform(tmp_path_factory.mktemp("terraform"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def begun(
    request: pytest.FixtureRequest, terraform: Terraform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Job, Future[object]]]:
    """Longest first: a mark's `first=True`."""
    marks = [mark for item in request.session.items for mark in item.iter_markers("ahead")]
    jobs = dict.fromkeys(mark.args[0] for mark in sorted(marks, key=lambda mark: not mark.kwargs.get("first")))
    with ThreadPoolExecutor((os.cpu_count() or 1) + WAITING) as pool:
        yield {job: pool.submit(job, terraform, tmp_path_factory.mktemp("job")) for job in jobs}
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def outcome(request: pytest.FixtureRequest, begun: dict[Job, Future[object]]) -> object:
    """What the job of this test's mark came to."""
    (mark,) = request.node.iter_markers("ahead")
    return begun[mark.args[0]].result()
