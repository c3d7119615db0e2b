"""The built-in tasks keep to what every task must."""

import pytest

from anyscene.tasks import TASKS
from anyscene.tasks.instances import average_precision
from anyscene.tasks.task import task as named
from anyscene.testing import TaskTests


class TestBuiltIn(TaskTests):
    @pytest.fixture(params=TASKS.names())
    def task(self, request, monkeypatch):
        monkeypatch.setattr(average_precision, "SMALLEST", 5)
        return named(request.param)
