#!/usr/bin/env bash
# systemd itself, in namespaces and a control group of its own, with the unit of contrib/systemd as it
# stands: start, status, a stop while a drain goes on, one that hangs, one with somebody inside, a
# crash, the watchdog, a daemon in the background. Touches nothing outside; takes half a minute.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MINIRDR=$(realpath "${MINIRDR:-$root/target/debug/minirdr}")
say() { echo "judge: $*"; }

# ---- inside: the checks -------------------------------------------------------------------------

conf() { # conf NAME OPTIONS [ASSIGNMENT...] : the configuration of minirdr@NAME
  local name=$1 options=$2
  shift 2
  mkdir -p "/run/judge/$name/back" "/run/judge/$name/mnt"
  printf '%s\n' "MINIRDR_SOURCE=faulty:local:/run/judge/$name/back" \
    "MINIRDR_DIRECTORY=/run/judge/$name/mnt" "MINIRDR_OPTIONS=$options" "$@" >"/etc/minirdr/$name.env"
}
drop_in() { # drop_in NAME LINE... : changes the unit of minirdr@NAME
  mkdir -p "/run/judge/units/minirdr@$1.service.d"
  { echo "[Service]" && printf '%s\n' "${@:2}"; } >"/run/judge/units/minirdr@$1.service.d/judge.conf"
  systemctl daemon-reload
}
property() { systemctl show --property "$2" --value "minirdr@$1"; }
fail() {
  say "FAILED: $*"
  journalctl --no-pager --output short-precise -n 60 | grep -v 'Sent message'
  exit 1
}
# is NAME PROPERTY VALUE... : each property has its value.
is() {
  local name=$1 key value
  shift
  while [ "$#" -gt 0 ]; do
    key=$1 value=$2
    [ "$(property "$name" "$key")" = "$value" ] || fail "$name: $key: $(property "$name" "$key"), not $value"
    shift 2
  done
}
wait_until() { # wait_until WHAT COMMAND... : for 20 s at most
  local what=$1 end=$((SECONDS + 20))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "never: $what"
    read -rt 0.1 <> <(:) || true
  done
}
has_status() { [[ $(property "$1" StatusText) == $2 ]]; }
is_dead() { [ "$(property "$1" ActiveState)" = inactive ]; }
gone() { ! grep -q " /run/judge/$1/mnt " /proc/self/mountinfo; }
restarted() { [ "$(property "$1" NRestarts)" = 1 ] && systemctl is-active --quiet "minirdr@$1"; }
main() { # The main process, and never 0: kill would take that for everybody.
  local pid
  pid=$(property "$1" MainPID)
  [ "$pid" -gt 1 ] || fail "$1 has no main process"
  echo "$pid"
}
heard() { journalctl --no-pager --output cat | grep "^minirdr@$1.service: Got notification message"; }
# ended_well NAME : systemd forgets all it knows of what ended well, but its journal does not.
ended_well() {
  is "$1" ActiveState inactive Result success
  heard "$1" | tail -n 1 | grep -q 'STATUS=ended, all saved' || fail "$1: $(heard "$1" | tail -n 1)"
  [ "$(heard "$1" | grep -c STOPPING=1)" = 1 ] || fail "$1: STOPPING"
  gone "$1" || fail "$1 is mounted still"
}

judge() {
  conf plain rw
  systemctl start minirdr@plain
  is plain ActiveState active StatusText "running: 0 requests, 0 handles, 0 B unsent"
  echo hello >/run/judge/plain/mnt/f
  systemctl reload minirdr@plain || fail "reload"
  has_reloaded() { heard plain | sed -n '/RELOADING=1/,$p' | grep -q READY=1; }
  wait_until "it is ready again" has_reloaded
  is plain ActiveState active SubState running
  minirdr umount plain >/dev/null
  wait_until "it ends by itself" is_dead plain
  ended_well plain
  say "start, reload, an unmount by hand"

  conf fails start=error:EIO
  ! systemctl start minirdr@fails 2>/dev/null || fail "a mount that fails was started"
  is fails Result exit-code ExecMainStatus 1
  has_status fails '*MRxStart failed: Input/output error*' || fail "$(property fails StatusText)"
  say "a mount that fails: $(property fails StatusText)"

  # The drain takes three times as long as systemd waits for what says nothing.
  conf drain write=delay:6s
  drop_in drain TimeoutStopSec=2s
  systemctl start minirdr@drain
  for number in 1 2 3; do (echo "$number" >"/run/judge/drain/mnt/$number") & done
  wait_until "they write" has_status drain 'running: 3 requests, 3 handles*'
  systemctl stop --no-block minirdr@drain
  wait_until "it drains" has_status drain 'stopping (ticket 2, drain): 3 requests*'
  # It ends with 3 for what is not active.
  { systemctl status --no-pager minirdr@drain || true; } | sed -n 's/^ *\(Active\|Status\)/judge:   \1/p'
  wait_until "it has ended" is_dead drain
  wait
  ended_well drain
  [ "$(cat /run/judge/drain/back/{1,2,3} | tr -d '\n')" = 123 ] || fail "not all was saved"
  [ "$(heard drain | grep -c EXTEND_TIMEOUT_USEC)" -ge 2 ] || fail "it asked for no time"
  say "a stop of 6 s with TimeoutStopSec=2s: saved, not killed"

  # So does a server that hangs: our own deadline acts, and names what is lost.
  conf hangs write=hang-uncancellable MINIRDR_STOP_DEADLINE=5s
  drop_in hangs TimeoutStopSec=2s
  systemctl start minirdr@hangs
  (echo lost >/run/judge/hangs/mnt/f) 2>/dev/null &
  wait_until "it hangs" has_status hangs 'running: 1 request*'
  systemctl stop minirdr@hangs
  is hangs Result exit-code ExecMainStatus 13
  is hangs StatusText "ended, not all saved: 1 lost, named in the log"
  gone hangs || fail "hangs is mounted still"
  say "a server that hangs: $(property hangs StatusText)"

  conf busy rw
  systemctl start minirdr@busy
  (cd /run/judge/busy/mnt && exec sleep 600) &
  inside=$!
  is_inside() { [ "$(readlink "/proc/$inside/cwd")" = /run/judge/busy/mnt ]; }
  wait_until "somebody is inside" is_inside
  systemctl stop minirdr@busy
  kill "$inside"
  ended_well busy
  say "a stop with somebody inside: detached"

  conf crash rw
  systemctl start minirdr@crash
  kill -9 "$(main crash)"
  wait_until "it is started again" restarted crash
  echo again >/run/judge/crash/mnt/f || fail "it does not serve"
  systemctl stop minirdr@crash
  ended_well crash
  say "kill -9: started again over the dead mount"

  conf dog rw
  drop_in dog WatchdogSec=2s
  systemctl start minirdr@dog
  read -rt 5 <> <(:) || true
  is dog ActiveState active NRestarts 0
  kill -STOP "$(main dog)"
  wait_until "the watchdog bites" restarted dog
  systemctl stop minirdr@dog
  say "the watchdog: quiet for 5 s of 2 s, and bites a daemon that was stopped"

  conf back rw
  drop_in back ExecStart= "ExecStart=minirdr mount --name %i \${MINIRDR_SOURCE} \${MINIRDR_DIRECTORY}"
  systemctl start minirdr@back
  [ "$(main back)" = "$(minirdr status back --json | jq .mount.pid)" ] || fail "another main process"
  wait_until "it speaks" has_status back 'running: *'
  systemctl stop minirdr@back
  ended_well back
  ! journalctl --no-pager | grep -q "reception only permitted" || fail "somebody else spoke"
  say "in the background: the daemon is the main process, and nobody else spoke"
  say "$(systemctl --version | head -n 1) is content"
}

# ---- inside: before it runs -----------------------------------------------------------------------

boot() {
  local minirdr=$1 unit name
  mount --make-rprivate /
  mount -t proc proc /proc
  mount -t tmpfs tmpfs /run
  umount -R /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p /run/judge/{etc,work,units} /run/lock
  mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/judge/etc,workdir=/run/judge/work /etc
  mount -t tmpfs tmpfs /usr/local/bin
  ln -s "$minirdr" /usr/local/bin/minirdr
  mkdir -p /etc/minirdr /etc/systemd/journald.conf.d
  # Nothing outside is touched: not the kernel's audit, not its log.
  printf '%s\n' '[Journal]' Audit=no ReadKMsg=no Storage=volatile RateLimitBurst=0 \
    >/etc/systemd/journald.conf.d/judge.conf
  # Of all units of this machine it sees the journal's and ours.
  for name in sysinit basic shutdown network-online remote-fs umount multi-user; do
    printf '%s\n' '[Unit]' "Description=$name" DefaultDependencies=no >"/run/judge/units/$name.target"
  done
  for unit in /lib/systemd/system/systemd-journald{,-dev-log}.socket; do
    sed '/^Before=\|^IgnoreOnIsolate=/d' "$unit" >"/run/judge/units/${unit##*/}"
  done
  printf '%s\n' '[Unit]' DefaultDependencies=no '[Service]' Type=notify \
    ExecStart=/lib/systemd/systemd-journald >/run/judge/units/systemd-journald.service
  cp "$2" /run/judge/units/
  exec env -i PATH="$PATH" container=judge SYSTEMD_UNIT_PATH=/run/judge/units \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no
}

# ---- outside --------------------------------------------------------------------------------------

outside() {
  [ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { say "skipped: needs root and /dev/fuse" && exit 77; }
  for need in /lib/systemd/systemd systemctl journalctl unshare nsenter jq; do
    command -v "$need" >/dev/null || { say "skipped: needs $need" && exit 77; }
  done
  group=$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
  [ -n "$group" ] || { say "skipped: needs a cgroup2" && exit 77; }
  group=$group/minirdr-judge.$$
  mkdir "$group" || { say "skipped: needs a control group of its own" && exit 77; }
  (echo "$BASHPID" >"$group/cgroup.procs" &&
    exec unshare -m -p -C -u -i --fork --kill-child bash "$(realpath "$0")" boot "$MINIRDR" \
      "$root/contrib/systemd/minirdr@.service") &
  outer=$!
  # shellcheck disable=SC2317 # The trap calls it.
  clear_up() {
    # Who waits for a mount whose daemon is killed cannot end: its connection is aborted first. Then
    # its processes end with the first of them, and its mounts with the last.
    # shellcheck disable=SC2016 # Expanded inside.
    inner 10 bash -c 'for mnt in /run/judge/*/mnt; do umount -f "$mnt"; done' >/dev/null 2>&1 || true
    kill -9 "$outer" 2>/dev/null || true
    wait "$outer" 2>/dev/null || true
    end=$((SECONDS + 10))
    until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || [ "$SECONDS" -gt "$end" ]; do
      read -rt 0.1 <> <(:) || true
    done
  }
  trap clear_up EXIT
  end=$((SECONDS + 20))
  inner() { # inner LIMIT COMMAND... : beside that systemd
    local pid
    read -r pid _ <"/proc/$outer/task/$outer/children" || [ -n "$pid" ] || return
    timeout "$1" nsenter -t "$pid" -m -p -C -u -i "${@:2}"
  }
  until inner 5 systemctl is-system-running >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { say "skipped: systemd does not come up here" && exit 77; }
    read -rt 0.1 <> <(:) || true
  done
  inner 20 systemctl start systemd-journald.socket systemd-journald.service
  inner 5 systemctl log-target journal
  inner 5 systemctl log-level debug
  inner 180 bash "$(realpath "$0")" judge
}

case "${1:-}" in
  boot) boot "$2" "$3" ;;
  judge) judge ;;
  *) outside ;;
esac
