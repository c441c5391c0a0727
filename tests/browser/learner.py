"""A learner at the keyboard: opens files in JupyterLab's file browser, types into cells, runs a notebook.

Nothing here talks to a kernel or writes a file behind JupyterLab's back. What a notebook showed is read from
the file that JupyterLab saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page

from localcluster import polling

MINUTES = 15  # the longest notebook that is run here takes four; a busy machine takes its time
CALM = 6  # looks, half a second apart
DRAWN = Path("lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings")
"""Where JupyterLab keeps a person's settings of notebooks, below `JUPYTER_CONFIG_DIR`."""
TAB = "#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current"


@dataclass(frozen=True)
class Learner:
    """One page of a running JupyterLab, whose root is the folder `course`."""

    page: Page
    course: Path

    def arrive(self, url: str) -> None:
        """Open the address that JupyterLab was started with, and wait for what it shows first."""
        # A slow JupyterLab meets its own autosave, and asks which version is meant.
        asked = self.page.locator(".jp-Dialog", has_text="File Changed")
        self.page.add_locator_handler(asked, lambda: asked.get_by_text("Overwrite").click())
        self.page.goto(f"{url}&reset")  # as nobody has left it yet
        self.page.locator(".jp-Notebook:visible .jp-Cell").first.wait_for()
        self._status("Idle").wait_for()

    def open(self, path: str) -> None:
        """Paste a path into "Open from Path…", and wait until the file is shown."""
        self._menu("File", "Open from Path…")
        self.page.locator(".jp-Dialog input").fill(path)
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.locator(f".lm-TabBar-tab.lm-mod-current[title^='Name: {Path(path).name}\\a ']").wait_for()
        self.page.locator(
            ".jp-Notebook:visible .jp-Cell, .jp-FileEditor:visible .cm-content"
        ).first.wait_for()

    def _menu(self, *labels: str) -> None:
        bar, *below = labels
        self.page.locator(".lm-MenuBar-itemLabel", has_text=bar).first.click()
        for label in below:
            self.page.locator(".lm-Menu-itemLabel", has_text=label).first.click()

    def listed(self) -> set[str]:
        """What the file browser shows at the top of the course."""
        self.page.locator(".jp-FileBrowser .jp-BreadCrumbs-home").click()
        self.page.locator(".jp-DirListing-item[title^='Name: notebooks\\a ']").wait_for()
        return set(self.page.locator(".jp-DirListing-item .jp-DirListing-itemText").all_inner_texts())

    def write_file(self, path: str, text: str) -> None:
        """Open a file in the editor, replace all of it, save it."""
        self.open(path)
        self.page.locator(".jp-FileEditor:visible .cm-content").click()
        self._replace(text)
        self._save(path, lambda: (self.course / path).read_text().strip() == text.strip())

    def write_cells(self, path: str, answers: dict[str, str]) -> None:
        """Type into the cells of the open notebook that have these ids; saved and seen in its file."""
        ids = [cell.id for cell in self.read(path).cells]
        for name, text in answers.items():
            self._go_to(ids.index(name))
            self.page.keyboard.press("Enter")
            self._replace(text)
            self.page.keyboard.press("Escape")
        self._save(
            path, lambda: answers.items() <= {cell.id: cell.source for cell in self.read(path).cells}.items()
        )

    def _go_to(self, at: int) -> None:
        """Walk to a cell with the keyboard: cells far from the view are not on the page."""
        self.page.locator(".jp-Notebook:visible .jp-InputPrompt:visible").first.click()
        while steps := at + 1 - self._active():
            for _ in range(abs(steps)):
                self.page.keyboard.press("j" if steps > 0 else "k")

    def _active(self) -> int:
        """Which cell is active, counted from 1, as the status bar says."""
        told = self._status("Cell ").inner_text()
        return int(told.partition("Cell ")[2].partition("/")[0])

    def _status(self, text: str) -> Locator:
        return self.page.locator("#jp-main-statusbar", has_text=text)

    def _replace(self, text: str) -> None:
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def _save(self, path: str, done: Callable[[], bool]) -> None:
        self.page.keyboard.press("Control+S")
        self.page.locator(f"{TAB}:not(.jp-mod-dirty)").wait_for()
        polling.until(done, f"{path} as it was typed", seconds=60, every=0.2)

    def restart_and_run_all(self, path: str) -> None:
        """The menu's "Restart Kernel and Run All Cells…"; until all have run, or one has raised."""
        self._menu("Kernel", "Restart Kernel and Run All Cells…")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self._status("Busy").wait_for()
        polling.until(self._idle, f"the end of {path}", seconds=60 * MINUTES, every=1)
        self._save(path, lambda: self._ended(path))

    def _idle(self) -> bool:
        """Whether the kernel has nothing to do; between two cells it has for a moment, too."""
        for _ in range(CALM):
            if not self._status("Idle").is_visible():
                return False
            polling.pause(0.5)
        return True

    def _ended(self, path: str) -> bool:
        code = [cell for cell in self.read(path).cells if cell.cell_type == "code" and cell.source]
        outputs = [output for cell in code for output in cell.outputs]
        raised = any(output.output_type == "error" for output in outputs)
        return raised or code[-1].execution_count is not None

    def dress(self, theme: str) -> None:
        """Choose a theme of JupyterLab's, `Light` or `Dark`, with the sidebar out of the way."""
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self._menu("Settings", "Theme", f"JupyterLab {theme}")
        self.page.locator(f"body[data-jp-theme-name='JupyterLab {theme}']").wait_for(state="attached")
        if self.page.locator(".jp-FileBrowser").first.is_visible():
            self.page.keyboard.press("Control+B")

    def see_all(self, path: str, *, width: int, height: int) -> None:
        """Make the window that large, and wait until every cell of the open notebook is on the page."""
        self.page.set_viewport_size({"width": width, "height": height})
        cells = self.page.locator(".jp-Notebook:visible .jp-Cell")
        wanted = len(self.read(path).cells)
        polling.until(lambda: cells.count() == wanted, f"{wanted} cells on the page", seconds=60)

    def unroll(self, home: Path) -> None:
        """Let JupyterLab (whose settings lie in `home`) draw all cells, not only those near the view."""
        file = home / DRAWN
        if file.exists():
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"windowingMode": "none"}')
        self.page.reload()
        self.page.locator(".jp-Notebook:visible .jp-Cell").first.wait_for()

    def read(self, path: str) -> nbformat.NotebookNode:
        """A notebook as JupyterLab saved it."""
        return nbformat.read(self.course / path, as_version=4)
