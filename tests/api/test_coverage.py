"""The page that tells what of AWS is served."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from fleetward.api import coverage, models, operations

SOURCE = Path(coverage.__file__).parents[1]
PAGE = Path(__file__).parents[2] / "docs" / "aws-coverage.md"


def test_the_page_is_what_the_generator_prints() -> None:
    """docs/aws-coverage.md is generated: it tells exactly what this version serves."""
    assert PAGE.read_text() == coverage.page(), "run: python -m fleetward.api.coverage > docs/aws-coverage.md"


@pytest.mark.parametrize("service", operations.REGISTRY)
def test_every_operation_of_a_model_is_on_the_page(service: str) -> None:
    """Each operation of each service is named, as served or as not served."""
    _, _, section = PAGE.read_text().partition(f"\n## {service}\n")
    section = section.partition("\n## ")[0]
    table, _, missing = section.partition("Not served")
    for name in models.service(service).model.operation_names:
        if operations.find(service, name):
            assert f"| {name} | served |" in table
        else:
            assert name in missing.replace("\n", " ").replace(",", " ").replace(".", " ").split()


def test_every_difference_is_about_an_operation_that_is_served() -> None:
    """The table of differences has no stale row, and each difference is one line."""
    for service, rows in coverage.DIFFERENCES.items():
        assert rows.keys() <= set(coverage.served(service)), service
        assert all("\n" not in text and "|" not in text and text.endswith(".") for text in rows.values())


@cache
def literals() -> frozenset[str]:
    """Every string that the package's modules (this page's own apart) hold."""
    files = [path for path in SOURCE.rglob("*.py") if path != Path(coverage.__file__)]
    return frozenset(word for path in files for word in re.findall(r"""["']([A-Za-z]\w*)["']""", path.read_text()))


@pytest.mark.parametrize("service", operations.REGISTRY)
def test_no_parameter_is_ignored_in_silence(service: str) -> None:
    """A parameter that no code looks at is named on the page, as one without effect."""
    for name in coverage.served(service):
        shape = models.service(service).model.operation_model(name).input_shape
        told = coverage.DIFFERENCES.get(service, {}).get(name, "")
        ignored = [member for member in (shape.members if shape else ()) if member not in literals()]
        assert [member for member in ignored if f"`{member}`" not in told] == [], name
