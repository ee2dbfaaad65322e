"""The engine's names in, the page 'coming from PyTorch' held to them out."""

import json

import porting


def test_page_is_what_the_code_says() -> None:
    wanted = porting.page(json.loads(porting.NAMES.read_text()))
    found = porting.PAGE.read_text()
    assert found == wanted, "run `python tests/parity/porting.py`"
