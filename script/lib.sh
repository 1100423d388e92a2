# shellcheck shell=bash
# What script/demo, script/test and the like share: a private copy of PostgreSQL in a temporary directory,
# product_upsert built and installed into it, and a server of its own.
#
# A script calls `in_private "$@"` and defines `work`. The first run of the script (the outer one)
# installs missing Debian packages, copies the checkout into the temporary directory and starts the
# script again from there (the inner one), which calls `work` as a user who is not root, in an
# environment of its own. So the checkout stays as it is, and it need not be readable for the user who
# runs the server. When the inner run ends, however it ends, the outer one stops every server below
# the temporary directory and removes the directory.
#
# The script that includes this file sets root, the top of the checkout.

PG_MAJOR=${PG_MAJOR:-15}

# Set in the inner run only.
tmp=${PRODUCT_UPSERT_TMP:-}

libdir=/usr/lib/postgresql/$PG_MAJOR
sharedir=/usr/share/postgresql/$PG_MAJOR
bin=$tmp$libdir/bin

# ---------------------------------------------------------------------------------------------------
# Output
# ---------------------------------------------------------------------------------------------------

# True when a line may be written over: stdout is a terminal that understands it.
moving() {
    [[ -t 1 && ${TERM:-dumb} != dumb ]]
}

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# step TEXT COMMAND…: runs the command, its output going to a log; shows TEXT and the seconds it took.
# If the command fails, prints the end of the log and ends the script.
step() {
    local text=$1 log=$tmp/log/step.log ticker='' status=0 begin=$SECONDS
    shift
    if moving; then
        # It ends with the script, even if nobody is left to end it.
        while kill -0 $$ 2>/dev/null; do
            printf '\r  %-60s %4d s' "$text" $((SECONDS - begin))
            sleep 1
        done &
        ticker=$!
    fi
    # In a subshell that is not part of a condition, so that its own "set -e" holds.
    set +e
    (set -e; "$@") >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if [[ -n $ticker ]]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
        printf '\r'
    fi
    printf '  %-60s %4d s\n' "$text" $((SECONDS - begin))
    if ((status != 0)); then
        tail -n 40 "$log" >&2
        die "failed: $text"
    fi
}

# ---------------------------------------------------------------------------------------------------
# The outer run
# ---------------------------------------------------------------------------------------------------

# Prints those of the given packages that are not installed.
missing_packages() {
    local package
    for package; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$package"
    done
}

# Makes sure that the given packages are installed.
need_packages() {
    local -a missing
    want_packages "$@"
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} == 0)) || die "there are no such packages: ${missing[*]}"
}

# Installs those of the given packages that there are. Needs root or sudo only if one of them is missing.
want_packages() {
    local -a missing as_root=()
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0

    say "  Missing packages: ${missing[*]}"
    if ((EUID != 0)); then
        command -v sudo >/dev/null || die "cannot install packages: neither root nor sudo"
        sudo -n true 2>/dev/null || sudo -v || die "cannot install packages without sudo"
        as_root=(sudo)
    fi
    step "Installing them with apt-get" \
        "${as_root[@]}" bash "${root:?}/script/install-packages" "${missing[@]}"
}

# Ends what the inner run left behind, and removes the directory.
clean_up() {
    local pid file
    trap '' INT TERM HUP
    set +e
    if [[ -n $inner ]]; then
        kill -TERM -- "-$inner" 2>/dev/null
        for _ in {1..100}; do
            kill -0 -- "-$inner" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$inner" 2>/dev/null
    fi
    while IFS= read -r file; do
        read -r pid <"$file"
        # Immediate shutdown: nobody needs this data again.
        if is_ours "$pid"; then kill -QUIT "$pid"; fi
        while is_ours "$pid"; do sleep 0.1; done
    done < <(find "$tmp" -name postmaster.pid 2>/dev/null)
    unmount_small_disks
    rm -rf "$tmp"
}

# Disks that are soon full, in $tmp/small, for who wants to see what happens then. Only root can have them; says so if
# there are none.
mount_small_disks() {
    local disk
    for disk in tables wal; do
        mkdir -p "$tmp/small/$disk"
        mount -t tmpfs -o size=64m,mode=0700 tmpfs "$tmp/small/$disk" 2>/dev/null || {
            say "  No small disk can be mounted here: what fills one is skipped."
            return 0
        }
    done
}

unmount_small_disks() {
    local disk
    for disk in tables wal; do
        if mountpoint --quiet "$tmp/small/$disk"; then umount "$tmp/small/$disk"; fi
    done
}

# A postmaster works in its data directory: that tells one of ours from another process with its old id.
is_ours() {
    [[ $(readlink "/proc/$1/cwd") == "$tmp"/* ]]
}

# Runs the script again from its copy, as the user that PostgreSQL runs as, and waits for it. It gets a
# process group of its own, so that all of it can be ended without touching anything else.
run_inner() {
    local script
    local -a as_user=()
    script=$(realpath --relative-to="${root:?}" "$0")
    if ((EUID == 0)); then
        chown -R postgres: "$tmp"
        as_user=(setpriv --reuid=postgres --regid=postgres --init-groups)
    fi
    set -m
    (
        cd "$tmp"
        exec "${as_user[@]}" env -i \
            PATH="$tmp$libdir/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
            HOME="$tmp" TMPDIR="$tmp/t" LC_ALL=C.UTF-8 TERM="${TERM:-dumb}" \
            PG_MAJOR="$PG_MAJOR" PRODUCT_UPSERT_TMP="$tmp" \
            bash "$tmp/src/$script" "$@"
    ) </dev/null &
    inner=$!
    set +m
    local status=0
    wait "$inner" || status=$?
    inner=
    return "$status"
}

# in_private PACKAGES… -- ARGUMENTS…: the outer run; in the inner run, calls work ARGUMENTS….
in_private() {
    local -a packages=()
    while [[ $1 != -- ]]; do
        packages+=("$1")
        shift
    done
    shift

    if [[ -n $tmp ]]; then
        work "$@"
        return
    fi

    # A short path: that of a Unix socket may have 107 bytes.
    tmp=$(mktemp -d /tmp/pu.XXXXXX)
    inner=
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir "$tmp/src" "$tmp/log" "$tmp/sock" "$tmp/t"

    need_packages "${packages[@]}"
    tar -C "$root" --exclude=./.git -cf - . | tar -C "$tmp/src" --no-same-owner -xf -
    if declare -F before_inner >/dev/null; then before_inner; fi
    run_inner "$@"
}

# ---------------------------------------------------------------------------------------------------
# The inner run
# ---------------------------------------------------------------------------------------------------

# Lays out the private installation as "make check" of PostgreSQL does. The programs find their files
# relative to where they are themselves, and they look through symbolic links to find out: so the
# programs are copied, the files linked, and the directories that an extension is installed into are
# real ones.
make_tree() {
    local lib=$tmp$libdir/lib share=$tmp$sharedir
    mkdir -p "$bin" "$lib/bitcode" "$share/extension" "$tmp/usr/include"
    cp -L "$libdir"/bin/* "$bin"
    link_all "$libdir/lib" "$lib"
    link_all "$libdir/lib/bitcode" "$lib/bitcode"
    link_all "$sharedir" "$share"
    link_all "$sharedir/extension" "$share/extension"
    ln -s /usr/include/postgresql "$tmp/usr/include/"
}

# Links what is in one directory into another; not what is there already, nor an installed product_upsert.
link_all() {
    local file
    for file in "$1"/*; do
        case ${file##*/} in product_upsert*) continue ;; esac
        [[ -e $2/${file##*/} ]] || ln -s "$file" "$2/"
    done
}

# make for the private installation, whatever pg_config the machine has.
private_make() {
    make -C "$tmp/src" --no-print-directory PG_CONFIG="$bin/pg_config" "$@"
}

# What the checkout had built, perhaps with another compiler or for another PostgreSQL, is built anew.
build() {
    private_make clean
    private_make -j2
    private_make install
}

# start_server [SETTING=VALUE…]: one server for the whole run, reached through its socket alone.
start_server() {
    local setting
    initdb --pgdata="$tmp/data" --username=postgres --auth=trust --no-sync \
        --encoding=UTF8 --locale=C.UTF-8
    {
        printf "listen_addresses = ''\n"
        printf "unix_socket_directories = '%s'\n" "$tmp/sock"
        for setting; do printf '%s\n' "$setting"; done
    } >>"$tmp/data/postgresql.conf"
    pg_ctl start --pgdata="$tmp/data" --log="$tmp/log/server.log" --wait --silent || {
        tail -n 20 "$tmp/log/server.log"
        return 1
    }
}

# prepare [SETTING=VALUE…]: everything up to a running server that has product_upsert.
prepare() {
    export PGHOST=$tmp/sock PGUSER=postgres PGDATABASE=postgres
    step "Building product_upsert" make_and_build
    step "Starting a private PostgreSQL $PG_MAJOR" start_server "$@"
}

make_and_build() {
    make_tree
    build
}

# psql for scripts: stops at the first error, prints bare values.
sql() {
    psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 "$@"
}

# Prints how the server came down, if it did. Else its log tells no more than its clients do.
server_crash() {
    grep -E -B 5 -A 5 'PANIC:|TRAP:|was terminated by signal' "$tmp/log/server.log" || true
}
