#!/usr/bin/env bash
# Debian's promtool, node_exporter and Prometheus against contrib/prometheus: the text and the files
# are well-formed, the alerts say what their tests say, and what the script writes arrives in a
# database; a daemon that is killed shows as one that does not answer.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { say "skipped: needs root and /dev/fuse" && exit 77; }
for program in promtool prometheus prometheus-node-exporter curl jq; do
  command -v "$program" >/dev/null || {
    say "skipped: needs apt-get install prometheus prometheus-node-exporter curl jq" && exit 77
  }
done
contrib=$root/contrib/prometheus
pids=()
end() {
  [ "${#pids[@]}" = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  finish
}
trap end EXIT

(cd "$contrib" && promtool check config prometheus.yml && promtool test rules minirdr.rules.test.yml) ||
  fail "promtool"
mount_with
"$MINIRDR" metrics "$name" --format prometheus | promtool check metrics || fail "promtool check metrics"

text=$work/text && mkdir "$text"
export MINIRDR
write() { "$contrib/minirdr-textfile" "$text" || fail "minirdr-textfile"; }
write
exporter=$(free_port)
prometheus-node-exporter --web.listen-address="127.0.0.1:$exporter" --collector.disable-defaults \
  --collector.textfile --collector.textfile.directory="$text" >"$work/exporter.log" 2>&1 &
pids+=("$!")
# The example itself, quicker and on other ports.
port=$(free_port)
sed -e "s/localhost:9100/127.0.0.1:$exporter/" -e 's/scrape_interval: 15s/scrape_interval: 1s/' \
  "$contrib/prometheus.yml" >"$work/prometheus.yml"
cp "$contrib/minirdr.rules.yml" "$work"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
  --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
pids+=("$!")
query() {
  curl -sfG "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1" | jq -er '.data.result[0].value[1]'
}
is() { [ "$(query "$1")" = "$2" ]; }

wait_until is "minirdr_up{mount=\"$name\"}" 1 || fail "minirdr_up does not arrive"
wait_until is "minirdr_state{mount=\"$name\",state=\"started\"}" 1 || fail "the state does not arrive"
is 'node_textfile_scrape_error' 0 || fail "node_exporter does not take the files"
[ "$(curl -sf "http://127.0.0.1:$port/api/v1/rules" | jq '[.data.groups[].rules[]] | length')" -ge 8 ] ||
  fail "the rules are not loaded"
daemon=$("$MINIRDR" status --json "$name" | jq .mount.pid)
"$MINIRDR" stop --wait "$name" >/dev/null || fail "it does not stop"
write
wait_until is "minirdr_stops_total{mount=\"$name\",result=\"success\"}" 1 || fail "a stop is not counted"
wait_until is "sum(minirdr_state{mount=\"$name\"})" 1 || fail "two states at once"
kill -9 "$daemon"
wait_until test ! -e "/proc/$daemon" || fail "the daemon does not die"
write
[ ! -e "$text/minirdr-$name.prom" ] || fail "numbers of a dead daemon"
wait_until is "minirdr_up{mount=\"$name\"}" 0 || fail "a killed daemon is up"
umount -l "$work/mnt" 2>/dev/null || true
say "Debian's Prometheus is content: $(promtool --version 2>&1 | head -1)"
