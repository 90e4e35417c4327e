module dbos.kubernetes/local-platform/tools

go 1.26.0
