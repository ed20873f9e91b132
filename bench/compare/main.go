//go:build unix

// Compare runs commands in alternation and prints how long they took, as
// ratios to the first of them, and how much memory they needed.
//
//	compare [-rounds N] -out DIR NAME COMMAND [NAME COMMAND ...]
//
// COMMAND is for the shell and writes below $OUT, which is empty. Times drift
// with the machine's neighbours and with what else it does, so that only
// ratios between commands of the same round are worth anything: the result is
// the median of them.
//
// Each command runs twice, and the second time counts: what it reads is in the
// page cache then, and a virtual machine that got memory from its host for what
// it writes has it still. (Otherwise whoever comes first pays for the others.)

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A contender is a command and what its runs took.
type contender struct {
	name, command string
	runs          []run
}

type run struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

func main() {
	rounds := flag.Int("rounds", 5, "how often each command runs")
	out := flag.String("out", "", "directory for the results, which are removed")
	flag.Parse()
	if flag.NArg() < 2 || flag.NArg()%2 != 0 || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	var contenders []*contender
	for pair := range slices.Chunk(flag.Args(), 2) {
		contenders = append(contenders, &contender{name: pair[0], command: pair[1]})
	}
	if err := compare(contenders, *rounds, *out); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
	report(os.Stdout, contenders)
}

func compare(contenders []*contender, rounds int, out string) error {
	defer os.RemoveAll(out)
	for round := range rounds {
		for i := range contenders {
			// Whoever is first in one round is second in the next.
			c := contenders[(i+round)%len(contenders)]
			if err := errors.Join(os.RemoveAll(out), exec.Command("sync").Run()); err != nil {
				return err
			}
			if _, err := c.measure(out); err != nil {
				return err
			}
			r, err := c.measure(out)
			if err != nil {
				return err
			}
			c.runs = append(c.runs, r)
			fmt.Fprintf(os.Stderr, "round %d: %-12s %6.2f s wall, %6.2f s cpu, %4d MiB\n",
				round+1, c.name, r.wall.Seconds(), r.cpu.Seconds(), r.peak>>20)
		}
	}
	return nil
}

// measure runs the command with an empty directory.
func (c *contender) measure(out string) (run, error) {
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil {
		return run{}, err
	}
	cmd := exec.Command("/bin/sh", "-c", "exec "+c.command)
	cmd.Env = append(os.Environ(), "OUT="+out)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return run{}, fmt.Errorf("%s: %w", c.name, err)
	}
	wall := time.Since(start)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	peak := int64(usage.Maxrss)
	if runtime.GOOS == "linux" {
		peak <<= 10 // kilobytes there, bytes on Darwin
	}
	return run{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak}, nil
}

// report prints a table in Markdown.
func report(w io.Writer, contenders []*contender) {
	first := contenders[0]
	fmt.Fprintf(w, "| | time | CPU time | peak memory | ratios of the rounds |\n|---|---:|---:|---:|---|\n")
	for _, c := range contenders {
		var wall, cpu []float64
		peak := int64(0)
		for i, r := range c.runs {
			wall = append(wall, r.wall.Seconds()/first.runs[i].wall.Seconds())
			cpu = append(cpu, r.cpu.Seconds()/first.runs[i].cpu.Seconds())
			peak = max(peak, r.peak)
		}
		var all []string
		for _, ratio := range wall {
			all = append(all, fmt.Sprintf("%.2f", ratio))
		}
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %d MiB | %s |\n",
			c.name, median(wall), median(cpu), peak>>20, strings.Join(all, " "))
	}
	var seconds []float64
	for _, r := range first.runs {
		seconds = append(seconds, r.wall.Seconds())
	}
	fmt.Fprintf(w, "\nTimes are multiples of that of %s (median %.2f s).\n", first.name, median(seconds))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
