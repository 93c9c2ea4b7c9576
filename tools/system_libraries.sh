#!/bin/sh
# The system libraries that open3d links to: installed where apt-get and root are at hand,
# otherwise one line says what to install.
set -eu
command -v ldconfig >/dev/null 2>&1 || exit 0 # not Linux: the wheels bring what they need
packages=""
for pair in libusb-1.0.so.0:libusb-1.0-0 libGL.so.1:libgl1 libEGL.so.1:libegl1 \
    libX11.so.6:libx11-6 libgomp.so.1:libgomp1; do
    ldconfig -p | grep -q "${pair%%:*}" || packages="$packages ${pair#*:}"
done
[ -z "$packages" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages >/dev/null
else
    echo "open3d needs system libraries: please install$packages" >&2
fi
