package nixstore

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// workersOf returns how many workers are meant: 0 is twice the number of CPUs,
// since some of them wait for the disk.
func workersOf(n int) int {
	if n > 0 {
		return n
	}
	return 2 * runtime.GOMAXPROCS(0)
}

// parallel calls work for 0 to n-1 from several goroutines. The errors are
// those of all of them, in their order, whoever was first.
func parallel(ctx context.Context, n, workers int, work func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(workersOf(workers), n) {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[i] = work(i)
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return joinProblems(errs)
}
