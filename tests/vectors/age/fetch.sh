#!/bin/sh
# Fetches age's public test vectors (npm package cctv-age) and writes one file each into DIR/vectors.
# Usage: fetch.sh DIR
set -eu
dir=$1
cd "$dir"
npm pack --silent cctv-age@0.2.0 >/dev/null
tar xzf cctv-age-0.2.0.tgz
mkdir vectors
node --input-type=module -e '
import { writeFileSync } from "node:fs";
const vectors = await import(process.argv[1]);
for (const name of Object.keys(vectors))
    if (/^[a-z0-9_]+$/.test(name)) writeFileSync("vectors/" + name, vectors[name]);
' "$PWD/package/index.js"
