#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The demo on a small scale: our file server serves 30 files that this script makes, each after 20 ms, and the legacy
# client fetches and compares them. It also tests which requests the server refuses, and how it ends.
# usage: demo_small.sh DIR, the directory of demo_file_server and demo_fetch.
set -euo pipefail

programs=$1
work=$(mktemp -d)
server=
cleanup() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
fail() {
  echo "demo_small: $*" >&2
  exit 1
}

mkdir -p "$work/files/deep/er" "$work/outside"
for i in $(seq 1 28); do head -c $((i * i * 331)) /dev/urandom >"$work/files/deep/er/file $i%.bin"; done
: >"$work/files/empty"
head -c 1000000 /dev/urandom >"$work/files/big"
echo secret >"$work/outside/secret"
ln -s ../outside/secret "$work/files/way out"
mkfifo "$work/files/pipe"

"$programs/demo_file_server" --root "$work/files" --port 0 --delay-ms 20 >"$work/out" 2>"$work/err" &
server=$!
for _ in $(seq 100); do
  grep -q '^listening on ' "$work/out" && break
  kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat "$work/err")"
  sleep 0.05
done
address=$(sed -n '1s/^listening on //p' "$work/out")
[[ $address =~ ^127\.0\.0\.1:[0-9]+$ ]] || fail "no address in: $(cat "$work/out")"

# ---- the fetch, and what it prints
status=0
"$programs/demo_fetch" --server "$address" --root "$work/files" --files 30 --tasks 10 >"$work/fetch" 2>&1 || status=$?
cat "$work/fetch"
[[ $status == 0 ]] || fail "demo_fetch ended with $status"
grep -q 'bodies right / wrong *30 / 0$' "$work/fetch" || fail "not all bodies are right"
grep -q 'the URL without answer *TimeoutError' "$work/fetch" || fail "no TimeoutError"
grep -q 'legacy_http.cc", line [0-9]*\|legacy_http.cc:[0-9]' "$work/fetch" || fail "no frame of the legacy code in the stacks"

# ---- what the server refuses. Asked in one go, so that the delays overlap.
answer_to() {  # REQUEST-LINE: the status of the answer
  exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
  printf '%s\r\nHost: x\r\n\r\n' "$1" >&3
  head -1 <&3 | cut -d' ' -f2
  exec 3>&-
}
expect() {
  local got
  got=$(answer_to "$2")
  [[ $got == "$1" ]] || fail "'$2' was answered with '$got' instead of $1"
}
expect 200 'GET /big HTTP/1.1'
expect 200 'HEAD /big HTTP/1.0'
expect 404 'GET /missing HTTP/1.1'
expect 404 'GET /../outside/secret HTTP/1.1'
expect 404 'GET /%2e%2e/outside/secret HTTP/1.1'
expect 404 'GET /way%20out HTTP/1.1'
expect 404 'GET /pipe HTTP/1.1'
expect 404 'GET /deep HTTP/1.1'
expect 404 'GET / HTTP/1.1'
expect 405 'DELETE /big HTTP/1.1'
expect 400 'GET big HTTP/1.1'
expect 400 'GET /big%zz HTTP/1.1'
expect 400 'nonsense'

# ---- errors at the start, each with a message
refuses() {
  local code=$1
  shift
  status=0
  "$programs/demo_file_server" "$@" >"$work/refused" 2>&1 || status=$?
  [[ $status == "$code" && -s $work/refused ]] || fail "demo_file_server $* ended with $status: $(cat "$work/refused")"
}
refuses 1 --root "$work/nowhere"
refuses 1 --root "$work/files/big"
refuses 1 --root "$work/files" --port "${address#*:}"
refuses 2 --port 70000
refuses 2 --unknown
status=0
"$programs/demo_fetch" --server "$address" --root "$work/files" --files 31 >"$work/refused" 2>&1 || status=$?
[[ $status == 1 ]] && grep -q 'are only 30' "$work/refused" || fail "demo_fetch found a 31st file"

# ---- the server ends cleanly, though a client is still waiting
exec 4<>"/dev/tcp/${address%:*}/${address#*:}"
printf 'GET /__never HTTP/1.1\r\n\r\n' >&4
sleep 0.1
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
[[ $status == 0 ]] || fail "the server ended with $status after SIGTERM: $(cat "$work/err")"
[[ ! -s $work/err ]] || fail "the server complained: $(cat "$work/err")"
echo "demo_small: all as expected"
