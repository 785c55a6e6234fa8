#!/usr/bin/env bash
# TIMEOUT: 120
# namespace.md, invariant 4, and S-116: a prefix goes from one source to another and back, again
# and again, under load: nobody below another prefix meets an error, nobody below this one finds no
# name, and the next open after each swap has the new bytes, although the kernel may believe names
# for 60 s.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net -o entry_timeout=60,attr_timeout=60,negative_timeout=60
mkdir "$TEST_DIR/a/d" "$TEST_DIR/b/d"
echo a >"$TEST_DIR/a/d/x" && echo b >"$TEST_DIR/b/d/x"
cat >"$TEST_DIR/load.py" <<'END'
import errno, os, sys, threading, time
base, stop, bad = sys.argv[1], threading.Event(), []
rounds = [0, 0]
def others(number):
    path = f"{base}/srv2/tmp/load{number}"
    while not stop.is_set():
        try:
            with open(path, "w") as out: out.write("x" * 5000)
            with open(path) as back: assert len(back.read()) == 5000
            os.listdir(f"{base}/srv1"); os.stat(f"{base}/srv1/scratch"); os.unlink(path)
            rounds[0] += 1
        except Exception as error:
            bad.append(f"{path}: {error!r}")
def same():
    while not stop.is_set():
        try:
            with open(f"{base}/srv1/docs/d/x") as file: assert file.read() in ("a\n", "b\n")
            os.scandir(f"{base}/srv1/docs").close()
            rounds[1] += 1
        except OSError as error:
            # Opened through the old one, and used after the swap.
            if error.errno != errno.ESTALE: bad.append(f"docs: {error!r}")
threads = [threading.Thread(target=others, args=(n,)) for n in range(2)]
threads.append(threading.Thread(target=same))
for thread in threads: thread.start()
sys.stdin.readline()
stop.set()
for thread in threads: thread.join()
print(*bad[:5], sep="\n") if bad else print("good", *rounds)
END
mkfifo "$TEST_DIR/go"
python3 "$TEST_DIR/load.py" "$TEST_MNT" <"$TEST_DIR/go" >"$TEST_DIR/load.out" &
load=$!
exec {go}>"$TEST_DIR/go"
wait_until "it runs" test -e "$TEST_MNT/srv2/tmp/load1"
for round in $(seq 25); do
  for to in b a; do
    run rdr provider replace "$NAME" --provider docs --source "local:$TEST_DIR/$to"
    [ "$code" = 0 ] || [ "$code" = 10 ] || fail "round $round: exit $code"
    assert_eq "$(look srv1/docs/d/x)" "$to" "round $round"
  done
done
echo >&"$go"
wait "$load"
say "$(cat "$TEST_DIR/load.out")"
assert_has "$(cat "$TEST_DIR/load.out")" good
assert_lacks "$(cat "$TEST_DIR/load.out")" " 0"
wait_until "all that left is gone" have_shares \
  "docs running /srv1/docs,scratch running /srv1/scratch,scratch running /srv2/tmp"
