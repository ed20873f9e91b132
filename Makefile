# Two targets are all a newcomer needs: `make demo` and `make test`.

GO ?= go
export CGO_ENABLED := 0

.PHONY: demo build test test-long race fuzz lint generate bench oracles clean

build: ## one static binary
	$(GO) build -trimpath -o diskwright ./cmd/diskwright

demo: build ## make a Debian, build a disk that boots it, and show what that is
	examples/debian/install-needs
	test -e examples/debian/root.tar || examples/debian/make-root examples/debian/root.tar
	./diskwright build examples/debian/disk.yaml -o out
	./diskwright inspect out/debian.img

# -count=1: tests that run the program or a foreign one must not be taken from
# Go's cache, which does not see those.
test: oracles ## all tests but the long ones
	$(GO) test -count=1 -timeout 30m ./...

test-long: export DISKWRIGHT_LONG := 1
test-long: oracles ## the long tables too
	$(GO) test -count=1 -timeout 2h ./...

race: ## the packages with concurrency, under the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./atomicfile ./content ./diskmap ./format/... ./inspect/diff ./nbd ./nixstore ./progress ./tree/... ./builder ./vm/host ./vm/protocol
	CGO_ENABLED=1 $(GO) test -race -timeout 30m -run 'Spool|Determinism|Cancel|Golden|Changed' ./filesystem/zfs

DURATION ?= 60s
fuzz: ## a minute, or DURATION, for every fuzz target
	test/fuzz $(DURATION)

lint: ## format, vet, staticcheck, and that it builds elsewhere
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt wants to change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=darwin GOARCH=arm64 $(GO) build ./...
	GOOS=windows $(GO) build ./...

generate: ## the JSON schema and the parameter reference
	$(GO) generate ./...

bench: ## all benchmarks, for an hour or so; see docs/benchmarks.md
	bench/run
	bench/closure
	bench/formats
	bench/looking
	bench/zfs

oracles: ## the foreign programs that the tests compare with (Debian)
	test/install-oracles

clean:
	rm -rf diskwright out
