"""MMEngine keeps loggers, visualizers and scopes per process; a test wants those of no other."""

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.utils import ManagerMixin
from mmengine.visualization import Visualizer


def forget_runs() -> None:
    """Clear MMEngine's process-wide loggers, visualizers and scopes, which later runs inherit."""
    forget_logs()
    _forget(MessageHub, DefaultScope)


def forget_logs() -> None:
    """Clear MMEngine's process-wide loggers and visualizers.

    Their names are times: runs that start in one second would share them, and their folder.
    """
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            handler.close()
    _forget(MMLogger, Visualizer)


def _forget(*kinds: type[ManagerMixin]) -> None:
    managers = list(kinds)
    for manager in managers:
        managers.extend(manager.__subclasses__())
        manager._instance_dict.clear()
