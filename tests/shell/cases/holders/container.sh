#!/usr/bin/env bash
# TIMEOUT: 40
# A holder in a container is told by the container's number, which its control group has in its
# name: with `handles` and a check, in the table and in JSON.
. "$TEST_LIB/common.sh"
need_root
need jq
group=
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
  [ -w "$hierarchy/cgroup.procs" ] || continue
  id=$(printf '%064x' $$)
  group=$hierarchy/minirdr-test-$$
  mkdir "$group" "$group/docker-$id.scope" 2>/dev/null && break
  group=
done
[ -n "$group" ] || skip "needs a control group hierarchy that can be written"
# The groups can go when nobody is in them any more.
trap 'finish; rmdir "$group"/*.scope "$group"' EXIT
mount_rdr memory:
echo text >"$TEST_MNT/f"
sh -c "echo \$\$ >$group/docker-$id.scope/cgroup.procs &&
  exec 3<$TEST_MNT/f && echo >$TEST_DIR/inside && exec tail -f /dev/null <&3" &
inside=$!
wait_until "it holds the file" test -s "$TEST_DIR/inside"
expect 10 rdr stop t --check --json
assert_eq "$(jq -r '.holders[] | select(.path == "f") | .container' <<<"$out" | uniq)" "$id"
expect 0 rdr handles t --json
assert_eq "$(jq -r '.holders[] | select(.path == "f") | .container' <<<"$out" | uniq)" "$id"
expect 10 rdr stop t --check -o HOLDER,CONTAINER
assert_has "$out" "$id"
kill "$inside"
wait "$inside" || :
expect 0 rdr stop t --check
