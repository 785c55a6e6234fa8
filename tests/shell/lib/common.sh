# What every shell case begins with: `. "$TEST_LIB/common.sh"`.
#
# The case has $TEST_DIR to itself, mounts on $TEST_MNT under the name `t`, and ends at the first
# command that fails. `rdr` is minirdr; `run` keeps what a command ended with and said in $code,
# $out and $err; a puppet is another program, which holds files and does as it is told.
set -Eeuo pipefail
trap 'echo "failed: line $LINENO: $BASH_COMMAND" >&2' ERR
trap finish EXIT

export PYTHONPATH=$TEST_LIB PYTHONDONTWRITEBYTECODE=1
declare -A puppet_in puppet_out puppet_pid
NAME=t

say() { echo "# $*"; }
skip() { echo "$*" && exit 77; }
fail() { echo "failed: $*" >&2 && exit 1; }
rdr() { "$MINIRDR" "$@"; }

# need PROGRAM... : skips the case where one is missing.
need() {
  local program
  for program in "$@"; do command -v "$program" >/dev/null || skip "needs $program"; done
}
need_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }
need_fuse() { [ -e /dev/fuse ] || skip "needs /dev/fuse"; }
# user COMMAND... : as nobody in particular.
user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
# need_user : a normal user can mount. Most machines let everybody open /dev/fuse; on others the
# case goes on in a mount namespace where everybody may.
need_user() {
  need_root
  need setpriv fusermount3 unshare jq
  need_fuse
  if [ -n "${TEST_INSIDE:-}" ]; then
    mount --make-rprivate /
    mkdir "$TEST_DIR/dev" && mount -t tmpfs none "$TEST_DIR/dev"
    mknod -m 666 "$TEST_DIR/dev/fuse" c 10 229
    mount --bind "$TEST_DIR/dev/fuse" /dev/fuse
  elif [ "$(stat -c %a /dev/fuse)" != 666 ]; then
    unshare -m true 2>/dev/null || skip "needs /dev/fuse for everybody, or unshare -m"
    TEST_INSIDE=1 exec unshare -m bash "$0"
  fi
}

# run COMMAND... : its exit code is in $code, what it said in $out and $err.
run() {
  code=0
  "$@" >"$TEST_DIR/out" 2>"$TEST_DIR/err" || code=$?
  out=$(<"$TEST_DIR/out") err=$(<"$TEST_DIR/err")
  printf '$ %s  -> %s\n%s\n%s\n' "$*" "$code" "$out" "$err" | sed '/^$/d'
}
# expect CODE COMMAND... : the same, and it must end with this code.
expect() {
  local wanted=$1
  shift
  run "$@"
  [ "$code" = "$wanted" ] || fail "exit $code instead of $wanted: $*"
}
assert_eq() { [ "$1" = "$2" ] || fail "${3:-value}: '$1' instead of '$2'"; }
# assert_has TEXT PART... : each part is in the text.
assert_has() {
  local text=$1 part
  shift
  for part in "$@"; do
    case "$text" in *"$part"*) ;; *) fail "'$part' is not in: $text" ;; esac
  done
}
assert_lacks() { case "$1" in *"$2"*) fail "'$2' is in: $1" ;; esac; }
assert_one_line() { assert_eq "$(printf '%s\n' "$1" | wc -l)" 1 "lines of '$1'"; }
# assert_errno PATTERN COMMAND... : it fails, and says why in these words.
assert_errno() {
  local words=$1
  shift
  run "$@"
  [ "$code" != 0 ] || fail "should have failed: $*"
  assert_has "$err" "$words"
}

# wait_until WHAT COMMAND... : until it succeeds; 20 s at most.
wait_until() {
  local what=$1 end=$((SECONDS + 20))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "never: $what"
    sleep 0.05
  done
}
# took_less SECONDS COMMAND... : and it succeeds.
took_less() {
  local limit=$1 from to
  shift
  from=$(date +%s%N)
  "$@"
  to=$(date +%s%N)
  [ $((to - from)) -lt $((limit * 1000000000)) ] || fail "took $(((to - from) / 1000000)) ms: $*"
}

# mount_rdr SOURCE [ARGUMENT...] : on $TEST_MNT, named t, with a log.
mount_rdr() {
  need_fuse
  local source=$1
  shift
  run rdr mount "$source" "$TEST_MNT" --name "$NAME" --log "$TEST_DIR/daemon.log" "$@"
  [ "$code" = 0 ] || fail "mount ended with $code"
}
# each_source FUNCTION : runs it on a mount of memory: and on one of local:, with $each_options. It
# is told which in $SOURCE.
each_source() {
  local source
  mkdir -p "$TEST_DIR/back"
  for source in memory: "local:$TEST_DIR/back"; do
    say "on $source"
    mount_rdr "$source" ${each_options:+-o "$each_options"}
    (cd "$TEST_MNT" && SOURCE=$source "$@")
    expect 0 rdr umount "$NAME"
  done
}
daemon_pid() { rdr status "$NAME" --json | jq .mount.pid; }
state() { rdr status "$NAME" --json | jq -r .mount.state; }
is_state() { [ "$(state)" = "$1" ]; }
is_mounted() { grep -qF " $1 " /proc/self/mountinfo; }
is_gone() { ! is_mounted "$TEST_MNT" && ! [ -e "$XDG_RUNTIME_DIR/minirdr/$NAME.sock" ]; }
ended() { ! [ -e "/proc/$1" ]; }

# puppet NAME : starts a program called NAME (puppet.py says what it can).
puppet() {
  need python3
  mkfifo "$TEST_DIR/$1.in" "$TEST_DIR/$1.out"
  python3 "$TEST_LIB/puppet.py" "$1" <"$TEST_DIR/$1.in" >"$TEST_DIR/$1.out" &
  puppet_pid[$1]=$!
  exec {into}>"$TEST_DIR/$1.in" {from}<"$TEST_DIR/$1.out"
  puppet_in[$1]=$into puppet_out[$1]=$from
}
# tell NAME COMMAND... : does not wait for the answer; `answer NAME` does.
tell() {
  local name=$1
  shift
  echo "$*" >&"${puppet_in[$name]}"
}
answer() {
  local line
  read -r -t 20 -u "${puppet_out[$1]}" line || fail "puppet $1 does not answer"
  echo "$line"
}
ask() {
  tell "$@"
  answer "$1"
}
# ask_ok NAME COMMAND... / ask_error NAME ERRNO COMMAND...
ask_ok() {
  local line
  line=$(ask "$@")
  case "$line" in ok*) ;; *) fail "puppet $*: $line" ;; esac
}
ask_error() {
  local name=$1 wanted=$2 line
  shift 2
  line=$(ask "$name" "$@")
  case "$line" in "error $wanted "*) ;; *) fail "puppet $name $*: $line, not $wanted" ;; esac
}
has_answered() { read -r -t 0 -u "${puppet_out[$1]}"; }

# At the end of every case: what it mounted is unmounted in the orderly way, or the daemon is ended.
finish() {
  local code=$? pid
  trap - ERR
  set +e
  for pid in $(jobs -p); do kill -9 "$pid"; done 2>/dev/null
  if is_mounted "$TEST_MNT"; then
    [ "$code" = 0 ] || timeout 5 "$MINIRDR" events "$NAME"
    timeout 20 "$MINIRDR" umount "$NAME" --deadline 5s --on-deadline abort
    is_mounted "$TEST_MNT" && umount -l "$TEST_MNT"
  fi
  [ "$code" = 0 ] || [ "$code" = 77 ] || tail -n 20 "$TEST_DIR/daemon.log" 2>/dev/null
  exit "$code"
}
