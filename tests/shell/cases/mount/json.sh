#!/usr/bin/env bash
# TIMEOUT: 30
# S-09: list, status, handles, requests, events and stop answer with JSON of schema minirdr/1.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
puppet holder
ask_ok holder open f c "$TEST_MNT/held"
json() { expect "$1" rdr "${@:2}" --json && jq -e . >/dev/null <<<"$out"; }
is() { assert_eq "$(jq -r "$1" <<<"$out")" "$2" "$1"; }
json 0 list && is .schema minirdr/1 && is '.mounts[0].name' t && is '.mounts | length' 1
json 0 status t && is .schema minirdr/1 && is .mount.state running && is .mount.open_handles 1
is .mount.mount_point "$TEST_MNT"
json 0 handles t && is .schema minirdr/1 && is '.handles[0].path' held
is '.holders[] | select(.command == "holder") | .pid' "${puppet_pid[holder]}"
json 0 requests t && is .schema minirdr/1 && is '.requests | length' 0
json 0 events t && is .schema minirdr/1 && is '.events[0].seq' 1
json 10 stop t --check && is .result has_open_handles && is .exit_code 10
json 0 stop t && is .schema minirdr/1 && is .result pending && is '.ticket | type' number
json 10 wait t && is .result has_open_handles && is .report.unmounted false
is '.report.survivors[0].path' held
json 3 status nobody && is .error.code not_running
