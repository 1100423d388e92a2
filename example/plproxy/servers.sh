# shellcheck shell=bash
# The private servers of run and cost, which include this after script/lib.sh: a and b have the shards, those with even
# numbers on a; r has two routers. A database on a, named single, is what all this is compared with.

here=${root:?}/example/plproxy
packages=("postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR" "postgresql-$PG_MAJOR-plproxy" make gcc libc6-dev pci.ids)

prepare_all() {
    export PGUSER=postgres
    # In a part of script/test it is built already.
    [[ -x $bin/postgres ]] || step "Building product_upsert" make_and_build
    trap stop_all EXIT
    step "Starting two servers of shards and one of routers" start_all
    step "Reading the products" load_feed
}

start_all() {
    local server shard router
    for server in a b r; do
        mkdir -p "$tmp/sock/$server"
        initdb --pgdata="$tmp/plproxy/$server" --username=postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8
        printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$tmp/sock/$server'" "fsync = off" \
            "autovacuum = off" "wal_level = logical" >>"$tmp/plproxy/$server/postgresql.conf"
        start "$server"
    done
    on r postgres -c "CREATE ROLE app LOGIN"
    for server in a b; do on "$server" postgres -c "CREATE ROLE writer LOGIN"; done
    for shard in 0 1 2 3; do create_shard "$(server_of $shard)" "shard$shard" "$shard" 4; done
    createdb --host="$tmp/sock/b" shard4
    create_shard a single 0 1
    for router in router1 router2; do create_router $router 0 1 2 3; done
}

start() {
    pg_ctl start --pgdata="$tmp/plproxy/$1" --log="$tmp/log/$1" --wait --silent
}

stop_all() {
    local server
    for server in r a b; do pg_ctl stop --pgdata="$tmp/plproxy/$server" --mode=immediate --silent 2>/dev/null || true; done
}

server_of() {
    if (($1 % 2 || $1 == 4)); then echo b; else echo a; fi
}

# on SERVER DATABASE ARGUMENTS…
on() {
    sql --host="$tmp/sock/$1" --dbname="$2" "${@:3}"
}

# address SHARD: its connection string.
address() {
    printf 'host=%s dbname=shard%d' "$tmp/sock/$(server_of "$1")" "$1"
}

# create_shard SERVER DATABASE NUMBER PARTITIONS
create_shard() {
    createdb --host="$tmp/sock/$1" "$2"
    on "$1" "$2" -v shard="$3" -v partitions="$4" -f "$here/shard.sql"
}

# create_router NAME SHARD…: the shards in the order of the partitions.
create_router() {
    createdb --host="$tmp/sock/r" "$1"
    on r "$1" -v shard0="$(address "$2")" -v shard1="$(address "$3")" -v shard2="$(address "$4")" \
        -v shard3="$(address "$5")" -f "$here/router.sql"
}

# The products to COPY: those in the file, if there is one, else those in pci.ids.
products() {
    local quote="FORMAT csv, QUOTE e'\\x01', DELIMITER e'\\x02'"
    if [[ -e $tmp/products.gz ]]; then
        gzip --decompress --stdout "$tmp/products.gz" |
            on a single -c "CREATE TEMPORARY TABLE line (j jsonb)" -c "\\copy line FROM pstdin ($quote)" -c "
                COPY (SELECT DISTINCT ON (j ->> 'brand', j ->> 'serial', j ->> 'manufacturer')
                             j ->> 'brand', j ->> 'serial', j ->> 'manufacturer', j ->> 'description' FROM line) TO STDOUT"
    else
        awk -f "$root/demo/products.awk" /usr/share/misc/pci.ids /usr/share/misc/pci.ids
    fi
}

# Who sends has the feed at hand.
load_feed() {
    local where
    products >"$tmp/t/products"
    for where in "r router1" "r router2" "a single"; do
        # shellcheck disable=SC2086
        on $where -f "$root/demo/feed.sql" <"$tmp/t/products"
    done
    for where in router1 router2; do on r $where -c "GRANT ALL ON feed, feed_next TO app"; done
}

# send SERVER DATABASE CLIENTS TRANSACTIONS: so many calls by each client, each with the next payload of the feed.
send() {
    local user=postgres
    if [[ $1 == r ]]; then user=app; fi
    printf '%s\n' "SELECT product_upsert(payload) FROM feed WHERE n = (SELECT nextval('feed_next'));" >"$tmp/t/send.$2"
    pgbench --host="$tmp/sock/$1" --username=$user --no-vacuum --protocol=prepared --client="$3" --transactions="$4" \
        --file="$tmp/t/send.$2" "$2" >"$tmp/log/send-$2" 2>&1
}
