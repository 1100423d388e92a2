#!/usr/bin/env bash
# Shell, psql.
set -euo pipefail

# psql quotes the value of :'product'. It does so in a script, not in --command.
upsert() {
    psql -XqAt -v ON_ERROR_STOP=1 -v VERBOSITY=sqlstate -v product="$1" <<<"SELECT product_upsert(:'product')"
}

upsert_if() {
    psql -XqAt -v ON_ERROR_STOP=1 -v VERBOSITY=sqlstate -v product="$1" -v if_match="$2" \
        <<<"SELECT product_upsert('product', :'product', :'if_match')"
}

# -- the conversation --------------------------------------------------------------------------------

tests=0

check() {
    tests=$((tests + 1))
    if [[ $1 == "$2" ]]; then
        echo "ok $tests - $3"
    else
        echo "not ok $tests - $3"
        printf '#      got: %s\n# expected: %s\n' "$1" "$2"
    fi
}

skip() {
    tests=$((tests + 1))
    echo "ok $tests - $1 # SKIP $2"
}

# product SERIAL [", FIELDS"]
product() {
    printf '{"brand": "Acme", "serial": "%s", "manufacturer": "Acme Corp"%s}' "$1" "${2:-}"
}

value() {
    psql -XqAt -v ON_ERROR_STOP=1 -c "$1"
}

# get RESULT PATH…: parts of a result, as text. PostgreSQL takes it apart: no number becomes a float.
get() {
    local result=$1 path
    shift
    for path; do
        psql -XqAt -v ON_ERROR_STOP=1 -v result="$result" -v path="$path" \
            -P null=null <<<"SELECT :'result'::jsonb #>> :'path'"
    done | paste -sd ' '
}

# The SQLSTATE that psql prints when a command fails.
sqlstate() {
    { "$@" 2>&1 >/dev/null || true; } | sed 's/.*ERROR: *//'
}

# A session that stays open: ask it, and it answers with one line.
coproc holder { psql -XqAt -v ON_ERROR_STOP=1; }

ask() {
    printf '%s;\n' "$1" >&"${holder[1]}"
    read -r answer <&"${holder[0]}"
}

result=$(upsert "$(product A-1 ', "stock": 12')")
check "$(get "$result" '{action}' '{product,stock}')" 'created 12' 'a new key is created'
result=$(upsert "$(product A-1 ', "stock": 11')")
check "$(get "$result" '{action}' '{previous}')" 'updated {"stock": 12}' 'a known key is updated, with the previous value'
result=$(upsert "$(product A-1 ', "stock": 11')")
check "$(get "$result" '{action}')" unchanged 'the same again is unchanged'

result=$(upsert "[$(product A-2), $(product A-1 ', "stock": 10')]")
check "$(get "$result" '{0,action}' '{0,product,serial}' '{1,action}' '{1,product,serial}')" 'created A-2 updated A-1' \
    'an array has its results in order'

without_manufacturer='{"brand": "Acme", "serial": "A-3", "manufacturer": null}'
upsert "$without_manufacturer" >/dev/null
result=$(upsert "$without_manufacturer")
check "$(get "$result" '{action}' '{product,manufacturer}')" 'unchanged null' 'null in the key equals null'

result=$(upsert "$(product 'Größe 日本 😀')")
check "$(value "SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'")" 1 \
    'characters of two to four bytes are stored as sent'
check "$(get "$result" '{product,serial}')" 'Größe 日本 😀' 'characters of two to four bytes come back as sent'

price=12345678901234567890.0123456789
stock=9007199254740993
result=$(upsert "$(product A-4 ", \"price\": $price, \"stock\": $stock")")
check "$(value "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'")" "$price $stock" \
    'large numbers are stored exactly'
check "$(get "$result" '{product,price}' '{product,stock}')" "$price $stock" 'large numbers come back exactly'

check "$(sqlstate upsert "$(product A-1 ', "colour": "red"')")" 42703 'an unknown field is 42703'
result=$(upsert_if "$(product A-1 ', "stock": 9')" '{"stock": 10}')
check "$(get "$result" '{action}')" updated 'if_match that matches is an update'
refused=$(sqlstate upsert_if "$(product A-1 ', "stock": 8')" '{"stock": 10}')
check "$refused $(value "SELECT stock FROM product WHERE serial = 'A-1'")" 'PT412 9' \
    'if_match that does not match is PT412, and writes nothing'

ask "BEGIN; SELECT product_upsert('$(product A-1)')"
refused=$(PGOPTIONS='-c lock_timeout=100ms' sqlstate upsert "$(product A-1)")
check "$refused" 55P03 'a lock not to be had in time is 55P03'
ask "COMMIT; SELECT 'done'"

# ten_times COMMAND [PREPARATION]: in one session. Prints the last stock, and how many statements are prepared.
ten_times() {
    local result
    result=$(
        {
            echo "${2:-};"
            for n in {1..10}; do echo "$1('$(product A-5 ", \"stock\": $n")');"; done
            echo 'SELECT prepared();'
        } | psql -XqAt -v ON_ERROR_STOP=1 | tail -n 2
    )
    echo "$(get "${result%$'\n'*}" '{product,stock}') ${result##*$'\n'}"
}

# shellcheck disable=SC2016
check "$(ten_times 'EXECUTE upsert' 'PREPARE upsert AS SELECT product_upsert($1)')" '10 1' 'a prepared statement, ten times'
check "$(ten_times 'SELECT product_upsert')" '10 0' 'no prepared statement, ten times'

skip 'binary parameter' 'psql sends text'
skip 'binary result' 'psql receives text'

# The holder has the key until both wait for it.
waited='' actions='' rows=''
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for serial in R-{1..5}; do
    ask "BEGIN; SELECT product_upsert_lock('product', '$(product "$serial")')"
    racers=()
    for stock in 0 1; do
        upsert "$(product "$serial" ", \"stock\": $stock")" >"$work/$stock" &
        racers+=($!)
    done
    ask 'SELECT both_wait()'
    waited+="$answer "
    ask "COMMIT; SELECT 'done'"
    wait "${racers[@]}"
    actions+="$(for stock in 0 1; do get "$(cat "$work/$stock")" '{action}'; done | sort | paste -sd ' ') "
    rows+="$(value "SELECT count(*) FROM product WHERE serial = '$serial'") "
done
check "$waited" 't t t t t ' 'race: both wait for the key'
check "$actions" "$(printf 'created updated %.0s' {1..5})" 'race: one creates, the other updates'
check "$rows" '1 1 1 1 1 ' 'race: each key has one row'

echo "1..$tests"
