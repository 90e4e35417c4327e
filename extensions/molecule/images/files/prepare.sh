#!/bin/sh
# Molecule's example of a prepared build context.
echo "built by the role images" >"$BUILD_CONTEXT/greeting"
