"""Run a notebook on the lake and keep it as one HTML file, `<lake>/reports/notebooks/<name>.html`."""

from pathlib import Path

from jobs.job import Job
from ncs.errors import ConfigError
from ncs.lake import storage
from ncs.notebook.page import render
from ncs.notebook.source import execute
from ncs.notebook.start import GIVEN

FOLDER = Path(__file__).parents[2] / "notebooks"


def run(job: Job, name: str) -> None:
    """Run the notebook `name`: one of `notebooks/`, or the path of one's own."""
    known = sorted(path.stem for path in FOLDER.glob("*.py"))
    path = FOLDER / f"{name}.py" if name in known else Path(name)
    if not path.is_file():
        raise ConfigError(f"there is no notebook {name!r}; there are {', '.join(known)}, or name a file")
    page = render(path.stem, execute(path, {"spark": job.spark, GIVEN: {"lake": job.lake.root}}))
    target = job.lake.uri("reports", "notebooks", f"{path.stem}.html")
    storage.write_bytes(target, page.encode())
    print(f"notebook: {target}")
