"""PyTorch's module cases in, agreement out: one test for each module that the engine has.

What still disagrees is listed with its reason in `data/known.json`; the list is strict.
"""

import pytest

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from cases import known, modules  # noqa: E402

ENTRIES = {info.name: info for info in modules.entries()}


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_module(name: str, reports: list[object]) -> None:
    report = modules.report(ENTRIES[name])
    reports.append(report)
    assert not known.surprises(report)
