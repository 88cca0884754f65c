"""Programs that run once and print: interpreters, compilers, tools. Each gives a text to compare.

A program is a function of a Session; what it returns must not depend on the allocator.
"""

from __future__ import annotations

import re
from textwrap import dedent

from tests.malloc.system.session import Session, program

NODE = """
const { Worker, isMainThread, parentPort } = require("worker_threads");
const zlib = require("zlib"), crypto = require("crypto");
function work(n) {
  const kept = new Map();
  for (let i = 0; i < n; i++) {
    kept.set(i % 5000, Buffer.alloc(16 + (i * 37) % 4000, i & 255));
    if (i % 1000 === 0) kept.set(-1, zlib.gzipSync(JSON.stringify([...kept.keys()])));
  }
  const hash = crypto.createHash("sha256");
  for (const key of [...kept.keys()].sort((a, b) => a - b).filter((k) => k >= 0))
    hash.update(kept.get(key));
  return hash.digest("hex");
}
if (isMainThread) {
  let left = 3;
  const results = [work(20000)];
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(__filename);
    worker.on("message", (text) => {
      results.push(text);
      if (--left === 0) console.log(results.join("\\n"));
    });
  }
} else {
  parentPort.postMessage(work(20000));
}
"""

JAVA = """
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;

public class Work {
    // Compiled, this has no test for null: the machine's handler of SIGSEGV makes the exception.
    static int lengthOf(String text) {
        try {
            return text.length();
        } catch (NullPointerException exception) {
            return -1;
        }
    }
    static long nulls() {
        long sum = 0;
        for (int i = 0; i < 2000000; i++) sum += lengthOf(i == 1999999 ? null : "text");
        return sum;
    }
    static long work(int seed) throws Exception {
        Random random = new Random(seed);
        List<java.nio.ByteBuffer> kept = new ArrayList<>();
        long sum = 0;
        for (int i = 0; i < 2000; i++) {
            byte[] bytes = new byte[16 + random.nextInt(8000)];
            random.nextBytes(bytes);
            Deflater deflater = new Deflater();
            deflater.setInput(bytes);
            deflater.finish();
            sum += deflater.deflate(new byte[16384]);
            deflater.end();
            kept.add(java.nio.ByteBuffer.allocateDirect(bytes.length).put(bytes));
            if (kept.size() > 200) kept.remove(random.nextInt(200));
        }
        return sum;
    }
    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Long>> results = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            final int seed = i;
            results.add(pool.submit(() -> work(seed)));
        }
        for (Future<Long> result : results) System.out.println(result.get());
        System.out.println(nulls());
        pool.shutdown();
    }
}
"""

PHP = """<?php
foreach (["json", "dom", "mbstring", "pdo_sqlite"] as $name)
    if (!extension_loaded($name)) { echo "no extension $name\\n"; exit(3); }
$db = new PDO("sqlite::memory:");
$db->exec("create table t (k integer primary key, v text)");
$insert = $db->prepare("insert into t (v) values (?)");
for ($i = 0; $i < 20000; $i++) $insert->execute([str_repeat(chr(97 + $i % 26), $i % 300)]);
echo $db->query("select count(*) || ' ' || sum(length(v)) from t")->fetchColumn(), "\\n";
$document = new DOMDocument();
$root = $document->appendChild($document->createElement("root"));
for ($i = 0; $i < 20000; $i++) $root->appendChild($document->createElement("n", "text $i"));
echo md5($document->saveXML()), "\\n";
$rows = [];
for ($i = 0; $i < 50000; $i++) $rows["key$i"] = ["a" => $i, "b" => mb_strtoupper("straße $i")];
echo md5(json_encode($rows)), "\\n", preg_match_all('/key(\\d+)/', json_encode($rows)), "\\n";
"""

RUBY = """
require "json"
require "digest"
threads = 4.times.map do |t|
  Thread.new do
    rows = (0...20000).map { |i| { "id" => i, "text" => "x" * ((i * 7 + t) % 200) } }
    Digest::SHA256.hexdigest(JSON.generate(JSON.parse(JSON.generate(rows))))
  end
end
puts threads.map(&:value)
GC.start
child = fork { puts Digest::SHA256.hexdigest("child" * 100000); $stdout.flush; exit!(0) }
Process.wait(child)
puts $?.exitstatus
"""

PERL = """
use strict; use threads;
my @workers = map { my $t = $_; threads->create(sub {
    my %kept;
    $kept{$_ % 3000} = "x" x (($_ * 13 + $t) % 500) for 1 .. 60000;
    my $sum = 0; $sum += length for values %kept; return $sum;
}) } 1 .. 4;
print $_->join, "\\n" for @workers;
my $text = join " ", map { "word$_" } 1 .. 100000;
my $nr = () = $text =~ /word(\\d*7)\\b/g; print "$nr\\n";
if (my $child = fork) { waitpid $child, 0; print $?, "\\n" } else { exit 0 }
"""

SQL = """
create table t (k integer primary key, v text, n real);
with recursive c (i) as (select 1 union all select i + 1 from c where i < 200000)
insert into t select i, printf('%.*c', i % 90, 'x'), i * 0.5 from c;
create index by_text on t (v, n);
select count(*), sum(length(v)), sum(n) from t;
select v, count(*), group_concat(k % 7) from t where k < 5000 group by v order by 2, 1 limit 20;
delete from t where k % 3 = 0;
vacuum;
select count(*), max(k) from t;
pragma integrity_check;
"""


@program("node", packages="nodejs")
def node(session: Session) -> str:
    """Buffers, zlib and crypto in four threads."""
    return session.run(["node", session.write("work.js", NODE)])


@program("java", "javac", packages="default-jdk-headless")
def java(session: Session) -> str:
    """The compiler, then direct buffers and deflate in four threads; a fault of its own."""
    session.run(["javac", "-d", ".", session.write("Work.java", JAVA)])
    return session.run(["java", "-Xmx256m", "-cp", ".", "Work"])


@program("python3", packages="python3 libpython3-testsuite")
def python(session: Session) -> str:
    """CPython's own tests of faulthandler, whose children end by signals of all kinds."""
    tests = ["-m", "unittest", "test.test_faulthandler"]
    told = session.run(["env", "PYTHONMALLOC=malloc", "python3", *tests], errors=True)
    return re.sub(r" in [0-9.]+s", "", told[told.rindex("Ran ") :])


@program("php", packages="php-cli php-xml php-mbstring php-sqlite3")
def php(session: Session) -> str:
    """Extensions, which PHP loads with RTLD_DEEPBIND: dom, mbstring, pdo_sqlite."""
    return session.run(["php", session.write("work.php", PHP)])


@program("ruby", packages="ruby")
def ruby(session: Session) -> str:
    """JSON in four threads, and a fork."""
    return session.run(["ruby", session.write("work.rb", RUBY)])


@program("perl", packages="perl")
def perl(session: Session) -> str:
    """Four interpreters in four threads, a regular expression, and a fork."""
    return session.run(["perl", session.write("work.pl", PERL)])


@program("sqlite3", packages="sqlite3")
def sqlite3(session: Session) -> str:
    """200,000 rows, an index, groups, a vacuum."""
    return session.run(["sqlite3", "test.db"], text=SQL)


@program("git", packages="git")
def git(session: Session) -> str:
    """300 commits, a repack in threads, fsck, a clone, a log."""
    stream = ["reset refs/heads/main"]
    for i in range(300):
        text = "".join(f"line {j} of commit {i}\n" for j in range(i % 50 + 1))
        stream += [
            "commit refs/heads/main",
            f"committer A <a@example.org> {1700000000 + i} +0000",
            f"data {len(f'commit {i}')}",
            f"commit {i}",
            f"M 644 inline file{i % 20}",
            f"data {len(text)}",
            text,
        ]
    session.run(["git", "init", "-q", "-b", "main", "one"])
    session.run(["git", "-C", "one", "fast-import", "--quiet"], text="\n".join(stream))
    session.run(["git", "-C", "one", "gc", "--aggressive", "-q"])
    session.run(["git", "-C", "one", "fsck", "--full", "--no-progress"])
    session.run(["git", "clone", "-q", "one", "two"])
    return session.run(["git", "-C", "two", "log", "--format=%H %s", "--stat"])


@program("gdb", "gcc", packages="gdb gcc")
def gdb(session: Session) -> str:
    """A breakpoint, a backtrace, a call into the program, and a core file of the whole of it."""
    source = """
        #include <stdlib.h>
        #include <string.h>
        static char *deep(int n) { return n ? deep(n - 1) : strdup("found"); }
        int main(void) { char *text = deep(5); int last = text[0]; free(text); return last == 0; }
    """
    session.run(["gcc", "-g", "-O0", "-o", "traced", session.write("traced.c", dedent(source))])
    script = ["break deep if n == 0", "run", "bt", 'call (int)strlen("inside")', "gcore core.file"]
    options = [word for line in [*script, "continue"] for word in ("-ex", line)]
    text = session.run(["gdb", "-batch", "-nx", *options, "./traced"])
    mib = (session.folder / "core.file").stat().st_blocks // 2048
    calls = re.findall(r"(?:deep|main) \(.*\) at", text)
    return f"{calls}\n{'$1 = 6' in text}\n{'exited normally' in text}\nsmall core: {mib < 64}"


@program("valgrind", "gcc", packages="valgrind gcc libc6-dbg")
def valgrind(session: Session) -> str:
    """Memcheck over a program that reads what it never wrote."""
    source = """
        #include <stdlib.h>
        int main(void) { volatile int x; int *p = malloc(40); if (x == 3) p[1] = 7;
                         p[0] = 1; int r = p[0]; free(p); return r - 1; }
    """
    session.run(["gcc", "-g", "-O0", "-w", "-o", "read", session.write("read.c", dedent(source))])
    done = session.run(["valgrind", "--error-exitcode=9", "./read"], status=9, errors=True)
    return str("depends on uninitialised value" in done)
