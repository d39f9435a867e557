"""Not here: see ``conftest.py``."""

raise ModuleNotFoundError("the processes that tests start do without matplotlib", name="matplotlib")
