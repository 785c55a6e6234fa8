#!/usr/bin/env bash
# varlinkctl of systemd 255 or later, which nobody here wrote, against the control socket: it lists
# and describes what there is, checks our interface file, calls, follows a stop, shows errors.
#
# Where it is not installed (Debian 12 has systemd 252), Debian 13's packages are downloaded and
# only unpacked, with the libraries they want, into target/judges.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { say "skipped: needs root and /dev/fuse" && exit 77; }
command -v jq >/dev/null || { say "skipped: needs jq" && exit 77; }
place=$root/target/judges/varlinkctl-trixie
packages=(systemd libsystemd-shared libc6 libacl1 libblkid1 libcap2 libcrypt1 libmount1 libssl3t64
  libpam0g libseccomp2 libselinux1)

unpacked() {
  "$place/usr/lib64/ld-linux-x86-64.so.2" \
    --library-path "$place/usr/lib/x86_64-linux-gnu:$place/usr/lib/x86_64-linux-gnu/systemd" \
    "$place/usr/bin/varlinkctl" "$@"
}
# Debian 13's packages by apt's own means: a list of sources, lists and a cache that are not the
# machine's, and the machine's keys.
unpack() {
  local apt=$work/apt new=$work/unpacked package
  mkdir -p "$apt"/{lists/partial,cache/archives/partial} "$new" "$root/target/judges"
  printf '%s\n' 'Types: deb' 'URIs: http://deb.debian.org/debian' 'Suites: trixie' \
    'Components: main' 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' \
    >"$apt/trixie.sources"
  local options=(-q -o "Dir::Etc::sourcelist=$apt/trixie.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
    -o Acquire::Retries=1)
  timeout 120 apt-get "${options[@]}" update >"$work/apt.log" 2>&1 || return 1
  (cd "$apt" && timeout 120 apt-get "${options[@]}" download "${packages[@]}") \
    >>"$work/apt.log" 2>&1 || return 1
  for package in "$apt"/*.deb; do dpkg-deb -x "$package" "$new" || return 1; done
  rm -rf "$place"
  mv "$new" "$place"
}

if command -v varlinkctl >/dev/null; then
  varlinkctl=varlinkctl
else
  varlinkctl=unpacked
  if ! unpacked --version >/dev/null 2>&1; then
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] ||
      { say "skipped: needs systemd 255 or later, or Debian on amd64" && exit 77; }
    say "unpacking Debian 13's systemd into $place"
    unpack || { cat "$work/apt.log" && say "skipped: Debian's packages are not to be had" && exit 77; }
  fi
fi
version=$("$varlinkctl" --version | head -n 1)
say "$version"

socket=$XDG_RUNTIME_DIR/minirdr/$name.sock
control=io.minirdr.Control
# call METHOD PARAMETERS [OPTION...] : its replies are in $out, an error's name in $err.
call() {
  local method=$1 parameters=$2
  shift 2
  code=0
  "$varlinkctl" -j "$@" call "$socket" "$control.$method" "$parameters" \
    >"$work/out" 2>"$work/err" || code=$?
  out=$(<"$work/out") err=$(<"$work/err")
}
is() { [ "$1" = "$2" ] || fail "${3:-it said} '$1' instead of '$2': $out $err"; }
has() { case "$1" in *"$2"*) ;; *) fail "'$2' is not in: $1" ;; esac; }

mount_with
"$varlinkctl" validate-idl "$root/docs/$control.varlink" >/dev/null || fail "our interface file"
has "$("$varlinkctl" info "$socket")" "Product: minirdr"
is "$("$varlinkctl" list-interfaces "$socket" | tr '\n' ' ')" "$control org.varlink.service "
is "$("$varlinkctl" list-methods "$socket" | grep -c "^$control\.")" \
  "$(grep -c '^method ' "$root/docs/$control.varlink")" "methods"
"$varlinkctl" introspect "$socket" "$control" >"$work/described" || fail "introspect"
has "$(<"$work/described")" "method Stop("

call Status '{}'
is "$code $(jq -r .state <<<"$out")" "0 started"
call Wait '{"ticket": 99}'
is "$code" 1 "a ticket that never was ended with"
has "$err" "$control.UnknownTicket"
has "$out" "ticket 99 is not known"
call Stop '{"options": {"dead_line_s": 1}}'
is "$code" 1
has "$err" org.varlink.service.InvalidParameter

call Stop '{"options": {"reason": "a judge"}}' --more
is "$code" 0 "the stop ended with"
is "$(head -n 1 <<<"$out" | jq -c '[.status, .ticket]')" "[259,2]"
is "$(jq -r 'select(.event).event.kind | select(. != "draining" and . != "save_config")' <<<"$out" | tr '\n' ' ')" \
  "stop_requested sealed redirector_stopped dispatcher_spun_down stopped "
is "$(tail -n 1 <<<"$out" | jq -r .report.result)" success
call Stop '{}'
is "$(jq -r .report.result <<<"$out")" already_stopped
call Start '{}' --more
is "$(tail -n 1 <<<"$out" | jq -r .report.result)" success
unmount
say "varlinkctl is content"
