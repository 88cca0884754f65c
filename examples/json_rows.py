"""A list of dictionaries as JSON and back: many small objects that soon go again.

A program to try an allocator on; docs/record-replay.md records it:
    PYTHONMALLOC=malloc pyslab record -o rows.rec -- python examples/json_rows.py
    pyslab replay rows.rec
"""

import argparse
import json


def main() -> None:
    """Turn the rows into text and back, as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    rows = [
        {"id": i, "name": f"row {i}", "tags": ["a", "b", str(i % 7)]} for i in range(options.rows)
    ]
    for _ in range(options.times):
        text = json.dumps(rows)
        rows = json.loads(text)
    print(f"{len(rows)} rows, {len(text) / 1e6:.1f} MB of JSON")


if __name__ == "__main__":
    main()
