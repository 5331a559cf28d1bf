#!/bin/sh
# What nbdev_install_hooks does, kept inside this clone. That command writes into the user's own Jupyter configuration,
# where it changes every other project too, and names programs that git finds only while .venv is active. Here the
# hook that cleans a notebook when it is saved stands in .jupyter/, which `make lab` points JupyterLab to; the rest is
# this clone's git configuration. `git config --local --remove-section merge.nbdev-merge` takes it back.
set -eu
git rev-parse --git-dir >/dev/null 2>&1 || { echo 'not a git clone: no git hooks installed'; exit 0; }
git config --local merge.nbdev-merge.name 'merge notebooks cell by cell'
git config --local merge.nbdev-merge.driver '.venv/bin/nbdev_merge %O %A %B %P'

hook=$(git rev-parse --git-path hooks/post-merge)
if [ -e "$hook" ] && ! grep -q nbdev_trust "$hook"; then
    echo "$hook exists and is left alone; add '.venv/bin/nbdev_trust' to it to see pictures of merged notebooks at once"
else
    mkdir -p "$(dirname "$hook")"
    cat > "$hook" <<'END'
#!/bin/sh
# JupyterLab shows the stored SVG pictures of a notebook only where it is trusted.
[ ! -x .venv/bin/nbdev_trust ] || .venv/bin/nbdev_trust
END
    chmod +x "$hook"
fi
