#!/bin/sh
# Start a run, or go on with one that was cut short; a container that is started again comes here.
set -eu
for checkpoint in /out/checkpoints/checkpoint-*; do
    if [ -e "$checkpoint" ]; then
        exec pipeline run "$1" --resume
    fi
done
exec pipeline run "$1"
