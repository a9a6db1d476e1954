#!/bin/sh
# Everything that the image's build does, in one script: installs facefeat from SOURCE into a new environment at TARGET.
#   install.sh TARGET SOURCE [GPU]    GPU: 1 for the CUDA libraries, too
set -eu
if [ $# -lt 2 ]; then
  echo "usage: install.sh TARGET SOURCE [GPU]" >&2
  exit 2
fi
target=$1 source=$2 gpu=${3:-0}
# What every command needs; not `jax` and `torch` (other backends) and `scale` (Ray), for several machines.
extras=audit,batch,demo,doctor,export,heic,plots,quantize,search,tune,video

python3 -m venv "$target"
"$target/bin/pip" install --no-cache-dir --quiet "$source[$extras]"
if [ "$gpu" = 1 ]; then
  "$target/bin/pip" install --no-cache-dir --quiet "tensorflow[and-cuda]"
fi

# What was installed must start, and as somebody who may not write there.
cd /
"$target/bin/facefeat" --version
"$target/bin/facefeat" plugins check
