#!/bin/sh
# Install MinkowskiEngine 0.5.4 for the CPU, the oracle of the sparse engine's tests. It has no
# wheel: it is compiled once (about ten minutes on two cores) and kept, by torch version, in
# $WHEELS, outside the checkout.
set -eu
python=${1:?usage: tools/minkowski.sh PYTHON}
"$python" -c "import torch, MinkowskiEngineBackend._C" 2>/dev/null && exit 0
torch=$("$python" -c "import torch; print(torch.__version__.split('+')[0])")
wheels=${WHEELS:-$HOME/.cache/tspcrep/wheels}/torch-$torch
if ! ls "$wheels"/minkowskiengine-0.5.4-*.whl >/dev/null 2>&1; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
            libopenblas-dev g++ >/dev/null
    else
        echo "MinkowskiEngine needs g++ and OpenBLAS's headers (libopenblas-dev) to compile" >&2
    fi
    "$python" -m pip install -q setuptools wheel ninja
    mkdir -p "$wheels"
    PATH="$(dirname "$python"):$PATH" CXX=g++ "$python" -m pip wheel -q MinkowskiEngine==0.5.4 \
        --no-deps --no-build-isolation -w "$wheels" \
        --config-settings=--global-option=--cpu_only \
        --config-settings=--global-option=--blas=openblas
fi
"$python" -m pip install -q --no-deps "$wheels"/minkowskiengine-0.5.4-*.whl
