"""What clusters are made from: manifests, configurations, pinned versions, Go modules, contexts of images.

They are part of the package; `DATA` is their folder.
"""

from importlib.resources import files
from pathlib import Path

DATA = Path(str(files(__name__)))
