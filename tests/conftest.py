import pytest
from goldens import Golden, load_golden


@pytest.fixture(scope="session")
def golden_a() -> Golden:
    return load_golden("A")


@pytest.fixture(scope="session")
def golden_b() -> Golden:
    return load_golden("B")


@pytest.fixture(scope="session")
def golden_c() -> Golden:
    return load_golden("C")


@pytest.fixture(scope="session")
def golden_d() -> Golden:
    return load_golden("D")
