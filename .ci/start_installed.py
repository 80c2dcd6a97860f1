"""Start the installed program once: the samples must appear with labels, and the bundled model with proposals."""

import sys
import tempfile
import time

from PySide6.QtCore import QSettings

import rpnviz
from rpnviz.drawing.scene import World
from rpnviz.ui.application import make_application, make_window

assert "site-packages" in rpnviz.__file__, rpnviz.__file__
QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
application = make_application()
window = make_window()
window.show()
window.state.open_samples()


def wait(condition, what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited in vain for {what}; told: {window.banner.messages}")
        application.processEvents()
        time.sleep(0.01)


wait(lambda: window.state.shown is not None, "labels of the first sample")
assert "torch" not in sys.modules
assert not window.banner.messages, window.banner.messages
window.state.set_world(World.MODEL)
wait(lambda: window.state.result is not None, "proposals of the bundled model")
assert len(window.state.result.proposals.scores) > 0
window.close()
print("labels and proposals are there")
