# bash completion for fuse-dist: commands, options and their words, files.

_fuse_dist() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} before=${COMP_WORDS[COMP_CWORD - 2]:-}
    local commands="run plan check policies pack convert calibrate info bench help"
    local options="
        --dump --explain --count --why --why-not --why-format --explain-all --tol --rtol --max-iters --allow-nonconverged --fixpoint --times --repeat --warmup --strong --weak --causal --threshold --ranks --mem-per-rank --threads --backend --isa --panel --deterministic -D --define --input --weights --adapter -o --out --dtype --mode --query --progress --projection --samples --seed --precision --validate --cache --pack-below --werror
        -I --include --policy --machine --format --root --output-root --weights-cache --weights-cache-size --weights-timeout --weights-anywhere --stall-timeout --replicate-below --slabs-above --stream-above --workspace --share-above --file-unit
        -h --help --version --json"

    # bash splits words at '=': --dump=a is the three words --dump = a
    if [ "$current" = "=" ]; then
        current=""
    elif [ "$previous" = "=" ]; then
        previous=$before
    fi
    COMPREPLY=()
    case $previous in
        --dump) mapfile -t COMPREPLY < <(compgen -W "ast ir plan" -- "$current") ;;
        --times) mapfile -t COMPREPLY < <(compgen -W "json" -- "$current") ;;
        --format) mapfile -t COMPREPLY < <(compgen -W "text json html svg" -- "$current") ;;
        --backend) mapfile -t COMPREPLY < <(compgen -W "cpu ref fakedev" -- "$current") ;;
        --isa) mapfile -t COMPREPLY < <(compgen -W "auto baseline avx2 avx512" -- "$current") ;;
        --dtype) mapfile -t COMPREPLY < <(compgen -W "f64 f32 bf16 f16 i64 i32 i16 i8 u8 bool" -- "$current") ;;
        --mode) mapfile -t COMPREPLY < <(compgen -W "all demand single fixpoint" -- "$current") ;;
        --why-format) mapfile -t COMPREPLY < <(compgen -W "text json" -- "$current") ;;
        --fixpoint) mapfile -t COMPREPLY < <(compgen -W "naive semi_naive" -- "$current") ;;
        --projection) mapfile -t COMPREPLY < <(compgen -W "exact monte_carlo" -- "$current") ;;
        --progress) mapfile -t COMPREPLY < <(compgen -W "auto bar lines off" -- "$current") ;;
        --out | -o | --policy | --machine | --weights)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        --precision) mapfile -t COMPREPLY < <(compgen -W "auto fp32 fp64 bf16 fp16" -- "$current") ;;
        --weights-cache | --root | --output-root | --cache | --include | -I)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            ;;
        --repeat | --warmup | --threshold | --count | --why | --why-not | --tol | --rtol | --max-iters | --ranks | --mem-per-rank | --threads | --panel | -D | --define | --input | --adapter | --weights-cache-size | --weights-timeout | --query | --samples | --seed | --stall-timeout | --replicate-below | \
            --slabs-above | --stream-above | --pack-below | --workspace | --share-above | --file-unit) ;;
        *)
            if [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
                return
            fi
            [ "$COMP_CWORD" -gt 1 ] || mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
            compopt -o filenames 2>/dev/null
            local file
            while IFS= read -r file; do
                COMPREPLY+=("$file")
            done < <(compgen -d -- "$current" && case ${COMP_WORDS[1]} in
                convert | info | calibrate | bench) compgen -f -- "$current" ;;
                *) compgen -f -X '!*.fuse' -- "$current"; compgen -f -X '!*.pack' -- "$current" ;;
            esac)
            ;;
    esac
}
complete -F _fuse_dist fuse-dist
