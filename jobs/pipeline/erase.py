"""Remove users from the lake: every row of theirs in every table, files rewritten; models that saw them are marked."""

from collections.abc import Collection, Sequence

from jobs.job import Job
from ncs.errors import ConfigError, DataError
from ncs.lake import layout, storage
from ncs.lake.erasure import erased_users, models_with_erased_users, record_erasure, user_digest
from ncs.lake.layout import Lake
from ncs.lake.removal import Erased
from ncs.logs.pseudonyms import Pseudonyms, check_one_kind, pseudonym
from ncs.tasks import CTR, named_tasks
from ncs.text import aligned, read_text
from ncs.text_ids import hash_text
from validation import quality_page

LARGEST_FILE = 100_000_000
"""Bytes of a file of user ids."""
_BIGINT = range(-(2**63), 2**63)


def run(job: Job, user_ids: Sequence[str] = (), ids_file: str | None = None) -> None:
    """Erase the users of `--user-id` and `--file`, and print the rows that each table lost.

    Raises ConfigError for what is no user id, DataError if the lake's ids were made with another `privacy.key`.
    """
    given = _given(user_ids, ids_file, texts="user_id" in job.conf.logs.text_ids)
    key = Pseudonyms.of(job.conf.privacy.key if job.conf.logs.source else None)  # generated users are nobody's
    check_one_kind(job.lake.records(layout.IMPRESSIONS), key, job.conf.logs.text_ids)
    users = {pseudonym(key.key, user) if key.key else _number(user): user for user in given}
    before, marked = erased_users(job.lake), models_with_erased_users(job.lake)
    erased = Erased.of(job.spark, job.lake, users)
    try:
        known = erased.known_users(job.spark, job.lake)
        models = _models(job, erased) if known else set()
        new = {user for user in known if user_digest(user) not in before}
        if new or models - marked:  # before any row goes: a call that is killed is not forgotten
            record_erasure(job.lake, new, models - marked)
        lost = dict(erased.remove(job.spark, job.lake, job.conf.encode.rows_per_file)) if known else {}
    finally:
        erased.impressions.unpersist()
    if any(lost.values()):
        quality_page.forget(job.lake)
    served = [place for run_id in models for place in _served(job.lake, run_id)]
    for place in served:  # its vocabulary holds the ids; `ncs export` writes it without them
        storage.remove(place)
    for user, raw in users.items():
        if user not in known:
            again = user_digest(user) in before
            print(f"user {raw} has no rows in the lake" + (", erased before" if again else ": the id is unknown"))
    lines = [["table", "rows removed"], *([name, f"{rows:,}"] for name, rows in sorted(lost.items()))]
    print("\n".join(aligned(lines)) if lost else "0 rows removed")
    if models:
        print(f"models that were trained on rows of theirs: {', '.join(sorted(models))}; `ncs train` trains a new run")
    if served:
        print(f"MLflow models with their ids, removed: {', '.join(served)}; `ncs export` writes them without")
    if lost:
        print(
            f"Older versions of the tables still hold the rows: `ncs maintain --apply` removes their files once they "
            f"are older than maintain.retain_days ({job.conf.maintain.retain_days}), the versions that these models "
            f"were trained on among them. The raw logs are not changed."
        )


def _served(lake: Lake, run_id: str) -> list[str]:
    """The exported MLflow models of a run."""
    run = lake.uri("models", run_id)
    places = [storage.join(run, model, "serving", "mlflow") for model in storage.folders(run)]
    return [place for place in places if storage.files(place)]


def _given(ids: Sequence[str], path: str | None, texts: bool) -> list[int | str]:
    """The ids of the command line, in order, each once; whole numbers unless the logs have texts."""
    named = [(f"--user-id {text}", text) for text in ids]
    if path is not None:
        lines = read_text(path, LARGEST_FILE, "file of user ids", "write one user id a line").splitlines()
        named += [(f"{path}, line {n}", line.strip()) for n, line in enumerate(lines, start=1) if line.strip()]
    if not named:
        raise ConfigError("erase needs --user-id ID, or --file FILE with a user id a line; none was given")
    return list(dict.fromkeys(text if texts else _id(where, text) for where, text in named))


def _number(user: int | str) -> int:
    return hash_text(user) if isinstance(user, str) else user


def _id(where: str, text: str) -> int:
    try:
        user = int(text)
    except ValueError:
        user = None
    if user is None or user not in _BIGINT:
        raise ConfigError(f"{where}: {text[:40]!r} is no user id; ids are whole numbers of 64 bits, as in the raw logs")
    return user


def _models(job: Job, erased: Erased) -> set[str]:
    """The runs that were trained on versions which hold rows of the users, those among them that are still at work.

    Raises DataError for a run that does not say its versions.
    """
    shown, seen = named_tasks(job.conf)[CTR].table, set()
    known: dict[tuple[tuple[str, int], ...], bool] = {}
    for run_id in storage.folders(job.lake.uri("models")):
        tables = _pinned(job.lake, run_id, (shown, layout.VOCABULARY))
        pins = tuple(sorted(tables.items()))
        if pins not in known:
            known[pins] = erased.seen_by(job.spark, job.lake, tables)
        if known[pins]:
            seen.add(run_id)
    return seen


def _pinned(lake: Lake, run_id: str, tables: Collection[str]) -> dict[str, int]:
    """The versions of some tables that a run was trained on; while it is training, the newest."""
    path = lake.uri("models", run_id, "run.json")
    if not storage.exists(path):
        return {name: lake.version(name) for name in tables if lake.has(name)}
    try:
        versions = storage.read_json(path)["lineage"]["tables"]
        return {name: int(versions[name]) for name in tables if name in versions}
    except (ValueError, KeyError, TypeError) as err:
        raise DataError(
            f"{path} does not say which versions the model was trained on ({err!r}); restore it, or remove the folder"
        ) from None
