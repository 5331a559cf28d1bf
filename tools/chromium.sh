#!/bin/sh
# See that there is a Chromium for the browser's checks. In CI or a container, where we are root and the machine is
# Debian's kind, it is installed; anywhere else the reader is told.
set -eu
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo 'installing Chromium'
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
    echo 'No Chromium found. Install it (apt install chromium), or name a Chrome in the environment variable CHROMIUM.' >&2
    exit 1
fi
