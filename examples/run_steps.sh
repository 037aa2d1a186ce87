# What the run.sh of every example shares. To be sourced: . "$(dirname "$0")/../run_steps.sh"
#
# Sets top (the checkout), here (the example's folder), work (its folder under build/, for data and results), python
# (Debian's: NumPy and scikit-learn are its packages) and program (fuse-dist; FUSE_DIST=PATH takes another build).
# shellcheck shell=bash disable=SC2034

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
work=$top/build/$(basename "$here")
python=/usr/bin/python3
program=${FUSE_DIST:-$top/build/release/fuse-dist}

# die MESSAGE: for a wrong command line.
die() {
    echo "run.sh: $1" >&2
    exit 2
}

# show_help: prints the script's first comment, for --help.
show_help() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
}

# is_count TEXT: a positive number, as of ranks.
is_count() {
    [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]
}

# take_ranks [OPTION] -- ARGUMENT...: sets ranks to the argument RANKS, if there is one, and the variable OPTION to the
# value of --OPTION: positive numbers.
take_ranks() {
    local option=
    if [ "$1" != -- ]; then
        option=$1
        shift
    fi
    shift
    local usage="usage: run.sh ${option:+[--$option N] }[RANKS]"
    while [ $# -gt 0 ]; do
        if [ "$1" = -h ] || [ "$1" = --help ]; then
            show_help
        elif [ -n "$option" ] && [ "$1" = "--$option" ]; then
            if [ $# -lt 2 ] || ! is_count "$2"; then die "$usage"; fi
            printf -v "$option" %s "$2"
            shift
        else
            is_count "$1" || die "$usage"
            ranks=$1
        fi
        shift
    done
}

# build_program: brings build/release up to date; says nothing when there is a build already, and it succeeds.
build_program() {
    local output
    if [ -n "${FUSE_DIST:-}" ]; then
        [ -x "$program" ] || die "FUSE_DIST=$FUSE_DIST is no program"
    elif [ ! -x "$program" ]; then
        "$top/scripts/build.sh" release
    else
        output=$("$top/scripts/build.sh" release 2>&1) || {
            echo "$output" >&2
            exit 1
        }
    fi
}

# make_data_in FOLDER [OPTION...]: runs the example's make_data.py, unless FOLDER holds what this version of it made.
# A generator that is interrupted leaves no FOLDER.
make_data_in() {
    local folder=$1
    shift
    if [ ! -d "$folder" ] || [ "$here/make_data.py" -nt "$folder" ]; then
        rm -rf "$folder" "$folder.part"
        mkdir -p "$folder.part"
        "$python" -B "$here/make_data.py" "$@" "$folder.part"
        touch "$folder.part"
        mv "$folder.part" "$folder"
    fi
}

# run_ranks RANKS ARGUMENT...: runs fuse-dist on that many ranks. With data_limit_kib set, each rank's data segment is
# limited to it (RLIMIT_DATA: heap, anonymous mappings, stacks of threads).
run_ranks() {
    local ranks=$1 cores
    shift
    # Open MPI refuses root, and more ranks than physical cores, unless told otherwise.
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    cores=$(lscpu -p=Core,Socket 2>/dev/null | grep -v '^#' | sort -u | wc -l || true)
    if { [ "$ranks" -gt "$cores" ] || [ "$ranks" -gt "$(nproc)" ]; } && [ -z "${SLURM_JOB_ID:-}" ]; then
        export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
        export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    fi
    if [ -n "${data_limit_kib:-}" ]; then
        # shellcheck disable=SC2016 # the rank's shell expands them
        mpirun -n "$ranks" bash -c 'ulimit -d "$0" && exec "$@"' "$data_limit_kib" "$program" "$@"
    else
        mpirun -n "$ranks" "$program" "$@"
    fi
}
