#!/bin/sh
# Fills $BUILD_CONTEXT for Containerfile.local (app) or Containerfile.migrate.local (migrate) with this machine's Go, for
# $TARGETOS and $TARGETARCH: base images cannot be pulled where only package registries are reachable.
set -eu
case "${1:-}" in
app) output=dbos-app package=. ;;
migrate) output=dbos package=github.com/dbos-inc/dbos-transact-golang/cmd/dbos ;;
*) echo "usage: BUILD_CONTEXT=<directory> sh local-context.sh app|migrate" >&2; exit 2 ;;
esac
export CGO_ENABLED=0 GOOS="${TARGETOS:-}" GOARCH="${TARGETARCH:-}"
go build -buildvcs=false -trimpath -ldflags="-s -w" -o "$BUILD_CONTEXT/$output" "$package"
cp /etc/ssl/certs/ca-certificates.crt "$BUILD_CONTEXT/"
