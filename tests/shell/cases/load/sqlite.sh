#!/usr/bin/env bash
# TIMEOUT: 90
# S-31, S-19: a stop in the middle of transactions: they fail with an error, and after the start the
# database is whole, with every row that was committed and none of a transaction that was not.
. "$TEST_LIB/common.sh"
need python3 jq
cat >"$TEST_DIR/load.py" <<'P'
import sqlite3, sys
base = sqlite3.connect("db", isolation_level=None)
base.execute("PRAGMA journal_mode=" + sys.argv[1])
base.execute("CREATE TABLE IF NOT EXISTS t(round INT, part INT)")
done = 0
try:
    while True:
        base.execute("BEGIN")
        for part in range(10):
            base.execute("INSERT INTO t VALUES(?, ?)", (done, part))
        base.execute("COMMIT")
        done += 1
        print(done, flush=True)
except sqlite3.Error as error:
    print("error", error, flush=True)
P
cat >"$TEST_DIR/check.py" <<'P'
import sqlite3, sys
base = sqlite3.connect("db")
assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
rounds = base.execute("SELECT round, count(*) FROM t GROUP BY round ORDER BY round").fetchall()
assert all(count == 10 for _, count in rounds), "half a transaction"
said = int(sys.argv[1])
assert len(rounds) in (said, said + 1), f"{len(rounds)} transactions, {said} committed"
print(len(rounds), "of", said)
P
body() {
  local mode
  for mode in delete wal; do
    rm -f db db-* "$TEST_DIR/said-$mode"
    python3 "$TEST_DIR/load.py" "$mode" >"$TEST_DIR/said-$mode" &
    wait_until "it commits" grep -qsx 20 "$TEST_DIR/said-$mode"
    run rdr stop t --wait
    case "$code" in 0 | 10) ;; *) fail "exit $code" ;; esac
    # By an error; in WAL mode by SIGBUS too, at the shared memory that it has mapped.
    wait $! || :
    expect 0 rdr start t
    python3 "$TEST_DIR/check.py" "$(grep -c '^[0-9]' "$TEST_DIR/said-$mode")"
  done
}
each_source body
