"""The scripts that the interpreters run: Python on JSON and on SQLite, and Perl.

What is here: texts, with %(n)d for their size. What is not: how they are started
(`programs.py`). Invariant: each prints a checksum of its work and nothing else.
"""

PYTHON_JSON = """
import json, random
rng = random.Random(1)
def thing(depth):
    if depth == 0:
        return rng.choice([rng.random(), rng.randrange(10**9), "x" * rng.randrange(40), None, True])
    if rng.random() < 0.5:
        return [thing(depth - 1) for _ in range(6)]
    return {"key%%d" %% rng.randrange(1000): thing(depth - 1) for _ in range(6)}
document = [thing(4) for _ in range(%(n)d)]
total = 0
for _ in range(3):
    text = json.dumps(document)
    total += len(text)
    document = json.loads(text)
    total += len(json.dumps(document, indent=1, sort_keys=True).splitlines())
print(total)
"""

PYTHON_SQLITE = """
import random, sqlite3
rng = random.Random(1)
db = sqlite3.connect(":memory:")
db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, amount REAL, note TEXT)")
rows = (("customer%%d" %% rng.randrange(500), rng.random() * 100, "n" * rng.randrange(200))
        for _ in range(%(n)d))
db.executemany("INSERT INTO orders (customer, amount, note) VALUES (?, ?, ?)", rows)
db.execute("CREATE INDEX by_customer ON orders (customer, amount)")
total = 0
for n in range(300):
    name = "customer%%d" %% rng.randrange(500)
    found = db.execute("SELECT id, amount, note FROM orders WHERE customer = ? ORDER BY amount",
                       (name,)).fetchall()
    total += sum(len(note) for _, _, note in found)
    db.execute("UPDATE orders SET note = note || 'x' WHERE customer = ?", (name,))
for query in ("SELECT customer, sum(amount), group_concat(note) FROM orders GROUP BY customer",
              "SELECT a.id, b.id FROM orders a JOIN orders b ON b.id = a.id + 7 ORDER BY a.note"):
    for row in db.execute(query):
        total += len(str(row[0]))
print(total)
"""

PERL = """
use strict; use warnings;
my (%%count, %%lines, @order); my $n = 0;
while (my $line = <STDIN>) {
    last if $n++ >= %(n)d;
    chomp $line;
    my @words = split / /, $line;
    for my $word (@words) { $count{$word}++; push @{$lines{$word}}, $n if length($word) > 6; }
    push @order, join("-", reverse @words);
}
my $total = 0;
for my $word (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %%count) {
    $total = ($total * 31 + $count{$word} + scalar @{$lines{$word} || []}) %% 1000003;
}
$total += length for sort @order;
print "$total\\n";
"""
