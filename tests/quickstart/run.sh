#!/usr/bin/env bash
# Follows the quick-start of docs/OPERATIONS.md to the letter, in an Internet of its own: network namespaces with a fake
# root, the parent zones (Knot), a CA (Pebble) that asks through a resolver (Unbound), HQ with a box beside it, and a
# person in the box's LAN.
#
# The blocks marked `quickstart` are cut out of the document and run in one shell. Only the CA of the first block is
# another, since Let's Encrypt cannot see this Internet.
#
# usage: tests/quickstart/run.sh      as root; needs knot, unbound, iproute2, openssl, curl, and PEBBLE (./x installs them)
set -euo pipefail

cd "$(dirname "$0")/../.."
repo=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/otscert-quickstart.XXXXXX")
tag=oq$$
pids=()

say() { printf 'quickstart: %s\n' "$*"; }

cleanup() {
  status=$?
  trap - EXIT INT TERM
  if [ $status -ne 0 ]; then
    say "failed; the last lines of the logs:" >&2
    tail -n 15 "$work"/*.log >&2 || true
  fi
  # Everything of this run lives in its namespaces, and only that is ended.
  for ns in root parent hq ca lan net; do
    ip netns pids "$tag-$ns" 2> /dev/null | xargs -r kill 2> /dev/null || true
  done
  sleep 0.5
  for ns in root parent hq ca lan net; do
    ip netns pids "$tag-$ns" 2> /dev/null | xargs -r kill -9 2> /dev/null || true
    ip netns del "$tag-$ns" 2> /dev/null || true
    rm -rf "/etc/netns/$tag-$ns"
  done
  wait "${pids[@]}" 2> /dev/null || true
  if [ $status -eq 0 ] && [ -z "${KEEP:-}" ]; then rm -rf "$work"; else say "files are kept in $work" >&2; fi
  exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

for program in ip knotd unbound openssl curl; do
  command -v "$program" > /dev/null || { say "$program is missing: run ./x quickstart-test" >&2; exit 1; }
done
[ -x "${PEBBLE:-}" ] || { say "PEBBLE does not name a program: run ./x quickstart-test" >&2; exit 1; }

# -- An Internet: one bridge, a namespace per party. ------------------------------------------------------------------

in_ns() { local ns=$1; shift; ip netns exec "$tag-$ns" "$@"; }

ip netns add "$tag-net"
in_ns net ip link add br0 type bridge
in_ns net ip link set br0 up
party() { # name address/prefix...
  local ns=$1; shift
  ip netns add "$tag-$ns"
  ip link add eth0 netns "$tag-$ns" type veth peer name "$ns" netns "$tag-net"
  in_ns net ip link set "$ns" master br0 up
  in_ns "$ns" ip link set lo up
  in_ns "$ns" ip link set eth0 up
  for address in "$@"; do in_ns "$ns" ip address add "$address" dev eth0; done
  mkdir -p "/etc/netns/$tag-$ns"
  echo "nameserver 198.51.100.53" > "/etc/netns/$tag-$ns/resolv.conf"
}
party root 198.51.100.1/24
party parent 198.51.100.2/24
party hq 198.51.100.7/24 192.168.77.1/24
party ca 198.51.100.53/24
party lan 198.51.100.99/24 192.168.77.2/24

# -- The root, and the zones of the two domains as the document says to fill them. -------------------------------------

zone() { # folder origin records
  mkdir -p "$work/$1"
  # shellcheck disable=SC2016 # $TTL is the zone file's own
  printf '$TTL 60\n@ SOA ns.invalid. hostmaster.invalid. 1 60 60 3600 60\n%s\n' "$3" > "$work/$1/$2.zone"
}
knot() { # namespace address zones...
  local ns=$1 address=$2; shift 2
  {
    printf 'server:\n    listen: %s@53\n    rundir: %s\n' "$address" "$work/$ns"
    printf 'log:\n  - target: stderr\n    any: info\n'
    printf 'database:\n    storage: %s\nzone:\n' "$work/$ns/db"
    for zone in "$@"; do printf '  - domain: %s\n    file: %s\n' "$zone" "$work/$ns/${zone%.}.zone"; done
  } > "$work/$ns/knot.conf"
  in_ns "$ns" knotd -c "$work/$ns/knot.conf" > "$work/$ns.log" 2>&1 &
  pids+=($!)
}
zone root "" '@ NS a.root.
a.root. A 198.51.100.1
example.net. NS ns.parent.
example.com. NS ns.parent.
ns.parent. A 198.51.100.2'
# The records of step 3, cut out of the document; of each zone its own.
# shellcheck disable=SC2016 # the marks of a code block, not a command
records=$(sed -n '/^### 3\. Delegate/,/^###/{/^```text/,/^```/{/^```/!p}}' docs/OPERATIONS.md)
[ -n "$records" ] || { say "step 3 of docs/OPERATIONS.md has no records" >&2; exit 1; }
zone parent example.net "@ NS ns.parent.
$(grep 'example\.net\. ' <<< "$records" | grep -v 'example\.com' || true)"
zone parent example.com "@ NS ns.parent.
ca.example.com. A 198.51.100.53
$(grep '^[a-z_.-]*example\.com\. ' <<< "$records")"
knot root 198.51.100.1 .
knot parent 198.51.100.2 example.net. example.com.

# -- The resolver that everybody uses, and the CA beside it. ------------------------------------------------------------

mkdir -p "$work/ca"
cat > "$work/ca/root.hints" <<'HINTS'
. 3600 NS a.root.
a.root. 3600 A 198.51.100.1
HINTS
cat > "$work/ca/unbound.conf" <<CONF
server:
  interface: 198.51.100.53
  access-control: 198.51.100.0/24 allow
  do-ip6: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "$work/ca"
  pidfile: "$work/ca/unbound.pid"
  root-hints: "$work/ca/root.hints"
  module-config: "iterator"
  do-not-query-localhost: no
CONF
in_ns ca unbound -d -c "$work/ca/unbound.conf" > "$work/unbound.log" 2>&1 &
pids+=($!)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=quickstart test CA" \
  -keyout "$work/ca/api-root.key" -out "$work/ca/api-root.pem" 2> /dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=ca.example.com" \
  -keyout "$work/ca/api.key" -out "$work/ca/api.csr" 2> /dev/null
printf 'subjectAltName=DNS:ca.example.com,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' > "$work/ca/api.ext"
openssl x509 -req -in "$work/ca/api.csr" -CA "$work/ca/api-root.pem" -CAkey "$work/ca/api-root.key" -days 2 \
  -extfile "$work/ca/api.ext" -out "$work/ca/api.pem" 2> /dev/null
cat > "$work/ca/pebble.json" <<JSON
{"pebble": {"listenAddress": "198.51.100.53:14000", "managementListenAddress": "198.51.100.53:15000",
  "certificate": "$work/ca/api.pem", "privateKey": "$work/ca/api.key", "httpPort": 5002, "tlsPort": 5001,
  "ocspResponderURL": "", "externalAccountBindingRequired": false, "retryAfter": {"authz": 1, "order": 1},
  "keyAlgorithm": "ecdsa",
  "profiles": {"tlsserver": {"description": "45 days", "validityPeriod": 3888000}}}}
JSON
in_ns ca env PEBBLE_VA_NOSLEEP=1 "$PEBBLE" -config "$work/ca/pebble.json" -dnsserver 198.51.100.53:53 \
  > "$work/pebble.log" 2>&1 &
pids+=($!)
in_ns lan curl --silent --fail --retry 30 --retry-delay 1 --retry-connrefused --cacert "$work/ca/api-root.pem" \
  https://ca.example.com:14000/dir > /dev/null
say "an Internet with root, parents, resolver and CA is up"

# -- The quick-start, to the letter. --------------------------------------------------------------------------------

{
  echo 'set -eu'
  awk '/^```sh quickstart/ {on = 1; next} /^```/ {on = 0} on' docs/OPERATIONS.md | awk -v work="$work" '
    /^CA=/ {print "CA=https://ca.example.com:14000/dir"; next}
    /^CA_OPTIONS=/ {print "CA_OPTIONS=\"--ca-root " work "/ca/api-root.pem\""; next}
    /^(HQ_DIR|ROOTS_DIR|BOX_DIR)=/ {split($1, part, "="); sub("/.*/", work "/", part[2]); print part[1] "=" part[2]; next}
    {print}'
  # What a person would do next: open the page, from another machine in the LAN.
  # shellcheck disable=SC2016 # expanded by the shell that runs it
  echo 'otscert-device status --config "$BOX_DIR/device.toml" --json > "$BOX_DIR/status.json"'
} > "$work/quickstart.sh"
in_ns hq env PATH="$repo/target/debug:$PATH" sh "$work/quickstart.sh" > "$work/quickstart.log" 2>&1
say "every command of the quick-start succeeded"

url=$(grep -o 'https://192-168-77-1\.[a-z0-9.-]*:8444/' "$work/otscert-box/status.json" | head -n 1)
[ -n "$url" ] || { say "the box's status names no URL for 192.168.77.1" >&2; exit 1; }
curl_ca() { in_ns lan curl --silent --show-error --fail --max-time 20 "$@"; }
curl_ca --cacert "$work/ca/api-root.pem" https://ca.example.com:15000/roots/0 > "$work/issuance-root.pem"
curl_ca --cacert "$work/issuance-root.pem" "$url" > "$work/page.html"
say "a person in the LAN opened $url: $(wc -c < "$work/page.html") bytes, trusted, resolved from the root down"
