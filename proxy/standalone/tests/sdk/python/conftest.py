import pytest
from support import Stack


@pytest.fixture(scope="session")
def stack():
    return Stack()


@pytest.fixture
def openai_client(stack):
    return stack.openai()


@pytest.fixture
def anthropic_client(stack):
    return stack.anthropic()
