"""Situations from public reports behave as their READMEs expect."""

import pytest
from cases import EXPECTED, folder_of, missing, output_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", sorted(EXPECTED))
def test_a_reported_situation_ends_as_expected(number):
    if folder_of(number) is None:
        pytest.skip("the folder shared/cases is not there")
    output = output_of(number)
    assert missing(number, output) == [], output[-3000:]
