package main

import (
	"context"
	"io"
	"os"
	"sync"
)

// interruptible returns a reader of r that fails once ctx is done, even while
// r makes it wait. A regular file makes nobody wait, and can be read in place
// if it stays a file.
func interruptible(ctx context.Context, r *os.File) io.Reader {
	if info, err := r.Stat(); err == nil && info.Mode().IsRegular() {
		return r
	}
	return &interruptibleReader{ctx: ctx, r: r}
}

type interruptibleReader struct {
	ctx   context.Context
	r     io.Reader
	start sync.Once
	pipe  *io.PipeReader
}

// Read implements io.Reader.
func (i *interruptibleReader) Read(p []byte) (int, error) {
	i.start.Do(func() {
		var w *io.PipeWriter
		i.pipe, w = io.Pipe()
		context.AfterFunc(i.ctx, func() { w.CloseWithError(context.Cause(i.ctx)) })
		go func() {
			_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{i.r}, make([]byte, 1<<20))
			w.CloseWithError(err)
		}()
	})
	return i.pipe.Read(p)
}

// interruptibleWriter returns a writer to w that fails once ctx is done, even
// while w makes it wait: a pipe that nobody reads from. What it was writing then
// goes with the process. A regular file makes nobody wait.
func interruptibleWriter(ctx context.Context, w *os.File) io.Writer {
	if info, err := w.Stat(); err == nil && info.Mode().IsRegular() {
		return w
	}
	return &interruptedWriter{ctx: ctx, w: w}
}

type interruptedWriter struct {
	ctx   context.Context
	w     io.Writer
	start sync.Once
	todo  chan []byte
	done  chan written
}

// written is what a write returned.
type written struct {
	n   int
	err error
}

// Write implements io.Writer.
func (i *interruptedWriter) Write(p []byte) (int, error) {
	i.start.Do(func() {
		i.todo, i.done = make(chan []byte, 1), make(chan written, 1)
		go func() {
			for p := range i.todo {
				n, err := i.w.Write(p)
				i.done <- written{n, err}
			}
		}()
	})
	if err := context.Cause(i.ctx); err != nil {
		return 0, err
	}
	i.todo <- p
	select {
	case d := <-i.done:
		return d.n, d.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}
