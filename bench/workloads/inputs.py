"""Inputs for the real programs, made from fixed seeds.

What is here: one function per input; each writes a file or returns a text. What is not: who
reads it (`programs.py`). Invariant: the same arguments give the same bytes on every machine.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

_WORDS = 5000
_SEED = 20240607


def words(seed: int = _SEED) -> list[str]:
    """Return pronounceable words of 2 to 14 letters."""
    rng = random.Random(seed)
    found = []
    for _ in range(_WORDS):
        pairs = rng.randint(1, 7)
        found.append(
            "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(pairs))
        )
    return found


def text(nr_lines: int, seed: int = _SEED) -> str:
    """Return lines of words and numbers, in no order."""
    rng = random.Random(seed)
    table = words()
    lines = []
    for number in range(nr_lines):
        chosen = rng.choices(table, k=rng.randint(2, 9))
        lines.append(f"{rng.randrange(10**9)} {' '.join(chosen)} {number}")
    return "\n".join(lines) + "\n"


def cxx_source(nr_types: int) -> str:
    """Return a C++ program that instantiates the standard containers for many types."""
    parts = [
        "#include <algorithm>\n#include <functional>\n#include <map>\n#include <memory>\n"
        "#include <set>\n#include <sstream>\n#include <string>\n#include <unordered_map>\n"
        "#include <vector>\n"
    ]
    for n in range(nr_types):
        parts.append(
            f"struct T{n} {{ int key; std::string name; std::vector<double> values; }};\n"
            f"bool operator<(const T{n} &a, const T{n} &b) {{ return a.key < b.key; }}\n"
            f"double use{n}(int n) {{\n"
            f"  std::map<std::string, std::vector<T{n}>> groups;\n"
            f"  std::unordered_map<int, std::shared_ptr<T{n}>> index;\n"
            f"  std::set<T{n}> ordered;\n"
            f"  for (int i = 0; i < n; i++) {{\n"
            f"    T{n} made{{i * {n + 3} % 97, std::to_string(i), {{}}}};\n"
            f"    auto item = std::make_shared<T{n}>(made);\n"
            f"    item->values.assign(i % 7 + 1, i * 0.5);\n"
            f"    groups[item->name].push_back(*item); index[i] = item; ordered.insert(*item);\n"
            f"  }}\n"
            f"  double sum = 0;\n"
            f"  for (auto &group : groups) {{\n"
            f"    std::sort(group.second.begin(), group.second.end());\n"
            f"    for (auto &item : group.second) for (double x : item.values) sum += x;\n"
            f"  }}\n"
            f"  std::function<double(double)> scale =\n"
            f"    [&](double x) {{ return x * index.size(); }};\n"
            f"  return scale(sum) + ordered.size();\n}}\n"
        )
    parts.append("int main() { double sum = 0;\n")
    parts += [f"  sum += use{n}(10);\n" for n in range(nr_types)]
    parts.append("  return sum > 0 ? 0 : 1; }\n")
    return "".join(parts)


def problem(size: int) -> str:
    """Return SMT-LIB: pigeons that do not fit, a puzzle of integers, polynomials to expand."""
    rng = random.Random(_SEED)
    parts = [_pigeons(4 + size // 40), _puzzle(size, rng)]
    parts.append([f"(declare-const p{i} Real)" for i in range(30)])
    parts.append([f"(simplify {_polynomial(9, rng)})" for _ in range(size)])
    return "\n".join(line for part in parts for line in part) + "\n"


def _pigeons(holes: int) -> list[str]:
    """One pigeon more than holes: unsatisfiable, and long to find out."""
    lines = ["(push)"]
    for p in range(holes + 1):
        lines += [f"(declare-const b{p}_{h} Bool)" for h in range(holes)]
        lines.append("(assert (or " + " ".join(f"b{p}_{h}" for h in range(holes)) + "))")
    for h in range(holes):
        for p in range(holes + 1):
            lines += [f"(assert (not (and b{p}_{h} b{q}_{h})))" for q in range(p)]
    return [*lines, "(check-sat)", "(pop)"]


def _puzzle(size: int, rng: random.Random) -> list[str]:
    lines = ["(push)"]
    for i in range(size):
        lines.append(f"(declare-const x{i} Int)")
        lines.append(f"(assert (and (<= 0 x{i}) (<= x{i} {size})))")
    for i in range(size):
        for _ in range(3):
            j, k = rng.randrange(size), rng.randrange(size)
            first = f"(<= (+ x{i} (* {rng.randint(1, 5)} x{j})) (- x{k} {rng.randint(0, 9)}))"
            lines.append(f"(assert (or {first} (>= x{j} (+ x{i} {rng.randint(0, 5)}))))")
    return [*lines, "(check-sat)", "(pop)"]


def _polynomial(depth: int, rng: random.Random) -> str:
    if depth == 0:
        return f"p{rng.randrange(30)}" if rng.random() < 0.5 else str(rng.randint(1, 9))
    return f"({rng.choice('+*-')} {_polynomial(depth - 1, rng)} {_polynomial(depth - 1, rng)})"


def repository(git: str, folder: Path, nr_commits: int, environment: dict[str, str]) -> None:
    """Make a bare repository in which each commit changes some of 60 text files."""
    rng = random.Random(_SEED)
    table = words()
    files = {
        f"dir{n % 6}/file{n}.txt": [" ".join(rng.choices(table, k=8)) for _ in range(120)]
        for n in range(60)
    }
    stream = []
    for commit in range(nr_commits):
        stream.append("commit refs/heads/main\n")
        stream.append(f"committer A <a@example.org> {1700000000 + commit * 60} +0000\n")
        message = f"Change {commit}\n"
        stream.append(f"data {len(message)}\n{message}")
        for name in sorted(files) if commit == 0 else rng.sample(sorted(files), 4):
            lines = files[name]
            for _ in range(6):
                lines[rng.randrange(len(lines))] = " ".join(rng.choices(table, k=8))
            body = "\n".join(lines) + "\n"
            stream.append(f"M 644 inline {name}\ndata {len(body)}\n{body}")
    subprocess.run([git, "init", "--quiet", "--bare", str(folder)], check=True, env=environment)
    subprocess.run(
        [git, "fast-import", "--quiet"],
        input="".join(stream).encode(), cwd=folder, check=True, env=environment,
    )  # fmt: skip
