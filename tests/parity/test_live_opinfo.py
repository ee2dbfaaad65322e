"""PyTorch's function cases in, agreement out: one test for each entry that the engine has.

What still disagrees is listed with its reason in `data/known.json`; the list is strict.
"""

import pytest

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from cases import known, names, ops  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

ENTRIES = {
    names.full_name(info): info
    for info in op_db
    if names.present(info) and not names.left_out(info.name)
}


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_function(name: str, reports: list[object]) -> None:
    report = ops.report(ENTRIES[name])
    reports.append(report)
    assert not known.surprises(report)
