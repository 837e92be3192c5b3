"""Draw the zoo on the page `docs/gallery.md`: small sets' pairs, and episodes of all.

    python benchmarks/gallery.py [NAME …]

Pictures that the page lacks are drawn, and those of every NAME anew.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroevo.store import zoo
from neuroevo.terminal.formatting import (
    format_count,
    format_duration,
    format_range,
    format_value,
)

DOCS = Path(__file__).parents[1] / "docs"
# A page with all of them still loads.
FRAMES = 100  # of a video
DRAWN = 16  # pairs at most: the picture of 64 is a megabyte

ABOUT = """\
# Gallery

The genomes of the zoo. Each is a whole policy, written as a few states and what to do
in them: a freshly initialized network that trains on those pairs acts as its video
shows. `python benchmarks/gallery.py` makes this page, and `neuroevo list zoo:NAME`
shows a genome's whole card, with the commands that found it. Sets of more than sixteen
pairs are drawn by `neuroevo inspect zoo:NAME --picture FILE`.
"""


def section(name: str, card: Mapping[str, Any]) -> str:
    """Return what the page says of a genome."""
    spent = f"{format_count(card['env_steps'])} environment steps"
    origin = "Evolved"
    if "teacher" in card:
        origin = f"Learned from a teacher ({card['teacher']})"
    pairs = f"![The pairs of {name}](figures/{name}-pairs.png)\n\n"
    if card["pairs"] > DRAWN:
        pairs = ""
    return f"""\
## {name}

{card["env"]}: {card["title"]}. Held-out return {format_value(card["return_mean"])}
({format_range(card["return_interval"])}; {card["policies"]} fresh networks ×
{card["episodes"]} episodes). {origin} within {spent},
{format_duration(card["seconds"])} on {card["devices"]}.

```sh
neuroevo evaluate zoo:{name}
```

{pairs}![An episode of {name}](figures/{name}.gif)
"""


def draw(name: str, again: bool) -> None:
    """Draw a genome's pairs and an episode."""
    pairs, video = (DOCS / "figures" / f"{name}{end}" for end in ("-pairs.png", ".gif"))
    wanted = {video: ["render", f"zoo:{name}", "--out", video, "--frames", FRAMES]}
    if zoo.card(name)["pairs"] <= DRAWN:
        wanted[pairs] = ["inspect", f"zoo:{name}", "--picture", pairs]
    for file, words in wanted.items():
        if again:
            file.unlink(missing_ok=True)
        if not file.exists():
            command = [sys.executable, "-m", "neuroevo", *map(str, words)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    anew = parser.parse_args().names
    for name in zoo.names():
        draw(name, name in anew)
    sections = [section(name, zoo.card(name)) for name in zoo.names()]
    (DOCS / "gallery.md").write_text("\n".join([ABOUT, *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
