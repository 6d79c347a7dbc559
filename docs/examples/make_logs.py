"""Write five days of small logs of an invented video site, as CSV and JSON lines: python make_logs.py FOLDER.

People have a favourite topic. A loud cover draws clicks; what is watched then depends on the topic, not on the cover.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

DAYS, IMPRESSIONS, USERS, VIDEOS = pd.date_range("2026-03-02", periods=5), 8000, 600, 250
TOPICS = np.array(["cooking", "football", "gardens", "trains"])


def main(folder: Path) -> None:
    """Write all logs below `folder`."""
    random = np.random.default_rng(1)
    favourite, topic = random.integers(4, size=USERS), random.integers(4, size=VIDEOS)
    loud, length = random.random(VIDEOS) < 0.3, random.integers(30, 600, VIDEOS).astype(float)
    region = random.choice(["north", "south"], USERS)
    users = pd.DataFrame({"user_id": np.arange(USERS), "region": region})
    cover = np.where(loud, "loud", "plain")
    videos = pd.DataFrame(
        {"video_id": np.arange(VIDEOS), "length_seconds": length, "topic": TOPICS[topic], "cover": cover}
    )
    write(users, folder / "users" / "users.csv")
    write(videos, folder / "videos" / "videos.csv")
    for day in DAYS:
        user, video = random.integers(USERS, size=IMPRESSIONS), random.integers(VIDEOS, size=IMPRESSIONS)
        ids = np.array([f"{day:%Y%m%d}-{n}" for n in range(IMPRESSIONS)])
        shown = day + pd.to_timedelta(np.sort(random.integers(80_000, size=IMPRESSIONS)), unit="s")
        liked = favourite[user] == topic[video]
        os = random.choice(["android", "ios", "tv"], IMPRESSIONS)
        impressions = pd.DataFrame(
            {"impression_id": ids, "user_id": user, "video_id": video, "ts": shown, "device_os": os}
        )
        chance = 1 / (1 + np.exp(-(-1.4 + 1.6 * liked + 1.3 * loud[video])))
        clicked = random.random(IMPRESSIONS) < chance
        share = random.beta(1 + 2 * liked, 1 + loud[video], IMPRESSIONS) * np.where(os == "tv", 1.15, 1)
        clicks = pd.DataFrame({"impression_id": ids, "ts": shown + pd.Timedelta("4s")})[clicked]
        plays = clicks.assign(watched_seconds=(share * length[video])[clicked].round(1))
        name = f"day={day:%Y-%m-%d}"
        write(impressions, folder / "impressions" / name / "impressions.csv")
        write(clicks, folder / "clicks" / name / "clicks.jsonl")
        write(plays, folder / "plays" / name / "plays.csv")


def write(rows: pd.DataFrame, path: Path) -> None:
    """Write rows as the name's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_json(path, orient="records", lines=True, date_format="iso")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
