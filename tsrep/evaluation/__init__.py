"""Downstream tasks of an encoder: one file each, one table of all.

A new task is a :class:`tsrep.evaluation.tables.Task` in a file of its own and its line in
:data:`TASKS`; tools, tables and reports read that.
"""

from typing import TYPE_CHECKING, Literal

from tsrep.evaluation.classification import CLASSIFICATION
from tsrep.evaluation.forecasts import FORECASTING
from tsrep.evaluation.tables import Task

TASKS: dict[str, Task] = {task.name: task for task in (FORECASTING, CLASSIFICATION)}
"""By the name that ``--task`` of ``tools/evaluate.py`` takes and ``result.json`` has."""

if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[tuple(TASKS)]
