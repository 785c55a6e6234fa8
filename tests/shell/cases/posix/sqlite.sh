#!/usr/bin/env bash
# TIMEOUT: 120
# S-11, S-14: SQLite in WAL mode, several writers at once: shared memory, byte-range locks, fsync.
. "$TEST_LIB/common.sh"
need sqlite3
body() {
  local writer pids=()
  assert_eq "$(sqlite3 db 'PRAGMA journal_mode=wal; CREATE TABLE t(w INT, n INT);')" wal
  for writer in 1 2 3; do
    (for number in $(seq 50); do
      echo "PRAGMA busy_timeout=20000; INSERT INTO t VALUES($writer, $number);"
    done | sqlite3 db >/dev/null) &
    pids+=($!)
  done
  for writer in "${pids[@]}"; do wait "$writer"; done
  assert_eq "$(sqlite3 db 'SELECT count(*), sum(n) FROM t;')" "150|3825"
  assert_eq "$(sqlite3 db 'PRAGMA integrity_check; PRAGMA wal_checkpoint(TRUNCATE);')" \
    "ok"$'\n'"0|0|0"
  sqlite3 db 'PRAGMA journal_mode=delete; VACUUM;' >/dev/null
  assert_eq "$(sqlite3 db 'SELECT count(*) FROM t;')" 150
}
each_source body
