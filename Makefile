# Two targets are all a newcomer needs: `make demo` and `make test`.

GO ?= go
export CGO_ENABLED := 0

.PHONY: demo build test test-long race fuzz lint generate bench oracles clean

build: ## one static binary
	$(GO) build -trimpath -o diskwright ./cmd/diskwright

demo: build ## build an image from the example and show what it is
	./diskwright build examples/demo/disk.yaml -o out
	./diskwright inspect out/demo.img

# -count=1: tests that run the program or a foreign one must not be taken from
# Go's cache, which does not see those.
test: oracles ## all tests but the long ones
	$(GO) test -count=1 ./...

test-long: oracles ## the long tables too
	DISKWRIGHT_LONG=1 $(GO) test -count=1 -timeout 2h ./...

race: ## the packages with concurrency, under the race detector
	CGO_ENABLED=1 $(GO) test -race ./atomicfile ./content ./diskmap ./format/... ./progress ./tree/... ./builder

fuzz: ## a minute for every fuzz target
	test/fuzz 60s

lint: ## format, vet, staticcheck, and that it builds elsewhere
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt wants to change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=darwin GOARCH=arm64 $(GO) build ./...
	GOOS=windows $(GO) build ./...

generate: ## the JSON schema and the parameter reference
	$(GO) generate ./...

bench: ## against mkfs.ext4 -d and the floor; see docs/benchmarks.md
	bench/run

oracles: ## the foreign programs that the tests compare with (Debian)
	test/install-oracles

clean:
	rm -rf diskwright out
