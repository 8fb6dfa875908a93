#!/usr/bin/env bash
# What can be checked of the image without a container engine: its commands, in its order, in a clean virtual
# environment, then a head, a worker and a job with its settings. Needs Python 3.11, Linux and unshare.
#
#   docker/check.sh            TORCH_INDEX=URL installs torch from there instead of the CPU index
#   docker/check.sh --freeze   print the newest versions that fit together, for docker/constraints.txt
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
constraint=(--constraint docker/constraints.txt)
if [ "${1:-}" = --freeze ]; then constraint=(); fi

python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-deps "${constraint[@]}" --index-url "$index" torch >&2
"$work/venv/bin/pip" wheel --quiet --no-deps --wheel-dir "$work/wheels" . >&2
"$work/venv/bin/pip" install --quiet "${constraint[@]}" "$work"/wheels/*.whl >&2
if [ "${1:-}" = --freeze ]; then
    grep '^#' docker/constraints.txt
    "$work/venv/bin/pip" freeze --all --exclude pip --exclude spane_rllib | sed 's/+.*//'
    exit
fi

# As the image runs: nothing of the caller's environment, and a network of its own, so that no port is taken.
mkdir -p "$work/home" "$work/srv/results"
cat > "$work/run" <<'EOF'
set -euo pipefail
ip link set lo up
cd "$HOME/../srv"
tensorboard --version
python -m spane_rllib.tune --help > /dev/null
if ray start --head --node-ip-address=127.0.0.1 > refused 2>&1; then echo "Ray started without a token"; exit 1; fi
grep --quiet --ignore-case token refused
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN
node=(ray start --block --temp-dir "$HOME/../ray" --object-store-memory=100000000)
"${node[@]}" --head --port=6379 --num-cpus=0 --dashboard-host=0.0.0.0 --node-ip-address=127.0.0.1 > head.log 2>&1 &
within() { for _ in $(seq 100); do if "$@" > /dev/null 2>&1; then return; fi; sleep 2; done; cat head.log; exit 1; }
within ray health-check --address 127.0.0.1:6379
within ray job list --address http://127.0.0.1:8265
"${node[@]}" --address=127.0.0.1:6379 --num-cpus=1 --node-ip-address=127.0.0.2 > worker.log 2>&1 &
ray job submit --address http://127.0.0.1:8265 -- python -m spane_rllib.tune quick --set trace.source=synthetic:vms=5000 \
    --set training.gradient_steps=20 --set training.warmup_episodes=5 --set validation.every=10 \
    --set validation.episodes=10 --set evaluation.episodes=20 --set evaluation.top_k=1 \
    --set methods.spane.trials=1 --set methods.mlp.trials=1 --set methods.mlp_aug.trials=1 > job.log 2>&1 \
    || { tail -n 30 job.log; exit 1; }
tail -n 1 results/quick/summary.csv
if RAY_AUTH_TOKEN=wrong ray job list --address http://127.0.0.1:8265 > /dev/null 2>&1; then
    echo "the jobs API took a wrong token"; exit 1
fi
echo "head, worker, job and token: as expected"
EOF
# All processes in there end with the script, the first of its PID namespace.
env -i HOME="$work/home" PATH="$work/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin" OMP_NUM_THREADS=1 \
    NUMBA_CACHE_DIR="$work/home/.cache/numba" RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 \
    unshare --map-root-user --net --pid --fork --mount-proc --kill-child bash "$work/run"
