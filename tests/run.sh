#!/bin/bash
# All tests of the project, as root on a bare Debian 12: installs what they need, builds with gcc and clang, with
# sanitizers, lints, fuzzes for a moment, starts a Ceph gateway, and runs everything over it and on real mounts.
#
#   tests/run.sh [STEP...]      the steps are listed below, at the end; without any: all
#
# The last line is "N passed, N failed" (", N skipped"); exit status 1 when anything failed. A test that is skipped
# counts as failed, unless its reason is one that no installation can mend (no /dev/fuse, a registry without sources).
# BAKFS_TEST_DIR    where it builds and logs (default build-tests in the top directory)
# shellcheck disable=SC2317  # most functions are called through step()
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
work=${BAKFS_TEST_DIR:-$top/build-tests}
logs=$work/logs
mkdir -p "$logs"
jobs=$(nproc)
passed=0 failed=0 skipped=0 lanes=()
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PYTHONDONTWRITEBYTECODE=1
wanted=("$@")

packages=(
    # to build
    gcc clang libclang-rt-14-dev libc6-dev meson ninja-build pkg-config git
    libfuse3-dev fuse3 libcurl4-openssl-dev libssl-dev libzstd-dev zlib1g-dev liblzma-dev libxxhash-dev libexpat1-dev libinih-dev libjson-c-dev
    libpq-dev libsystemd-dev libcmocka-dev
    # to look at it
    clang-format clang-tidy llvm codespell shellcheck binutils systemd groff-base
    # other tools that open what we wrote, and the reverse
    age zstd xxd openssl awscli python3 python3-cryptography python3-xxhash python3-zstandard
    # what people use on a mount
    coreutils rsync tar zip gzip sed perl sqlite3 strace attr procps util-linux xz-utils postgresql-15 postgresql-client-15
    # what is backed up, mailed to and looked at beside that
    postgresql-contrib mariadb-server mariadb-client python3-aiosmtpd chromium
    # a real S3 server
    radosgw ceph-mon ceph-osd ceph-common curl iproute2 ca-certificates
)

# --- counting ---

wants() { # is this step asked for?
    local step
    [ ${#wanted[@]} -eq 0 ] && return 0
    for step in "${wanted[@]}"; do [ "$step" = "$1" ] && return 0; done
    return 1
}

result() { # name, 0 or not, log, seconds
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
        printf 'ok      %-28s %4ss\n' "$1" "$4"
    else
        failed=$((failed + 1))
        printf 'FAILED  %-28s %4ss\n' "$1" "$4"
        tail -n 80 "$3" | sed 's/^/    | /'
    fi
}

step() { # name, command...: one result
    local name=$1 log=$logs/$1.log start=$SECONDS rc
    shift
    "$@" >"$log" 2>&1
    rc=$?
    result "$name" $rc "$log" $((SECONDS - start))
    return "$rc"
}

# name, seconds, exit status and log of a runner, file of lines "ok|failed|skipped NAME [: reason]": each line counts
tally() {
    local name=$1 verdict rest p=0 f=0 s=0 log=$4
    while read -r verdict rest; do
        case $verdict in
        ok) p=$((p + 1)) ;;
        skipped)
            case $rest in
            *'no /dev/fuse'* | *'registry does not give the source'*) s=$((s + 1)) && echo "    | skipped $rest" ;;
            *) f=$((f + 1)) && echo "    | skipped, which counts as failed: $rest" ;;
            esac
            ;;
        *) f=$((f + 1)) && echo "    | failed: $rest" ;;
        esac
    done < <(cat "$5" 2>/dev/null)
    [ "$3" = 0 ] || [ $f -gt 0 ] || f=1 # it failed without saying which
    [ $((p + s)) -gt 0 ] || [ $f -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [ $f = 0 ] || tail -n 120 "$log" | sed 's/^/    | /'
    printf '%-7s %-28s %4ss  %d passed, %d failed, %d skipped\n' "$([ $f = 0 ] && echo ok || echo FAILED)" \
        "$name" "$2" $p $f $s
}

finish() {
    [ -n "${rgw_started:-}" ] && tests/support/stop-rgw.sh
    echo
    if [ $skipped -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    [ $failed -eq 0 ] && [ $passed -gt 0 ]
    exit
}

# --- steps ---

install_packages() {
    local missing=() p
    for p in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    # npm comes with other builds of nodejs too
    command -v npm >/dev/null || missing+=(npm)
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || { echo "not root, and these packages are missing: ${missing[*]}"; return 1; }
    apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"
}

build() { # directory, meson options...
    local dir=$work/$1
    shift
    if [ ! -e "$dir/build.ninja" ]; then
        rm -rf "$dir"
        meson setup "$dir" "$@" || return 1
    fi
    ninja -C "$dir" -j "$jobs"
}

unit_tests() { # directory, how many times longer than usual a test may take (the machine is busy)
    local dir=$work/$1 name=$1 patience=${2:-4} list=$logs/$1.results start=$SECONDS log=$logs/$1-tests.log rc
    meson test -C "$dir" --no-rebuild --num-processes "$jobs" --timeout-multiplier "$patience" --print-errorlogs >"$log" 2>&1
    rc=$?
    python3 - "$dir/meson-logs/testlog.json" >"$list" <<'PY'
import json, sys
words = {"OK": "ok", "SKIP": "skipped"}
for line in open(sys.argv[1]):
    test = json.loads(line)
    print(words.get(test["result"], "failed"), test["name"], ":", (test.get("stdout") or "").strip().split("\n")[-1][:200])
PY
    tally "$name-tests" $((SECONDS - start)) $rc "$log" "$list"
}

start_rgw() {
    eval "$(RGW_DIR=$work/rgw tests/support/start-rgw.sh)" || return 1
    [ -n "${RGW_ENDPOINT:-}" ]
}

tidy() {
    local rc=0
    # compile_commands.json of the clang build: gcc's has options that clang does not know
    git ls-files 'backend/*.c' 'fs/*.c' 'conf/*.c' 'tools/*.c' | grep -vx backend/base/err.c |
        timeout 1500 xargs -P "$jobs" -n 4 clang-tidy --quiet -p "$work/clang" \
            --extra-arg="-I$top" --extra-arg="-include$top/tests/lint/analyzer.h" || rc=1
    clang-tidy --quiet -p "$work/clang" backend/base/err.c || rc=1
    return "$rc"
}

fuzz() {
    local exe name seeds dir rc=0
    for exe in $(find "$work/fuzz/tests/fuzz" -maxdepth 1 -type f -executable -name 'fuzz_*' | sort); do
        name=$(basename "$exe")
        seeds=()
        for dir in "tests/fuzz/corpus/$name" "tests/fuzz/corpus/${name#fuzz_}"; do
            [ -d "$dir" ] && seeds+=("$dir")
        done
        [ "$name" = fuzz_header ] && seeds+=(tests/vectors/store/db1/2026-11-22)
        mkdir -p "$work/corpus/$name"
        step "$name" "$exe" -max_total_time=10 -max_len=70000 -timeout=20 -rss_limit_mb=2048 \
            -artifact_prefix="$work/corpus/crash-$name-" "$work/corpus/$name" "${seeds[@]}" || rc=1
    done
    return "$rc"
}

# Each store in a lane of its own, in the background: most of it waits for servers and deadlines.
integration_begin() { # name, build directory, further arguments of the runner
    local name=$1 dir=$work/$2 store
    shift 2
    lanes=()
    for store in dir s3; do
        rm -f "$logs/$name-$store.results"
        python3 tests/integration/run.py --bakfs "$dir/tools/bakfs" --results "$logs/$name-$store.results" \
            --logs "$logs/$name-$store" --stores $store "$@" >"$logs/$name-$store.log" 2>&1 &
        lanes+=("$name-$store:$!:$SECONDS")
    done
}

integration_end() {
    local name pid start rc lane
    for lane in "${lanes[@]}"; do
        IFS=: read -r name pid start <<<"$lane"
        wait "$pid"
        rc=$?
        tally "$name" $((SECONDS - start)) $rc "$logs/$name.log" "$logs/$name.results"
    done
    lanes=()
}

formatted() { git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror; }
spelled() { git ls-files -z | grep -zv '^tests/vectors/\(store\|vectors\)' | xargs -0 codespell; }
shell_checked() {
    git ls-files | while read -r f; do
        case $f in *.sh) echo "$f" ;; *) [ -f "$f" ] && head -c 20 "$f" | grep -aqE '^#!/bin/(ba)?sh' && echo "$f" ;; esac
    done | xargs shellcheck -x
}
python_compiled() { git ls-files -z '*.py' | xargs -0 python3 -W error -m py_compile; }

sanitizer_options() {
    export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
}

# Debian's own python3 and its packages stand behind the tests, whatever else is first in PATH
PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH
trap 'for lane in "${lanes[@]}"; do IFS=: read -r _ pid _ <<<"$lane"; kill "$pid"; done; exit 130' INT TERM
sanitizer_options

wants packages && { step packages install_packages || finish; }

if wants rgw || wants gcc || wants clang || wants asan || wants tsan || wants integration || wants integration-asan; then
    step rgw start_rgw && rgw_started=1
    export RGW_DIR=$work/rgw RGW_ENDPOINT RGW_ACCESS_KEY RGW_SECRET_KEY RGW_BUCKET
fi
wants gcc && { step build-gcc build gcc --werror && unit_tests gcc && step exports tests/lint/exports.py "$work/gcc"; }
wants integration && { [ -e "$work/gcc/build.ninja" ] || step build-gcc build gcc --werror; } && integration_begin integration gcc
wants format && step clang-format formatted
wants codespell && step codespell spelled
wants shellcheck && step shellcheck shell_checked
wants includes && step includes tests/lint/includes.py .
wants python && step python python_compiled
if wants clang || wants tidy; then
    CC=clang step build-clang build clang --werror &&
        { wants clang && unit_tests clang; wants tidy && step clang-tidy tidy; }
fi
# without --werror: a sanitizer's own branches make gcc warn of what cannot happen
wants asan && { step build-asan build asan -Db_sanitize=address,undefined && unit_tests asan 10; }
wants tsan && { step build-tsan build tsan -Db_sanitize=thread && unit_tests tsan 15; }
wants fuzz && {
    CC=clang step build-fuzz build fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false && fuzz
}
integration_end
wants integration-asan && { [ -e "$work/asan/build.ninja" ] || step build-asan build asan -Db_sanitize=address,undefined; } &&
    integration_begin integration-asan asan --short
integration_end
finish
