"""Writes the documentation's snippets as a symbol graph, the form in which docc takes them.

SwiftPM's docc plugin does this too, but it would become a dependency of every app that uses Weir.
Usage: snippets.py FOLDER-OR-FILE... OUTPUT
"""

import json
import os
import re
import sys


def snippet(path):
    lines, slices, title = [], {}, None
    for number, line in enumerate(open(path).read().splitlines(), 1):
        mark = re.fullmatch(r"\s*// snippet\.(\S+)", line)
        if mark is None:
            lines.append(line)
        elif mark[1] == "end" and title:
            slices[title[0]], title = [title[1], len(lines)], None
        elif mark[1] not in ("end", "hide", "show") and not title:
            title = (mark[1], len(lines))
        else:
            sys.exit(f"{path}:{number}: '{mark[1]}' doesn't fit here: each slice has a name and an end, and nothing is hidden")
    if title:
        sys.exit(f"{path}: the slice '{title[0]}' has no end")
    name = os.path.basename(path).removesuffix(".swift")
    return {
        "kind": {"identifier": "snippet", "displayName": "Snippet"},
        "identifier": {"precise": f"$snippet__weir.{name}", "interfaceLanguage": "swift"},
        "pathComponents": ["Snippets", name],
        "names": {"title": name},
        "accessLevel": "public",
        "snippet": {"language": "swift", "lines": lines, "slices": slices},
    }


*sources, output = sys.argv[1:]
files = []
for source in sources:
    if os.path.isdir(source):
        files += sorted(os.path.join(source, name) for name in os.listdir(source) if name.endswith(".swift"))
    else:
        files.append(source)
graph = {
    "metadata": {"formatVersion": {"major": 0, "minor": 6, "patch": 0}, "generator": "scripts/snippets.py"},
    "module": {"name": "weir", "platform": {}, "isVirtual": True},
    "symbols": [snippet(path) for path in files],
    "relationships": [],
}
with open(output, "w") as file:
    json.dump(graph, file)
